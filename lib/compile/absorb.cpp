// SPDX-License-Identifier: Apache-2.0
// Norms and poolings that do the pointwise steps beside them along the way: each saves a pass over a tensor.
#include <algorithm>
#include <array>
#include <set>

#include "thalweg/lib/compile/planning.h"

namespace thalweg {
namespace {

ValueId input_of(const Work& work, int operand) { return work.in[static_cast<std::size_t>(-1 - operand)]; }

bool is_zero(const Graph& graph, ValueId v) {
  const Node& node = graph.node(v.node);
  if (!is(node, "constant")) return false;
  const std::vector<double> values = node.attrs.reals("values");
  return std::all_of(values.begin(), values.end(), [](double x) { return x == 0; });
}

/// Steps of a group, if it is one with one result, the last step.
std::span<const PointwiseGroup::Step> chain_of(const Work& work) {
  if (!work.pointwise || work.groups.size() != 1 || work.out.size() != 1) return {};
  const PointwiseGroup& group = work.groups[0];
  const bool last = group.outputs[0] + 1 == static_cast<int>(group.steps.size());
  return last ? std::span(group.steps) : std::span<const PointwiseGroup::Step>();
}

/// Whether a value is a tensor like a work's result, element for element.
bool is_like(const Graph& graph, ValueId v, const Work& work) { return graph.type(v) == graph.type(work.out[0]); }

/// A norm's result that a work adds something to, or takes the relu of, or both.
struct Ending {
  NormEpilogue epilogue;
  ValueId norm;
  std::optional<ValueId> added;
};

}  // namespace

std::optional<Gate> gate_of(const Graph& graph, const Uses& uses, const Work& work) {
  const std::span steps = chain_of(work);
  if (steps.size() < 2 || steps.size() > 3 || !is(*steps.back().node, "select")) return {};
  const std::vector<int>& chosen = steps.back().operands;
  if (chosen[0] < 0 || chosen[2] >= 0) return {};
  const PointwiseGroup::Step& compare = steps[static_cast<std::size_t>(chosen[0])];
  if (!is(*compare.node, "compare") || compare.node->attrs.text("mode") != "gt" || compare.operands[0] >= 0 ||
      compare.operands[1] != chosen[2])
    return {};
  Gate gate{.value = {}, .positive = input_of(work, compare.operands[0]), .more = {}};
  if (chosen[1] < 0) {
    gate.value = input_of(work, chosen[1]);
  } else {
    const PointwiseGroup::Step& add = steps[static_cast<std::size_t>(chosen[1])];
    if (!is(*add.node, "add") || add.operands[0] >= 0 || add.operands[1] >= 0) return {};
    gate.value = input_of(work, add.operands[0]);
    gate.more = input_of(work, add.operands[1]);
  }
  if (steps.size() != (gate.more ? 3U : 2U) || !is_zero(graph, uses.root(input_of(work, chosen[2])))) return {};
  const auto whole = [&](ValueId v) { return is_like(graph, v, work); };
  const bool apart = gate.value != gate.positive && gate.more != gate.value && gate.more != gate.positive;
  return apart && whole(gate.value) && whole(gate.positive) && (!gate.more || whole(*gate.more)) ? std::optional(gate)
                                                                                              : std::nullopt;
}

namespace {

class Absorbing {
 public:
  Absorbing(const Graph& graph, const ValueIndex& index, const Uses& uses, const CompileOptions& options, int threads,
            Plan& plan)
      : graph_(graph), index_(index), uses_(uses), options_(options), threads_(threads), plan_(plan),
        writer_(index.size(), Writers::none), readers_(index.size()) {
    for (std::size_t w = 0; w < plan_.works.size(); ++w) note(w);
  }

  void run() {
    for (std::size_t w = 0; w < plan_.works.size(); ++w) end_norm(w);
    for (std::size_t w = 0; w < plan_.works.size(); ++w) gate_pooling(w);
    for (std::size_t w = 0; w < plan_.works.size(); ++w) gate_norm(w);
    raise_stages();
    std::erase_if(plan_.works, [](const Work& work) { return work.members.empty(); });
  }

 private:
  void note(std::size_t w) {
    for (const ValueId v : plan_.works[w].in) readers_[index_(uses_.root(v))].insert(w);
    for (const ValueId v : plan_.works[w].out) writer_[index_(v)] = w;
  }
  void forget(std::size_t w) {
    for (const ValueId v : plan_.works[w].in) readers_[index_(uses_.root(v))].erase(w);
    for (const ValueId v : plan_.works[w].out) writer_[index_(v)] = Writers::none;
    plan_.works[w] = {};
  }
  std::size_t writer(ValueId v) const { return writer_[index_(uses_.root(v))]; }
  /// One more than the latest stage of what is read.
  std::size_t stage_after(std::span<const ValueId> values) const {
    std::size_t stage = 1;
    for (const ValueId v : values)
      if (const std::size_t b = writer(v); b != Writers::none) stage = std::max(stage, plan_.works[b].stage + 1);
    return stage;
  }

  bool is_only(const Work& work, std::string_view op) const {
    return work.members.size() == 1 && is(graph_.node(work.members[0]), op);
  }
  /// The work that computes nothing but `op`, if `v` is its first result and not a reshape of it; else none.
  std::size_t writer_of(ValueId v, std::string_view op) const {
    const std::size_t w = writer(v);
    return w != Writers::none && is_only(plan_.works[w], op) && plan_.works[w].out[0] == v ? w : Writers::none;
  }
  bool is_read_only_by(ValueId v, std::size_t w) const {
    return readers_[index_(v)] == std::set{w} && !uses_.kept(v.node);
  }

  /// Whether a path leads from work `from` to work `to` that begins with another value than `direct`.
  bool leads_round(std::size_t from, std::size_t to, ValueId direct) const {
    std::set<std::size_t> seen;
    std::vector<std::size_t> waiting;
    const auto read_by = [&](std::size_t w) {
      for (const ValueId v : plan_.works[w].in)
        if (const std::size_t b = writer(v); b != Writers::none && (w != to || v != direct) && seen.insert(b).second)
          waiting.push_back(b);
    };
    read_by(to);
    while (!waiting.empty() && !seen.contains(from)) {
      const std::size_t w = waiting.back();
      waiting.pop_back();
      read_by(w);
    }
    return seen.contains(from);
  }

  /// Makes work `to` what all `parts` compute together; the others have then nothing left.
  void join(std::span<const std::size_t> parts, std::size_t to, Work joined) {
    std::vector<NodeId>& members = joined.members;
    for (const std::size_t part : parts) {
      members.insert(members.end(), plan_.works[part].members.begin(), plan_.works[part].members.end());
      forget(part);
    }
    std::sort(members.begin(), members.end());
    joined.stage = stage_after(joined.in);
    plan_.works[to] = std::move(joined);
    note(to);
  }

  KernelRequest request(const Node& node, std::span<const TensorType> in) const {
    return request_of(node, in, threads_, options_);
  }

  // ---------------------------------------------------------------- a sum and relu after a norm

  std::optional<Ending> ending_of(const Work& work) const {
    const std::span steps = chain_of(work);
    if (steps.empty() || steps.size() > 2) return {};
    Ending ending{};
    ending.epilogue.relu = is(*steps.back().node, "relu");
    ending.epilogue.add = is(*steps.front().node, "add");
    if (steps.size() != (ending.epilogue.relu ? 1U : 0U) + (ending.epilogue.add ? 1U : 0U)) return {};
    std::vector<ValueId> read;
    for (const int operand : steps.front().operands)
      if (operand < 0 && is_like(graph_, input_of(work, operand), work)) read.push_back(input_of(work, operand));
    if (read.size() != steps.front().operands.size()) return {};
    for (std::size_t i = 0; i < read.size(); ++i) {
      if (!is_norm(read[i])) continue;
      ending.norm = read[i];
      if (ending.epilogue.add) ending.added = read[1 - i];
      if (ending.added != ending.norm) return ending;
    }
    return {};
  }
  bool is_norm(ValueId v) const {
    return writer_of(v, "batch_norm_training") != Writers::none ||
           writer_of(v, "batch_norm_inference") != Writers::none;
  }

  void end_norm(std::size_t w) {
    const std::optional<Ending> ending = ending_of(plan_.works[w]);
    if (!ending || !is_read_only_by(ending->norm, w)) return;
    const std::size_t norm = writer(ending->norm);
    if (leads_round(norm, w, ending->norm)) return;
    const Work& from = plan_.works[norm];
    const Node& node = graph_.node(from.members[0]);
    Work joined;
    joined.kernel = batch_norm_with(request(node, types_of(graph_, from.in)), ending->epilogue);
    if (!joined.kernel) return;
    joined.in = from.in;
    if (ending->added) joined.in.push_back(*ending->added);
    joined.out = from.out;
    joined.out[0] = plan_.works[w].out[0];
    join(std::array{norm, w}, w, std::move(joined));
  }

  // ---------------------------------------------------------------- the gradient of relu before a norm's

  void gate_norm(std::size_t w) {
    const std::optional<Gate> gate = gate_of(graph_, uses_, plan_.works[w]);
    if (!gate) return;
    const ValueId gated = plan_.works[w].out[0];
    const std::set<std::size_t> readers = readers_[index_(gated)];
    for (const std::size_t norm : readers)
      if (takes_gradient(plan_.works[norm], gated) && !leads_round(w, norm, gated) && add_gate(w, norm, *gate)) return;
  }
  bool takes_gradient(const Work& work, ValueId dy) const {
    return is_only(work, "batch_norm_backward") && work.in[4] == dy &&
           std::count(work.in.begin(), work.in.end(), dy) == 1;
  }
  bool add_gate(std::size_t w, std::size_t norm, const Gate& gate) {
    const Work& to = plan_.works[norm];
    const ValueId gated = to.in[4];
    const NormGate how{.add = gate.more.has_value(), .stored = !is_read_only_by(gated, norm)};
    Work joined;
    joined.kernel = batch_norm_backward_of(request(graph_.node(to.members[0]), types_of(graph_, to.in)), how);
    if (!joined.kernel) return false;
    joined.in = to.in;
    joined.in[4] = gate.value;
    if (gate.more) joined.in.push_back(*gate.more);
    joined.in.push_back(gate.positive);
    joined.out = to.out;
    if (how.stored) joined.out.push_back(gated);
    join(std::array{w, norm}, norm, std::move(joined));
    return true;
  }

  // ---------------------------------------------------------------- max pooling of a relu, backwards

  void gate_pooling(std::size_t w) {
    const std::optional<Gate> gate = gate_of(graph_, uses_, plan_.works[w]);
    if (!gate || gate->more || !is_read_only_by(gate->value, w)) return;
    const std::size_t pooling = writer_of(gate->value, "max_pool_backward");
    if (pooling == Writers::none || plan_.works[pooling].in[0] != gate->positive) return;
    const ValueId gated = plan_.works[w].out[0];
    const std::size_t sum = sum_of_columns(gated);
    const Work& from = plan_.works[pooling];
    const Node& node = graph_.node(from.members[0]);
    Work joined;
    joined.kernel = max_pool_backward_gated(request(node, types_of(graph_, from.in)), sum != Writers::none);
    if (!joined.kernel) return;
    joined.in = from.in;
    joined.out = {gated};
    if (sum != Writers::none) joined.out.push_back(plan_.works[sum].out[0]);
    std::vector<std::size_t> parts{pooling, w};
    if (sum != Writers::none) parts.push_back(sum);
    join(parts, w, std::move(joined));
  }
  /// The work that sums what lies along the last axis: the gradient of a bias.
  std::size_t sum_of_columns(ValueId v) const {
    const TensorType& rows = graph_.type(v);
    for (const std::size_t w : readers_[index_(v)]) {
      const Work& work = plan_.works[w];
      if (!is_only(work, "sum_to") || work.in[0] != v) continue;
      const TensorType& total = graph_.type(work.out[0]);
      if (total.shape.rank() > 0 && total.elements() == rows.shape.back() && total.shape.back() == rows.shape.back())
        return w;
    }
    return Writers::none;
  }

  /// Joined works may wait longer than they did, and with them those that read what they write.
  void raise_stages() {
    for (bool raised = true; raised;) {
      raised = false;
      for (Work& work : plan_.works)
        if (const std::size_t stage = stage_after(work.in); stage > work.stage) {
          work.stage = stage;
          raised = true;
        }
    }
  }

  const Graph& graph_;
  const ValueIndex& index_;
  const Uses& uses_;
  const CompileOptions& options_;
  int threads_;
  Plan& plan_;
  std::vector<std::size_t> writer_;             ///< the work that writes each value (by its root)
  std::vector<std::set<std::size_t>> readers_;  ///< the works that read each value (by its root)
};

}  // namespace

void absorb_pointwise(const Graph& graph, const ValueIndex& index, const Uses& uses, const CompileOptions& options,
                      int threads, Plan& plan) {
  Absorbing(graph, index, uses, options, threads, plan).run();
}

}  // namespace thalweg
