// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/compile/planning.h"
#include "thalweg/lib/onednn/lower.h"

namespace thalweg {

std::optional<ValueId> bias_of(const Graph& graph, const Uses& uses, NodeId add, NodeId value) {
  for (const ValueId operand : graph.operands(add)) {
    if (operand.node == value) continue;
    const ValueId v = uses.read_through(operand);
    const TensorType& type = graph.type(v);
    const bool vector = type.shape.rank() > 0 && type.elements() == type.shape.back() &&
                        type.shape.back() == graph.node(value).types[0].shape.back();
    const Node& source = graph.node(uses.root(v).node);
    // A constant may be kept as one number only.
    if (vector && is_source(source) && !is(source, "constant") && graph.node(add).types == graph.node(value).types)
      return v;
  }
  return {};
}

std::optional<Work> work_with_epilogue(const Graph& graph, const Uses& uses, NodeId id, int threads,
                                       const CompileOptions& options) {
  const Node& node = graph.node(id);
  if (!onednn::takes_epilogue(node, node.types[0])) return {};
  const auto operands = graph.operands(id);
  Work work{.members = {id}, .in = {operands.begin(), operands.end()}, .out = {}, .kernel = {}};
  const std::vector<TensorType> in = types_of(graph, operands);
  const KernelRequest request = request_of(node, in, threads, options);
  Epilogue epilogue;
  const auto last = [&] { return work.members.back(); };
  if (const NodeId user = uses.only_user(last(), "add"); user != last()) {
    if (const auto bias = bias_of(graph, uses, user, last())) {
      epilogue.bias = true;
      work.in.push_back(*bias);
      work.members.push_back(user);
    }
  }
  Epilogue longer = epilogue;
  NodeId user = uses.only_user(last(), "relu");
  if (user != last()) longer.slope = 0;
  if (user == last()) user = uses.only_user(last(), "leaky_relu");
  // Minus infinity times 0 is NaN: a leaky_relu of slope 0 is no relu.
  if (user != last() && !longer.slope && graph.node(user).attrs.real("slope") != 0)
    longer.slope = graph.node(user).attrs.real("slope");
  if (longer.slope) work.kernel = heavy_kernel(request, longer);
  if (work.kernel) work.members.push_back(user);
  if (!work.kernel && epilogue.any()) work.kernel = heavy_kernel(request, epilogue);
  if (!work.kernel) return {};
  work.out = {{last(), 0}};
  return work;
}

}  // namespace thalweg
