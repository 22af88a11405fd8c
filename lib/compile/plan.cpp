// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <numeric>
#include <queue>
#include <set>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/compile/plan.h"
#include "thalweg/lib/kernels/own.h"
#include "thalweg/lib/kernels/widened.h"
#include "thalweg/lib/onednn/lower.h"

namespace thalweg {
namespace {

// More steps than this would not leave their blocks in the first-level cache.
constexpr std::size_t max_group = 48;

bool is(const Node& node, std::string_view op) { return node.op->name == op; }
bool is_source(const Node& node) { return node.op->fusion == Fusion::source; }
/// Ops whose result is their operand's buffer read as another type.
bool is_alias(const Node& node) { return is(node, "reshape") || is(node, "stop_gradient") || is(node, "by_mode"); }

std::unique_ptr<Kernel> any_kernel(const KernelRequest& request) {
  std::unique_ptr<Kernel> kernel = onednn::kernel(request);
  return kernel ? std::move(kernel) : own_kernel(request);
}

/// Copies one value into a variable.
class CopyKernel : public Kernel {
 public:
  explicit CopyKernel(std::size_t bytes) : bytes_(bytes) {}
  void run(const void* const* in, void* const* out, void*) const override { std::memcpy(out[0], in[0], bytes_); }
  std::string name() const override { return "own:copy"; }

 private:
  std::size_t bytes_;
};

class Planner {
 public:
  Planner(const Graph& graph, const ValueIndex& index, const CompileOptions& options, int threads)
      : graph_(graph), index_(index), options_(options), threads_(threads), work_of_(graph.size(), none),
        stage_(graph.size(), 0), group_(graph.size()), group_size_(graph.size(), 0), grouped_(graph.size(), false),
        kept_(graph.size(), false), readers_(graph.size()), users_(index.size(), 0) {
    result_.root.resize(index.size());
    std::iota(group_.begin(), group_.end(), NodeId{0});
  }

  Plan run() {
    find_roots();
    count_users();
    find_readers();
    for (NodeId id = 0; id < graph_.size(); ++id) visit(id);
    make_groups();
    drop_unused();
    order();
    write_variables();
    return std::move(result_);
  }

 private:
  static constexpr std::size_t none = ~std::size_t{0};

  ValueId root(ValueId v) const { return result_.root[index_(v)]; }

  void find_roots() {
    for (NodeId id = 0; id < graph_.size(); ++id)
      for (std::uint32_t r = 0; r < graph_.node(id).types.size(); ++r)
        result_.root[index_({id, r})] = is_alias(graph_.node(id)) ? root(graph_.operands(id)[0]) : ValueId{id, r};
  }

  void count_users() {
    for (NodeId id = 0; id < graph_.size(); ++id)
      for (const ValueId v : graph_.operands(id)) ++users_[index_(v)];
    for (const Graph::Output& output : graph_.outputs()) users_[index_(output.value)] += 2;
    for (const Graph::Update& update : graph_.updates()) users_[index_(update.next)] += 2;
  }

  std::vector<TensorType> types(std::span<const ValueId> values) const {
    std::vector<TensorType> all;
    for (const ValueId v : values) all.push_back(graph_.type(v));
    return all;
  }

  /// The value a pointwise kernel reads in the place of `v`: a broadcast is read through, not made.
  ValueId read_through(ValueId v) const {
    while (options_.fuse && is(graph_.node(v.node), "broadcast")) v = graph_.operands(v.node)[0];
    return v;
  }

  /// One more than the latest stage of what the node reads.
  std::size_t next_stage(std::span<const ValueId> values) const {
    std::size_t stage = 0;
    for (const ValueId v : values) stage = std::max(stage, stage_[v.node] + 1);
    return stage;
  }

  void visit(NodeId id) {
    const Node& node = graph_.node(id);
    if (is_source(node) || work_of_[id] != none) return;
    const auto operands = graph_.operands(id);
    if (is_alias(node)) {
      stage_[id] = stage_[operands[0].node];
      return;
    }
    const std::vector<TensorType> in = types(operands);
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
      v = read_through(v);
      stage = std::max(stage, stage_[v.node] + (joinable(v) ? 0 : 1));
    }
    std::set<NodeId> others;
    std::size_t size = 1;
    for (ValueId v : operands) {
      v = read_through(v);
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

  void make_groups() {
    std::unordered_map<NodeId, std::vector<NodeId>> members;
    for (NodeId id = 0; id < graph_.size(); ++id)
      if (grouped_[id]) members[leader(id)].push_back(id);
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
        const ValueId v = read_through(operand);
        if (const auto it = step_of.find(v.node); it != step_of.end()) {
          step.operands.push_back(it->second);
          continue;
        }
        const auto [it, fresh] = input_of.emplace(index_(v), static_cast<int>(work.in.size()));
        if (fresh) {
          work.in.push_back(v);
          TensorType type = graph_.type(v);
          const Node& source = graph_.node(root(v).node);
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
    work.members = std::move(members);
    work.kernel = pointwise_kernel(group, threads_);
    add(std::move(work));
  }

  bool read_outside(NodeId id, const std::unordered_map<NodeId, int>& inside) const {
    const auto outside = [&](NodeId reader) { return !inside.contains(reader); };
    return kept_[id] || std::any_of(readers_[id].begin(), readers_[id].end(), outside);
  }

  // -- kernels of one node

  /// The only user of a value, if it is the next op of an epilogue.
  NodeId only_user(NodeId id, std::string_view op) const {
    if (users_[index_({id, 0})] != 1 || readers_[id].size() != 1) return id;
    const NodeId user = readers_[id].front();
    return is(graph_.node(user), op) ? user : id;
  }

  /// The vector that `add` adds to `value` over its last axis, if that is what it does.
  std::optional<ValueId> bias_of(NodeId add, NodeId value) const {
    for (const ValueId operand : graph_.operands(add)) {
      if (operand.node == value) continue;
      const ValueId v = read_through(operand);
      const TensorType& type = graph_.type(v);
      const bool vector = type.shape.rank() > 0 && type.elements() == type.shape.back() &&
                          type.shape.back() == graph_.node(value).types[0].shape.back();
      if (vector && stage_[v.node] == 0 && graph_.node(add).types == graph_.node(value).types &&
          !has_scalar_buffer(v))
        return v;
    }
    return {};
  }
  bool has_scalar_buffer(ValueId v) const { return is(graph_.node(root(v).node), "constant"); }

  void add_single(NodeId id, const std::vector<TensorType>& in) {
    Work work;
    const auto operands = graph_.operands(id);
    work.members = {id};
    work.in.assign(operands.begin(), operands.end());
    for (std::uint32_t r = 0; r < graph_.node(id).types.size(); ++r) work.out.push_back({id, r});
    if (options_.fuse && onednn::takes_epilogue(graph_.node(id), graph_.node(id).types[0])) add_epilogue(id, in, work);
    const KernelRequest request{graph_.node(id), in, graph_.node(id).types, threads_};
    if (!work.kernel) work.kernel = any_kernel(request);
    if (!work.kernel) work.kernel = widened_kernel(request, any_kernel);
    if (!work.kernel) no_kernel(id, in);
    for (const NodeId member : work.members) stage_[member] = next_stage(work.in);
    add(std::move(work));
  }

  [[noreturn]] void no_kernel(NodeId id, const std::vector<TensorType>& in) const {
    std::vector<std::string> texts;
    for (const TensorType& type : in) texts.push_back(to_string(type));
    graph_error(graph_.node(id).loc, "{} has no kernel for {} -> {}; use f32 or f64", graph_.node(id).op->name,
                fmt::join(texts, ", "), to_string(graph_.node(id).types[0]));
  }

  void add_epilogue(NodeId id, const std::vector<TensorType>& in, Work& work) {
    onednn::Epilogue epilogue;
    NodeId last = id;
    if (const NodeId user = only_user(last, "add"); user != last) {
      if (const auto bias = bias_of(user, last)) {
        epilogue.bias = true;
        work.in.push_back(*bias);
        work.members.push_back(last = user);
      }
    }
    if (const NodeId user = only_user(last, "leaky_relu"); user != last) {
      if (const double slope = graph_.node(user).attrs.real("slope"); slope != 0) {
        epilogue.leaky_slope = slope;
        work.members.push_back(last = user);
      }
    }
    if (!epilogue.any()) return;
    const KernelRequest request{graph_.node(id), in, graph_.node(id).types, threads_};
    work.kernel = onednn::kernel(request, epilogue);
    if (work.kernel) {
      work.out = {{last, 0}};
      return;
    }
    work.members = {id};
    work.in.resize(in.size());
  }

  void add(Work work) {
    for (const NodeId id : work.members) work_of_[id] = result_.works.size();
    result_.works.push_back(std::move(work));
  }

  // -- order

  /// The work that writes a value, or none for what exists before the step.
  std::size_t writer(ValueId v) const { return work_of_[root(v).node]; }

  void drop_unused() {
    std::vector<bool> used(result_.works.size());
    std::vector<std::size_t> queue;
    const auto need = [&](ValueId v) {
      if (const std::size_t w = writer(v); w != none && !used[w]) {
        used[w] = true;
        queue.push_back(w);
      }
    };
    for (const Graph::Output& output : graph_.outputs()) need(output.value);
    for (const Graph::Update& update : graph_.updates()) need(update.next);
    while (!queue.empty()) {
      const std::size_t w = queue.back();
      queue.pop_back();
      for (const ValueId v : result_.works[w].in) need(v);
    }
    std::vector<Work> kept;
    for (std::size_t w = 0; w < used.size(); ++w) {
      for (const NodeId id : result_.works[w].members) work_of_[id] = used[w] ? kept.size() : none;
      if (used[w]) kept.push_back(std::move(result_.works[w]));
    }
    result_.works = std::move(kept);
  }

  /// What each work waits for.
  std::vector<std::set<std::size_t>> dependencies() const {
    std::vector<std::set<std::size_t>> all(result_.works.size());
    for (std::size_t w = 0; w < all.size(); ++w)
      for (const ValueId v : result_.works[w].in)
        if (const std::size_t before = writer(v); before != none && before != w) all[w].insert(before);
    return all;
  }

  /// Works that only feed updates and cannot fail come last.
  void mark_late(const std::vector<std::vector<std::size_t>>& followers, const std::vector<std::size_t>& order) {
    std::vector<bool> kept(result_.works.size());
    for (const Graph::Output& output : graph_.outputs())
      if (const std::size_t w = writer(output.value); w != none) kept[w] = true;
    std::vector<bool> updates(result_.works.size());
    for (const Graph::Update& update : graph_.updates()) updates[writer(update.next)] = true;
    for (auto it = order.rbegin(); it != order.rend(); ++it) {
      Work& work = result_.works[*it];
      const auto& after = followers[*it];
      const bool only_late =
          std::all_of(after.begin(), after.end(), [&](std::size_t f) { return result_.works[f].late; });
      work.late = grouped_[work.members.front()] && !kept[*it] && only_late && (updates[*it] || !after.empty());
    }
  }

  std::vector<std::size_t> sorted(const std::vector<std::set<std::size_t>>& before,
                                  const std::vector<std::vector<std::size_t>>& followers) const {
    const auto key = [&](std::size_t w) {
      return std::tuple(result_.works[w].late, result_.works[w].members.back(), w);
    };
    using Key = decltype(key(0));
    std::priority_queue<Key, std::vector<Key>, std::greater<>> ready;
    std::vector<std::size_t> waits(before.size()), order;
    for (std::size_t w = 0; w < before.size(); ++w)
      if ((waits[w] = before[w].size()) == 0) ready.push(key(w));
    while (!ready.empty()) {
      const std::size_t w = std::get<2>(ready.top());
      ready.pop();
      order.push_back(w);
      for (const std::size_t f : followers[w])
        if (--waits[f] == 0) ready.push(key(f));
    }
    if (order.size() != before.size()) throw InternalError("the kernels of a program wait for each other in a circle");
    return order;
  }

  void order() {
    const auto before = dependencies();
    std::vector<std::vector<std::size_t>> followers(before.size());
    for (std::size_t w = 0; w < before.size(); ++w)
      for (const std::size_t b : before[w]) followers[b].push_back(w);
    mark_late(followers, sorted(before, followers));
    std::vector<Work> ordered;
    const std::vector<std::size_t> order = sorted(before, followers);
    std::vector<std::size_t> position(order.size());
    for (const std::size_t w : order) {
      position[w] = ordered.size();
      ordered.push_back(std::move(result_.works[w]));
    }
    result_.works = std::move(ordered);
    for (std::size_t& w : work_of_)
      if (w != none) w = position[w];
  }

  /// An update is computed in its variable's own place where nobody reads the old value later, else copied at the end.
  void write_variables() {
    std::unordered_map<NodeId, std::size_t> last_reader;
    for (std::size_t k = 0; k < result_.works.size(); ++k)
      for (const ValueId v : result_.works[k].in)
        if (is(graph_.node(root(v).node), "variable")) last_reader[root(v).node] = k;
    std::vector<Work> copies;
    for (const Graph::Update& update : graph_.updates()) {
      const std::size_t w = writer(update.next);
      const auto reader = last_reader.find(update.variable.node);
      const bool free = reader == last_reader.end() || reader->second <= w;
      if (result_.works[w].late && free && !result_.direct.contains(index_(root(update.next)))) {
        result_.direct.emplace(index_(root(update.next)), update.variable);
        continue;
      }
      Work copy;
      copy.members = {update.variable.node};
      copy.in = {update.next};
      copy.out = {update.variable};
      copy.kernel = std::make_unique<CopyKernel>(graph_.type(update.next).bytes());
      copy.late = copy.to_variable = true;
      copies.push_back(std::move(copy));
    }
    for (Work& copy : copies) result_.works.push_back(std::move(copy));
  }

  /// Who reads each node's values, looking through broadcasts, and which nodes the graph itself keeps.
  void find_readers() {
    for (NodeId id = 0; id < graph_.size(); ++id) {
      const Node& node = graph_.node(id);
      if (is_alias(node) || (options_.fuse && is(node, "broadcast"))) continue;
      const bool pointwise = is_groupable(node, types(graph_.operands(id)));
      for (ValueId v : graph_.operands(id)) {
        if (pointwise) v = read_through(v);
        note_reader(v, id);
      }
    }
    // A broadcast that something else than a pointwise op reads is made after all, and then reads its operand.
    for (NodeId id = static_cast<NodeId>(graph_.size()); options_.fuse && id-- > 0;)
      if (is(graph_.node(id), "broadcast")) note_reader(graph_.operands(id)[0], id);
    for (const Graph::Output& output : graph_.outputs()) kept_[root(output.value).node] = true;
    for (const Graph::Update& update : graph_.updates()) kept_[root(update.next).node] = true;
  }

  void note_reader(ValueId v, NodeId reader) {
    readers_[v.node].push_back(reader);
    if (root(v).node != v.node) readers_[root(v).node].push_back(reader);
  }

  const Graph& graph_;
  const ValueIndex& index_;
  const CompileOptions& options_;
  int threads_;
  std::vector<std::size_t> work_of_;
  std::vector<std::size_t> stage_;
  std::vector<NodeId> group_;
  std::vector<std::size_t> group_size_;
  std::vector<bool> grouped_;
  std::vector<bool> kept_;
  std::vector<std::vector<NodeId>> readers_;
  std::vector<std::uint32_t> users_;
  Plan result_;
};

}  // namespace

ValueIndex::ValueIndex(const Graph& graph) {
  first_.reserve(graph.size() + 1);
  first_.push_back(0);
  for (NodeId id = 0; id < graph.size(); ++id) first_.push_back(first_.back() + graph.node(id).types.size());
}

Plan plan_kernels(const Graph& graph, const ValueIndex& index, const CompileOptions& options, int threads) {
  return Planner(graph, index, options, threads).run();
}

namespace {

ValueId buffer_source(const Graph& graph, ValueId v) {
  while (is_alias(graph.node(v.node))) v = graph.operands(v.node)[0];
  return v;
}

Value own_copy(Graph& graph, ValueId v) {
  const Node& node = graph.node(v.node);
  const Frame frame(graph, {.loc = node.loc, .origin = node.origin});
  const Operand operand(graph.value(v), node.loc);
  return graph.add(op_named("cast"), std::span(&operand, 1), {}, graph.type(v), {}, node.loc);
}

}  // namespace

void separate_results(Graph& graph) {
  const auto is_stored = [&](ValueId v) { return is_source(graph.node(buffer_source(graph, v).node)); };
  const std::vector<Graph::Update> updates = graph.updates();
  const std::vector<Graph::Output> outputs = graph.outputs();
  graph.drop_updates();
  graph.drop_outputs();
  for (const Graph::Output& output : outputs)
    graph.output(output.name, is_stored(output.value) ? own_copy(graph, output.value) : graph.value(output.value));
  for (const Graph::Update& update : updates)
    graph.update(graph.value(update.variable),
                 is_stored(update.next) ? own_copy(graph, update.next) : graph.value(update.next));
}

}  // namespace thalweg
