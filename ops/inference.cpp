// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/inference.h"

#include <algorithm>
#include <map>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"

namespace thalweg {
namespace {

std::vector<Graph::Output> kept_outputs(const Graph& graph, const std::vector<std::string>& names) {
  if (graph.outputs().empty()) throw GraphError(fmt::format("inference: graph '{}' has no output", graph.name()));
  if (names.empty()) return graph.outputs();
  std::vector<Graph::Output> kept;
  for (const std::string& name : names) {
    const auto it = std::find_if(graph.outputs().begin(), graph.outputs().end(),
                                 [&](const Graph::Output& output) { return output.name == name; });
    if (it == graph.outputs().end()) {
      std::vector<std::string> known;
      for (const Graph::Output& output : graph.outputs()) known.push_back(output.name);
      throw GraphError(
          fmt::format("inference: graph '{}' has no output '{}'{}", graph.name(), name, suggestion(name, known)));
    }
    kept.push_back(*it);
  }
  return kept;
}

bool is_by_mode(const Graph& graph, NodeId id) { return graph.node(id).op->name == "by_mode"; }

/// What a node reads outside training: by_mode only its second operand.
std::span<const ValueId> reads(const Graph& graph, NodeId id) {
  return is_by_mode(graph, id) ? graph.operands(id).subspan(1, 1) : graph.operands(id);
}

/// The node that is read in the place of a variable: its average, where the graph keeps one.
NodeId stand_in(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const std::string name = "average/" + node.name;
  if (node.op->name != "variable" || !graph.has(name)) return id;
  const Value average = graph.find(name);
  return average.node().op->name == "variable" && average.type() == node.types[0] ? average.id().node : id;
}

std::vector<bool> live_nodes(const Graph& graph, const std::vector<Graph::Output>& outputs) {
  std::vector<bool> live(graph.size());
  for (const Graph::Output& output : outputs) live[output.value.node] = true;
  for (auto id = static_cast<NodeId>(graph.size()); id-- > 0;)
    if (live[id])
      for (const ValueId operand : reads(graph, id)) live[operand.node] = true;
  return live;
}

}  // namespace

Graph inference(const Graph& training, const std::vector<std::string>& outputs) {
  const std::vector<Graph::Output> kept = kept_outputs(training, outputs);
  const std::vector<bool> live = live_nodes(training, kept);
  Graph graph(training.name());
  std::map<NodeId, ValueId> averages;             // by node of `training`
  std::vector<ValueId> place(training.size());  // where result 0 of each node stands in the new graph
  const auto moved = [&](ValueId id) {
    const ValueId first = place[id.node];
    return ValueId{first.node, first.result + id.result};
  };
  for (NodeId id = 0; id < training.size(); ++id) {
    if (!live[id]) continue;
    if (const NodeId source = stand_in(training, id); source != id || averages.contains(id)) {
      // Once, whoever reads it: the variable, or an output the average itself.
      const auto [known, is_new] = averages.try_emplace(source);
      if (is_new) known->second = graph.add_copy(training.node(source), {}).id();
      place[id] = known->second;
      continue;
    }
    std::vector<ValueId> operands;
    for (const ValueId operand : reads(training, id)) operands.push_back(moved(operand));
    place[id] = is_by_mode(training, id) ? operands.front() : graph.add_copy(training.node(id), operands).id();
  }
  for (const Graph::Output& output : kept) graph.output(output.name, graph.value(moved(output.value)));
  return graph;
}

}  // namespace thalweg
