// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/optimizer.h"

#include <algorithm>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"

namespace thalweg {

Slots::Slots(const Graph& graph, std::string optimizer, SourceLoc loc)
    : graph_(graph), optimizer_(std::move(optimizer)), loc_(loc) {
  const Frame frame(graph_, {.loc = loc_});
  step_ = thalweg::step(graph_);
}

Value Slots::slot(std::string_view name, double fill) {
  if (!variable_) graph_error(loc_, "optimizer '{}': a slot was asked for outside an update rule", optimizer_);
  const std::string full = fmt::format("{}/{}/{}", optimizer_, name, variable_.node().name);
  if (graph_.has(full)) {
    const Value found = graph_.find(full);
    if (found.node().op->name != "variable" || found.type() != variable_.type())
      graph_error(loc_, "optimizer '{}': the name of its slot '{}' is taken\n    {}", optimizer_, full, describe(found));
    return found;
  }
  return variable(graph_, full, variable_.type(), fill == 0 ? zeros() : filled(fill), {.trainable = false});
}

void Slots::update(const Value& slot, const Value& next) { graph_.update({slot, loc_}, {next, loc_}); }

Value Slots::next_step() {
  if (!next_step_) next_step_ = step_ + 1;
  return next_step_;
}

Value Slots::t() {
  if (!t_) t_ = cast(next_step(), DType::f64);
  return t_;
}

Value Slots::exact_rate(const Schedule& schedule) {
  const auto same = std::find_if(rates_.begin(), rates_.end(), [&](const auto& known) {
    return known.first.at_ == schedule.at_ && known.first.number_ == schedule.number_;
  });
  if (same != rates_.end()) return same->second;
  const Frame frame(graph_, {.origin = Origin::schedule});
  const Value rate = schedule(step_);
  rates_.emplace_back(schedule, rate);
  if (!first_rate_) first_rate_ = rate;
  return rate;
}

Value Slots::rate(const Schedule& schedule) {
  if (!variable_) graph_error(loc_, "optimizer '{}': rate() was called outside an update rule; use exact_rate()", optimizer_);
  const Value exact = exact_rate(schedule);
  return schedule.number() ? number(*schedule.number()) : in_dtype(exact);
}

Value Slots::shared(std::string_view key, const std::function<Value()>& make) {
  auto known = scalars_.find(key);
  if (known == scalars_.end()) {
    const Value made = make();
    if (!made || made.type() != TensorType{DType::f64, {}})
      graph_error(loc_, "optimizer '{}': the shared scalar '{}' must be f64[], got {}", optimizer_, key,
                  made ? to_string(made.type()) : "an empty Value");
    known = scalars_.emplace(key, made).first;
  }
  return in_dtype(known->second);
}

Value Slots::number(double number) {
  const DType dtype = variable_ ? variable_.dtype() : DType::f64;
  Value& known = numbers_[{number, dtype}];
  if (!known) known = constant(graph_, number, {dtype, {}});
  return known;
}

Value Slots::in_dtype(const Value& exact) {
  const DType dtype = variable_ ? variable_.dtype() : DType::f64;
  if (exact.dtype() == dtype) return exact;
  Value& known = casts_[{exact.id().node, dtype}];
  if (!known) known = cast(exact, dtype);
  return known;
}

void Slots::apply(const Optimizer& optimizer, const Value& variable, const Value& gradient) {
  const Frame frame(graph_, {.loc = loc_, .scope = optimizer_, .origin = Origin::optimizer});
  variable_ = variable;
  const Value next = optimizer.next(variable, gradient, *this);
  variable_ = {};
  const std::string& name = variable.node().name;
  if (!next) graph_error(loc_, "optimizer '{}': the next value of '{}' is an empty Value", optimizer_, name);
  if (next.type() != variable.type())
    graph_error(loc_, "optimizer '{}': the next value of '{}' is {}, must be {}\n    {}\n    {}", optimizer_, name,
                to_string(next.type()), to_string(variable.type()), describe(variable), describe(next));
  graph_.update({variable, loc_}, {next, loc_});
}

void Slots::count() {
  const Frame frame(graph_, {.loc = loc_, .scope = optimizer_, .origin = Origin::optimizer});
  const bool counted = std::any_of(graph_.updates().begin(), graph_.updates().end(),
                                   [&](const Graph::Update& u) { return u.variable == step_.id(); });
  if (!counted) graph_.update({step_, loc_}, {next_step(), loc_});
}

}  // namespace thalweg
