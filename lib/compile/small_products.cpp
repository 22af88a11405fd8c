// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/compile/planning.h"
#include "thalweg/lib/kernels/conv_code.h"
#include "thalweg/lib/kernels/product_code.h"

namespace thalweg {

std::optional<Work> work_with_small_product(const Graph& graph, const Uses& uses, NodeId id, int threads,
                                            const CompileOptions& options) {
  const Node& node = graph.node(id);
  if (!(is(node, "matmul") || is(node, "conv2d")) || !options.generate) return {};
  const auto operands = graph.operands(id);
  Work work{.members = {id}, .in = {operands.begin(), operands.end()}, .out = {}, .kernel = {}};
  ProductEnd end;
  NodeId last = id;
  if (const NodeId user = uses.only_user(last, "add"); user != last) {
    if (const auto bias = bias_of(graph, uses, user, last)) {
      end.bias = true;
      work.in.push_back(*bias);
      work.members.push_back(last = user);
    }
  }
  if (const NodeId user = uses.only_user(last, "relu"); user != last) {
    end.relu = true;
    work.members.push_back(last = user);
  } else if (const NodeId leaky = uses.only_user(last, "leaky_relu"); leaky != last) {
    end.leaky_slope = graph.node(leaky).attrs.real("slope");
    work.members.push_back(last = leaky);
  }
  const std::vector<TensorType> in = types_of(graph, operands);
  const KernelRequest request{node, in, node.types, threads, options.generate};
  work.kernel = is(node, "matmul") ? small_product(request, end) : small_convolution(request, end);
  if (!work.kernel) return {};
  work.out = {{last, 0}};
  return work;
}

}  // namespace thalweg
