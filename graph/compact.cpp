// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/compact.h"

#include <algorithm>
#include <boost/graph/filtered_graph.hpp>
#include <limits>
#include <utility>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/storage.h"

namespace thalweg {
namespace {

constexpr NodeId gone = std::numeric_limits<NodeId>::max();

/// Default-constructible and copyable, as boost::filtered_graph asks.
struct Kept {
  const std::vector<bool>* keep = nullptr;
  bool operator()(std::size_t id) const { return (*keep)[id]; }
};

}  // namespace

bool compact(Graph& graph, const std::vector<bool>& keep) {
  if (keep.size() != graph.size()) throw InternalError("compact: one flag for each node is needed");
  if (std::find(keep.begin(), keep.end(), false) == keep.end()) return false;

  detail::GraphState& state = detail::Access::state(graph);
  const boost::filtered_graph live(state.nodes, boost::keep_all(), Kept{&keep});
  Graph next(graph.name());
  detail::Access::state(next).keys = state.keys;
  std::vector<NodeId> moved(graph.size(), gone);
  const auto mapped = [&](ValueId id) {
    if (moved[id.node] == gone) throw InternalError(fmt::format("compact: node {} went, but is needed", id.node));
    return ValueId{moved[id.node], id.result};
  };
  std::vector<ValueId> x;
  for (const auto id : boost::make_iterator_range(boost::vertices(live))) {
    x.clear();
    for (const ValueId operand : graph.operands(static_cast<NodeId>(id))) x.push_back(mapped(operand));
    moved[id] = next.add_copy(live[id], x).id().node;
  }
  for (const Graph::Output& out : graph.outputs())
    next.output(out.name, Operand(next.value(mapped(out.value)), SourceLoc{}));
  for (const Graph::Update& update : graph.updates())
    next.update(Operand(next.value(mapped(update.variable)), SourceLoc{}),
                Operand(next.value(mapped(update.next)), SourceLoc{}));
  graph.replace_by(std::move(next));
  return true;
}

}  // namespace thalweg
