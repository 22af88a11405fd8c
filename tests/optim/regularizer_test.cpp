// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/regularizer.h"

#include <cmath>

#include "thalweg/graph/autodiff.h"
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

TEST(Regularizer, RefusesALambdaOutOfRange) {
  const auto expect = [](const std::string& text, const std::string& error) {
    EXPECT_EQ(error.find("regularizer_test.cpp:"), 0u) << error;
    EXPECT_NE(error.find(text), std::string::npos) << error;
  };
  expect(": l2: lambda must be finite and at least 0, got -1", error_of([] { l2(-1); }));
  expect(": l1: lambda must be finite and at least 0, got nan", error_of([] { l1(std::nan("")); }));
  expect(": l1_l2: lambda2 must be finite and at least 0, got inf", error_of([] { l1_l2(0, HUGE_VAL); }));
}

}  // namespace
}  // namespace thalweg
