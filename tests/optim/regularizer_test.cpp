// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/regularizer.h"

#include <cmath>

#include "thalweg/graph/autodiff.h"
#include "thalweg/optim/constraint.h"
#include "trajectory.h"

namespace thalweg {
namespace {

using testing::error_of;
using testing::near;
using testing::numbers;

/// The value and gradient of a penalty on `regularizers.x`.
struct Penalized {
  double value;
  std::vector<double> gradient;
};

Penalized penalized(const Regularizer& penalty) {
  Graph g("penalty");
  const Value x = input(g, "x", f64(4));
  const Value value = penalty(x);
  g.output("value", value);
  g.output("gradient", gradients(value, {x}).front());
  Interpreter run(g);
  run.set("x", {Shape{4}, numbers(testing::vectors("regularizers").at("x"))});
  run.evaluate();
  return {run.output("value")[0], run.output("gradient").data};
}

TEST(Regularizer, EqualsTheReference) {
  const auto expect = [](const std::string& key, const Regularizer& penalty) {
    const auto& v = testing::vectors("regularizers").at(key);
    const Penalized got = penalized(penalty);
    EXPECT_PRED3(near, got.value, v.at("value").get<double>(), 1e-12) << key;
    const auto want = numbers(v.at("grad"));
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_PRED3(near, got.gradient[i], want[i], 1e-12) << key;
  };
  expect("l1_0.01", l1(0.01));
  expect("l2_0.01_keras (no 1/2)", l2(0.01));
  expect("l1l2_0.01_0.02", l1_l2(0.01, 0.02));
}

TEST(Regularizer, L2OfHalfIsTorchsWeightDecay) {
  const auto& v = testing::vectors("regularizers").at("torch weight_decay 0.01 == keras L2(0.005)");
  const auto want = numbers(v.at("grad_added"));
  const Penalized got = penalized(l2(0.01 / 2));
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_PRED3(near, got.gradient[i], want[i], 1e-12);
}

TEST(Regularizer, OrthogonalEqualsTheReference) {
  const auto& v = testing::vectors("regularizers").at("orthogonal_rows_0.01");
  Graph g("orthogonal");
  const Value m = constant(g, numbers(v.at("m")), f64(2, 3));
  g.output("rows", orthogonal(0.01)(m));
  g.output("columns", orthogonal(0.01, Between::columns)(constant(g, {1, 0, 2, 3, 2, 4}, f64(3, 2))));
  g.output("single", orthogonal(0.01)(constant(g, {1, 2, 3}, f64(1, 3))));
  Interpreter run(g);
  run.evaluate();
  EXPECT_PRED3(near, run.output("rows")[0], v.at("value").get<double>(), 1e-12);
  // The columns (1, 2, 2) and (0, 3, 4) are the rows of the reference.
  EXPECT_PRED3(near, run.output("columns")[0], v.at("value").get<double>(), 1e-12);
  EXPECT_EQ(run.output("single")[0], 0.0);
}

TEST(Regularizer, ActivityIsDividedByTheSamples) {
  Graph g("activity");
  const Value x = constant(g, {1, -2, 3, -4, 5, -6}, f64(3, 2));
  g.output("l1", activity(x, l1(0.1)));
  g.output("l2", activity(x, l2(0.1)));
  Interpreter run(g);
  run.evaluate();
  EXPECT_PRED3(near, run.output("l1")[0], 0.1 * 21 / 3, 1e-15);
  EXPECT_PRED3(near, run.output("l2")[0], 0.1 * 91 / 3, 1e-15);
}

TEST(Constraint, EqualsTheReference) {
  const auto& v = testing::vectors("constraints_keras");
  const auto expect = [&](const std::string& key, const Constraint& constraint) {
    Graph g("constraint");
    g.output("w", constraint(constant(g, numbers(v.at("m")), f64(2, 3))));
    Interpreter run(g);
    run.evaluate();
    const auto want = numbers(v.at(key));
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_PRED3(near, run.output("w")[i], want[i], 1e-12) << key;
  };
  expect("max_norm_2", max_norm(2));
  expect("max_norm_2", max_norm(2, {.axes = {0}}));
  expect("unit_norm", unit_norm());
  expect("min_max_norm_1_2_rate_0.5", min_max_norm(1, 2, 0.5));

  Graph g("constraint");
  g.output("w", non_neg()(constant(g, {-1, 2, 0, -3}, f64(2, 2))));
  g.output("bias", max_norm(2, {.epsilon = 1e-300})(constant(g, {-3, 1}, f64(2))));
  Interpreter run(g);
  run.evaluate();
  EXPECT_EQ(run.output("w").data, numbers(v.at("non_neg")));
  EXPECT_EQ(run.output("bias").data, (std::vector<double>{-2, 1}));
}

TEST(Regularizer, RefusesALambdaOutOfRange) {
  const auto expect = [](const std::string& text, const std::string& error) {
    EXPECT_EQ(error.find("regularizer_test.cpp:"), 0u) << error;
    EXPECT_NE(error.find(text), std::string::npos) << error;
  };
  expect(": l2: lambda must be finite and at least 0, got -1", error_of([] { l2(-1); }));
  expect(": l1: lambda must be finite and at least 0, got nan", error_of([] { l1(std::nan("")); }));
  expect(": orthogonal: lambda must be finite and at least 0, got -1", error_of([] { orthogonal(-1); }));
  expect(": max_norm: the limit must be finite and at least 0, got -2", error_of([] { max_norm(-2); }));
  expect(": unit_norm: epsilon must be finite and above 0, got 0", error_of([] { unit_norm({.epsilon = 0}); }));
  expect(": min_max_norm: high must be finite and at least 2, got 1", error_of([] { min_max_norm(2, 1); }));
  expect(": min_max_norm: rate must lie in [0, 1], got 2", error_of([] { min_max_norm(1, 2, 2); }));
  Graph g("refused");
  const Value v = variable(g, "v", f64(3), zeros());
  expect(": orthogonal: a penalized variable must be a matrix, is f64[3]", error_of([&] { orthogonal()(v); }));
  expect(": activity: there is no penalty", error_of([&] { activity(v, {}); }));
  expect(": activity: x must have an axis of samples, is f64[]", error_of([&] { activity(sum(v), l1(1)); }));
  expect(": l1_l2: lambda2 must be finite and at least 0, got inf", error_of([] { l1_l2(0, HUGE_VAL); }));
}

}  // namespace
}  // namespace thalweg
