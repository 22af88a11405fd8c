// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/compile/uses.h"

#include "thalweg/lib/kernels/own.h"

namespace thalweg {

bool is_alias(const Node& node) {
  return is(node, "reshape") || is(node, "stop_gradient") || is(node, "by_mode") || is(node, "sample_mean");
}

std::vector<TensorType> types_of(const Graph& graph, std::span<const ValueId> values) {
  std::vector<TensorType> all;
  for (const ValueId v : values) all.push_back(graph.type(v));
  return all;
}

Uses::Uses(const Graph& graph, const ValueIndex& index, bool fuse)
    : graph_(graph), index_(index), fuse_(fuse), roots_(index.size()), readers_(graph.size()),
      kept_(graph.size(), false), users_(index.size(), 0) {
  find_roots();
  count_users();
  find_readers();
}

ValueId Uses::read_through(ValueId v) const {
  while (fuse_ && is(graph_.node(v.node), "broadcast")) v = graph_.operands(v.node)[0];
  return v;
}

NodeId Uses::only_user(NodeId id, std::string_view op) const {
  if (users_[index_({id, 0})] != 1 || readers_[id].size() != 1) return id;
  const NodeId user = readers_[id].front();
  return is(graph_.node(user), op) ? user : id;
}

void Uses::find_roots() {
  for (NodeId id = 0; id < graph_.size(); ++id)
    for (std::uint32_t r = 0; r < graph_.node(id).types.size(); ++r)
      roots_[index_({id, r})] = is_alias(graph_.node(id)) ? root(graph_.operands(id)[0]) : ValueId{id, r};
}

void Uses::count_users() {
  for (NodeId id = 0; id < graph_.size(); ++id)
    for (const ValueId v : graph_.operands(id)) ++users_[index_(v)];
  for (const Graph::Output& output : graph_.outputs()) users_[index_(output.value)] += 2;
  for (const Graph::Update& update : graph_.updates()) users_[index_(update.next)] += 2;
}

void Uses::find_readers() {
  for (NodeId id = 0; id < graph_.size(); ++id) {
    const Node& node = graph_.node(id);
    if (is_alias(node) || (fuse_ && is(node, "broadcast"))) continue;
    const bool pointwise = is_groupable(node, types_of(graph_, graph_.operands(id)));
    for (ValueId v : graph_.operands(id)) {
      if (pointwise) v = read_through(v);
      note_reader(v, id);
    }
  }
  // A broadcast that something else than a pointwise op reads is made after all, and then reads its operand.
  for (NodeId id = static_cast<NodeId>(graph_.size()); fuse_ && id-- > 0;)
    if (is(graph_.node(id), "broadcast")) note_reader(graph_.operands(id)[0], id);
  for (const Graph::Output& output : graph_.outputs()) kept_[root(output.value).node] = true;
  for (const Graph::Update& update : graph_.updates()) kept_[root(update.next).node] = true;
}

void Uses::note_reader(ValueId v, NodeId reader) {
  readers_[v.node].push_back(reader);
  if (root(v).node != v.node) readers_[root(v).node].push_back(reader);
}

}  // namespace thalweg
