// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/unfused.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/inspect/kernel_of.h"

namespace thalweg {
namespace {

constexpr std::size_t none = ~std::size_t{0};

struct Reason {
  Unfused reason;
  std::string_view code;
  std::string_view meaning;
};
constexpr std::array reasons = {
    Reason{Unfused::fusion_off, "fusion-off", "the program was compiled without fusing"},
    Reason{Unfused::variable_copy, "variable-copy",
           "the old value of the variable is still read, or the step could fail, after the next one is computed: it is "
           "copied in at the end"},
    Reason{Unfused::heavy_consumer, "heavy-consumer",
           "the reader is a matrix product, convolution, pooling, norm, softmax or loss: it needs whole rows or "
           "tensors at once"},
    Reason{Unfused::reduction_consumer, "reduction-consumer",
           "the reader sums or compares over axes, in a kernel of its own"},
    Reason{Unfused::movement_consumer, "movement-consumer",
           "the reader puts elements in other places, in a kernel of its own"},
    Reason{Unfused::opaque_consumer, "opaque-consumer", "the reader has a kernel of its own that takes nothing in"},
    Reason{Unfused::own_kernel, "own-kernel", "one of the two is pointwise, but is computed by a kernel of its own"},
    Reason{Unfused::reduction_producer, "reduction-producer", "a sum is known only when all of it is summed"},
    Reason{Unfused::movement_producer, "movement-producer", "the producer puts elements in other places"},
    Reason{Unfused::opaque_producer, "opaque-producer",
           "the producer has a kernel of its own that nothing is appended to"},
    Reason{Unfused::many_results, "many-results",
           "the producer's kernel has several results, as batch norm in training, which takes in a sum and relu only"},
    Reason{Unfused::other_readers, "other-readers",
           "the heavy producer's result is also read elsewhere, or is an output: it is needed as it is"},
    Reason{Unfused::no_epilogue, "no-epilogue",
           "the heavy producer's kernel cannot append this op (oneDNN's relu hides NaN: it is not used)"},
    Reason{Unfused::shape, "shape", "two pointwise ops over different shapes are two loops"},
    Reason{Unfused::cycle, "cycle", "another path leads from producer to reader through a third kernel"},
    Reason{Unfused::later_operand, "later-operand",
           "the reader also needs a value of a later stage than the producer's: groups are made stage by stage"},
    Reason{Unfused::group_limit, "group-limit", "together the two would be more steps than one group holds"},
    Reason{Unfused::missed, "missed", "nothing known forbids it: a chance that the compiler missed"},
};
constexpr std::array all = [] {
  std::array<Unfused, reasons.size()> list{};
  for (std::size_t i = 0; i < list.size(); ++i) list[i] = reasons[i].reason;
  return list;
}();

const Reason& entry(Unfused reason) {
  return *std::find_if(reasons.begin(), reasons.end(), [&](const Reason& r) { return r.reason == reason; });
}

class Search {
 public:
  Search(const PlannedProgram& planned, bool fuse)
      : graph_(planned.graph), kernels_(planned.plan.kernels), fuse_(fuse), kernel_of_(planned),
        before_(kernels_.size()), level_(kernels_.size(), 0), readers_(graph_.size()) {}

  std::vector<UnfusedEdge> run() {
    find_dependencies();
    for (std::size_t k = 0; k < kernels_.size(); ++k) {
      if (kernels_[k].copies_to_variable) {
        add(kernel_of_.origin(kernels_[k].in.front()), kernels_[k].members.front(), k);
        continue;
      }
      for (const NodeId member : kernels_[k].members) {
        std::set<ValueId> seen;
        for (const ValueId operand : graph_.operands(member))
          if (const ValueId v = kernel_of_.origin(operand); seen.insert(v).second) add(v, member, k);
      }
    }
    return std::move(edges_);
  }

 private:
  void find_dependencies() {
    for (std::size_t k = 0; k < kernels_.size(); ++k) {
      for (const ValueId v : kernels_[k].in)
        if (const auto from = kernel_of_(kernel_of_.origin(v).node); from && *from != k) before_[k].insert(*from);
      for (const std::size_t b : before_[k]) level_[k] = std::max(level_[k], level_[b] + 1);
      if (kernels_[k].copies_to_variable) continue;
      for (const NodeId member : kernels_[k].members)
        for (const ValueId operand : graph_.operands(member)) readers_[kernel_of_.origin(operand).node].insert(member);
    }
    for (const Graph::Output& output : graph_.outputs())
      readers_[kernel_of_.origin(output.value).node].insert(static_cast<NodeId>(graph_.size()));
  }

  void add(ValueId value, NodeId consumer, std::size_t k) {
    const auto from = kernel_of_(value.node);
    if (!from || *from == k) return;
    edges_.push_back({.value = value, .consumer = consumer, .producer_kernel = *from, .consumer_kernel = k,
                      .reason = reason(value, consumer, *from, k), .bytes = graph_.type(value).bytes()});
  }

  /// What a kernel is as a whole: the heaviest of its members.
  Fusion kind(std::size_t k) const {
    Fusion kind = Fusion::pointwise;
    for (const NodeId member : kernels_[k].members)
      if (const Fusion of = graph_.node(member).op->fusion; of != Fusion::pointwise && of != Fusion::source) kind = of;
    return kind;
  }
  bool is_group(std::size_t k) const { return kernels_[k].implementation.starts_with("own:pointwise"); }

  Unfused reason(ValueId value, NodeId consumer, std::size_t from, std::size_t to) const {
    if (kernels_[to].copies_to_variable) return Unfused::variable_copy;
    if (!fuse_) return Unfused::fusion_off;
    // What begins with a pointwise op and ends with a sum reads as that op does, where the producer decides.
    const Fusion reads = kind(from) == Fusion::pointwise ? kind(to) : graph_.node(consumer).op->fusion;
    switch (reads) {
      case Fusion::heavy: return Unfused::heavy_consumer;
      case Fusion::reduction: return Unfused::reduction_consumer;
      case Fusion::movement: return Unfused::movement_consumer;
      case Fusion::opaque: return Unfused::opaque_consumer;
      default: break;
    }
    switch (kind(from)) {
      case Fusion::reduction: return Unfused::reduction_producer;
      case Fusion::movement: return Unfused::movement_producer;
      case Fusion::opaque: return Unfused::opaque_producer;
      case Fusion::heavy: return heavy_reason(value, from);
      default: break;
    }
    if (!is_group(from) || !is_group(to)) return Unfused::own_kernel;
    if (graph_.type(value).shape != graph_.node(consumer).types[0].shape) return Unfused::shape;
    const std::set<std::size_t> read = read_with(consumer, to);
    if (reaches(from, read)) return Unfused::cycle;
    for (const std::size_t other : read)
      if (other != from && level_[other] >= level_[from]) return Unfused::later_operand;
    const std::size_t steps = kernel_of_.connected(from, value.node).size() + kernel_of_.connected(to, consumer).size();
    return steps > PlanReport::longest_group ? Unfused::group_limit : Unfused::missed;
  }

  Unfused heavy_reason(ValueId value, std::size_t from) const {
    if (kernels_[from].out.size() > 1) return Unfused::many_results;
    return readers_[value.node].size() > 1 ? Unfused::other_readers : Unfused::no_epilogue;
  }

  /// The kernels whose results a node needs, with what is connected with it in its own kernel.
  std::set<std::size_t> read_with(NodeId node, std::size_t kernel) const {
    std::set<std::size_t> read;
    for (const NodeId member : kernel_of_.connected(kernel, node))
      for (const ValueId operand : graph_.operands(member))
        if (const auto k = kernel_of_(kernel_of_.origin(operand).node); k && *k != kernel) read.insert(*k);
    return read;
  }

  /// Whether a path leads from one kernel through another to one of some. Kernels stand in execution order.
  bool reaches(std::size_t from, std::set<std::size_t> waiting) const {
    waiting.erase(from);
    while (!waiting.empty() && *waiting.rbegin() > from) {
      const std::size_t k = *waiting.rbegin();
      waiting.erase(k);
      if (before_[k].contains(from)) return true;
      waiting.insert(before_[k].begin(), before_[k].end());
    }
    return false;
  }

  const Graph& graph_;
  const std::vector<PlannedKernel>& kernels_;
  bool fuse_;
  KernelOf kernel_of_;
  std::vector<std::set<std::size_t>> before_;
  std::vector<std::size_t> level_;  ///< the longest chain of kernels before
  std::vector<std::set<NodeId>> readers_;
  std::vector<UnfusedEdge> edges_;
};

}  // namespace

KernelOf::KernelOf(const PlannedProgram& planned) : planned_(planned), kernel_(planned.graph.size(), none) {
  for (std::size_t k = 0; k < planned.plan.kernels.size(); ++k)
    if (!planned.plan.kernels[k].copies_to_variable)
      for (const NodeId member : planned.plan.kernels[k].members) kernel_[member] = k;
}

std::optional<std::size_t> KernelOf::operator()(NodeId node) const {
  return kernel_[node] == none ? std::nullopt : std::optional(kernel_[node]);
}

ValueId KernelOf::origin(ValueId v) const {
  const Graph& graph = planned_.graph;
  while (kernel_[v.node] == none && graph.node(v.node).op->fusion != Fusion::source) v = graph.operands(v.node)[0];
  return v;
}

std::vector<NodeId> KernelOf::connected(std::size_t kernel, NodeId node) const {
  const Graph& graph = planned_.graph;
  const std::vector<NodeId>& members = planned_.plan.kernels[kernel].members;
  std::map<NodeId, std::set<NodeId>> near;
  for (const NodeId member : members)
    for (const ValueId operand : graph.operands(member))
      if (const NodeId from = origin(operand).node; kernel_[from] == kernel) {
        near[from].insert(member);
        near[member].insert(from);
      }
  std::set<NodeId> found = {node};
  for (std::vector<NodeId> waiting = {node}; !waiting.empty();) {
    const NodeId next = waiting.back();
    waiting.pop_back();
    for (const NodeId other : near[next])
      if (found.insert(other).second) waiting.push_back(other);
  }
  return {found.begin(), found.end()};
}

std::string_view to_string(Unfused reason) { return entry(reason).code; }
std::string_view meaning_of(Unfused reason) { return entry(reason).meaning; }
std::span<const Unfused> unfused_reasons() { return all; }

std::vector<UnfusedEdge> unfused(const PlannedProgram& planned, bool fuse) { return Search(planned, fuse).run(); }

}  // namespace thalweg
