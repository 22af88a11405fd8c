// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/widened.h"

#include <algorithm>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/tensor.h"
#include "thalweg/lib/base/threads.h"

namespace thalweg {
namespace {

constexpr std::size_t grain = 65536;
std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

std::vector<TensorType> widened(std::span<const TensorType> types) {
  std::vector<TensorType> wide(types.begin(), types.end());
  for (TensorType& type : wide)
    if (type.dtype == DType::bf16) type.dtype = DType::f32;
  return wide;
}

class WidenedKernel final : public Kernel {
 public:
  WidenedKernel(const KernelRequest& request, std::unique_ptr<Node> node, std::unique_ptr<Kernel> inner)
      : node_(std::move(node)), inner_(std::move(inner)), threads_(request.threads) {
    for (const TensorType& type : request.in) in_.push_back(place(type));
    for (const TensorType& type : request.out) out_.push_back(place(type));
    inner_scratch_ = bytes_;
    bytes_ += inner_->scratch_bytes();
    wide_in_ = std::vector<const void*>(in_.size());
    wide_out_ = std::vector<void*>(out_.size());
  }
  void run(const void* const* in, void* const* out, void* scratch) const override {
    auto* base = static_cast<std::byte*>(scratch);
    for (std::size_t i = 0; i < in_.size(); ++i) {
      wide_in_[i] = in[i];
      if (!in_[i].narrow) continue;
      auto* wide = reinterpret_cast<float*>(base + in_[i].offset);
      const auto* narrow = static_cast<const std::uint16_t*>(in[i]);
      parallel_for(threads_, in_[i].elements, grain, [&](std::size_t begin, std::size_t end, std::size_t) {
        for (std::size_t k = begin; k < end; ++k) wide[k] = float_of(narrow[k]);
      });
      wide_in_[i] = wide;
    }
    for (std::size_t i = 0; i < out_.size(); ++i) wide_out_[i] = out_[i].narrow ? base + out_[i].offset : out[i];
    inner_->run(wide_in_.data(), wide_out_.data(), base + inner_scratch_);
    for (std::size_t i = 0; i < out_.size(); ++i) {
      if (!out_[i].narrow) continue;
      const auto* wide = reinterpret_cast<const float*>(base + out_[i].offset);
      auto* narrow = static_cast<std::uint16_t*>(out[i]);
      parallel_for(threads_, out_[i].elements, grain, [&](std::size_t begin, std::size_t end, std::size_t) {
        for (std::size_t k = begin; k < end; ++k) narrow[k] = bf16_of(wide[k]);
      });
    }
  }
  std::size_t scratch_bytes() const override { return bytes_; }
  std::size_t reorders() const override { return inner_->reorders(); }
  bool starts_workers() const override { return inner_->starts_workers(); }
  std::string name() const override { return inner_->name() + ":bf16"; }

 private:
  struct Side {
    bool narrow = false;
    std::size_t offset = 0, elements = 0;
  };
  Side place(const TensorType& type) {
    const Side side{.narrow = type.dtype == DType::bf16, .offset = bytes_,
                    .elements = static_cast<std::size_t>(type.elements())};
    if (side.narrow) bytes_ += aligned(side.elements * sizeof(float));
    return side;
  }

  std::unique_ptr<Node> node_;  ///< what the inner kernel was made for
  std::unique_ptr<Kernel> inner_;
  int threads_;
  std::vector<Side> in_, out_;
  std::size_t bytes_ = 0, inner_scratch_ = 0;
  mutable std::vector<const void*> wide_in_;
  mutable std::vector<void*> wide_out_;
};

}  // namespace

std::unique_ptr<Kernel> widened_kernel(const KernelRequest& request,
                                       const std::function<std::unique_ptr<Kernel>(const KernelRequest&)>& make) {
  const auto is_narrow = [](const TensorType& type) { return type.dtype == DType::bf16; };
  if (std::none_of(request.in.begin(), request.in.end(), is_narrow) &&
      std::none_of(request.out.begin(), request.out.end(), is_narrow))
    return nullptr;
  auto node = std::make_unique<Node>(request.node);
  node->types = widened(node->types);
  const std::vector<TensorType> in = widened(request.in);
  std::unique_ptr<Kernel> inner =
      make({*node, in, node->types, request.threads, request.generate, request.layout, request.tune});
  if (!inner) return nullptr;
  return std::make_unique<WidenedKernel>(request, std::move(node), std::move(inner));
}

}  // namespace thalweg
