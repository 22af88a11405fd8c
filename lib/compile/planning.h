// SPDX-License-Identifier: Apache-2.0
// Private: the stages of plan_kernels(), in the order in which they run.
#pragma once

#include <optional>
#include <vector>

#include "thalweg/lib/compile/plan.h"
#include "thalweg/lib/compile/uses.h"

namespace thalweg {

/// The best kernel of a node with what follows it; null for none. "Best" is a fixed order of preference, or, where the
/// request says tune, what was fastest when it was first asked for in this process.
std::unique_ptr<Kernel> heavy_kernel(const KernelRequest& request, const Epilogue& epilogue);
std::unique_ptr<Kernel> any_kernel(const KernelRequest& request);
/// What the options say of a node's kernel.
inline KernelRequest request_of(const Node& node, std::span<const TensorType> in, int threads,
                                const CompileOptions& options) {
  return {.node = node, .in = in, .out = node.types, .threads = threads, .generate = options.generate,
          .layout = options.layout, .tune = options.tune, .winograd = options.winograd};
}

/// A heavy op with the ops that follow it in the same kernel, if it has any that a kernel takes.
std::optional<Work> work_with_epilogue(const Graph& graph, const Uses& uses, NodeId id, int threads,
                                       const CompileOptions& options);

/// The vector that `add` adds to `value` over its last axis, if that is what it does and it exists before the step.
std::optional<ValueId> bias_of(const Graph& graph, const Uses& uses, NodeId add, NodeId value);

/// Divides a graph into kernels: heavy ops with their epilogues, pointwise groups (whose kernels are made when they are
/// merged), and what is left one by one.
std::vector<Work> make_works(const Graph& graph, const ValueIndex& index, const Uses& uses,
                             const CompileOptions& options, int threads);

/// What the gradient of relu keeps: the elements of `value`, or of the sum of both, where `positive` is; the rest is 0.
struct Gate {
  ValueId value, positive;
  std::optional<ValueId> more;
};
/// The gate that a pointwise work is and nothing else, of tensors that are all as large as its result.
std::optional<Gate> gate_of(const Graph& graph, const Uses& uses, const Work& work);

/// Lets batch norms and max poolings take in the sums, relus and gates beside them.
void absorb_pointwise(const Graph& graph, const ValueIndex& index, const Uses& uses, const CompileOptions& options,
                      int threads, Plan& plan);

/// Joins works that one kernel does: a loss and its gradient, pointwise groups of the same steps over many tensors, the
/// scalars of a step. Makes the kernels of pointwise groups.
void merge_works(const Graph& graph, const ValueIndex& index, const Uses& uses, const CompileOptions& options,
                 int threads, Plan& plan);

/// Which work writes each value, by the ValueIndex of its root.
class Writers {
 public:
  static constexpr std::size_t none = ~std::size_t{0};
  Writers(const ValueIndex& index, const Plan& plan);
  /// The work that writes a value, or none for what exists before the step.
  std::size_t operator()(ValueId v) const;

 private:
  const ValueIndex& index_;
  const Plan& plan_;
  std::vector<std::size_t> writer_;
};

/// Drops works that nobody needs and puts the rest in execution order.
void order_works(const Graph& graph, const ValueIndex& index, Plan& plan);

/// Lets updates be computed in their variable's own place where nobody reads the old value later; copies the others
/// at the end.
void write_variables(const Graph& graph, const ValueIndex& index, Plan& plan);

}  // namespace thalweg
