// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/rewrite.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/storage.h"

namespace thalweg {
namespace {

/// An empty graph that gives no key a second time.
Graph successor_of(const Graph& graph) {
  Graph next(graph.name());
  detail::Access::state(next).keys = detail::Access::state(graph).keys;
  return next;
}

void sign(Graph& graph, NodeId first, const Node& as) {
  auto& nodes = detail::Access::state(graph).nodes;
  for (NodeId id = first; id < graph.size(); ++id) {
    nodes[id].loc = as.loc;
    nodes[id].scope = as.scope;
    nodes[id].origin = as.origin;
  }
}

/// What a rule gave must be able to stand where the node's results stood.
void check_answer(const Graph& to, const Node& node, const std::vector<ValueId>& answer) {
  if (answer.size() != node.types.size())
    throw InternalError(fmt::format("a rewrite of {} gave {} values for {} results", node.op->name, answer.size(),
                                    node.types.size()));
  for (std::size_t i = 0; i < answer.size(); ++i)
    if (answer[i].node >= to.size() || to.type(answer[i]) != node.types[i])
      throw InternalError(fmt::format("a rewrite of {} gave a value of another type than {}", node.op->name,
                                      to_string(node.types[i])));
}

/// Compares as printed: a location shows only the last component of its path.
bool same_place(SourceLoc a, SourceLoc b) {
  const auto last = [](const char* path) {
    std::string_view file = path;
    if (const auto slash = file.find_last_of("/\\"); slash != file.npos) file.remove_prefix(slash + 1);
    return file;
  };
  if (!a.known() || !b.known()) return a.known() == b.known();
  return a.line == b.line && (a.file == b.file || last(a.file) == last(b.file));
}

/// Equal bits, or numbers that differ only in the payload of a NaN, which the text does not show.
bool same_attrs(const Attrs& a, const Attrs& b) {
  if (a == b) return true;
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Attr& x, const Attr& y) {
    return x.name == y.name && x.value.kind() == y.value.kind() && to_string(x.value) == to_string(y.value);
  });
}

bool same_node(const Node& a, const Node& b) {
  return a.op == b.op && a.types == b.types && a.name == b.name && a.scope == b.scope && a.origin == b.origin &&
         same_place(a.loc, b.loc) && same_attrs(a.attrs, b.attrs);
}

}  // namespace

std::vector<ValueId> Site::copy() const {
  const ValueId first = to.add_copy(node(), x).id();
  std::vector<ValueId> results;
  for (std::uint32_t i = 0; i < node().types.size(); ++i) results.push_back({first.node, i});
  return results;
}

bool rewrite(Graph& graph, const Rule& rule) {
  Graph next = successor_of(graph);
  // What stands for each result, node after node.
  std::vector<ValueId> stand_in;
  std::vector<std::size_t> first(graph.size());
  const auto mapped = [&](ValueId id) { return stand_in[first[id.node] + id.result]; };

  std::vector<ValueId> x;
  for (NodeId id = 0; id < graph.size(); ++id) {
    x.clear();
    for (const ValueId operand : graph.operands(id)) x.push_back(mapped(operand));
    const auto added = static_cast<NodeId>(next.size());
    const Site site{graph, id, next, x};
    std::vector<ValueId> answer = rule(site);
    if (answer.empty()) {
      answer = site.copy();
    } else {
      check_answer(next, graph.node(id), answer);
      sign(next, added, graph.node(id));
    }
    first[id] = stand_in.size();
    stand_in.insert(stand_in.end(), answer.begin(), answer.end());
  }
  for (const Graph::Output& out : graph.outputs())
    next.output(out.name, Operand(next.value(mapped(out.value)), SourceLoc{}));
  for (const Graph::Update& update : graph.updates())
    next.update(Operand(next.value(mapped(update.variable)), SourceLoc{}),
                Operand(next.value(mapped(update.next)), SourceLoc{}));
  if (same_text(graph, next)) return false;
  graph.replace_by(std::move(next));
  return true;
}

bool same_text(const Graph& a, const Graph& b) {
  if (a.name() != b.name() || a.size() != b.size()) return false;
  for (NodeId id = 0; id < a.size(); ++id) {
    const auto x = a.operands(id), y = b.operands(id);
    if (!std::equal(x.begin(), x.end(), y.begin(), y.end()) || !same_node(a.node(id), b.node(id))) return false;
  }
  const auto same_output = [](const Graph::Output& x, const Graph::Output& y) {
    return x.name == y.name && x.value == y.value;
  };
  const auto same_update = [](const Graph::Update& x, const Graph::Update& y) {
    return x.variable == y.variable && x.next == y.next;
  };
  return std::equal(a.outputs().begin(), a.outputs().end(), b.outputs().begin(), b.outputs().end(), same_output) &&
         std::equal(a.updates().begin(), a.updates().end(), b.updates().begin(), b.updates().end(), same_update);
}

}  // namespace thalweg
