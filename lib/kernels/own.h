// SPDX-License-Identifier: Apache-2.0
// Private: own kernels, for what oneDNN lacks, does wrongly, or does only by its reference implementation.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "thalweg/lib/kernels/kernel.h"

namespace thalweg {

/// The own kernel of any one op, or null where there is none for these dtypes.
std::unique_ptr<Kernel> own_kernel(const KernelRequest& request);

/// A chain of pointwise ops over one iteration space, run block by block so that what is between them stays in L1.
struct PointwiseGroup {
  /// One op. An operand >= 0 is the result of that earlier step, an operand < 0 is input `-1 - operand`.
  struct Step {
    const Node* node = nullptr;
    std::vector<int> operands;
    DType dtype = DType::f32;  ///< of the result
  };
  Shape space;                          ///< the shape of every step's result that is not a broadcast of a smaller one
  std::vector<TensorType> inputs;       ///< each broadcasts to `space`
  std::vector<Step> steps;
  std::vector<int> outputs;             ///< steps whose results are stored; each of shape `space`
};
/// Whether the op (by its node and types) can be a step of a group.
bool is_groupable(const Node& node, std::span<const TensorType> in);
/// A kernel with the group's inputs as in[] and its outputs as out[]; out[i] may be the buffer of any input that has
/// the shape `space` and the same element size.
std::unique_ptr<Kernel> pointwise_kernel(const PointwiseGroup& group, int threads);

}  // namespace thalweg
