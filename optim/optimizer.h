// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/optim/schedule.h"

namespace thalweg {

class Slots;

/// How one variable learns: anything with `Value next(Value w, Value dw, Slots& slots) const` or callable like it,
/// which gives the variable's next value from its value and its gradient. It may also have
/// `static constexpr std::string_view name` (the first part of its slots' names; "optimizer" without) and
/// `void check(SourceLoc) const`, which throws GraphError for settings out of range. Copied freely.
class THALWEG_API Optimizer {
 public:
  template <class R>
    requires(!std::same_as<std::remove_cvref_t<R>, Optimizer> && std::copy_constructible<R> &&
             (requires(const R& r, Value v, Slots& s) { Value(r.next(v, v, s)); } ||
              std::is_invocable_r_v<Value, const R&, Value, Value, Slots&>))
  Optimizer(R rule) {  // NOLINT: `minimize(loss, Sgd{})`
    if constexpr (requires { std::string_view(rule.name); }) name_ = rule.name;
    if constexpr (requires(SourceLoc loc) { rule.check(loc); }) check_ = [rule](SourceLoc loc) { rule.check(loc); };
    if constexpr (requires(Value v, Slots& s) { rule.next(v, v, s); })
      next_ = [rule](Value w, Value dw, Slots& s) -> Value { return rule.next(std::move(w), std::move(dw), s); };
    else
      next_ = std::move(rule);
  }

  const std::string& name() const { return name_; }
  /// Throws GraphError at `loc` if a setting is out of its range.
  void check(SourceLoc loc) const { if (check_) check_(loc); }
  Value next(Value w, Value dw, Slots& slots) const { return next_(std::move(w), std::move(dw), slots); }

 private:
  std::string name_ = "optimizer";
  std::function<void(SourceLoc)> check_;
  std::function<Value(Value, Value, Slots&)> next_;
};

/// What an update rule works with: the slots of the variable at hand (variables of the optimizer's own, of the
/// variable's type, not trained, saved with the weights), and the scalars that all variables share, each computed
/// once in the graph.
class THALWEG_API Slots {
 public:
  /// Slots are named `<optimizer>/<slot>/<variable>`; nodes carry the line `loc`.
  Slots(const Graph& graph, std::string optimizer, SourceLoc loc);

  /// The slot of that name of the variable at hand; made at first use, with every element `fill`.
  Value slot(std::string_view name, double fill = 0);
  /// Says that the step ends with `slot <- next`.
  void update(const Value& slot, const Value& next);

  /// The updates done before this one: an i64 scalar, 0 at the first.
  Value step() const { return step_; }
  /// step + 1 in f64: the t of papers, 1 at the first update.
  Value t();
  /// The schedule at this step, in the dtype of the variable at hand.
  Value rate(const Schedule& schedule);
  /// The schedule at this step, in f64: for sums that `shared` makes.
  Value exact_rate(const Schedule& schedule);
  /// An f64 scalar that is the same for every variable, in the dtype of the variable at hand. `make` is called once.
  Value shared(std::string_view key, const std::function<Value()>& make);
  /// A number in the dtype of the variable at hand, one constant for all its uses.
  Value number(double number);

  /// Lets `optimizer` update `variable`: makes its nodes, and the updates of the variable and its slots.
  /// Throws GraphError if the next value is not of the variable's type.
  void apply(const Optimizer& optimizer, const Value& variable, const Value& gradient);
  /// Says that the step counter ends as step + 1, unless something else in the graph already does.
  void count();
  /// The first rate that a rule asked for, an f64 scalar; empty if none did.
  Value first_rate() const { return first_rate_; }

 private:
  Value next_step();
  Value in_dtype(const Value& scalar);

  Graph graph_;
  std::string optimizer_;
  SourceLoc loc_;
  Value variable_;
  Value step_, next_step_, t_, first_rate_;
  std::map<std::string, Value, std::less<>> scalars_;
  std::map<std::pair<NodeId, DType>, Value> casts_;
  std::map<std::pair<double, DType>, Value> numbers_;
  std::vector<std::pair<Schedule, Value>> rates_;
};

}  // namespace thalweg
