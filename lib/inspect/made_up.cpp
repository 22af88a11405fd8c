// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/made_up.h"

#include <algorithm>

#include "thalweg/graph/opdef.h"
#include "thalweg/graph/walk.h"

namespace thalweg {
namespace {

/// How many whole numbers a reader can take at this operand; 0: it does not care.
Dim choices(const Graph& graph, const Reader& reader) {
  const std::string_view op = graph.node(reader.node).op->name;
  const auto operands = graph.operands(reader.node);
  if (op.starts_with("sparse_cross_entropy") && reader.operand == 1) return graph.type(operands[0]).shape.back();
  if (op == "one_hot") return graph.node(reader.node).types[0].shape.back();
  if ((op == "gather" || op == "scatter_add") && reader.operand == 1) {
    const Shape table = graph.type(operands[0]).shape;
    const std::int64_t axis = graph.node(reader.node).attrs.integer("axis");
    return table[static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(table.rank()) : axis)];
  }
  return 0;
}

/// The smallest number of choices of all that read a value, also through ops that only move or convert it.
Dim choices_of(const Graph& graph, NodeId input) {
  Dim least = 0;
  std::vector<ValueId> waiting = {{input, 0}};
  for (std::size_t i = 0; i < waiting.size(); ++i) {
    for (const Reader& reader : readers(graph, waiting[i])) {
      const Dim here = choices(graph, reader);
      if (here > 0) least = least == 0 ? here : std::min(least, here);
      const Node& node = graph.node(reader.node);
      const bool passes_on = node.op->fusion == Fusion::movement || node.op->name == "cast";
      if (passes_on && std::find(waiting.begin(), waiting.end(), ValueId{reader.node, 0}) == waiting.end())
        waiting.push_back({reader.node, 0});
    }
  }
  return least == 0 ? 2 : least;
}

}  // namespace

Feeds made_up_feeds(const Graph& graph, std::uint64_t seed) {
  Feeds feeds;
  std::uint64_t state = seed;
  const auto draw = [&] {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return static_cast<double>(state >> 40U) * 0x1p-24;
  };
  for (const NodeId id : graph.inputs()) {
    const TensorType& type = graph.node(id).types[0];
    std::vector<double> numbers(static_cast<std::size_t>(type.elements()));
    if (is_float(type.dtype)) {
      std::generate(numbers.begin(), numbers.end(), draw);
    } else {
      const auto choices = static_cast<double>(type.dtype == DType::boolean ? 2 : choices_of(graph, id));
      const double most = type.dtype == DType::u8 ? std::min(choices, 256.0) : choices;
      for (double& number : numbers) number = static_cast<double>(static_cast<std::int64_t>(draw() * most));
    }
    feeds.emplace(graph.node(id).name, Tensor(type, numbers));
  }
  return feeds;
}

void feed(Program& program, const Feeds& feeds) {
  for (const auto& [name, tensor] : feeds) program.feed(name, tensor);
}

Array<double> array_of(const Tensor& tensor) { return {tensor.shape(), tensor.numbers()}; }

}  // namespace thalweg
