// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/schedule.h"

#include <cmath>
#include <set>

#include "trajectory.h"

namespace thalweg {
namespace {

using testing::error_of;
using testing::near;

/// What a schedule gives at a step.
double at(const Schedule& schedule, double step_value) {
  Graph g("schedule");
  g.output("rate", schedule(step(g)));
  Interpreter run(g);
  run.set("step", {Shape{}, std::vector<double>{step_value}});
  run.evaluate();
  return run.output("rate")[0];
}

/// The entries that a test has compared.
std::set<std::string>& compared() {
  static std::set<std::string> entries;
  return entries;
}

void expect_entry(const std::string& entry, const Schedule& schedule, const std::string& key = "lr") {
  compared().insert(entry);
  const auto& v = testing::vectors("schedules").at(entry);
  const auto steps = testing::numbers(v.at("steps")), rates = testing::numbers(v.at(key));
  ASSERT_EQ(steps.size(), rates.size());
  ASSERT_FALSE(steps.empty());
  for (std::size_t i = 0; i < steps.size(); ++i)
    EXPECT_PRED3(near, at(schedule, steps[i]), rates[i], 1e-12) << entry << " at step " << steps[i];
}

TEST(Schedule, EqualsTheReference) {
  expect_entry("keras_piecewise_seed", piecewise_constant({700, 900}, {0.1, 0.05, 0.01}));
  expect_entry("optax_piecewise_seed", piecewise_constant({700, 900}, {0.1, 0.05, 0.01}, Convention::optax));
  expect_entry("torch_multistep", piecewise_constant({5, 15}, {0.1, 0.05, 0.025}, Convention::torch));
  expect_entry("keras_exponential", exponential_decay(0.1, 0.5, 10));
  expect_entry("keras_exponential_staircase", exponential_decay(0.1, 0.5, 10, {.staircase = true}));
  expect_entry("torch_exponential", exponential_decay(0.1, 0.9, 1));
  expect_entry("torch_step", exponential_decay(0.1, 0.1, 10, {.staircase = true}));
  expect_entry("keras_inverse_time", inverse_time_decay(0.1, 0.5, 10));
  expect_entry("keras_inverse_time_staircase", inverse_time_decay(0.1, 0.5, 10, {.staircase = true}));
  expect_entry("keras_polynomial", polynomial_decay(0.1, 10, {.end = 0.01, .power = 0.5}));
  expect_entry("keras_polynomial_p2", polynomial_decay(0.1, 10, {.end = 0.01, .power = 2}));
  expect_entry("keras_polynomial_cycle", polynomial_decay(0.1, 10, {.end = 0.01, .cycle = true}));
  expect_entry("torch_polynomial", polynomial_decay(0.1, 10, {.end = 0, .power = 2}));
  expect_entry("torch_linear_warmup", linear(0.1 / 3, 0.1, 5));
  expect_entry("torch_constant", piecewise_constant({5}, {0.1 / 3, 0.1}, Convention::torch));
  expect_entry("torch_multistep", multi_step(0.1, 0.5, {5, 15}));
  expect_entry("torch_step", step_decay(0.1, 0.1, 10));
  expect_entry("keras_cosine", cosine_decay(0.1, 10, {.alpha = 0.1}));
  expect_entry("keras_cosine_warmup", cosine_decay(0, 10, {.alpha = 0.1, .warmup_target = 0.1, .warmup_steps = 5}));
  expect_entry("torch_cosine", cosine_decay(0.1, 10, {.alpha = 0.1, .periodic = true}));
  expect_entry("optax_warmup_cosine", cosine_decay(0, 15, {.alpha = 0.1, .warmup_target = 0.1, .warmup_steps = 5}));
  expect_entry("keras_cosine_restarts", cosine_decay_restarts(0.1, 5, {.t_mul = 2, .m_mul = 0.9, .alpha = 0.01}));
  expect_entry("keras_cosine_restarts_t1", cosine_decay_restarts(0.1, 5, {.t_mul = 1, .m_mul = 0.5}));
  expect_entry("torch_cosine_warm_restarts", cosine_decay_restarts(0.1, 5, {.t_mul = 2, .alpha = 0.01}));
  expect_entry("torch_onecycle_cos", one_cycle(0.1, 20));
  expect_entry("torch_onecycle_linear", one_cycle(0.1, 20, {.straight = true}));
  expect_entry("torch_onecycle_three_phase", one_cycle(0.1, 20, {.three_phase = true}));
  expect_entry("torch_onecycle_cos", one_cycle_momentum(0.85, 0.95, 20), "momentum");
  expect_entry("torch_onecycle_linear", one_cycle_momentum(0.85, 0.95, 20, {.straight = true}), "momentum");
  expect_entry("torch_onecycle_three_phase", one_cycle_momentum(0.85, 0.95, 20, {.three_phase = true}), "momentum");
  expect_entry("torch_cyclic_triangular", cyclic(0.01, 0.1, 4));
  expect_entry("torch_cyclic_triangular2", cyclic(0.01, 0.1, 4, {.shape = CycleShape::triangular2}));
  expect_entry("torch_cyclic_exp_range", cyclic(0.01, 0.1, 4, {.shape = CycleShape::exp_range, .factor = 0.99}));
  for (const auto& [name, entry] : testing::vectors("schedules").items())
    EXPECT_TRUE(compared().contains(name)) << name << " is compared with nothing";
}

TEST(Schedule, RestartsBeginExactlyWhereCyclesBegin) {
  // A logarithm rounds here: the first value of every cycle must be the whole one.
  const Schedule twice = cosine_decay_restarts(0.5, 3, {.t_mul = 2});
  for (int i = 0; i < 40; ++i) {
    const double begin = 3 * (std::ldexp(1, i) - 1);
    EXPECT_EQ(at(twice, begin), 0.5) << begin;
    if (i > 0) {
      EXPECT_LT(at(twice, begin - 1), 0.25) << begin;
    }
  }
  const Schedule once = cosine_decay_restarts(0.5, 7, {.t_mul = 1, .m_mul = 0.5});
  for (const double i : {1.0, 2.0, 10.0, 100.0}) EXPECT_EQ(at(once, 7 * i), 0.5 * std::pow(0.5, i));
  EXPECT_EQ(at(cosine_decay_restarts(0.5, 7, {.t_mul = 1}), 7.0 * (1LL << 50)), 0.5);
}

TEST(Schedule, StaysAtItsEnd) {
  for (const double past : {20.0, 1000.0, 9007199254740991.0}) {
    EXPECT_PRED3(near, at(one_cycle(0.1, 20), past), 0.1 / 25 / 1e4, 1e-15);
    EXPECT_PRED3(near, at(cosine_decay(0.1, 10, {.alpha = 0.5}), past), 0.05, 1e-15);
  }
}

/// What a schedule gives at a step, where an epoch has so many.
double at(const Schedule& schedule, double step_value, double steps) {
  Graph g("schedule");
  g.output("rate", schedule(step(g)));
  steps_per_epoch(g);
  Interpreter run(g);
  run.set("step", {Shape{}, std::vector<double>{step_value}});
  run.set("steps_per_epoch", {Shape{}, std::vector<double>{steps}});
  run.evaluate();
  return run.output("rate")[0];
}

TEST(Schedule, CountsInEpochsWhereTheTypeSaysSo) {
  const double steps = 12;
  const std::pair<Schedule, Schedule> pairs[] = {
      {piecewise_constant({Epochs(2), Epochs(5)}, {0.1, 0.05, 0.01}), piecewise_constant({24, 60}, {0.1, 0.05, 0.01})},
      {exponential_decay(0.1, 0.5, Epochs(3)), exponential_decay(0.1, 0.5, Iterations(36))},
      {step_decay(0.1, 0.5, Epochs(3)), step_decay(0.1, 0.5, 36)},
      {inverse_time_decay(0.1, 0.5, Epochs(3)), inverse_time_decay(0.1, 0.5, 36)},
      {polynomial_decay(0.1, Epochs(4), {.power = 2}), polynomial_decay(0.1, 48, {.power = 2})},
      {linear(0, 0.1, Epochs(0.5)), linear(0, 0.1, 6)},
      {cosine_decay(0, Epochs(4), {.warmup_target = 0.1, .warmup_steps = Epochs(1)}),
       cosine_decay(0, 48, {.warmup_target = 0.1, .warmup_steps = 12})},
      {cosine_decay_restarts(0.1, Epochs(1)), cosine_decay_restarts(0.1, 12)},
      {one_cycle(0.1, Epochs(5)), one_cycle(0.1, 60)},
      {cyclic(0.1, 0.2, Epochs(0.5)), cyclic(0.1, 0.2, 6)},
      {warm_up(Epochs(1), exponential_decay(0.1, 0.5, Epochs(1))), warm_up(12, exponential_decay(0.1, 0.5, 12))}};
  for (std::size_t i = 0; i < std::size(pairs); ++i)
    for (const double s : {0.0, 1.0, 5.0, 12.0, 13.0, 24.0, 25.0, 36.0, 59.0, 60.0, 61.0, 100.0})
      EXPECT_PRED3(near, at(pairs[i].first, s, steps), at(pairs[i].second, s), 1e-15) << i << " at " << s;
}

TEST(Schedule, InEpochsNeedsToKnowHowLongOneIs) {
  try {
    at(exponential_decay(0.1, 0.5, Epochs(3)), 1, 0);
    FAIL();
  } catch (const RunError& error) {
    EXPECT_NE(std::string(error.what()).find("a schedule in epochs needs to know how many steps an epoch has: fit() "
                                             "says so; without it set the variable steps_per_epoch"),
              std::string::npos)
        << error.what();
  }
}

TEST(Schedule, KnowsItsHorizon) {
  const auto end = [](const Schedule& s) { return s.horizon() ? s.horizon()->count() : -1; };
  EXPECT_EQ(end(piecewise_constant({700, 900}, {0.1, 0.05, 0.01})), 900);
  EXPECT_EQ(end(polynomial_decay(0.1, 50)), 50);
  EXPECT_EQ(end(polynomial_decay(0.1, 50, {.cycle = true})), -1);
  EXPECT_EQ(end(cosine_decay(0, 50, {.warmup_target = 1, .warmup_steps = 5})), 55);
  EXPECT_EQ(end(one_cycle(0.1, Epochs(3))), 3);
  EXPECT_TRUE(one_cycle(0.1, Epochs(3)).horizon()->in_epochs());
  EXPECT_EQ(end(exponential_decay(0.1, 0.5, 10)), -1);
  EXPECT_EQ(end(join(0.1, 10, linear(0, 1, 5))), 15);
  EXPECT_EQ(end(warm_up(10, 0.1)), 10);
  EXPECT_EQ(end(adjustable(linear(0, 1, 5))), 5);
}

TEST(Schedule, IsTurnedDownByAVariable) {
  Graph g("adjustable");
  g.output("rate", adjustable(exponential_decay(0.1, 0.5, 10))(step(g)));
  Interpreter run(g);
  run.evaluate();
  EXPECT_EQ(run.output("rate")[0], 0.1);
  run.set("rate_scale", {Shape{}, std::vector<double>{0.5}});
  run.evaluate();
  EXPECT_EQ(run.output("rate")[0], 0.05);
}

TEST(Schedule, IsExactAtLargeSteps) {
  for (const double step : {2147483648.0, 9007199254740991.0, 9007199254740992.0}) {
    const double rate = std::exp(-20 / step);
    EXPECT_PRED3(near, at(exponential_decay(0.1, rate, 1), step), 0.1 * std::pow(rate, step), 1e-12);
    EXPECT_PRED3(near, at(exponential_decay(0.1, 0.5, step), step), 0.05, 1e-15);
    EXPECT_EQ(at(exponential_decay(0.1, 0.96, 1000), step), 0.0);
    EXPECT_EQ(at(piecewise_constant({static_cast<std::int64_t>(step) - 1}, {0.5, 0.25}), step), 0.25);
    EXPECT_EQ(at(piecewise_constant({static_cast<std::int64_t>(step)}, {0.5, 0.25}), step), 0.5);
    EXPECT_EQ(at(polynomial_decay(0.1, 1000, {.end = 0.01}), step), 0.01);
    EXPECT_PRED3(near, at(polynomial_decay(0.1, 2 * step, {.end = 0.01}), step), 0.055, 1e-15);
    EXPECT_PRED3(near, at(inverse_time_decay(0.1, 1, 1), step), 0.1 / (1 + step), 1e-25);
  }
  // The staircase of 2^31 steps of 3 stands on the right stair.
  EXPECT_PRED3(near, at(inverse_time_decay(1, 1, 3, {.staircase = true}), 2147483647.0), 1 / (1 + 715827882.0), 1e-22);
}

TEST(Schedule, JoinsTwo) {
  const Schedule s = join(linear(0, 0.1, 5), 5, exponential_decay(0.1, 0.5, 10));
  EXPECT_EQ(at(s, 0), 0.0);
  EXPECT_PRED3(near, at(s, 4), 0.08, 1e-15);
  EXPECT_EQ(at(s, 5), 0.1);
  EXPECT_PRED3(near, at(s, 15), 0.05, 1e-15);
}

TEST(Schedule, CanBeOnesOwn) {
  const Schedule square_root = [](Value step) { return 0.5 / sqrt(cast(step, DType::f64) + 1.0); };
  EXPECT_PRED3(near, at(square_root, 3), 0.25, 1e-15);
  EXPECT_FALSE(square_root.number());
  EXPECT_EQ(Schedule(0.25).number(), 0.25);
  EXPECT_EQ(at(0.25, 7), 0.25);
}

TEST(Schedule, RefusesSettingsAtTheCallersLine) {
  const double nan = std::nan("");
  const std::string here = "schedule_test.cpp:";
  const auto expect = [&](const std::string& text, auto f) {
    const std::string error = error_of(f);
    EXPECT_EQ(error.find(here), 0u) << error;
    EXPECT_NE(error.find(text), std::string::npos) << error;
  };
  expect(": schedule: the rate must be finite and at least 0, got nan", [&] { Schedule{nan}; });
  expect(": schedule: the rate must be finite and at least 0, got -0.1", [] { Schedule{-0.1}; });
  expect(": schedule: the rate must be finite and at least 0, got inf", [] { Schedule{HUGE_VAL}; });
  expect(": piecewise_constant: 2 boundaries need 3 values, got 2", [] { piecewise_constant({1, 2}, {0.1, 0.2}); });
  expect(": piecewise_constant: boundaries must ascend, from 0 to 2^53, got [2,2]",
         [] { piecewise_constant({2, 2}, {0.1, 0.2, 0.3}); });
  expect(": piecewise_constant: boundaries must ascend, from 0 to 2^53, got [-1]", [] { piecewise_constant({-1}, {0.1, 0.2}); });
  expect(": piecewise_constant: every value must be finite and at least 0, got -1",
         [] { piecewise_constant({1}, {0.1, -1}); });
  expect(": exponential_decay: decay_steps must be finite and above 0, got 0", [] { exponential_decay(0.1, 0.9, 0); });
  expect(": exponential_decay: decay_rate must be finite and at least 0, got nan",
         [&] { exponential_decay(0.1, nan, 10); });
  expect(": exponential_decay: initial must be finite and at least 0, got -1", [] { exponential_decay(-1, 0.9, 10); });
  expect(": polynomial_decay: power must be finite and above 0, got 0", [] { polynomial_decay(0.1, 10, {.power = 0}); });
  expect(": polynomial_decay: decay_steps must be finite and above 0, got -5", [] { polynomial_decay(0.1, -5); });
  expect(": polynomial_decay: end must be finite and at least 0, got -1", [] { polynomial_decay(0.1, 5, {.end = -1}); });
  expect(": piecewise_constant: boundaries in iterations must be whole, got 1.5",
         [] { piecewise_constant({1.5}, {0.1, 0.2}); });
  expect(": piecewise_constant: times must all be in iterations or all in epochs",
         [] { piecewise_constant({Duration(1), Duration(Epochs(2))}, {0.1, 0.2, 0.3}); });
  expect(": piecewise_constant: boundaries must ascend, from 0 to 2^53, got [nan]",
         [&] { piecewise_constant({nan}, {0.1, 0.2}); });
  expect(": multi_step: factor must be finite and at least 0, got -1", [] { multi_step(0.1, -1, {5}); });
  expect(": step_decay: every must be finite and above 0, got 0", [] { step_decay(0.1, 0.5, 0); });
  expect(": cosine_decay: alpha must lie in [0, 1], got 1.5", [] { cosine_decay(0.1, 10, {.alpha = 1.5}); });
  expect(": cosine_decay: warmup_target and warmup_steps belong together",
         [] { cosine_decay(0.1, 10, {.warmup_steps = 5}); });
  expect(": cosine_decay: times must all be in iterations or all in epochs",
         [] { cosine_decay(0.1, Epochs(10), {.warmup_target = 0.1, .warmup_steps = 5}); });
  expect(": cosine_decay_restarts: t_mul must be 1, or finite and at least 1.01, got 0.5",
         [] { cosine_decay_restarts(0.1, 10, {.t_mul = 0.5}); });
  expect(": cosine_decay_restarts: m_mul must be finite and at least 0, got nan",
         [&] { cosine_decay_restarts(0.1, 10, {.m_mul = nan}); });
  expect(": one_cycle: steps must be at least 2, got 1", [] { one_cycle(0.1, 1); });
  expect(": one_cycle: rise must lie in (0, 0.5), got 0.5",
         [] { one_cycle(0.1, 10, {.rise = 0.5, .three_phase = true}); });
  expect(": one_cycle: div_factor must be finite and above 0, got 0", [] { one_cycle(0.1, 10, {.div_factor = 0}); });
  expect(": one_cycle_momentum: high must lie in [0, 1], got 1.5", [] { one_cycle_momentum(0.8, 1.5, 10); });
  expect(": cyclic: down must be finite and above 0, got 0", [] { cyclic(0.1, 0.2, 4, {.down = 0}); });
  expect(": cyclic: times must all be in iterations or all in epochs",
         [] { cyclic(0.1, 0.2, 4, {.down = Epochs(1)}); });
  expect(": warm_up: from must be finite and at least 0, got -1", [] { warm_up(5, 0.1, -1); });
  expect(": join: the second schedule must start at step 1 or later, got 1.5", [] { join(0.1, 1.5, 0.2); });
  expect(": linear: steps must be finite and above 0, got 0", [] { linear(0, 1, 0); });
  expect(": join: the second schedule must start at step 1 or later, got 0", [] { join(0.1, 0, 0.2); });
}

TEST(Schedule, MustGiveAnExactScalar) {
  Graph g("wrong");
  const Schedule narrow = [](Value step) { return cast(step, DType::f32); };
  const std::string error = error_of([&] { narrow(step(g)); });
  EXPECT_NE(error.find("schedule: it must give a scalar of type f64[], got f32[]"), std::string::npos) << error;
}

}  // namespace
}  // namespace thalweg
