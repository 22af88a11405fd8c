// SPDX-License-Identifier: Apache-2.0
// Works that one kernel does better than several: a loss with its gradient, updates of one formula over all parameters,
// the scalars of a step.
#include <algorithm>
#include <map>
#include <set>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/compile/planning.h"
#include "thalweg/lib/kernels/pointwise_space.h"
#include "thalweg/lib/kernels/product_code.h"

namespace thalweg {
namespace {

/// Groups over tensors larger than this are only joined where nothing waits for them: joining makes all of their
/// operands live until the last of them.
constexpr std::size_t small = 16384;
constexpr std::size_t most_scalar_steps = 64;

class Merging {
 public:
  Merging(const Graph& graph, const ValueIndex& index, const Uses& uses, const CompileOptions& options, int threads,
          Plan& plan)
      : graph_(graph), index_(index), uses_(uses), options_(options), threads_(threads), plan_(plan) {}

  void run() {
    if (options_.fuse) {
      pair_losses();
      remove_merged();
      note_readers();
      if (options_.generate) extend_products();
      remove_merged();
      note_readers();
      sum_at_once();
      remove_merged();
      note_readers();
      join_scalars();
      remove_merged();
      note_readers();
      list_alike();
      remove_merged();
    }
    for (Work& work : plan_.works) {
      if (work.groups.empty()) continue;
      if (work.sums) work.kernel = sums_kernel(work.groups, threads_);
      if (!work.sums) work.kernel = pointwise_kernel(work.groups, threads_, options_.generate);
      if (!work.kernel) throw InternalError("no machine code could be written for a sum");
    }
  }

 private:
  ValueId root(ValueId v) const { return uses_.root(v); }

  /// A work whose members have gone to another one has none left.
  void remove_merged() {
    std::erase_if(plan_.works, [](const Work& work) { return work.members.empty(); });
  }

  // ---------------------------------------------------------------- a loss and its gradient

  void pair_losses() {
    std::map<std::pair<ValueId, ValueId>, std::size_t> forward;  // by logits and labels
    for (std::size_t w = 0; w < plan_.works.size(); ++w) {
      const Work& work = plan_.works[w];
      if (work.members.size() != 1 || work.in.size() < 2) continue;
      const Node& node = graph_.node(work.members[0]);
      const std::pair operands(root(work.in[0]), root(work.in[1]));
      if (is(node, "sparse_cross_entropy")) forward[operands] = w;
      if (!is(node, "sparse_cross_entropy_backward")) continue;
      if (const auto it = forward.find(operands); it != forward.end() && pair(it->second, w)) forward.erase(it);
    }
  }

  bool pair(std::size_t forward, std::size_t backward) {
    Work &first = plan_.works[forward], &second = plan_.works[backward];
    ValueId dy = uses_.read_through(second.in[2]);
    if (graph_.type(dy).elements() != 1) dy = second.in[2];
    // The cotangent must not wait for the loss, nor may what reads the loss seem to be of the cotangent's stage.
    const Writers writer(index_, plan_);
    if (const std::size_t w = writer(dy); w != Writers::none && plan_.works[w].stage >= first.stage) return false;
    auto kernel = cross_entropy_with_gradient(graph_.type(first.in[0]), graph_.type(first.in[1]), graph_.type(dy),
                                              threads_);
    if (!kernel) return false;
    first.kernel = std::move(kernel);
    first.in.push_back(dy);
    first.out.push_back(second.out[0]);
    first.members.push_back(second.members[0]);
    second = {};
    add_mean(first, dy);
    return true;
  }

  /// Takes in the mean of the losses.
  void add_mean(Work& loss, ValueId dy) {
    const auto takes = [&](const Work& work) {
      return work.members.size() == 1 && is(graph_.node(work.members[0]), "mean") && work.in[0] == loss.out[0] &&
             graph_.type(work.out[0]).elements() == 1 && graph_.type(work.out[0]).dtype == DType::f32;
    };
    const auto mean = std::find_if(plan_.works.begin(), plan_.works.end(), takes);
    if (mean == plan_.works.end()) return;
    auto kernel = cross_entropy_with_gradient(graph_.type(loss.in[0]), graph_.type(loss.in[1]), graph_.type(dy),
                                              threads_, true);
    if (!kernel) return;
    loss.kernel = std::move(kernel);
    loss.out.push_back(mean->out[0]);
    loss.members.push_back(mean->members[0]);
    *mean = {};
  }

  // ---------------------------------------------------------------- what small products do along the way

  void extend_products() {
    const Writers writer(index_, plan_);
    for (std::size_t w = 0; w < plan_.works.size(); ++w) {
      if (const std::size_t product = gated_product(plan_.works[w], writer); product != Writers::none)
        add_gate(plan_.works[product], plan_.works[w]);
    }
    std::map<ValueId, std::size_t> sums;  // by what they sum
    for (std::size_t w = 0; w < plan_.works.size(); ++w)
      if (plan_.works[w].members.size() == 1 && is(graph_.node(plan_.works[w].members[0]), "sum_to"))
        sums[plan_.works[w].in[0]] = w;
    for (Work& product : plan_.works) {
      if (!is_bare_product(product)) continue;
      const auto it = sums.find(product.in[1]);
      if (it == sums.end() || !is_sum_of_columns(plan_.works[it->second], product)) continue;
      if (add_sums(product, plan_.works[it->second])) sums.erase(it);
    }
  }

  /// A matmul that is written code, with nothing after it yet.
  bool is_bare_product(const Work& work) const {
    return work.members.size() == 1 && work.kernel && work.kernel->name() == "own:product";
  }

  std::unique_ptr<Kernel> product(const Work& work, const ProductEnd& end) const {
    const Node& node = graph_.node(work.members[0]);
    const std::vector<TensorType> in = types_of(graph_, graph_.operands(work.members[0]));
    return small_product(request_of(node, in, threads_, options_), end);
  }

  /// The product of which a work keeps what lies where another tensor is positive, as the gradient of relu does: if
  /// nobody else reads it.
  std::size_t gated_product(const Work& work, const Writers& writer) const {
    const std::optional<Gate> gate = gate_of(graph_, uses_, work);
    if (!gate || gate->more || graph_.type(gate->value).dtype != DType::f32) return Writers::none;
    const std::size_t w = writer(gate->value);
    if (w == Writers::none || !is_bare_product(plan_.works[w]) || plan_.works[w].out[0] != gate->value)
      return Writers::none;
    const bool alone = reader_[w] != several && !shown_[w] && !uses_.kept(gate->value.node);
    return alone ? w : Writers::none;
  }

  void add_gate(Work& to, Work& gate) {
    auto kernel = product(to, {.gate = true});
    if (!kernel) return;
    to.kernel = std::move(kernel);
    to.in.push_back(gate_of(graph_, uses_, gate)->positive);
    to.out = gate.out;
    to.members.insert(to.members.end(), gate.members.begin(), gate.members.end());
    to.stage = gate.stage;  // the gate may come later than the factors
    gate = {};
  }

  /// Whether a work sums the columns of a product's right factor: the gradient of a bias beside that of weights.
  bool is_sum_of_columns(const Work& sum, const Work& product) const {
    const TensorType &rows = graph_.type(sum.in[0]), &total = graph_.type(sum.out[0]);
    return sum.stage == product.stage && rows.dtype == DType::f32 && rows.shape.rank() == 2 &&
           total.shape.rank() > 0 && total.elements() == rows.shape[1] && total.shape.back() == rows.shape[1];
  }
  bool add_sums(Work& to, Work& sum) {
    auto kernel = product(to, {.column_sums = true});
    if (!kernel) return false;
    to.kernel = std::move(kernel);
    to.out.push_back(sum.out[0]);
    to.members.push_back(sum.members[0]);
    sum = {};
    return true;
  }

  // ---------------------------------------------------------------- sums of what is not stored

  /// A sum over all elements takes in the pointwise steps that only it needs.
  void sum_at_once() {
    if (!options_.generate) return;
    const Writers writer(index_, plan_);
    std::vector<std::size_t> readers(index_.size());
    for (const Work& work : plan_.works)
      for (const ValueId v : work.in) ++readers[index_(root(v))];
    for (Work& work : plan_.works) {
      if (work.members.size() != 1 || !is(graph_.node(work.members[0]), "sum")) continue;
      const ValueId summed = work.in[0];
      const std::size_t w = writer(summed);
      if (w == Writers::none || graph_.type(work.out[0]).elements() != 1) continue;
      Work& group = plan_.works[w];
      const auto at = std::find(group.out.begin(), group.out.end(), summed);
      const bool only_here = readers[index_(summed)] == 1 && !uses_.kept(summed.node);
      if (!group.pointwise || at == group.out.end() || !only_here) continue;
      const auto output = static_cast<std::size_t>(at - group.out.begin());
      Work summing = part_of(group, {output}, true);
      if (!sums_in_one_pass(summing.groups[0])) continue;
      // What it reads where the group stores it must stay stored.
      for (const ValueId v : summing.in) ++readers[index_(root(v))];
      std::vector<std::size_t> others;
      for (std::size_t o = 0; o < group.out.size(); ++o)
        if (o != output) others.push_back(o);
      group = others.empty() ? Work{} : part_of(group, others, false);
      summing.members.push_back(work.members[0]);
      summing.out = work.out;
      summing.stage = work.stage;
      summing.pointwise = false;
      summing.sums = true;
      work = std::move(summing);
    }
  }

  /// The steps of a group that some of its outputs need, as a work. With `reads_others`, other outputs are read where
  /// they are stored, not computed again.
  Work part_of(const Work& work, const std::vector<std::size_t>& outputs, bool reads_others) const {
    const PointwiseGroup& group = work.groups[0];
    std::vector<int> stored(group.steps.size(), -1);  // which output a step is, if it is read there
    for (std::size_t o = 0; reads_others && o < group.outputs.size(); ++o)
      if (std::find(outputs.begin(), outputs.end(), o) == outputs.end())
        stored[static_cast<std::size_t>(group.outputs[o])] = static_cast<int>(o);
    std::vector<bool> needed(group.steps.size());
    for (const std::size_t o : outputs) needed[static_cast<std::size_t>(group.outputs[o])] = true;
    for (std::size_t s = group.steps.size(); s-- > 0;)
      for (const int operand : group.steps[s].operands)
        if (needed[s] && operand >= 0 && stored[static_cast<std::size_t>(operand)] < 0)
          needed[static_cast<std::size_t>(operand)] = true;
    Work part;
    part.pointwise = true;
    part.stage = work.stage;
    PointwiseGroup& to = part.groups.emplace_back();
    to.space = group.space;
    const auto reads = [&](ValueId v, const TensorType& type) {
      const auto same = std::find(part.in.begin(), part.in.end(), v);
      const auto at = static_cast<int>(same - part.in.begin());
      if (same == part.in.end()) {
        part.in.push_back(v);
        to.inputs.push_back(type);
      }
      return -1 - at;
    };
    std::vector<int> step_at(group.steps.size(), -1);
    for (std::size_t s = 0; s < group.steps.size(); ++s) {
      if (!needed[s]) continue;
      PointwiseGroup::Step step = group.steps[s];
      for (int& operand : step.operands) {
        const auto i = static_cast<std::size_t>(operand < 0 ? -1 - operand : operand);
        if (operand < 0) operand = reads(work.in[i], group.inputs[i]);
        else if (stored[i] < 0) operand = step_at[i];
        else operand = reads(work.out[static_cast<std::size_t>(stored[i])], {group.steps[i].dtype, group.space});
      }
      step_at[s] = static_cast<int>(to.steps.size());
      to.steps.push_back(std::move(step));
      part.members.push_back(work.members[s]);
    }
    for (const std::size_t o : outputs) {
      to.outputs.push_back(step_at[static_cast<std::size_t>(group.outputs[o])]);
      part.out.push_back(work.out[o]);
    }
    return part;
  }

  // ---------------------------------------------------------------- pointwise works

  void note_readers() {
    const Writers writer(index_, plan_);
    reader_.assign(plan_.works.size(), nobody);
    shown_.assign(plan_.works.size(), false);
    written_.assign(plan_.works.size(), {});
    for (std::size_t r = 0; r < plan_.works.size(); ++r)
      for (const ValueId v : plan_.works[r].in)
        if (const std::size_t w = writer(v); w != Writers::none)
          reader_[w] = reader_[w] == nobody || reader_[w] == r ? r : several;
    for (const Graph::Output& output : graph_.outputs())
      if (const std::size_t w = writer(output.value); w != Writers::none) shown_[w] = true;
    for (const Graph::Update& update : graph_.updates())
      if (const std::size_t w = writer(update.next); w != Writers::none) written_[w].insert(update.variable.node);
  }

  /// Works of one of these classes never wait for each other: those that nothing reads, those that only one and the
  /// same work reads, and those of one stage. Joined, they still make no circle: every way from a work leads to a
  /// later stage, also through works that were joined.
  std::string class_of(std::size_t w) const {
    const std::string_view shown = shown_[w] ? " shown" : "";
    if (reader_[w] == nobody) return fmt::format("last{}", shown);
    if (reader_[w] != several) return fmt::format("for {}{}", reader_[w], shown);
    return fmt::format("stage {}{}", plan_.works[w].stage, shown);
  }

  /// Works that become one, with the variables that they read and update.
  struct Set {
    std::vector<std::size_t> works;
    std::set<NodeId> reads, writes;
  };
  std::set<NodeId> variables_read(const Work& work) const {
    std::set<NodeId> variables;
    for (const ValueId v : work.in)
      if (is(graph_.node(root(v).node), "variable")) variables.insert(root(v).node);
    return variables;
  }
  static bool meet(const std::set<NodeId>& a, const std::set<NodeId>& b) {
    return std::any_of(a.begin(), a.end(), [&](NodeId id) { return b.contains(id); });
  }

  /// Joins works of one class. One that reads a variable which another one updates does not join it: the update would
  /// be seen too early.
  template <class Key, class Fits, class Join>
  void gather(Key key, Fits fits, Join join) {
    std::map<std::string, std::vector<Set>> found;
    for (std::size_t w = 0; w < plan_.works.size(); ++w) {
      if (plan_.works[w].groups.empty()) continue;
      const std::string name = key(w);
      if (name.empty()) continue;
      const std::set<NodeId> reads = variables_read(plan_.works[w]), &writes = written_[w];
      std::vector<Set>& sets = found[name];
      auto it = std::find_if(sets.begin(), sets.end(), [&](const Set& set) {
        return fits(set.works, w) && !meet(reads, set.writes) && !meet(writes, set.reads);
      });
      if (it == sets.end()) it = sets.insert(sets.end(), Set{});
      it->works.push_back(w);
      it->reads.insert(reads.begin(), reads.end());
      it->writes.insert(writes.begin(), writes.end());
    }
    for (auto& [name, sets] : found)
      for (const Set& set : sets)
        for (std::size_t i = 1; i < set.works.size(); ++i) {
          Work &to = plan_.works[set.works[0]], &from = plan_.works[set.works[i]];
          join(to, from);
          to.members.insert(to.members.end(), from.members.begin(), from.members.end());
          std::sort(to.members.begin(), to.members.end());
          from = {};
        }
  }

  /// Steps on one element each become one group.
  void join_scalars() {
    gather(
        [&](std::size_t w) {
          const PointwiseGroup& group = plan_.works[w].groups[0];
          return group.space.elements() == 1 && !plan_.works[w].sums ? class_of(w) : std::string();
        },
        [&](const std::vector<std::size_t>& set, std::size_t w) {
          std::size_t steps = plan_.works[w].groups[0].steps.size();
          for (const std::size_t other : set) steps += plan_.works[other].groups[0].steps.size();
          return steps <= most_scalar_steps;
        },
        [&](Work& to, Work& from) { join_group(to, from); });
  }

  void join_group(Work& to, const Work& from) {
    PointwiseGroup &group = to.groups[0];
    const PointwiseGroup& other = from.groups[0];
    if (group.space.rank() < other.space.rank()) group.space = other.space;
    const auto first_step = static_cast<int>(group.steps.size());
    std::vector<int> input_at;
    for (std::size_t i = 0; i < from.in.size(); ++i) {
      const auto same = std::find(to.in.begin(), to.in.end(), from.in[i]);
      input_at.push_back(static_cast<int>(same - to.in.begin()));
      if (same != to.in.end()) continue;
      to.in.push_back(from.in[i]);
      group.inputs.push_back(other.inputs[i]);
    }
    for (PointwiseGroup::Step step : other.steps) {
      for (int& operand : step.operands)
        operand = operand < 0 ? -1 - input_at[static_cast<std::size_t>(-1 - operand)] : operand + first_step;
      group.steps.push_back(std::move(step));
    }
    for (const int output : other.outputs) group.outputs.push_back(output + first_step);
    to.out.insert(to.out.end(), from.out.begin(), from.out.end());
  }

  /// Groups of the same steps become one kernel over a list of tensors.
  void list_alike() {
    gather([&](std::size_t w) { return listed_as(w); },
           [](const std::vector<std::size_t>&, std::size_t) { return true; },
           [](Work& to, Work& from) {
             to.groups.insert(to.groups.end(), from.groups.begin(), from.groups.end());
             to.in.insert(to.in.end(), from.in.begin(), from.in.end());
             to.out.insert(to.out.end(), from.out.begin(), from.out.end());
           });
  }

  /// What groups must share to be one kernel; empty for one that stays alone.
  std::string listed_as(std::size_t w) const {
    const PointwiseGroup& group = plan_.works[w].groups[0];
    const std::size_t elements = static_cast<std::size_t>(group.space.elements());
    // What is summed is not stored: the sums wait for nothing that would not wait anyway.
    const bool sums = plan_.works[w].sums;
    if (reader_[w] != nobody && elements > small && !sums) return {};
    if (elements <= 1 || pointwise_space(group.space, group.inputs).rank != 1) return {};
    std::string text = class_of(w) + (sums ? " sums" : "");
    for (const TensorType& type : group.inputs)
      text += fmt::format(" {}{}", to_string(type.dtype), type.elements() == group.space.elements() ? "" : "*");
    for (const PointwiseGroup::Step& step : group.steps) {
      text += fmt::format("; {} {} {}", step.node->op->name, to_string(step.dtype), fmt::join(step.operands, " "));
      for (const Attr& attr : step.node->attrs) text += fmt::format(" {}={}", attr.name, to_string(attr.value));
    }
    return text + fmt::format("; {}", fmt::join(group.outputs, " "));
  }

  const Graph& graph_;
  const ValueIndex& index_;
  const Uses& uses_;
  const CompileOptions& options_;
  int threads_;
  Plan& plan_;
  static constexpr std::size_t nobody = Writers::none, several = nobody - 1;
  std::vector<std::size_t> reader_;          ///< of each work: the one that reads it
  std::vector<bool> shown_;                  ///< the graph shows a result of it
  std::vector<std::set<NodeId>> written_;    ///< the variables that it updates
};

}  // namespace

void merge_works(const Graph& graph, const ValueIndex& index, const Uses& uses, const CompileOptions& options,
                 int threads, Plan& plan) {
  Merging(graph, index, uses, options, threads, plan).run();
}

}  // namespace thalweg
