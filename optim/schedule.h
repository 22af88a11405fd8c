// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "thalweg/graph/function.h"
#include "thalweg/graph/graph.h"
#include "thalweg/ops/convention.h"

namespace thalweg {

/// So many updates of the variables.
struct Iterations {
  double count;
  constexpr explicit Iterations(double updates) : count(updates) {}
};
/// So many passes over the training data. A schedule in epochs reads the variable that `steps_per_epoch` gives.
struct Epochs {
  double count;
  constexpr explicit Epochs(double passes) : count(passes) {}
};

/// A time of training. A plain number counts iterations.
class Duration {
 public:
  template <class N>
    requires std::is_arithmetic_v<N>
  constexpr Duration(N updates) : count_(static_cast<double>(updates)) {}  // NOLINT: `linear(0, 0.1, 1000)`
  constexpr Duration(Iterations time) : count_(time.count) {}              // NOLINT
  constexpr Duration(Epochs time) : count_(time.count), in_epochs_(true) {}  // NOLINT
  constexpr double count() const { return count_; }
  constexpr bool in_epochs() const { return in_epochs_; }

 private:
  double count_;
  bool in_epochs_ = false;
};

/// How many updates an epoch has: the variable `steps_per_epoch`, i64[], first 0, not trainable; made on first use.
/// fit() sets it before the first step. A schedule in epochs that finds it 0 is a RunError.
THALWEG_API Value steps_per_epoch(Graph graph, SourceLoc loc = SourceLoc::current());

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
  Schedule(F at, std::optional<Duration> horizon = {})  // NOLINT: `.rate = [](Value step) { … }`
      : at_(detail::share<const Function<Value(Value)>>(std::move(at))), horizon_(horizon) {}

  /// The number, if it is the same at every step.
  std::optional<double> number() const { return at_ ? std::nullopt : std::optional<double>(number_); }
  /// When the last of its changes is done, if it is made for a training of some length: fit() says so where it trains
  /// for less. The graph carries it as a `note`.
  const std::optional<Duration>& horizon() const { return horizon_; }
  /// The f64 scalar at that step; throws GraphError if the schedule gives anything else.
  Value operator()(const Value& step) const;

 private:
  friend class Slots;
  double number_ = 0;
  detail::Shared<const Function<Value(Value)>> at_;
  std::optional<Duration> horizon_;
};

// In all of the following s is the step, or the step / steps_per_epoch where times are given in epochs. Rates must be
// finite and at least 0, times finite and above 0, and all times of one schedule in one unit; else GraphError at the
// caller's line.

/// values[i] between boundaries: Keras' PiecewiseConstantDecay keeps the old value while s <= boundary; torch's
/// MultiStepLR and optax change one update earlier (s < boundary).
/// Errors: boundaries not ascending or negative, iterations not whole, not one value more than boundaries.
THALWEG_API Schedule piecewise_constant(std::vector<Duration> boundaries, std::vector<double> values,
                                        Convention convention = Convention::keras,
                                        SourceLoc loc = SourceLoc::current());
/// initial · factor^i after the i-th milestone (s >= milestone): torch's MultiStepLR.
THALWEG_API Schedule multi_step(double initial, double factor, std::vector<Duration> milestones,
                                SourceLoc loc = SourceLoc::current());
/// initial · factor^floor(s / every): torch's StepLR; Keras' ExponentialDecay with a staircase.
THALWEG_API Schedule step_decay(double initial, double factor, Duration every, SourceLoc loc = SourceLoc::current());

struct DecayOptions {
  bool staircase = false;  ///< whole multiples of `decay_steps` only: floor(s / decay_steps)
};

/// initial · decay_rate ^ (s / decay_steps): Keras' ExponentialDecay; torch's ExponentialLR with decay_steps 1.
THALWEG_API Schedule exponential_decay(double initial, double decay_rate, Duration decay_steps,
                                       DecayOptions options = {}, SourceLoc loc = SourceLoc::current());

/// initial / (1 + decay_rate · s / decay_steps): Keras' InverseTimeDecay.
THALWEG_API Schedule inverse_time_decay(double initial, double decay_rate, Duration decay_steps,
                                        DecayOptions options = {}, SourceLoc loc = SourceLoc::current());

struct PolynomialOptions {
  double end = 1e-4;   ///< the last value
  double power = 1;    ///< 1: a straight line
  bool cycle = false;  ///< start again from a multiple of `decay_steps`, stretched so that it ends at the next one
};

/// (initial - end) · (1 - s / decay_steps) ^ power + end up to decay_steps, then `end`: Keras' PolynomialDecay;
/// torch's PolynomialLR with end 0. Error: power not above 0.
THALWEG_API Schedule polynomial_decay(double initial, Duration decay_steps, PolynomialOptions options = {},
                                      SourceLoc loc = SourceLoc::current());

/// A straight line from `initial` at step 0 to `target` at `steps`, then `target`: optax' linear_schedule, torch's
/// LinearLR.
THALWEG_API Schedule linear(double initial, double target, Duration steps, SourceLoc loc = SourceLoc::current());

struct CosineOptions {
  double alpha = 0;                          ///< the last value is alpha · the greatest; in [0, 1]
  std::optional<double> warmup_target = {};  ///< Keras: first from `initial` to here, in a straight line
  Duration warmup_steps = 0;                 ///< …in so many steps; decay_steps follow
  bool periodic = false;                     ///< rise again after decay_steps, as torch's CosineAnnealingLR
};

/// initial · ((1−alpha)·(1 + cos(π·s / decay_steps)) / 2 + alpha), constant after decay_steps (Loshchilov & Hutter
/// 2017): Keras' CosineDecay. torch's CosineAnnealingLR has eta_min = alpha·initial; optax counts the warm-up in
/// decay_steps, Keras and this do not.
THALWEG_API Schedule cosine_decay(double initial, Duration decay_steps, CosineOptions options = {},
                                  SourceLoc loc = SourceLoc::current());

struct RestartsOptions {
  double t_mul = 2;  ///< each cycle is so many times as long as the one before; 1, or at least 1.01
  double m_mul = 1;  ///< each begins at so much of the one before; at least 0
  double alpha = 0;  ///< the last value of a cycle is alpha · its first; in [0, 1]
};

/// Cosine decay that begins anew at first·(t_mul^i − 1) / (t_mul − 1): Keras' CosineDecayRestarts, torch's
/// CosineAnnealingWarmRestarts with eta_min = alpha·initial. The cycle is found by comparing the step with where
/// cycles begin, so that whole cycles begin exactly there, up to step 2^53 (Keras: by a logarithm, which rounds).
THALWEG_API Schedule cosine_decay_restarts(double initial, Duration first_decay_steps, RestartsOptions options = {},
                                           SourceLoc loc = SourceLoc::current());

struct OneCycleOptions {
  double rise = 0.3;            ///< torch's pct_start: the part of all steps that go up; in (0, 1)
  double div_factor = 25;       ///< begins at greatest / div_factor
  double final_div_factor = 1e4;  ///< ends at its beginning / final_div_factor
  bool straight = false;        ///< lines in the place of cosines
  bool three_phase = false;     ///< down to the beginning as long as up, and then to the end; rise below 0.5
};

/// Up to `greatest` and down far below where it began, over `steps` steps (Smith & Topin 2018): torch's OneCycleLR.
/// After them it stays (torch: an error). Error: fewer than 2 steps.
THALWEG_API Schedule one_cycle(double greatest, Duration steps, OneCycleOptions options = {},
                               SourceLoc loc = SourceLoc::current());
/// The momentum that torch's OneCycleLR moves the other way: from `high` to `low` and back.
THALWEG_API Schedule one_cycle_momentum(double low, double high, Duration steps, OneCycleOptions options = {},
                                        SourceLoc loc = SourceLoc::current());

/// How the height of a cycle changes from one to the next.
enum class CycleShape : std::uint8_t {
  triangular,   ///< not at all
  triangular2,  ///< it halves
  exp_range     ///< it is factor^s at s
};
struct CyclicOptions {
  std::optional<Duration> down = {};  ///< by default as long as up
  CycleShape shape = CycleShape::triangular;
  double factor = 1;  ///< of exp_range
};
/// From `low` to `high` in `up` steps and back, again and again (Smith 2017): torch's CyclicLR.
THALWEG_API Schedule cyclic(double low, double high, Duration up, CyclicOptions options = {},
                            SourceLoc loc = SourceLoc::current());

/// `first` before `at`, then `rest` counted from there: optax' and MLX's join_schedules.
THALWEG_API Schedule join(Schedule first, Duration at, Schedule rest, SourceLoc loc = SourceLoc::current());
/// A straight line from `from` to where `then` begins, in `steps` steps; then `then` from its beginning (Goyal 2017).
THALWEG_API Schedule warm_up(Duration steps, Schedule then, double from = 0, SourceLoc loc = SourceLoc::current());

/// The schedule times the variable `name`, f64[], first 1, not trainable: what a callback turns down when training
/// no longer gets better (ReduceLROnPlateau).
THALWEG_API Schedule adjustable(Schedule schedule, std::string name = "rate_scale");

}  // namespace thalweg
