// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <set>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/compile/planning.h"
#include "thalweg/lib/kernels/own.h"
#include "thalweg/lib/kernels/widened.h"

namespace thalweg {
namespace {

constexpr std::size_t max_group = PlanReport::longest_group;

class Grouping {
 public:
  Grouping(const Graph& graph, const ValueIndex& index, const Uses& uses, const CompileOptions& options, int threads)
      : graph_(graph), index_(index), uses_(uses), options_(options), threads_(threads), done_(graph.size(), false),
        stage_(graph.size(), 0), group_(graph.size()), group_size_(graph.size(), 0), grouped_(graph.size(), false) {
    std::iota(group_.begin(), group_.end(), NodeId{0});
  }

  std::vector<Work> run() {
    for (NodeId id = 0; id < graph_.size(); ++id) visit(id);
    if (options_.fuse) sink();
    make_groups();
    return std::move(works_);
  }

 private:
  /// One more than the latest stage of what the node reads.
  std::size_t next_stage(std::span<const ValueId> values) const {
    std::size_t stage = 0;
    for (const ValueId v : values) stage = std::max(stage, stage_[v.node] + 1);
    return stage;
  }

  void visit(NodeId id) {
    const Node& node = graph_.node(id);
    if (is_source(node) || done_[id]) return;
    const auto operands = graph_.operands(id);
    if (is_alias(node)) {
      stage_[id] = stage_[operands[0].node];
      return;
    }
    const std::vector<TensorType> in = types_of(graph_, operands);
    if (is_groupable(node, in)) return join_group(id);
    add_single(id, in);
  }

  // -- pointwise groups

  NodeId leader(NodeId id) {
    while (group_[id] != id) id = group_[id] = group_[group_[id]];
    return id;
  }

  /// Nodes of one stage and one shape can be one kernel: a path that left the group and came back would have
  /// raised the stage. Only those that touch are joined.
  void join_group(NodeId id) {
    const auto operands = graph_.operands(id);
    const Shape& space = graph_.node(id).types[0].shape;
    std::size_t stage = 0;
    const auto joinable = [&](ValueId v) {
      return options_.fuse && grouped_[v.node] && graph_.node(v.node).types[0].shape == space;
    };
    for (ValueId v : operands) {
      v = uses_.read_through(v);
      stage = std::max(stage, stage_[v.node] + (joinable(v) ? 0 : 1));
    }
    std::set<NodeId> others;
    std::size_t size = 1;
    for (ValueId v : operands) {
      v = uses_.read_through(v);
      if (joinable(v) && stage_[v.node] == stage && others.insert(leader(v.node)).second)
        size += group_size_[leader(v.node)];
    }
    if (size > max_group) {
      ++stage;
      others.clear();
      size = 1;
    }
    stage_[id] = stage;
    grouped_[id] = true;
    for (const NodeId other : others) group_[other] = id;
    group_size_[id] = size;
  }

  /// Moves what only a later group reads into that group: it is then computed there, and stored only if it is a result
  /// of the graph too (a moment of Adam, whose rate comes later than the gradient). Only where that stores nothing else
  /// instead, and keeps at most one tensor of its own size waiting.
  void sink() {
    for (NodeId id = 0; id < graph_.size(); ++id)
      if (grouped_[id]) group_[id] = leader(id);
    for (NodeId id = static_cast<NodeId>(graph_.size()); id-- > 0;) {
      if (!grouped_[id]) continue;
      const std::optional<NodeId> later = only_reader(id);
      if (!later) continue;
      const std::vector<NodeId> chain = what_goes_with(id);
      if (chain.empty() || group_size_[*later] + chain.size() > max_group) continue;
      // Not the leader's stage: the leader may itself have been moved away.
      const std::size_t stage = stage_[uses_.readers(id).front()];
      for (const NodeId moved : chain) {
        --group_size_[group_[moved]];
        ++group_size_[*later];
        group_[moved] = *later;
        stage_[moved] = stage;
      }
    }
  }

  /// The one group, another than its own, that reads a pointwise node.
  std::optional<NodeId> only_reader(NodeId id) const {
    const std::vector<NodeId>& readers = uses_.readers(id);
    if (readers.empty()) return {};
    const NodeId to = group_[readers.front()];
    const bool all = std::all_of(readers.begin(), readers.end(),
                                 [&](NodeId r) { return grouped_[r] && group_[r] == to && reads_itself(r, id); });
    const bool same_space = graph_.node(to).types[0].shape == graph_.node(id).types[0].shape;
    if (!all || to == group_[id] || !same_space) return {};
    return to;
  }

  /// Whether a node reads another's value as it is, not as a reshape of it.
  bool reads_itself(NodeId reader, NodeId id) const {
    const auto operands = graph_.operands(reader);
    return std::none_of(operands.begin(), operands.end(), [&](ValueId operand) {
      const ValueId v = uses_.read_through(operand);
      return v.node != id && uses_.root(v).node == id;
    });
  }

  /// A node and those of its group that are only read on the way to it; empty if moving them costs something.
  std::vector<NodeId> what_goes_with(NodeId id) const {
    std::vector<NodeId> chain{id};
    std::set<std::size_t> waiting;
    for (std::size_t k = 0; k < chain.size(); ++k)
      for (const ValueId operand : graph_.operands(chain[k])) {
        const ValueId v = uses_.read_through(operand);
        const auto goes = [&](NodeId r) { return std::find(chain.begin(), chain.end(), r) != chain.end(); };
        if (goes(v.node)) continue;
        const std::vector<NodeId>& readers = uses_.readers(v.node);
        const bool inside = grouped_[v.node] && group_[v.node] == group_[id];
        const bool stays = !inside || uses_.kept(v.node) ||
                           std::any_of(readers.begin(), readers.end(), [&](NodeId r) {
                             return !grouped_[r] || (group_[r] != group_[id] && !goes(r));
                           });
        if (inside && !stays) {
          // It would have to be stored for those that do not go.
          const bool all_go = std::all_of(readers.begin(), readers.end(),
                                          [&](NodeId r) { return goes(r) && reads_itself(r, v.node); });
          if (!all_go || chain.size() >= max_group) return {};
          chain.push_back(v.node);
          continue;
        }
        const bool whole = graph_.type(v).elements() == graph_.node(id).types[0].elements();
        if (whole && !is_source(graph_.node(uses_.root(v).node))) waiting.insert(index_(uses_.root(v)));
      }
    return waiting.size() <= 1 ? chain : std::vector<NodeId>{};
  }

  void make_groups() {
    std::unordered_map<NodeId, std::vector<NodeId>> members;
    for (NodeId id = 0; id < graph_.size(); ++id)
      if (grouped_[id]) members[options_.fuse ? group_[id] : leader(id)].push_back(id);
    for (NodeId id = 0; id < graph_.size(); ++id)
      if (const auto it = members.find(id); it != members.end()) add_group(std::move(it->second));
  }

  void add_group(std::vector<NodeId> members) {
    Work work;
    PointwiseGroup group;
    group.space = graph_.node(members.front()).types[0].shape;
    std::unordered_map<NodeId, int> step_of;
    std::unordered_map<std::size_t, int> input_of;
    for (const NodeId id : members) {
      PointwiseGroup::Step step{.node = &graph_.node(id), .operands = {}, .dtype = graph_.node(id).types[0].dtype};
      for (const ValueId operand : graph_.operands(id)) {
        const ValueId v = uses_.read_through(operand);
        if (const auto it = step_of.find(v.node); it != step_of.end()) {
          step.operands.push_back(it->second);
          continue;
        }
        const auto [it, fresh] = input_of.emplace(index_(v), static_cast<int>(work.in.size()));
        if (fresh) {
          work.in.push_back(v);
          TensorType type = graph_.type(v);
          const Node& source = graph_.node(uses_.root(v).node);
          if (is(source, "constant") && source.attrs.reals("values").size() == 1) type.shape = {};
          group.inputs.push_back(type);
        }
        step.operands.push_back(-1 - it->second);
      }
      step_of.emplace(id, static_cast<int>(group.steps.size()));
      group.steps.push_back(std::move(step));
    }
    for (const NodeId id : members) {
      if (!read_outside(id, step_of)) continue;
      group.outputs.push_back(step_of.at(id));
      work.out.push_back({id, 0});
    }
    if (work.out.empty()) return;  // nobody reads any of it
    work.stage = stage_[members.front()];
    work.members = std::move(members);
    work.pointwise = true;
    work.groups.push_back(std::move(group));
    add(std::move(work));
  }

  bool read_outside(NodeId id, const std::unordered_map<NodeId, int>& inside) const {
    const std::vector<NodeId>& readers = uses_.readers(id);
    const auto outside = [&](NodeId reader) { return !inside.contains(reader); };
    return uses_.kept(id) || std::any_of(readers.begin(), readers.end(), outside);
  }

  // -- kernels of one node

  void add_single(NodeId id, const std::vector<TensorType>& in) {
    std::optional<Work> work;
    if (options_.fuse) work = work_with_epilogue(graph_, uses_, id, threads_, options_);
    if (!work) work = single(id, in);
    work->stage = next_stage(work->in);
    for (const NodeId member : work->members) stage_[member] = work->stage;
    add(std::move(*work));
  }

  Work single(NodeId id, const std::vector<TensorType>& in) const {
    Work work;
    const auto operands = graph_.operands(id);
    work.members = {id};
    work.in.assign(operands.begin(), operands.end());
    for (std::uint32_t r = 0; r < graph_.node(id).types.size(); ++r) work.out.push_back({id, r});
    const KernelRequest request = request_of(graph_.node(id), in, threads_, options_);
    work.kernel = any_kernel(request);
    if (!work.kernel) work.kernel = widened_kernel(request, any_kernel);
    if (!work.kernel) no_kernel(id, in);
    return work;
  }

  [[noreturn]] void no_kernel(NodeId id, const std::vector<TensorType>& in) const {
    std::vector<std::string> texts;
    for (const TensorType& type : in) texts.push_back(to_string(type));
    graph_error(graph_.node(id).loc, "{} has no kernel for {} -> {}; use f32 or f64", graph_.node(id).op->name,
                fmt::join(texts, ", "), to_string(graph_.node(id).types[0]));
  }

  void add(Work work) {
    for (const NodeId id : work.members) done_[id] = true;
    works_.push_back(std::move(work));
  }

  const Graph& graph_;
  const ValueIndex& index_;
  const Uses& uses_;
  const CompileOptions& options_;
  int threads_;
  std::vector<bool> done_;  ///< whether a work has the node
  std::vector<std::size_t> stage_;
  std::vector<NodeId> group_;
  std::vector<std::size_t> group_size_;
  std::vector<bool> grouped_;
  std::vector<Work> works_;
};

}  // namespace

std::vector<Work> make_works(const Graph& graph, const ValueIndex& index, const Uses& uses,
                             const CompileOptions& options, int threads) {
  return Grouping(graph, index, uses, options, threads).run();
}

}  // namespace thalweg
