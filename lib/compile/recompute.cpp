// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/compile/recompute.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "thalweg/graph/min_cut.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/rewrite.h"
#include "thalweg/lib/compile/summary.h"

namespace thalweg {
namespace {

bool is_source(const Node& node) { return node.op->fusion == Fusion::source; }
/// Schedules and the like are scalars: there is nothing to gain.
bool can_repeat(const Node& node) { return !is_source(node) && node.origin == Origin::forward; }
/// Ops that cost more to run again than to remember.
bool is_product(const Node& node) { return node.op->name == "matmul" || node.op->name.starts_with("conv2d"); }

/// Of all results.
std::size_t bytes_of(const Node& node) {
  std::size_t bytes = 0;
  for (const TensorType& type : node.types) bytes += type.bytes();
  return bytes;
}

/// The two parts of a training graph.
class Parts {
 public:
  explicit Parts(const Graph& graph) : graph_(graph), late_(graph.size(), false), saved_(graph.size(), 0) {
    for (NodeId id = 0; id < graph.size(); ++id) {
      const auto operands = graph.operands(id);
      late_[id] = graph.node(id).origin == Origin::backward ||
                  std::any_of(operands.begin(), operands.end(), [&](ValueId v) { return late_[v.node]; });
      for (const ValueId v : operands)
        if (late_[id] && !late_[v.node] && can_repeat(graph.node(v.node))) saved_[v.node] = graph.type(v).bytes();
    }
    for (const std::size_t bytes : saved_) all_saved_ += bytes;
  }
  bool late(NodeId id) const { return late_[id]; }
  /// The bytes of a forward value that the backward part reads; 0 for others.
  std::size_t saved(NodeId id) const { return saved_[id]; }
  std::size_t all_saved() const { return all_saved_; }
  const Graph& graph() const { return graph_; }
  /// Whether the node is read as it is in any case: it cannot be made again, or is too small to be worth it.
  bool stays(NodeId id) const {
    return !can_repeat(graph_.node(id)) || bytes_of(graph_.node(id)) < all_saved() / small_part;
  }

 private:
  static constexpr std::size_t small_part = 1024;
  const Graph& graph_;
  std::vector<bool> late_;
  std::vector<std::size_t> saved_;
  std::size_t all_saved_ = 0;
};

/// Nodes that the backward part may read as they are.
using Kept = std::vector<bool>;

/// In bytes. What is no product is all but free: of two plans that keep as much, the one that repeats less is better.
double repeat_price(const Graph& graph, NodeId id, double product_price) {
  constexpr double small_price = 1e-3;
  if (!is_product(graph.node(id))) return small_price * flops(graph, id);
  return product_price < FlowNetwork::unlimited ? product_price * flops(graph, id) : FlowNetwork::unlimited;
}

/// The values to keep so that their bytes, and `price` bytes for each operation of a product that is repeated, are
/// fewest. Keeping a value is an edge through its node, repeating it an edge to the node; the cut between those who
/// cannot but be computed and those whom the backward part reads takes the cheaper of the two everywhere at once (the
/// partition of Jain et al. 2020, "Checkmate", solved without their bound on the peak; PyTorch's min-cut partitioner).
Kept fewest_bytes(const Parts& parts, double price) {
  const Graph& graph = parts.graph();
  const auto count = static_cast<NodeId>(graph.size());
  FlowNetwork network(2 * graph.size());
  const auto in = [](NodeId id) { return 2 * std::size_t{id}; };
  const auto out = [](NodeId id) { return 2 * std::size_t{id} + 1; };
  for (NodeId id = 0; id < count; ++id) {
    for (const ValueId v : graph.operands(id)) {
      if (parts.stays(v.node) || parts.late(v.node)) continue;
      if (parts.late(id))
        network.to_sink(out(v.node), FlowNetwork::unlimited);
      else
        network.edge(out(v.node), in(id), FlowNetwork::unlimited);
    }
    if (parts.late(id) || parts.stays(id)) continue;
    network.edge(in(id), out(id), static_cast<double>(bytes_of(graph.node(id))));
    network.from_source(in(id), repeat_price(graph, id, price));
  }
  const std::vector<bool> on_source_side = network.min_cut();
  Kept kept(graph.size());
  for (NodeId id = 0; id < count; ++id)
    kept[id] = parts.stays(id) || (on_source_side[in(id)] && !on_source_side[out(id)]);
  return kept;
}

/// What a repeated operation may cost: a value of so many bytes for each of its product's operations is worth keeping.
/// Without limit no product is repeated; then ever more of those that make many bytes with little work.
std::vector<double> prices(const Parts& parts) {
  const Graph& graph = parts.graph();
  std::vector<double> bytes_by_flop;
  for (NodeId id = 0; id < graph.size(); ++id)
    if (parts.saved(id) > 0 && is_product(graph.node(id)) && flops(graph, id) > 0)
      bytes_by_flop.push_back(static_cast<double>(parts.saved(id)) / flops(graph, id));
  std::sort(bytes_by_flop.begin(), bytes_by_flop.end());
  std::vector<double> out = {FlowNetwork::unlimited};
  for (const std::size_t eighth : {7U, 6U, 5U, 4U, 2U})
    if (!bytes_by_flop.empty()) out.push_back(bytes_by_flop[bytes_by_flop.size() * eighth / 8]);
  return out;
}

/// For each node the last forward node that reads it, itself if there is none.
std::vector<NodeId> last_forward_readers(const Parts& parts) {
  std::vector<NodeId> last(parts.graph().size());
  for (NodeId id = 0; id < last.size(); ++id) {
    last[id] = id;
    if (parts.late(id)) continue;
    for (const ValueId v : parts.graph().operands(id)) last[v.node] = id;
  }
  return last;
}

/// What crosses `segments - 1` cuts, each where the fewest bytes cross, near equal shares of the saved bytes.
Kept crossings(const Parts& parts, std::size_t segments) {
  const Graph& graph = parts.graph();
  const std::vector<NodeId> last = last_forward_readers(parts);
  // crossing[p]: bytes that are made before node p and read by forward nodes from p on.
  std::vector<std::ptrdiff_t> crossing(graph.size() + 1);
  for (NodeId id = 0; id < graph.size(); ++id) {
    if (parts.late(id) || is_source(graph.node(id)) || last[id] == id) continue;
    const auto bytes = static_cast<std::ptrdiff_t>(bytes_of(graph.node(id)));
    crossing[id + 1] += bytes;
    crossing[last[id] + 1] -= bytes;
  }
  for (std::size_t p = 1; p < crossing.size(); ++p) crossing[p] += crossing[p - 1];

  const std::size_t share = parts.all_saved() / segments + 1;
  Kept kept(graph.size());
  for (NodeId id = 0; id < graph.size(); ++id) kept[id] = parts.stays(id);
  std::size_t sum = 0, due = share;
  NodeId best = 0;
  for (NodeId id = 0; id < graph.size(); ++id) {
    sum += parts.saved(id);
    const bool near = sum + share / 2 >= due && crossing[id + 1] > 0 && !parts.late(id);
    if (near && (best == 0 || crossing[id + 1] <= crossing[best])) best = id + 1;
    if (sum < due + share / 4 || best == 0) continue;
    for (NodeId v = 0; v < best; ++v)
      if (!parts.late(v) && last[v] >= best) kept[v] = true;
    best = 0;
    due += share;
  }
  return kept;
}

/// The graph in which late nodes read copies of what is not kept.
Recomputed with_copies(const Parts& parts, const Kept& kept) {
  const Graph& from = parts.graph();
  Recomputed result{from.clone(), 0};
  std::unordered_map<NodeId, NodeId> copy_of, stands_for;  // by nodes of `from`: of the copy, and of the node itself
  rewrite(result.graph, [&](const Site& site) -> std::vector<ValueId> {
    // The nodes so far stand where they stood, copies come between.
    const auto stand_in = [&](ValueId v) { return ValueId{stands_for.at(v.node), v.result}; };
    const auto place = [&](ValueId v) {
      const auto it = copy_of.find(v.node);
      return it == copy_of.end() ? stand_in(v) : ValueId{it->second, v.result};
    };
    std::vector<ValueId> x(site.x.begin(), site.x.end());
    if (parts.late(site.id)) {
      std::set<NodeId> wanted;
      std::vector<NodeId> stack;
      const auto want = [&](NodeId id) {
        if (!parts.late(id) && !kept[id] && !copy_of.contains(id)) stack.push_back(id);
      };
      for (const ValueId v : from.operands(site.id)) want(v.node);
      while (!stack.empty()) {
        const NodeId id = stack.back();
        stack.pop_back();
        if (!wanted.insert(id).second) continue;
        for (const ValueId v : from.operands(id)) want(v.node);
      }
      for (const NodeId id : wanted) {
        std::vector<ValueId> operands;
        for (const ValueId v : from.operands(id)) operands.push_back(place(v));
        copy_of[id] = site.to.add_copy(from.node(id), operands).id().node;
        result.extra_flops += flops(from, id);
      }
      const auto operands = from.operands(site.id);
      for (std::size_t i = 0; i < x.size(); ++i)
        if (!parts.late(operands[i].node)) x[i] = place(operands[i]);
    }
    const ValueId first = site.to.add_copy(site.node(), x).id();
    stands_for[site.id] = first.node;
    std::vector<ValueId> results;
    for (std::uint32_t r = 0; r < site.node().types.size(); ++r) results.push_back({first.node, r});
    return results;
  });
  return result;
}

}  // namespace

std::vector<bool> fewest_bytes_kept(const Graph& graph, double price) { return fewest_bytes(Parts(graph), price); }

std::vector<Recomputed> recompute_choices(const Graph& graph) {
  std::vector<Recomputed> choices;
  const Parts parts(graph);
  if (parts.all_saved() == 0) return choices;
  for (const double price : prices(parts)) choices.push_back(with_copies(parts, fewest_bytes(parts, price)));
  for (const std::size_t segments : {2U, 3U, 4U, 6U, 8U, 12U, 16U, 24U})
    choices.push_back(with_copies(parts, crossings(parts, segments)));
  std::stable_sort(choices.begin(), choices.end(),
                   [](const Recomputed& a, const Recomputed& b) { return a.extra_flops < b.extra_flops; });
  return choices;
}

}  // namespace thalweg
