// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <vector>

#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/inspect/formats.h"
#include "thalweg/lib/inspect/kernel_of.h"

namespace thalweg {
namespace {

/// A text within a dot string.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += {'\\', c};
    else if (c == '\n') out += "\\n";
    else if (static_cast<unsigned char>(c) < 0x20) out += '?';
    else out += c;
  }
  return out + "\"";
}

/// A folder of scopes, or of kernels.
struct Cluster {
  std::string title;
  std::map<std::string, Cluster> inner;
  std::vector<NodeId> nodes;
};

// In a graph of more nodes, dot takes minutes for scopes as clusters and for edges over many ranks: scopes then stand
// in the tooltips alone, and the far end of a long edge is named beside the near one.
constexpr std::size_t large = 400;
constexpr std::size_t longest_edge = 6;

class Dot {
 public:
  Dot(const Staged& staged, bool portable)
      : staged_(staged), graph_(staged.graph), labels_(graph_), portable_(portable), rank_(graph_.size(), 0) {
    find_ranks();
  }

  std::string run() {
    text_ = fmt::format("digraph {} {{\n", quoted(graph_.name()));
    text_ += "  rankdir=TB; fontname=\"sans-serif\";\n"
             "  node [shape=box, style=\"filled,rounded\", fontname=\"sans-serif\", fontsize=10];\n"
             "  edge [fontname=\"sans-serif\", fontsize=8, color=\"#555555\"];\n";
    Cluster root;
    if (staged_.plan) by_kernel(root);
    else by_scope(root);
    write(root, 1);
    for (NodeId id = 0; id < graph_.size(); ++id)
      for (const ValueId v : graph_.operands(id)) edge(v, id);
    results();
    return text_ + "}\n";
  }

 private:
  /// The longest path to each node; what waits for nothing stands just above its first reader.
  void find_ranks() {
    std::vector<bool> placed(graph_.size());
    for (NodeId id = 0; id < graph_.size(); ++id)
      for (const ValueId v : graph_.operands(id)) rank_[id] = std::max(rank_[id], rank_[v.node] + 1);
    for (NodeId id = 0; id < graph_.size(); ++id)
      for (const ValueId v : graph_.operands(id)) {
        if (!graph_.operands(v.node).empty()) continue;
        rank_[v.node] = placed[v.node] ? std::min(rank_[v.node], rank_[id] - 1) : rank_[id] - 1;
        placed[v.node] = true;
      }
  }

  void edge(ValueId v, NodeId to) {
    const std::string type = quoted(to_string(graph_.type(v)));
    if (graph_.size() > large && rank_[to] > rank_[v.node] + longest_edge) {
      text_ += fmt::format("  f{0} [label={1}, shape=plain, style=\"\", tooltip={2}];\n  f{0} -> n{3};\n", far_ends_++,
                           quoted(labels_(v)), type, to);
      return;
    }
    // No label: dot then needs twice the ranks, and finds none in a large net.
    text_ += fmt::format("  n{} -> n{} [tooltip={}];\n", v.node, to, type);
  }

  void by_scope(Cluster& root) const {
    for (NodeId id = 0; id < graph_.size(); ++id) {
      if (graph_.size() > large) {
        root.nodes.push_back(id);
        continue;
      }
      // Gradients have the scope of what they are gradients of: without the origin around it, each cluster would stand
      // before and after its neighbours, and dot finds no ranks.
      const std::string origin(to_string(graph_.node(id).origin));
      Cluster* at = &root.inner[origin];
      at->title = origin;
      std::string_view rest = graph_.node(id).scope;
      while (!rest.empty()) {
        const std::string part(rest.substr(0, rest.find('/')));
        rest.remove_prefix(std::min(rest.size(), part.size() + 1));
        at = &at->inner[part];
        at->title = part;
      }
      at->nodes.push_back(id);
    }
  }

  void by_kernel(Cluster& root) const {
    const KernelOf kernel_of(*staged_.plan);
    for (NodeId id = 0; id < graph_.size(); ++id) {
      // A view goes with the kernel that computes what it shows.
      const auto k = kernel_of(kernel_of.origin({id, 0}).node);
      if (!k) {
        root.nodes.push_back(id);
        continue;
      }
      Cluster& cluster = root.inner[fmt::format("{:08}", *k)];
      cluster.title = fmt::format("{}: {}", *k, implementation_text(staged_.plan->plan.kernels[*k], portable_));
      cluster.nodes.push_back(id);
    }
  }

  void write(const Cluster& cluster, std::size_t depth) {
    const std::string indent(2 * depth, ' ');
    for (const auto& [key, inner] : cluster.inner) {
      text_ += fmt::format("{}subgraph cluster{} {{\n{}  label={}; style=\"rounded\"; color=\"#999999\";\n", indent,
                           clusters_++, indent, quoted(inner.title));
      write(inner, depth + 1);
      text_ += indent + "}\n";
    }
    for (const NodeId id : cluster.nodes) node(id, indent);
  }

  void node(NodeId id, const std::string& indent) {
    const Node& node = graph_.node(id);
    std::string types;
    for (const TensorType& type : node.types) types += (types.empty() ? "" : ", ") + to_string(type);
    std::string hint = std::string(to_string(node.origin));
    if (!node.scope.empty()) hint += " in " + node.scope;
    if (node.loc.known()) hint += " at " + to_string(node.loc);
    text_ += fmt::format("{}n{} [label={}, tooltip={}, fillcolor=\"{}\"];\n", indent, id,
                         quoted(fmt::format("{} {}\n{}", labels_({id, 0}), node.op->name, types)), quoted(hint),
                         colour_of(node.origin));
  }

  void results() {
    std::size_t number = 0;
    for (const Graph::Output& out : graph_.outputs())
      text_ += fmt::format("  r{0} [label={1}, shape=ellipse, fillcolor=\"#ffffff\"];\n  n{2} -> r{0};\n", number++,
                           quoted("output " + out.name), out.value.node);
    for (const Graph::Update& update : graph_.updates()) {
      if (graph_.size() > large) {
        text_ += fmt::format("  u{0} [label={1}, shape=plain, style=\"\"];\n  n{2} -> u{0} [style=dashed];\n",
                             update.variable.node, quoted("update " + labels_(update.variable)), update.next.node);
        continue;
      }
      text_ += fmt::format("  n{} -> n{} [style=dashed, constraint=false, label=\"update\"];\n", update.next.node,
                           update.variable.node);
    }
  }

  const Staged& staged_;
  const Graph& graph_;
  Labels labels_;
  bool portable_;
  std::vector<std::size_t> rank_;
  std::string text_;
  std::size_t clusters_ = 0, far_ends_ = 0;
};

}  // namespace

std::string dot_of(const Staged& staged, bool portable) { return Dot(staged, portable).run(); }

}  // namespace thalweg
