// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/schedule.h"

#include <cmath>

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

void expect_entry(const std::string& entry, const Schedule& schedule) {
  const auto& v = testing::vectors("schedules").at(entry);
  const auto steps = testing::numbers(v.at("steps")), rates = testing::numbers(v.at("lr"));
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
