// SPDX-License-Identifier: Apache-2.0
// An optimizer, a schedule and a penalty of one's own, without touching the library, in at most 20 lines each.
#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "trajectory.h"

namespace thalweg {
namespace {

// ---- example: begin

/// Lion (Chen et al. 2023): the sign of a blend of momentum and gradient.
struct Lion {
  static constexpr std::string_view name = "lion";
  Schedule rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.99;

  Value next(Value w, Value dw, Slots& slots) const {
    const Value m = slots.slot("m");
    slots.update(m, beta2 * m + (1 - beta2) * dw);
    return w - slots.rate(rate) * sign(beta1 * m + (1 - beta1) * dw);
  }
};

/// From 0 to `peak` in `steps` updates, then 1/√step.
Schedule warm_up(double peak, double steps) {
  return [=](Value step) {
    const Value t = cast(step, DType::f64) / steps;
    return peak * min(t, 1.0 / sqrt(max(t, 1.0)));
  };
}

/// A penalty on weights beyond 1.
Value beyond_one(Value w) { return 0.5 * sum(square(max(abs(w) - 1.0, 0.0))); }

// ---- example: end

TEST(Own, OptimizerFollowsTheReference) {
  testing::expect_trajectory("lion_keras", Lion{.rate = 0.01});
  testing::expect_slot("lion_keras", Lion{.rate = 0.01}, "m", "m");
}

TEST(Own, ALambdaIsAnOptimizer) {
  testing::expect_trajectory("sgd", [](Value w, Value dw, Slots&) { return w - 0.1 * dw; });
}

TEST(Own, ScheduleAndPenaltyWorkInMinimize) {
  Graph g("own");
  const Value w = variable(g, "w", f64(2, 2), filled(2));
  const Minimized m = minimize(sum(w), Lion{.rate = warm_up(0.1, 4)}, {.penalty = beyond_one});
  g.output("loss", m.loss);
  g.output("rate", m.rate);
  Interpreter run(g);
  const std::vector<double> rates = {0, 0.025, 0.05, 0.075, 0.1, 0.1 / std::sqrt(5.0 / 4)};
  double at = 2;
  for (const double rate : rates) {
    run.step();
    EXPECT_PRED3(testing::near, run.output("rate")[0], rate, 1e-12);
    EXPECT_PRED3(testing::near, run.output("loss")[0], 4 * at + 2 * (at - 1) * (at - 1), 1e-12);
    at -= rate;
    EXPECT_PRED3(testing::near, run.variable("w")[0], at, 1e-12);
  }
}

TEST(Own, EachTakesAtMostTwentyLines) {
  const char* const source = std::getenv("THALWEG_SOURCE");
  if (source == nullptr) GTEST_SKIP() << "THALWEG_SOURCE is not set";
  std::ifstream file(std::string(source) + "/tests/optim/own_test.cpp");
  std::vector<int> lines;  // of each example: they begin with a `///`, and empty lines are counted
  for (std::string line; std::getline(file, line) && !line.ends_with("example: end");) {
    if (line.starts_with("/// ")) lines.push_back(0);
    if (!lines.empty()) ++lines.back();
  }
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_LE(*std::max_element(lines.begin(), lines.end()), 20);
}

}  // namespace
}  // namespace thalweg
