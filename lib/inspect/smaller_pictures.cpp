// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/smaller_pictures.h"

#include <string_view>
#include <utility>
#include <vector>

#include "thalweg/graph/error.h"
#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/walk.h"

namespace thalweg {
namespace {

bool is_picture(const Node& node) {
  return node.op->name == "input" && is_float(node.types[0].dtype) && node.types[0].shape.rank() == 4;
}

TensorType smaller(const TensorType& picture, Dim divisor) {
  std::vector<Dim> dims = picture.shape.vector();
  for (const std::size_t axis : {1U, 2U}) dims[axis] = (dims[axis] + divisor - 1) / divisor;
  return {picture.dtype, Shape(dims)};
}

/// The type that the node would have declared; the rules judge whether it fits.
TensorType declared(const Node& node, std::span<const TensorType> in, Dim divisor) {
  if (is_picture(node)) return smaller(node.types[0], divisor);
  if (node.op->name == "cast") return {node.types[0].dtype, in[0].shape};
  return node.types[0];
}

/// The attributes, with the window of a pool that takes the whole picture as large as the new one.
Attrs attrs_of(const Node& node, const TensorType* before, const TensorType* after) {
  if (!before || before->shape.rank() != 4 || !node.op->name.ends_with("_pool")) return node.attrs;
  std::vector<Attr> attrs = node.attrs.all();
  for (Attr& attr : attrs) {
    if (attr.name != "window") continue;
    if (attr.value.integers() != std::vector<std::int64_t>{before->shape[1], before->shape[2]}) return node.attrs;
    attr.value = std::vector<std::int64_t>{after->shape[1], after->shape[2]};
  }
  return Attrs(std::move(attrs));
}

}  // namespace

std::optional<Graph> at_smaller_pictures(const Graph& forward, const Graph::Output& output, Dim divisor) {
  const NodeId last = output.value.node;
  const std::vector<bool> needed = behind(forward, std::span(&last, 1));
  Graph to(forward.name());
  std::vector<ValueId> place(forward.size());
  bool any = false;
  try {
    for (NodeId id = 0; id <= last; ++id) {
      if (!needed[id]) continue;
      Node node = forward.node(id);
      std::vector<ValueId> operands;
      std::vector<TensorType> in;
      for (const ValueId operand : forward.operands(id)) {
        operands.push_back({place[operand.node].node, operand.result});
        in.push_back(to.type(operands.back()));
      }
      any = any || is_picture(node);
      const TensorType type = node.op->declares ? declared(node, in, divisor) : TensorType{};
      node.attrs = in.empty() ? node.attrs : attrs_of(node, &forward.type(forward.operands(id)[0]), &in[0]);
      node.types = node.op->infer({in, node.attrs, node.op->declares ? &type : nullptr});
      place[id] = to.add_copy(node, operands).id();
    }
  } catch (const RuleError&) {
    return {};
  } catch (const GraphError&) {
    return {};
  }
  if (!any) return {};
  to.output(output.name, to.value({place[last].node, output.value.result}));
  return to;
}

}  // namespace thalweg
