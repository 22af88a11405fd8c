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

std::optional<Work> work_with_epilogue(const Graph& graph, const Uses& uses, NodeId id, int threads) {
  if (!onednn::takes_epilogue(graph.node(id), graph.node(id).types[0])) return {};
  const auto operands = graph.operands(id);
  Work work{.members = {id}, .in = {operands.begin(), operands.end()}, .out = {}, .kernel = {}};
  onednn::Epilogue epilogue;
  NodeId last = id;
  if (const NodeId user = uses.only_user(last, "add"); user != last) {
    if (const auto bias = bias_of(graph, uses, user, last)) {
      epilogue.bias = true;
      work.in.push_back(*bias);
      work.members.push_back(last = user);
    }
  }
  if (const NodeId user = uses.only_user(last, "leaky_relu"); user != last) {
    if (const double slope = graph.node(user).attrs.real("slope"); slope != 0) {
      epilogue.leaky_slope = slope;
      work.members.push_back(last = user);
    }
  }
  if (!epilogue.any()) return {};
  const std::vector<TensorType> in = types_of(graph, operands);
  work.kernel = onednn::kernel({graph.node(id), in, graph.node(id).types, threads}, epilogue);
  if (!work.kernel) return {};
  work.out = {{last, 0}};
  return work;
}

}  // namespace thalweg
