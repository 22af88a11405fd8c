// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/minimize.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/optim/parts.h"
#include "thalweg/optim/ranges.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

bool is_variable(const Value& value) { return value.node().op->name == "variable"; }
bool is_trainable(const Value& value) { return is_variable(value) && value.node().attrs.flag("trainable"); }

/// The trainable variables that `loss` depends on, in order of creation. stop_gradient cuts: what lies behind it was
/// frozen on purpose.
std::vector<Value> trainable_behind(const Value& loss) {
  const Graph graph = loss.graph();
  const NodeId last = loss.id().node;
  std::vector<bool> reached(last + 1, false);
  reached[last] = true;
  std::vector<Value> found;
  for (NodeId id = last + 1; id-- > 0;) {
    if (!reached[id] || graph.node(id).op->name == "stop_gradient") continue;
    if (is_trainable(graph.value({id, 0}))) found.push_back(graph.value({id, 0}));
    const std::span<const ValueId> operands = graph.operands(id);
    // Of by_mode, training sees the first operand only.
    const std::size_t read = graph.node(id).op->name == "by_mode" ? 1 : operands.size();
    for (const ValueId operand : operands.first(read)) reached[operand.node] = true;
  }
  std::reverse(found.begin(), found.end());
  return found;
}

void check_loss(const Value& loss, SourceLoc loc) {
  if (!loss) graph_error(loc, "minimize: the loss is an empty Value");
  if (!is_float(loss.dtype()) || loss.rank() != 0)
    graph_error(loc, "minimize: the loss must be a float scalar, got {}\n    {}", to_string(loss.type()),
                describe(loss));
}

/// Refuses what can be known to fail before a node is made.
void check_variables(const std::vector<Value>& variables, const Value& loss, SourceLoc loc) {
  const Graph graph = loss.graph();
  if (variables.empty())
    graph_error(loc, "minimize: the loss depends on no trainable variable\n    {}", describe(loss));
  for (std::size_t i = 0; i < variables.size(); ++i) {
    const Value& v = variables[i];
    if (!v || !v.graph().same(graph))
      graph_error(loc, "minimize: variables[{}] is not a value of the loss's graph", i);
    if (!is_variable(v)) graph_error(loc, "minimize: variables[{}] is no variable\n    {}", i, describe(v));
    const std::string& name = v.node().name;
    if (!is_trainable(v)) graph_error(loc, "minimize: variable '{}' is not trainable\n    {}", name, describe(v));
    if (!is_float(v.dtype()))
      graph_error(loc, "minimize: variable '{}' is {}, only floats learn\n    {}", name, to_string(v.type()),
                  describe(v));
    if (std::find(variables.begin(), variables.begin() + static_cast<std::ptrdiff_t>(i), v) !=
        variables.begin() + static_cast<std::ptrdiff_t>(i))
      graph_error(loc, "minimize: variable '{}' is given twice", name);
    for (const Graph::Update& update : graph.updates())
      if (update.variable == v.id())
        graph_error(loc, "minimize: variable '{}' is already updated, and a step updates it once\n    {}\n    {}", name,
                    describe(v), describe(graph.value(update.next)));
  }
}

bool is_kernel(const Value& variable) { return variable.rank() >= 2; }

/// A variable that learns, and how.
struct Learner {
  Value variable;
  const ParameterGroup* group = nullptr;  ///< null: as the rest
};

void check_group(const ParameterGroup& group, std::size_t i, SourceLoc loc) {
  if (!group.of) graph_error(loc, "minimize: groups[{}] does not say of which variables it is", i);
  if (!(std::isfinite(group.rate) && group.rate > 0))
    graph_error(loc, "minimize: the rate of groups[{}] must be finite and above 0, got {}; to stand still is `frozen`",
                i, group.rate);
  if (group.optimizer) group.optimizer->check(loc);
}

/// The variables that are not frozen, each with its group.
std::vector<Learner> learners(const std::vector<Value>& variables, const std::vector<ParameterGroup>& groups,
                              SourceLoc loc) {
  std::vector<Learner> found;
  std::vector<bool> used(groups.size());
  for (const Value& v : variables) {
    Learner learner{v};
    for (std::size_t i = 0; i < groups.size() && !learner.group; ++i)
      if (groups[i].of(v)) {
        learner.group = &groups[i];
        used[i] = true;
      }
    if (!learner.group || !learner.group->frozen) found.push_back(learner);
  }
  for (std::size_t i = 0; i < groups.size(); ++i)
    if (!used[i]) {
      std::vector<std::string> names;
      for (const Value& v : variables) names.push_back(v.node().name);
      graph_error(loc, "minimize: groups[{}] has no variable; those that learn are {}", i, fmt::join(names, ", "));
    }
  if (found.empty()) graph_error(loc, "minimize: every variable is frozen");
  return found;
}

/// The sum of the penalties on those variables that are penalized; empty if none is.
Value penalty_on(const std::vector<Learner>& all, const Value& loss, const MinimizeOptions& options, SourceLoc loc) {
  const Frame frame(loss.graph(), {.loc = loc, .scope = "penalty", .origin = Origin::regularizer});
  Value sum;
  for (const auto& [w, group] : all) {
    const bool own = group && group->penalty;
    const Regularizer& penalty = own ? *group->penalty : options.penalty;
    if (!penalty || (!own && !(options.penalize ? options.penalize(w) : is_kernel(w)))) continue;
    const Value one = penalty(w);
    if (!one || one.type() != TensorType{loss.dtype(), {}})
      graph_error(loc, "minimize: the penalty on '{}' must be {} as the loss, got {}\n    {}", w.node().name,
                  to_string(loss.type()), one ? to_string(one.type()) : "an empty Value", describe(w));
    sum = sum ? sum + one : one;
  }
  return sum;
}

Values clipped(const Values& gradients, const Clip& clip, const Graph& graph, SourceLoc loc) {
  if (!clip) return gradients;
  const Frame frame(graph, {.loc = loc, .scope = "clip", .origin = Origin::clip});
  Values out = clip(gradients);
  if (out.size() != gradients.size())
    graph_error(loc, "minimize: the clip was given {} gradients and returned {}", gradients.size(), out.size());
  for (std::size_t i = 0; i < out.size(); ++i)
    if (!out[i] || out[i].type() != gradients[i].type())
      graph_error(loc, "minimize: the clip turned gradient {} from {} into {}\n    {}", i,
                  to_string(gradients[i].type()), out[i] ? to_string(out[i].type()) : "an empty Value",
                  describe(gradients[i]));
  return out;
}

// ---- updates

/// Makes the updates of one call, variable by variable.
class Updates {
 public:
  Updates(Graph graph, const Optimizer& optimizer, const MinimizeOptions& options, SourceLoc loc)
      : graph_(std::move(graph)), optimizer_(optimizer), options_(options), loc_(loc) {}

  void add(const Learner& learner, const Value& gradient) {
    const Value& w = learner.variable;
    const Optimizer& optimizer = learner.group && learner.group->optimizer ? *learner.group->optimizer : optimizer_;
    Slots& slots = slots_of(optimizer, learner.group);
    Value next = slots.next(decaying(optimizer), w, gradient,
                            learner.group ? Treatment{learner.group->rate, learner.group->decay} : Treatment{});
    if (options_.average) slots.after(w, "average", [&] { return averaged(slots, next); });
    if (const Constraint* constraint = constraint_on(learner)) {
      const Value held = slots.after(w, "constraint", [&] { return (*constraint)(next); });
      if (!held || held.type() != w.type())
        graph_error(loc_, "minimize: the constraint turned '{}' from {} into {}\n    {}", w.node().name,
                    to_string(w.type()), held ? to_string(held.type()) : "an empty Value", describe(w));
      next = held;
    }
    graph_.update({w, loc_}, {next, loc_});
  }

  /// Ends the step; the rate that was asked for first.
  Value finish() {
    slots_.front().second.count();
    for (const auto& [of, slots] : slots_)
      if (slots.first_rate()) return slots.first_rate();
    return {};
  }

 private:
  /// One set of slots for each optimizer of the call.
  Slots& slots_of(const Optimizer& optimizer, const ParameterGroup* group) {
    const ParameterGroup* of = group && group->optimizer ? group : nullptr;
    for (auto& [known, slots] : slots_)
      if (known == of) return slots;
    slots_.emplace_back(of, Slots(graph_, optimizer.name(), loc_));
    return slots_.back().second;
  }

  Optimizer decaying(const Optimizer& optimizer) const {
    if (options_.weight_decay == 0) return optimizer;
    if (!optimizer.rate())
      graph_error(loc_, "minimize: weight_decay needs a rule with a rate, and '{}' has none", optimizer.name());
    return [optimizer, decay = options_.weight_decay](const Value& w, const Value& g, Slots& slots) {
      return optimizer.next(decoupled(w, decay, *optimizer.rate(), slots), g, slots);
    };
  }

  Value averaged(Slots& slots, const Value& next) {
    const Value average = slots.average();
    const Value share = slots.rounded(slots.exact("average", [&] { return (*options_.average)(slots.step()); }));
    const Value now = average + share * (next - average);
    slots.update(average, now);
    return now;
  }

  const Constraint* constraint_on(const Learner& learner) const {
    if (learner.group && learner.group->constraint) return &*learner.group->constraint;
    const Value& w = learner.variable;
    const bool asked = options_.constraint && (options_.constrain ? options_.constrain(w) : is_kernel(w));
    return asked ? &options_.constraint : nullptr;
  }

  Graph graph_;
  const Optimizer& optimizer_;
  const MinimizeOptions& options_;
  SourceLoc loc_;
  std::deque<std::pair<const ParameterGroup*, Slots>> slots_;
};

// ---- the loss scale

/// What the loss is multiplied by, f64[], and how many steps it has been good for; empty where there is none.
struct Scaling {
  Value scale, good_steps;
};

NonFinite check_scale(const MinimizeOptions& options, SourceLoc loc) {
  if (!options.loss_scale) return options.non_finite;
  const Settings settings{"minimize: loss_scale", loc};
  settings.above("initial", options.loss_scale->initial, 0);
  settings.at_least("growth_steps", options.loss_scale->growth_steps, 0);
  settings.above("factor", options.loss_scale->factor, 1);
  if (options.loss_scale->growth_steps == 0) return options.non_finite;
  settings.need(options.non_finite != NonFinite::fail,
                "one that adapts skips steps that are not finite; NonFinite::fail asks for the opposite");
  return NonFinite::skip;
}

Scaling scaling_of(const std::optional<LossScale>& asked, Graph graph, SourceLoc loc) {
  if (!asked) return {};
  const Frame frame(graph, {.loc = loc, .origin = Origin::backward});
  if (asked->growth_steps == 0) return {constant(graph, asked->initial, f64(), loc), {}};
  std::string name = "loss_scale";
  for (int number = 1; graph.has(name); ++number) name = fmt::format("loss_scale_{}", number);
  return {variable(graph, name, f64(), filled(asked->initial), {.trainable = false}, loc),
          variable(graph, name + "/good_steps", i64(), zeros(), {.trainable = false}, loc)};
}

/// The gradients of loss * scale, without the scale.
Values scaled_gradients(const Value& loss, const Values& variables, const Scaling& scaling, SourceLoc loc) {
  if (!scaling.scale) return gradients({loss, loc}, variables);
  Values all;
  for (const Value& g : gradients({loss, loc}, variables, {.seed = cast(scaling.scale, loss.dtype())}))
    all.push_back(g / cast(scaling.scale, g.dtype()));
  return all;
}

void adapt(const Scaling& scaling, const LossScale& asked, const Value& finite, Graph graph, SourceLoc loc) {
  const auto& [scale, good] = scaling;
  const Value grows = equal(good, asked.growth_steps - 1);
  graph.update({scale, loc}, {select(finite, select(grows, scale * asked.factor, scale), scale / asked.factor), loc});
  graph.update({good, loc}, {select(logical_and(finite, logical_not(grows)), good + 1, 0), loc});
}

// ---- steps that are not finite

/// Whether the loss and each gradient are finite, as bool scalars.
std::vector<Value> finiteness(const Value& loss, const Values& gradients) {
  std::vector<Value> all{is_finite(loss)};
  for (const Value& g : gradients) all.push_back(is_finite(max(abs(g), Axes{})));
  return all;
}

/// Every update of the graph so far, with another next value.
template <class F>
void replace_updates(Graph graph, SourceLoc loc, F next_of) {
  const std::vector<Graph::Update> updates = graph.updates();
  graph.drop_updates();
  for (const Graph::Update& update : updates) {
    const Value variable = graph.value(update.variable), next = graph.value(update.next);
    graph.update({variable, loc}, {next_of(variable, next), loc});
  }
}

void skip_unless(const Value& finite, Graph graph, SourceLoc loc) {
  constexpr std::string_view name = "skipped_steps";
  if (!graph.has(name)) {
    const Value skipped = variable(graph, std::string(name), i64(), zeros(), {.trainable = false}, loc);
    graph.update({skipped, loc}, {skipped, loc});
  }
  const Value counter = graph.find(name);
  replace_updates(graph, loc, [&](const Value& w, const Value& next) {
    if (w == counter) return next + cast(logical_not(finite), DType::i64);
    return select(finite, next, w);
  });
}

/// Updates commit together: where the next step's number cannot be had, nothing changes.
void fail_unless(const std::vector<Value>& finite, const std::vector<Value>& variables, Graph graph, SourceLoc loc) {
  const Value counter = step(graph);
  replace_updates(graph, loc, [&](const Value& w, Value next) {
    if (w != counter) return next;
    for (std::size_t i = 0; i < finite.size(); ++i)
      next = check(next, finite[i],
                   i == 0 ? std::string("the loss is not finite")
                          : fmt::format("the gradient of '{}' is not finite", variables[i - 1].node().name));
    return next;
  });
}

std::vector<std::string> order_of(const Minimized& m, const MinimizeOptions& options, const Optimizer& optimizer,
                                  NonFinite policy) {
  std::vector<std::string> order{"loss"};
  const auto add = [&](bool wanted, std::string_view part) {
    if (wanted) order.emplace_back(part);
  };
  const auto in_a_group = [&](auto part) {
    return std::any_of(options.groups.begin(), options.groups.end(),
                       [&](const auto& group) { return (group.*part).has_value(); });
  };
  add(static_cast<bool>(m.penalty), "penalty");
  add(options.loss_scale.has_value(), "loss scale");
  add(true, "gradients");
  add(policy == NonFinite::skip, "finite: skip");
  add(policy == NonFinite::fail, "finite: fail");
  add(static_cast<bool>(options.clip), "clip");
  add(options.weight_decay > 0, "decay");
  add(true, optimizer.name());
  add(options.average.has_value(), "average");
  add(options.constraint || in_a_group(&ParameterGroup::constraint), "constraint");
  add(true, "step + 1");
  return order;
}

}  // namespace

Which named(std::string text) {
  return [text = std::move(text)](const Value& v) { return v.node().name.find(text) != std::string::npos; };
}

Schedule ema(double momentum, SourceLoc loc) {
  Settings{"ema", loc}.half_open("momentum", momentum, 0, 1);
  return Schedule([=](const Value& step) {
    const Value share = constant(step.graph(), 1 - momentum, f64());
    return select(equal(step, 0), 1.0, share);
  });
}

Schedule equal_average(std::int64_t from, SourceLoc loc) {
  Settings{"equal_average", loc}.at_least("from", static_cast<double>(from), 0);
  return Schedule([=](const Value& step) {
    return 1.0 / max(cast(step, DType::f64) + (1.0 - static_cast<double>(from)), 1.0);
  });
}

Minimized minimize(const Value& loss, const Optimizer& optimizer, const MinimizeOptions& options, SourceLoc loc) {
  check_loss(loss, loc);
  optimizer.check(loc);
  const Settings settings{"minimize", loc};
  settings.at_least("weight_decay", options.weight_decay, 0);
  if (options.average && options.average->number())
    settings.closed("the share of the new weights in `average`", *options.average->number(), 0, 1);
  const NonFinite policy = check_scale(options, loc);
  for (std::size_t i = 0; i < options.groups.size(); ++i) check_group(options.groups[i], i, loc);
  Minimized m;
  m.loss = loss;
  m.variables = options.variables.empty() ? trainable_behind(loss) : options.variables;
  check_variables(m.variables, loss, loc);
  const std::vector<Learner> all = learners(m.variables, options.groups, loc);
  m.variables.clear();
  for (const Learner& learner : all) m.variables.push_back(learner.variable);

  Graph graph = loss.graph();
  const Frame all_or_nothing(graph, {});
  m.penalty = penalty_on(all, loss, options, loc);
  if (m.penalty) {
    const Frame frame(graph, {.loc = loc, .scope = "penalty", .origin = Origin::regularizer});
    m.loss = loss + m.penalty;
  }
  {
    const Frame frame(graph, {.loc = loc, .origin = Origin::regularizer});
    m.loss = note(m.loss, "objective");
  }
  const Scaling scaling = scaling_of(options.loss_scale, graph, loc);
  {
    // No line here: a gradient keeps the line of what it differentiates.
    const Frame frame(graph, {.origin = Origin::backward});
    m.raw_gradients = scaled_gradients(m.loss, m.variables, scaling, loc);
  }
  std::vector<Value> finite;
  if (policy != NonFinite::propagate) {
    const Frame frame(graph, {.loc = loc, .scope = "finite", .origin = Origin::clip});
    finite = finiteness(m.loss, m.raw_gradients);
    m.finite = finite.front();
    for (std::size_t i = 1; i < finite.size(); ++i) m.finite = logical_and(m.finite, finite[i]);
  }
  m.gradients = clipped(m.raw_gradients, options.clip, graph, loc);

  Updates updates(graph, optimizer, options, loc);
  for (std::size_t i = 0; i < all.size(); ++i) updates.add(all[i], m.gradients[i]);
  m.rate = updates.finish();
  const Frame frame(graph, {.loc = loc, .scope = "finite", .origin = Origin::optimizer});
  if (policy == NonFinite::skip) skip_unless(m.finite, graph, loc);
  if (policy == NonFinite::fail) fail_unless(finite, m.variables, graph, loc);
  if (scaling.good_steps) adapt(scaling, *options.loss_scale, m.finite, graph, loc);
  m.order = order_of(m, options, optimizer, policy);
  return m;
}

}  // namespace thalweg
