// SPDX-License-Identifier: Apache-2.0
// Private: what a compiled program runs.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "thalweg/graph/graph.h"
#include "thalweg/graph/type.h"

namespace thalweg {

/// One entry of a program: prepared once for fixed types, then run every step without allocating.
/// Tensors are dense and row-major unless a kernel says otherwise.
class Kernel {
 public:
  virtual ~Kernel() = default;
  /// Reads in[i], writes out[i]. `scratch` has scratch_bytes() bytes, 64-byte aligned, with no content to rely on.
  /// Throws RunError for data that has no answer (a label out of range); nothing else.
  virtual void run(const void* const* in, void* const* out, void* scratch) const = 0;
  virtual std::size_t scratch_bytes() const { return 0; }
  /// The implementation, as the plan's text names it: `own:pointwise(add,relu)`, `onednn:brg:avx512_core`.
  virtual std::string name() const = 0;
  /// Layout changes that a run makes.
  virtual std::size_t reorders() const { return 0; }
  /// Whether a run starts the workers itself and not by parallel_for.
  virtual bool starts_workers() const { return false; }
  /// Whether out[`result`] may be the very buffer of in[`operand`].
  virtual bool in_place(std::size_t /*operand*/, std::size_t /*result*/) const { return false; }
  /// Asks the kernel to set `flag` at every run that writes nan or infinity to out[result]; false if it cannot.
  virtual bool watch(std::size_t /*result*/, std::atomic<bool>& /*flag*/) { return false; }
};

/// What follows a matmul or conv2d in the same kernel; a bias comes after the node's own operands.
struct Epilogue {
  bool bias = false;                ///< adds a vector over the last axis
  std::optional<double> slope = {};  ///< then multiplies what is negative by this: 0 is relu. NaN stays NaN
  bool any() const { return bias || slope; }
};
/// As it stands in the name of a kernel: `+bias+relu`.
inline std::string epilogue_name(const Epilogue& epilogue) {
  return std::string(epilogue.bias ? "+bias" : "") +
         (!epilogue.slope ? "" : *epilogue.slope == 0 ? "+relu" : "+leaky_relu");
}

/// What a kernel is made for: a node with the types around it.
struct KernelRequest {
  const Node& node;
  std::span<const TensorType> in;
  std::span<const TensorType> out;
  int threads = 1;  ///< the program's logical thread count
  bool generate = true;  ///< machine code may be written for it
  bool layout = true;  ///< kernels that take every tensor in the layout the program keeps it in come first
  bool tune = false;   ///< candidates are timed
  bool winograd = false;  ///< convolutions may be computed so
};

}  // namespace thalweg
