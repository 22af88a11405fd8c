// SPDX-License-Identifier: Apache-2.0
// Private: how the own kernels are written and found.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/kernels/kernel.h"

namespace thalweg {

/// Makes the kernel of a request, or null where it does not cover the dtypes.
using KernelMaker = std::unique_ptr<Kernel> (*)(const KernelRequest&);
struct NamedMaker {
  std::string_view op;
  KernelMaker make;
};

std::span<const NamedMaker> matmul_makers();
std::span<const NamedMaker> convolution_makers();
std::span<const NamedMaker> pooling_makers();
std::span<const NamedMaker> row_makers();       ///< softmax and the cross entropies
std::span<const NamedMaker> loss_makers();       ///< checks of targets, ctc
std::span<const NamedMaker> norm_makers();
std::span<const NamedMaker> reduction_makers();
std::span<const NamedMaker> movement_makers();
std::span<const NamedMaker> index_makers();     ///< gather, scatter_add, one_hot, check
std::span<const NamedMaker> random_makers();
std::span<const NamedMaker> image_makers();

/// Operands whose buffers results may take.
struct Replaced {
  std::size_t operand, result;
  bool operator==(const Replaced&) const = default;
};

/// A kernel from a function `(in, out, scratch)`.
template <class F>
class FunctionKernel final : public Kernel {
 public:
  FunctionKernel(std::string name, std::size_t scratch, F run, std::vector<Replaced> replaced)
      : name_(std::move(name)), scratch_(scratch), run_(std::move(run)), replaced_(std::move(replaced)) {}
  void run(const void* const* in, void* const* out, void* scratch) const override { run_(in, out, scratch); }
  std::size_t scratch_bytes() const override { return scratch_; }
  std::string name() const override { return name_; }
  bool in_place(std::size_t operand, std::size_t result) const override {
    return std::find(replaced_.begin(), replaced_.end(), Replaced{operand, result}) != replaced_.end();
  }

 private:
  std::string name_;
  std::size_t scratch_;
  F run_;
  std::vector<Replaced> replaced_;
};
template <class F>
std::unique_ptr<Kernel> kernel_of(std::string_view what, std::size_t scratch, F run,
                                  std::vector<Replaced> replaced = {}) {
  return std::make_unique<FunctionKernel<F>>("own:" + std::string(what), scratch, std::move(run), std::move(replaced));
}

/// Calls f with a float or a double; null for another dtype.
template <class F>
std::unique_ptr<Kernel> for_float(DType dtype, F f) {
  if (dtype == DType::f32) return f(float{});
  if (dtype == DType::f64) return f(double{});
  return nullptr;
}

/// The maker of `op` from `template <class T> function(request)`, by the dtype of the first result. (A function
/// template cannot be an argument of a template.)
#define THALWEG_MAKER(op, function)                                                                           \
  {op, [](const KernelRequest& r) {                                                                           \
     return for_float(r.out[0].dtype, [&](auto t) { return function<decltype(t)>(r); });                      \
   }}

template <class T>
const T* input(const void* const* in, std::size_t i) {
  return static_cast<const T*>(in[i]);
}
template <class T>
T* output(void* const* out, std::size_t i = 0) {
  return static_cast<T*>(out[i]);
}

inline std::size_t count(Dim dim) { return static_cast<std::size_t>(dim); }
inline std::size_t rounded_up(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

/// How many items of `each` simple operations make a thread worth its while.
inline std::size_t grain_of(std::size_t each) {
  constexpr std::size_t worth = 32768;
  return each >= worth ? 1 : (worth + each - 1) / (each > 0 ? each : 1);
}

}  // namespace thalweg
