// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "thalweg/graph/function.h"
#include "thalweg/graph/graph.h"
#include "thalweg/optim/schedule.h"

namespace thalweg {

class Slots;

/// How one variable learns: anything with `Value next(Value w, Value dw, Slots& slots) const` or callable like it,
/// which gives the variable's next value from its value and its gradient. It may also have
/// `static constexpr std::string_view name` (the first part of its slots' names; "optimizer" without),
/// `void check(SourceLoc) const`, which throws GraphError for settings out of range, and a Schedule `rate`, which
/// MinimizeOptions::weight_decay needs. Copied freely.
class THALWEG_API Optimizer {
 public:
  template <class R>
    requires(!std::same_as<std::remove_cvref_t<R>, Optimizer> && std::copy_constructible<R> &&
             (requires(const R& r, Value v, Slots& s) { Value(r.next(v, v, s)); } ||
              std::is_invocable_r_v<Value, const R&, Value, Value, Slots&>))
  Optimizer(R rule) {  // NOLINT: `minimize(loss, Sgd{})`
    if constexpr (requires { std::string_view(rule.name); }) name_ = rule.name;
    if constexpr (requires { std::optional<Schedule>(rule.rate); }) rate_ = rule.rate;
    if constexpr (requires(SourceLoc loc) { rule.check(loc); }) check_ = [rule](SourceLoc loc) { rule.check(loc); };
    if constexpr (requires(Value v, Slots& s) { rule.next(v, v, s); })
      next_ = [rule](Value w, Value dw, Slots& s) -> Value { return rule.next(std::move(w), std::move(dw), s); };
    else
      next_ = std::move(rule);
  }

  const std::string& name() const { return name_; }
  /// The rule's rate, where it has one of that name.
  const std::optional<Schedule>& rate() const { return rate_; }
  /// Throws GraphError at `loc` if a setting is out of its range.
  void check(SourceLoc loc) const { if (check_) check_(loc); }
  Value next(Value w, Value dw, Slots& slots) const { return next_(std::move(w), std::move(dw), slots); }

 private:
  std::string name_ = "optimizer";
  std::optional<Schedule> rate_;
  Function<void(SourceLoc)> check_;
  Function<Value(Value, Value, Slots&)> next_;
};

/// How a group of variables is treated otherwise than the rest.
struct Treatment {
  double rate = 1;    ///< multiplies every rate that the rule asks for
  bool decay = true;  ///< false: decay(x) is 0
  friend auto operator<=>(const Treatment&, const Treatment&) = default;
};

/// What an update rule works with: the slots of the variable at hand (variables of the optimizer's own, not trained,
/// saved with the weights), and the scalars that all variables share, each computed once in the graph.
class THALWEG_API Slots {
 public:
  /// Slots are named `<optimizer>/<slot>/<variable>`; nodes carry the line `loc`.
  Slots(const Graph& graph, std::string optimizer, SourceLoc loc);
  Slots(Slots&&) noexcept;
  ~Slots();

  /// The slot of that name of the variable at hand, of its type; made at first use, with every element `fill`.
  Value slot(std::string_view name, double fill = 0);
  /// The same of another type, for rules that keep less than a number for each element.
  Value slot(std::string_view name, const TensorType& type, double fill = 0);
  /// The variable `average/<variable>`, of the type of the variable at hand and first equal to it. inference() reads it
  /// in the place of that variable.
  Value average();
  /// `first` (of the slot's type, or a scalar of its dtype) at the first update, and the slot afterwards.
  Value begun(const Value& slot, const Value& first);
  /// Says that the step ends with `slot <- next`.
  void update(const Value& slot, const Value& next);
  /// What becomes of an f64 scalar that all variables share, the variable `<optimizer>/<name>`, first `fill`: a step
  /// ends with next(it), which is what comes back. `next` is called once, and sees rates without any group's factor.
  Value running(std::string_view name, double fill, const Function<Value(const Value&)>& next);

  /// The updates done before this one: an i64 scalar, 0 at the first.
  Value step() const { return step_; }
  /// step + 1 in f64: the t of papers, 1 at the first update.
  Value t();
  /// The schedule at this step times the factor of the variable's group, in the dtype of the variable at hand.
  Value rate(const Schedule& schedule);
  /// The same in f64: for sums that `shared` makes.
  Value exact_rate(const Schedule& schedule);
  /// A setting for weight decay; 0 where the group of the variable at hand does not decay.
  double decay(double setting) const { return treatment_.decay ? setting : 0; }
  /// An f64 scalar that is the same for all variables of a group, in the dtype of the variable at hand. `make` is
  /// called once for a group.
  Value shared(std::string_view key, const Function<Value()>& make) { return rounded(exact(key, make)); }
  /// The same, left in f64.
  Value exact(std::string_view key, const Function<Value()>& make);
  /// An f64 scalar in the dtype of the variable at hand.
  Value rounded(const Value& exact);
  /// A number in the dtype of the variable at hand, one constant for all its uses.
  Value number(double number);

  /// Lets `optimizer` say the next value of `variable`, and makes its nodes and the updates of its slots.
  /// Throws GraphError if the next value is not of the variable's type.
  Value next(const Optimizer& optimizer, const Value& variable, const Value& gradient, const Treatment& treatment = {});
  /// What `make` returns for the variable, made as next() makes what a rule says: same line, with that scope.
  Value after(const Value& variable, std::string_view scope, const Function<Value()>& make);
  /// Says that the step counter ends as step + 1, unless something else in the graph already does.
  void count();
  /// The first rate that a rule asked for, an f64 scalar; empty if none did.
  Value first_rate() const { return first_rate_; }

 private:
  Value next_step();
  Value is_first();
  Value base_rate(const Schedule& schedule);
  Value made_once(const std::string& name, const TensorType& type, double fill);
  const Value& at_hand(std::string_view what) const;

  Graph graph_;
  std::string optimizer_;
  SourceLoc loc_;
  Value variable_;
  Treatment treatment_;
  Value step_, next_step_, t_, first_rate_, is_first_;
  struct Made;
  detail::Shared<Made> made_;  // each node that variables share, by what it stands for
};

}  // namespace thalweg
