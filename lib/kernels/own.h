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
/// the shape `space` and the same element size. It is one generated loop where the machine and the ops allow it and
/// `generate` is set, else Highway's functions op by op over blocks; the bits are the same.
std::unique_ptr<Kernel> pointwise_kernel(const PointwiseGroup& group, int threads, bool generate = true);
/// One kernel for groups of the same steps over tensors of their own (the parameters of one optimizer): in[] are the
/// inputs of the first group, then those of the second, and so on; so is out[].
std::unique_ptr<Kernel> pointwise_kernel(std::span<const PointwiseGroup> groups, int threads, bool generate = true);

/// What follows a batch norm in its kernel.
struct NormEpilogue {
  bool add = false;   ///< adds the operand that comes after the node's own, of the result's type
  bool relu = false;  ///< then. NaN stays NaN
};
/// The kernel of a batch norm's forward pass with what follows it; null where there is none for these types. The bits
/// are those of one kernel after the other.
std::unique_ptr<Kernel> batch_norm_with(const KernelRequest& request, const NormEpilogue& epilogue);

/// What a batch norm's gradient reads in the place of dy: dy where the last operand is positive, and 0 elsewhere.
struct NormGate {
  bool add = false;     ///< of the sum of dy and the operand that comes after the node's own
  bool stored = false;  ///< it is the kernel's last result
};
/// As batch_norm_with(), for batch_norm_backward.
std::unique_ptr<Kernel> batch_norm_backward_of(const KernelRequest& request, const NormGate& gate);

/// max_pool_backward that keeps what lies where its first operand is positive, the rest is 0; with `column_sums`, the
/// sums along the last axis, added up in double, are the second result. Null where there is none for these sizes.
std::unique_ptr<Kernel> max_pool_backward_gated(const KernelRequest& request, bool column_sums);

/// Whether the sum over all elements of a group's one result can be made by sums_kernel().
bool sums_in_one_pass(const PointwiseGroup& group);
/// For groups of the same steps the sum over all elements of the result of each, in one pass over the operands: out[k]
/// is the sum of group k. Null where no code can be written.
std::unique_ptr<Kernel> sums_kernel(std::span<const PointwiseGroup> groups, int threads);

/// The losses of sparse_cross_entropy and their gradients in one kernel: in[] are logits, labels and dy (one for each
/// loss, or one for all), out[] losses and gradients; with `mean` also the mean of the losses, added up as the op's own
/// kernel does. Null where there is none for these types.
std::unique_ptr<Kernel> cross_entropy_with_gradient(const TensorType& logits, const TensorType& labels,
                                                    const TensorType& dy, int threads, bool mean = false);

}  // namespace thalweg
