// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/ops/convention.h"

namespace thalweg {

/// A number that changes with the step, such as a learning rate: a plain number, or anything that turns the step
/// (an i64 scalar: the updates done so far, 0 at the first) into an f64 scalar, by ops of the step's graph:
///
///     Schedule warm_up = [](Value step) { return 0.1 * min(cast(step, DType::f64) * 0.01, 1.0); };
///
/// It is a pure function of the step, in double, inside the graph: nothing to restore after a pause but the step.
class THALWEG_API Schedule {
 public:
  /// The same number at every step; throws GraphError unless it is finite and at least 0.
  Schedule(double number, SourceLoc loc = SourceLoc::current());  // NOLINT: `.rate = 0.1` is the usual spelling
  /// Anything that can be called with the step.
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, Schedule> && std::is_invocable_r_v<Value, F&, Value>)
  Schedule(F at)  // NOLINT: `.rate = [](Value step) { … }`
      : at_(std::make_shared<const std::function<Value(Value)>>(std::move(at))) {}

  /// The number, if it is the same at every step.
  std::optional<double> number() const { return at_ ? std::nullopt : std::optional<double>(number_); }
  /// The f64 scalar at that step; throws GraphError if the schedule gives anything else.
  Value operator()(const Value& step) const;

 private:
  friend class Slots;
  double number_ = 0;
  std::shared_ptr<const std::function<Value(Value)>> at_;
};

/// values[i] between boundaries: Keras' PiecewiseConstantDecay keeps the old value while step <= boundary; torch's
/// MultiStepLR and optax change one update earlier (step < boundary). Boundaries count updates, not epochs.
/// Errors: boundaries not ascending or negative, not one value more than boundaries, a value not finite or below 0.
THALWEG_API Schedule piecewise_constant(std::vector<std::int64_t> boundaries, std::vector<double> values,
                                        Convention convention = Convention::keras,
                                        SourceLoc loc = SourceLoc::current());

struct DecayOptions {
  bool staircase = false;  ///< whole multiples of `decay_steps` only: floor(step / decay_steps)
};

/// initial * decay_rate ^ (step / decay_steps): Keras' ExponentialDecay; torch's ExponentialLR with decay_steps 1, and
/// StepLR with a staircase. Errors: decay_steps not above 0, decay_rate or initial not finite or below 0.
THALWEG_API Schedule exponential_decay(double initial, double decay_rate, double decay_steps, DecayOptions options = {},
                                       SourceLoc loc = SourceLoc::current());

/// initial / (1 + decay_rate * step / decay_steps): Keras' InverseTimeDecay. Errors as for exponential_decay.
THALWEG_API Schedule inverse_time_decay(double initial, double decay_rate, double decay_steps,
                                        DecayOptions options = {}, SourceLoc loc = SourceLoc::current());

struct PolynomialOptions {
  double end = 1e-4;   ///< the last value
  double power = 1;    ///< 1: a straight line
  bool cycle = false;  ///< start again from a multiple of `decay_steps`, stretched so that it ends at the next one
};

/// (initial - end) * (1 - step / decay_steps) ^ power + end up to decay_steps, then `end`: Keras' PolynomialDecay;
/// torch's PolynomialLR with end 0. Errors: decay_steps or power not above 0, initial or end not finite or below 0.
THALWEG_API Schedule polynomial_decay(double initial, double decay_steps, PolynomialOptions options = {},
                                      SourceLoc loc = SourceLoc::current());

/// A straight line from `initial` at step 0 to `target` at `steps`, then `target`: optax' linear_schedule.
/// Errors: steps below 1, a value not finite or below 0.
THALWEG_API Schedule linear(double initial, double target, std::int64_t steps, SourceLoc loc = SourceLoc::current());

/// `first` before step `at`, then `rest` counted from there: optax' join_schedules. Error: `at` below 1.
THALWEG_API Schedule join(Schedule first, std::int64_t at, Schedule rest, SourceLoc loc = SourceLoc::current());

}  // namespace thalweg
