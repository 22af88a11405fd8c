// SPDX-License-Identifier: Apache-2.0
// Sums over all elements of what pointwise groups compute, which is never stored: one pass over the operands.
#include <algorithm>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/kernels/makers.h"
#include "thalweg/lib/kernels/pointwise_code.h"
#include "thalweg/lib/kernels/simd.h"

namespace thalweg {
namespace {

/// Elements that are computed, then added up, while the first-level cache holds them. A sum is made of the sums of its
/// pieces, in order, whatever the number of threads.
constexpr std::size_t piece = 2048;

class SumsKernel final : public Kernel {
 public:
  SumsKernel(std::span<const PointwiseGroup> groups, PointwiseLoop loop, int threads)
      : parts_(std::move(loop.parts)), code_(std::move(loop.code)), loop_(code_->function()), threads_(threads),
        inputs_(groups[0].inputs.size()) {
    const PointwiseGroup& group = groups[0];
    const DType dtype = group.steps[static_cast<std::size_t>(group.outputs[0])].dtype;
    f64_ = dtype == DType::f64;
    for (std::size_t i = 0; i < inputs_; ++i) {
      const bool repeats = parts_[0].space.stride[i][0] == 0;
      steps_.push_back(repeats ? 0 : size_of(group.inputs[i].dtype));
    }
    for (const PointwisePart& part : parts_) {
      first_piece_.push_back(pieces_);
      pieces_ += (part.elements + piece - 1) / piece;
    }
    for (const auto& step : group.steps) name_ += std::string(step.node->op->name) + ",";
    name_ = "own:sums(" + name_ + "sum";
    name_ += groups.size() == 1 ? ")" : " on " + std::to_string(groups.size()) + " tensors)";
  }

  std::string name() const override { return name_; }
  std::size_t scratch_bytes() const override {
    return totals_bytes() + static_cast<std::size_t>(parts_of(threads_, pieces_, grain)) * worker_bytes();
  }

  void run(const void* const* in, void* const* out, void* scratch) const override {
    auto* totals = static_cast<double*>(scratch);
    auto* rooms = static_cast<std::byte*>(scratch) + totals_bytes();
    parallel_for(threads_, pieces_, grain, [&](std::size_t begin, std::size_t end, std::size_t worker) {
      std::byte* room = rooms + worker * worker_bytes();
      auto part = static_cast<std::size_t>(
          std::upper_bound(first_piece_.begin(), first_piece_.end(), begin) - first_piece_.begin() - 1);
      for (std::size_t p = begin; p < end; ++p) {
        while (part + 1 < parts_.size() && p >= first_piece_[part + 1]) ++part;
        totals[p] = sum_of_piece(parts_[part], in, p - first_piece_[part], room);
      }
    });
    for (std::size_t k = 0; k < parts_.size(); ++k) {
      double total = 0;
      const std::size_t end = k + 1 < parts_.size() ? first_piece_[k + 1] : pieces_;
      for (std::size_t p = first_piece_[k]; p < end; ++p) total += totals[p];
      if (f64_) *output<double>(out, k) = total;
      else *output<float>(out, k) = static_cast<float>(total);
    }
  }

 private:
  static constexpr std::size_t grain = 32768 / piece;
  std::size_t totals_bytes() const { return rounded_up(pieces_ * sizeof(double)); }
  std::size_t worker_bytes() const { return rounded_up(inputs_ * sizeof(void*)) + piece * sizeof(double); }

  double sum_of_piece(const PointwisePart& part, const void* const* in, std::size_t number, std::byte* room) const {
    const auto** from = reinterpret_cast<const void**>(room);
    void* to = room + rounded_up(inputs_ * sizeof(void*));
    const std::size_t first = number * piece, n = std::min(piece, part.elements - first);
    for (std::size_t i = 0; i < inputs_; ++i)
      from[i] = static_cast<const std::byte*>(in[part.first_in + i]) + first * steps_[i];
    loop_(from, &to, 1, n);
    return f64_ ? simd().sum_f64(static_cast<const double*>(to), n) : simd().sum_f32(static_cast<const float*>(to), n);
  }

  std::vector<PointwisePart> parts_;
  std::unique_ptr<LoopCode> code_;
  LoopFunction loop_;
  int threads_;
  std::size_t inputs_;
  bool f64_ = false;
  std::vector<std::size_t> steps_;        ///< bytes from an element of each operand to the next
  std::vector<std::size_t> first_piece_;  ///< of each part
  std::size_t pieces_ = 0;
  std::string name_;
};

}  // namespace

bool sums_in_one_pass(const PointwiseGroup& group) {
  if (group.outputs.size() != 1 || group.space.elements() < 2) return false;
  const DType dtype = group.steps[static_cast<std::size_t>(group.outputs[0])].dtype;
  if (dtype != DType::f32 && dtype != DType::f64) return false;
  return pointwise_space(group.space, group.inputs).rank == 1 && has_vector_code(group);
}

std::unique_ptr<Kernel> sums_kernel(std::span<const PointwiseGroup> groups, int threads) {
  std::optional<PointwiseLoop> loop = pointwise_loop(groups);
  if (!loop) return nullptr;
  return std::make_unique<SumsKernel>(groups, std::move(*loop), std::max(threads, 1));
}

}  // namespace thalweg
