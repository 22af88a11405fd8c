// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/diff.h"

#include <algorithm>
#include <deque>
#include <map>
#include <tuple>
#include <unordered_map>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"

namespace thalweg {
namespace {

using Key = std::uint64_t;

Key mixed(Key a, Key b) {
  a ^= b + 0x9e3779b97f4a7c15U + (a << 6U) + (a >> 2U);
  a ^= a >> 31U;
  return a * 0xbf58476d1ce4e5b9U;
}
Key key_of(std::string_view text) { return std::hash<std::string_view>{}(text); }

/// A number for each node that is equal where the meaning is.
std::vector<Key> keys_of(const Graph& graph) {
  std::vector<Key> keys(graph.size());
  std::vector<Key> operands;
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    Key key = mixed(key_of(node.op->name), key_of(node.name));
    for (const Attr& attr : node.attrs) key = mixed(key, key_of(to_string(attr.value)));
    for (const TensorType& type : node.types) key = mixed(key, key_of(to_string(type)));
    operands.clear();
    for (const ValueId v : graph.operands(id)) operands.push_back(mixed(keys[v.node], v.result));
    if (node.op->commutative) std::sort(operands.begin(), operands.end());
    for (const Key operand : operands) key = mixed(key, operand);
    keys[id] = key;
  }
  return keys;
}

class Matcher {
 public:
  Matcher(const Graph& a, const Graph& b) : a_(a), b_(b), to_(a.size()), from_(b.size()), equal_(a.size(), false) {}

  Difference run() {
    match_equal();
    match_names();
    match_results();
    match_lines();
    Difference d;
    for (NodeId id = 0; id < a_.size(); ++id) {
      if (!to_[id]) {
        d.removed.push_back(id);
      } else if (!equal_[id]) {
        std::vector<std::string> what = changes(id, *to_[id]);
        if (!what.empty()) d.changed.push_back({id, *to_[id], std::move(what)});
      }
    }
    for (NodeId id = 0; id < b_.size(); ++id)
      if (!from_[id]) d.added.push_back(id);
    compare_outputs(d);
    compare_updates(d);
    d.counterpart = std::move(to_);
    return d;
  }

 private:
  bool pair(NodeId a, NodeId b) {
    if (to_[a] || from_[b] || a_.node(a).op != b_.node(b).op || a_.node(a).types.size() != b_.node(b).types.size() ||
        a_.node(a).name != b_.node(b).name)
      return false;
    to_[a] = b;
    from_[b] = a;
    return true;
  }

  void match_equal() {
    const std::vector<Key> in_a = keys_of(a_), in_b = keys_of(b_);
    std::unordered_map<Key, std::deque<NodeId>> waiting;
    for (NodeId id = 0; id < b_.size(); ++id) waiting[in_b[id]].push_back(id);
    for (NodeId id = 0; id < a_.size(); ++id) {
      const auto it = waiting.find(in_a[id]);
      if (it == waiting.end() || it->second.empty() || !pair(id, it->second.front())) continue;
      equal_[id] = true;
      it->second.pop_front();
    }
  }

  void match_names() {
    for (NodeId id = 0; id < a_.size(); ++id) {
      const Node& node = a_.node(id);
      if (!node.name.empty() && b_.has(node.name)) {
        const ValueId other = b_.find(node.name).id();
        if (b_.node(other.node).name == node.name) pair(id, other.node);
      }
    }
  }

  void match_results() {
    std::vector<std::pair<NodeId, NodeId>> waiting;
    for (const Graph::Output& x : a_.outputs())
      for (const Graph::Output& y : b_.outputs())
        if (x.name == y.name) waiting.emplace_back(x.value.node, y.value.node);
    std::unordered_map<std::string_view, ValueId> next_in_b;
    for (const Graph::Update& y : b_.updates()) next_in_b.emplace(b_.node(y.variable.node).name, y.next);
    for (const Graph::Update& x : a_.updates())
      if (const auto y = next_in_b.find(a_.node(x.variable.node).name); y != next_in_b.end())
        waiting.emplace_back(x.next.node, y->second.node);
    while (!waiting.empty()) {
      const auto [x, y] = waiting.back();
      waiting.pop_back();
      if (!pair(x, y)) continue;
      const auto in_x = a_.operands(x), in_y = b_.operands(y);
      for (std::size_t i = 0; i < std::min(in_x.size(), in_y.size()); ++i)
        waiting.emplace_back(in_x[i].node, in_y[i].node);
    }
  }

  void match_lines() {
    using Place = std::tuple<const OpDef*, std::string, std::string, Origin>;
    const auto place = [](const Node& node) {
      return Place(node.op, node.scope, to_string(node.loc), node.origin);
    };
    std::map<Place, std::deque<NodeId>> waiting;
    for (NodeId id = 0; id < b_.size(); ++id)
      if (!from_[id] && b_.node(id).name.empty()) waiting[place(b_.node(id))].push_back(id);
    for (NodeId id = 0; id < a_.size(); ++id) {
      if (to_[id] || !a_.node(id).name.empty()) continue;
      const auto it = waiting.find(place(a_.node(id)));
      if (it == waiting.end() || it->second.empty() || !pair(id, it->second.front())) continue;
      it->second.pop_front();
    }
  }

  bool same(ValueId x, ValueId y) const { return to_[x.node] == y.node && x.result == y.result; }

  std::vector<std::string> changes(NodeId x, NodeId y) const {
    std::vector<std::string> what;
    const Node &before = a_.node(x), &after = b_.node(y);
    for (std::size_t i = 0; i < before.attrs.all().size(); ++i) {
      const Attr &old = before.attrs.all()[i], &now = after.attrs.all()[i];
      const std::string old_text = to_string(old.value), now_text = to_string(now.value);
      if (old_text != now_text) what.push_back(fmt::format("{} {} -> {}", old.name, old_text, now_text));
    }
    for (std::size_t i = 0; i < before.types.size(); ++i)
      if (before.types[i] != after.types[i])
        what.push_back(fmt::format("type {} -> {}", to_string(before.types[i]), to_string(after.types[i])));
    const auto in_x = a_.operands(x), in_y = b_.operands(y);
    if (before.op->commutative && in_x.size() == 2 && in_y.size() == 2 && same(in_x[0], in_y[1]) &&
        same(in_x[1], in_y[0]))
      return what;
    for (std::size_t i = 0; i < std::max(in_x.size(), in_y.size()); ++i) {
      if (i < in_x.size() && i < in_y.size() && same(in_x[i], in_y[i])) continue;
      what.push_back(fmt::format("operand {} {} -> {}", i, i < in_x.size() ? labels_a_(in_x[i]) : "nothing",
                                 i < in_y.size() ? labels_b_(in_y[i]) : "nothing"));
    }
    return what;
  }

  void compare_outputs(Difference& d) const {
    std::map<std::string_view, ValueId> in_b;
    for (const Graph::Output& y : b_.outputs()) in_b.emplace(y.name, y.value);
    for (const Graph::Output& x : a_.outputs()) {
      const auto y = in_b.find(x.name);
      if (y == in_b.end()) {
        d.results.push_back("- output " + x.name);
        continue;
      }
      if (!same(x.value, y->second))
        d.results.push_back(fmt::format("~ output {} = {} -> {}", x.name, labels_a_(x.value), labels_b_(y->second)));
      in_b.erase(y);
    }
    for (const Graph::Output& y : b_.outputs())
      if (in_b.contains(y.name)) d.results.push_back("+ output " + y.name);
  }

  void compare_updates(Difference& d) const {
    std::map<std::string_view, ValueId> in_b;
    for (const Graph::Update& y : b_.updates()) in_b.emplace(b_.node(y.variable.node).name, y.next);
    for (const Graph::Update& x : a_.updates()) {
      const std::string& name = a_.node(x.variable.node).name;
      const auto y = in_b.find(name);
      if (y == in_b.end()) {
        d.results.push_back("- update @" + name);
        continue;
      }
      if (!same(x.next, y->second))
        d.results.push_back(fmt::format("~ update @{} <- {} -> {}", name, labels_a_(x.next), labels_b_(y->second)));
      in_b.erase(y);
    }
    for (const Graph::Update& y : b_.updates())
      if (const std::string& name = b_.node(y.variable.node).name; in_b.contains(name))
        d.results.push_back("+ update @" + name);
  }

  const Graph &a_, &b_;
  const Labels labels_a_{a_}, labels_b_{b_};
  std::vector<std::optional<NodeId>> to_, from_;
  std::vector<bool> equal_;
};

}  // namespace

Difference diff(const Graph& before, const Graph& after) { return Matcher(before, after).run(); }

std::string Difference::text(const Graph& before, const Graph& after) const {
  const Labels in_before(before), in_after(after);
  std::string text;
  for (const NodeId id : removed) text += "- " + line_text(before, id, in_before) + "\n";
  for (const NodeId id : added) text += "+ " + line_text(after, id, in_after) + "\n";
  for (const Change& change : changed)
    text += fmt::format("~ {} -> {} {}: {}\n", in_before({change.before, 0}), in_after({change.after, 0}),
                        before.node(change.before).op->name, fmt::join(change.what, ", "));
  for (const std::string& line : results) text += line + "\n";
  return text + fmt::format("{} removed, {} added, {} changed; {} results differ\n", removed.size(), added.size(),
                            changed.size(), results.size());
}

}  // namespace thalweg
