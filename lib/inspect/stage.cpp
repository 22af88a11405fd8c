// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/stage.h"

#include <array>
#include <string>
#include <vector>

#include "thalweg/graph/compact.h"
#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"

namespace thalweg {
namespace {

constexpr std::array all_stages = {Stage::built, Stage::autodiff, Stage::optim, Stage::folded,
                                   Stage::fused, Stage::laid_out, Stage::scheduled, Stage::planned};

bool belongs(Origin origin, Stage stage) {
  switch (origin) {
    case Origin::forward: return true;
    case Origin::backward:
    case Origin::regularizer: return stage >= Stage::autodiff;
    case Origin::clip:
    case Origin::schedule:
    case Origin::optimizer: return stage >= Stage::optim;
  }
  return true;
}

/// The nodes that had been made by then, and the outputs and updates that could be said.
Graph up_to(const Graph& whole, Stage stage) {
  Graph graph = whole.clone();
  if (stage >= Stage::optim) return graph;
  std::vector<bool> keep(graph.size());
  for (NodeId id = 0; id < graph.size(); ++id) {
    keep[id] = belongs(graph.node(id).origin, stage);
    for (const ValueId v : graph.operands(id)) keep[id] = keep[id] && keep[v.node];
  }
  // A variable that only later parts read, such as the counter of steps, comes with them.
  std::vector<bool> read(graph.size()), read_then(graph.size());
  for (NodeId id = 0; id < graph.size(); ++id)
    for (const ValueId v : graph.operands(id)) {
      read[v.node] = true;
      if (keep[id]) read_then[v.node] = true;
    }
  for (const NodeId id : graph.variables()) keep[id] = keep[id] && (read_then[id] || !read[id]);
  const std::vector<Graph::Output> outputs = graph.outputs();
  const std::vector<Graph::Update> updates = graph.updates();
  graph.drop_outputs();
  graph.drop_updates();
  for (const Graph::Output& output : outputs)
    if (keep[output.value.node]) graph.output(output.name, Operand(graph.value(output.value), SourceLoc{}));
  for (const Graph::Update& update : updates)
    if (keep[update.variable.node] && keep[update.next.node])
      graph.update(Operand(graph.value(update.variable), SourceLoc{}), Operand(graph.value(update.next), SourceLoc{}));
  compact(graph, keep);
  return graph;
}

}  // namespace

std::span<const Stage> stages() { return all_stages; }

std::string_view to_string(Stage stage) {
  switch (stage) {
    case Stage::built: return "built";
    case Stage::autodiff: return "autodiff";
    case Stage::optim: return "optim";
    case Stage::folded: return "folded";
    case Stage::fused: return "fused";
    case Stage::laid_out: return "laid-out";
    case Stage::scheduled: return "scheduled";
    case Stage::planned: return "planned";
  }
  return "?";
}

Stage stage_named(std::string_view name) {
  std::vector<std::string> known;
  for (const Stage stage : all_stages) {
    if (to_string(stage) == name) return stage;
    known.emplace_back(to_string(stage));
  }
  run_error("there is no stage '{}'{}; the stages are {}", shown(name), suggestion(name, known),
            fmt::join(known, ", "));
}

Staged at_stage(const Graph& graph, Stage stage, const CompileOptions& options) {
  if (stage < Stage::folded) return {stage, up_to(graph, stage), {}};
  if (stage == Stage::folded) return {stage, rewritten(graph, options), {}};
  PlannedProgram planned = plan(graph, options);
  const Graph after = planned.graph;
  return {stage, after, std::move(planned)};
}

}  // namespace thalweg
