// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/optimizer.h"

#include <algorithm>
#include <map>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

bool has_update(const Graph& graph, ValueId variable) {
  return std::any_of(graph.updates().begin(), graph.updates().end(),
                     [&](const Graph::Update& u) { return u.variable == variable; });
}

/// The optimizer's name, or the first of `sgd_1`, `sgd_2` … under which nothing is updated yet: what another optimizer
/// of the graph keeps is not this one's.
std::string free_name(const Graph& graph, const std::string& wanted) {
  const auto taken = [&](const std::string& name) {
    return std::any_of(graph.updates().begin(), graph.updates().end(), [&](const Graph::Update& u) {
      return graph.node(u.variable.node).name.starts_with(name + "/");
    });
  };
  std::string name = wanted;
  for (int number = 1; taken(name); ++number) name = fmt::format("{}_{}", wanted, number);
  return name;
}

}  // namespace

struct Slots::Made {
  std::map<std::pair<std::string, Treatment>, Value> scalars;
  std::map<std::string, Value, std::less<>> running;
  std::map<std::pair<NodeId, double>, Value> scaled_rates;
  std::map<std::pair<NodeId, DType>, Value> casts;
  std::map<std::pair<double, DType>, Value> numbers;
  std::vector<std::pair<Schedule, Value>> rates;
};

Slots::Slots(Slots&&) noexcept = default;
Slots::~Slots() = default;

Slots::Slots(const Graph& graph, std::string optimizer, SourceLoc loc)
    : graph_(graph), optimizer_(free_name(graph, optimizer)), loc_(loc), made_(detail::share<Made>()) {
  const Frame frame(graph_, {.loc = loc_});
  step_ = thalweg::step(graph_);
}

const Value& Slots::at_hand(std::string_view what) const {
  if (!variable_) graph_error(loc_, "optimizer '{}': {} outside an update rule", optimizer_, what);
  return variable_;
}

Value Slots::made_once(const std::string& name, const TensorType& type, double fill) {
  if (graph_.has(name)) {
    const Value found = graph_.find(name);
    if (found.node().op->name != "variable" || found.type() != type)
      graph_error(loc_, "optimizer '{}': the name of its slot '{}' is taken\n    {}", optimizer_, name,
                  describe(found));
    return found;
  }
  return variable(graph_, name, type, fill == 0 ? zeros() : filled(fill), {.trainable = false});
}

Value Slots::slot(std::string_view name, double fill) {
  return slot(name, at_hand("a slot was asked for").type(), fill);
}

Value Slots::slot(std::string_view name, const TensorType& type, double fill) {
  const std::string& of = at_hand("a slot was asked for").node().name;
  return made_once(fmt::format("{}/{}/{}", optimizer_, name, of), type, fill);
}

Value Slots::is_first() {
  if (!is_first_) is_first_ = equal(step_, 0);
  return is_first_;
}

Value Slots::average() {
  const Value w = at_hand("an average was asked for");
  const std::string name = "average/" + w.node().name;
  if (graph_.has(name)) return made_once(name, w.type(), 0);
  Init first;
  for (const Attr& attr : w.node().attrs)
    if (attr.name != "trainable") first.attrs.push_back(attr);
  return variable(graph_, name, w.type(), first, {.trainable = false});
}

Value Slots::begun(const Value& slot, const Value& first) { return select(is_first(), first, slot); }

void Slots::update(const Value& slot, const Value& next) { graph_.update({slot, loc_}, {next, loc_}); }

Value Slots::running(std::string_view name, double fill, const Function<Value(const Value&)>& next) {
  if (const auto known = made_->running.find(name); known != made_->running.end()) return known->second;
  const Value before = made_once(fmt::format("{}/{}", optimizer_, name), f64(), fill);
  const Treatment own = std::exchange(treatment_, {});
  const Value after = next(before);
  treatment_ = own;
  update(before, after);
  return made_->running[std::string(name)] = after;
}

Value Slots::next_step() {
  if (!next_step_) next_step_ = step_ + 1;
  return next_step_;
}

Value Slots::t() {
  if (!t_) t_ = cast(next_step(), DType::f64);
  return t_;
}

Value Slots::base_rate(const Schedule& schedule) {
  const auto same = std::find_if(made_->rates.begin(), made_->rates.end(), [&](const auto& known) {
    return known.first.at_ == schedule.at_ && known.first.number_ == schedule.number_;
  });
  if (same != made_->rates.end()) return same->second;
  const Frame frame(graph_, {.origin = Origin::schedule});
  Value rate = schedule(step_);
  if (const auto& end = schedule.horizon())
    rate = note(rate, end->in_epochs() ? "horizon_epochs" : "horizon", end->count());
  made_->rates.emplace_back(schedule, rate);
  if (!first_rate_) first_rate_ = rate;
  return rate;
}

Value Slots::exact_rate(const Schedule& schedule) {
  const Value base = base_rate(schedule);
  if (treatment_.rate == 1) return base;
  Value& scaled = made_->scaled_rates[{base.id().node, treatment_.rate}];
  if (!scaled) {
    const Frame frame(graph_, {.origin = Origin::schedule});
    scaled = base * treatment_.rate;
  }
  return scaled;
}

Value Slots::rate(const Schedule& schedule) {
  at_hand("rate() was called");
  const Value exact = exact_rate(schedule);
  if (!schedule.number() || exact.dtype() == variable_.dtype()) return rounded(exact);
  // A constant of its own, though another number may equal it: what adjusts rates finds them by their origin.
  Value& known = made_->casts[{exact.id().node, variable_.dtype()}];
  if (!known) {
    const Frame frame(graph_, {.origin = Origin::schedule});
    known = constant(graph_, *schedule.number() * treatment_.rate, {variable_.dtype(), {}});
  }
  return known;
}

Value Slots::exact(std::string_view key, const Function<Value()>& make) {
  const std::pair<std::string, Treatment> full(key, treatment_);
  if (const auto known = made_->scalars.find(full); known != made_->scalars.end()) return known->second;
  const Value made = make();
  if (!made || made.type() != TensorType{DType::f64, {}})
    graph_error(loc_, "optimizer '{}': the shared scalar '{}' must be f64[], got {}", optimizer_, key,
                made ? to_string(made.type()) : "an empty Value");
  return made_->scalars[full] = made;
}

Value Slots::number(double number) {
  const DType dtype = variable_ ? variable_.dtype() : DType::f64;
  Value& known = made_->numbers[{number, dtype}];
  if (!known) known = constant(graph_, number, {dtype, {}});
  return known;
}

Value Slots::rounded(const Value& exact) {
  const DType dtype = variable_ ? variable_.dtype() : DType::f64;
  if (exact.dtype() == dtype) return exact;
  Value& known = made_->casts[{exact.id().node, dtype}];
  if (!known) known = cast(exact, dtype);
  return known;
}

Value Slots::next(const Optimizer& optimizer, const Value& variable, const Value& gradient,
                  const Treatment& treatment) {
  treatment_ = treatment;
  const Value next = after(variable, optimizer_, [&] { return optimizer.next(variable, gradient, *this); });
  treatment_ = {};
  const std::string& name = variable.node().name;
  if (!next) graph_error(loc_, "optimizer '{}': the next value of '{}' is an empty Value", optimizer_, name);
  if (next.type() != variable.type())
    graph_error(loc_, "optimizer '{}': the next value of '{}' is {}, must be {}\n    {}\n    {}", optimizer_, name,
                to_string(next.type()), to_string(variable.type()), describe(variable), describe(next));
  return next;
}

Value Slots::after(const Value& variable, std::string_view scope, const Function<Value()>& make) {
  const Frame frame(graph_, {.loc = loc_, .scope = scope, .origin = Origin::optimizer});
  variable_ = variable;
  const Value made = make();
  variable_ = {};
  return made;
}

void Slots::count() {
  const Frame frame(graph_, {.loc = loc_, .scope = optimizer_, .origin = Origin::optimizer});
  if (!has_update(graph_, step_.id())) graph_.update({step_, loc_}, {next_step(), loc_});
}

}  // namespace thalweg
