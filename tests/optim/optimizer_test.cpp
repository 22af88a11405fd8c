// SPDX-License-Identifier: Apache-2.0
// The update rules against the reference trajectories, in double.
#include "thalweg/ops/matmul.h"
#include "thalweg/optim/adam.h"
#include "thalweg/optim/sgd.h"
#include "trajectory.h"

namespace thalweg {
namespace {

using testing::expect_slot;
using testing::expect_trajectory;
using testing::stepped_rate;

constexpr Convention torch = Convention::torch;
constexpr Convention optax = Convention::optax;

TEST(Sgd, FollowsItsTrajectories) {
  expect_trajectory("sgd", Sgd{.rate = 0.1});
  expect_trajectory("sgd_momentum_keras", Sgd{.rate = 0.1, .momentum = 0.9});
  expect_trajectory("sgd_momentum_torch", Sgd{.rate = 0.1, .momentum = 0.9, .convention = torch});
  expect_trajectory("sgd_nesterov_keras", Sgd{.rate = 0.1, .momentum = 0.9, .nesterov = true});
  expect_trajectory("sgd_nesterov_torch", Sgd{.rate = 0.1, .momentum = 0.9, .nesterov = true, .convention = torch});
  expect_trajectory("sgd_momentum_dampening_torch",
                    Sgd{.rate = 0.1, .momentum = 0.9, .convention = torch, .dampening = 0.5});
  expect_trajectory("sgd_momentum_cntk_unit_gain", Sgd{.rate = 0.1, .momentum = 0.9, .unit_gain = true});
  expect_trajectory("sgd_momentum_cntk_unit_gain",
                    Sgd{.rate = 0.1, .momentum = 0.9, .convention = torch, .unit_gain = true});
}

TEST(Sgd, PutsTheRateWhereTheConventionSays) {
  expect_trajectory("sgd_momentum_keras_lrsched", Sgd{.rate = stepped_rate(), .momentum = 0.9});
  expect_trajectory("sgd_momentum_torch_lrsched", Sgd{.rate = stepped_rate(), .momentum = 0.9, .convention = torch});
  expect_trajectory("sgd_nesterov_keras_lrsched", Sgd{.rate = stepped_rate(), .momentum = 0.9, .nesterov = true});
  expect_trajectory("sgd_nesterov_torch_lrsched",
                    Sgd{.rate = stepped_rate(), .momentum = 0.9, .nesterov = true, .convention = torch});
}

TEST(Sgd, DecaysWeightsByConvention) {
  expect_trajectory("sgd_weight_decay_keras", Sgd{.rate = 0.1, .momentum = 0.9, .weight_decay = 0.01});
  expect_trajectory("sgd_weight_decay_torch",
                    Sgd{.rate = 0.1, .momentum = 0.9, .convention = torch, .weight_decay = 0.01});
}

TEST(Sgd, KeepsTheVelocityInItsSlot) {
  expect_slot("sgd_momentum_keras", Sgd{.rate = 0.1, .momentum = 0.9}, "velocity", "velocity");
  expect_slot("sgd_momentum_dampening_torch", Sgd{.rate = 0.1, .momentum = 0.9, .convention = torch, .dampening = 0.5},
              "velocity", "momentum_buffer");
}

TEST(Adam, FollowsItsTrajectories) {
  expect_trajectory("adam_keras", Adam{.rate = 0.01});
  expect_trajectory("adam_torch", Adam{.rate = 0.01, .convention = torch});
  expect_trajectory("adam_torch", Adam{.rate = 0.01, .convention = optax});
  expect_trajectory("adam_keras_bigeps", Adam{.rate = 0.01, .epsilon = 0.1});
  expect_trajectory("adam_torch_bigeps", Adam{.rate = 0.01, .epsilon = 0.1, .convention = torch});
  expect_trajectory("adam_l2_torch", Adam{.rate = 0.01, .convention = torch, .weight_decay = 0.1});
  expect_trajectory("adam_mlx_default_no_bias_correction",
                    Adam{.rate = 0.01, .epsilon = 1e-8, .bias_correction = false});
  expect_slot("adam_keras", Adam{.rate = 0.01}, "m", "m");
  expect_slot("adam_torch", Adam{.rate = 0.01, .convention = torch}, "v", "v");
}

TEST(Adam, TakesTheGreatestMomentForAmsgrad) {
  expect_trajectory("amsgrad_keras", Adam{.rate = 0.01, .beta2 = 0.9, .amsgrad = true});
  expect_trajectory("amsgrad_torch", Adam{.rate = 0.01, .beta2 = 0.9, .convention = torch, .amsgrad = true});
  expect_trajectory("amsgrad_optax", Adam{.rate = 0.01, .beta2 = 0.9, .convention = optax, .amsgrad = true});
  expect_slot("amsgrad_optax", Adam{.rate = 0.01, .beta2 = 0.9, .convention = optax, .amsgrad = true}, "vhat",
              "nu_max");
}

TEST(Adam, DecouplesWeightDecay) {
  expect_trajectory("adamw_keras", AdamW{.rate = 0.01});
  expect_trajectory("adamw_keras", Adam{.rate = 0.01, .weight_decay = 0.004});
  expect_trajectory("adamw_torch", AdamW{.rate = 0.01, .convention = torch});
  expect_trajectory("adamw_keras_lrsched", AdamW{.rate = stepped_rate()});
  expect_trajectory("adamw_torch_lrsched", AdamW{.rate = stepped_rate(), .convention = torch});
}

TEST(Adam, CorrectsNothingForABetaOfZero) {
  // With both betas 0, Adam is rate · g / (|g| + epsilon): a step of one rate, whatever t is.
  testing::Prescribed p;
  minimize(p.loss, Adam{.rate = 0.5, .beta1 = 0, .beta2 = 0});
  Interpreter run(p.graph);
  run.set("g", {Shape{3}, std::vector<double>{2, -4, 8}});
  run.step();
  EXPECT_NEAR(run.variable("w")[0], -0.5, 1e-6);
  EXPECT_NEAR(run.variable("w")[1], 0.5, 1e-6);
}

/// The size of Adam's update at a step, for a gradient that was 1 all along (m and v at their limits c1 and c2).
double update_at(double step, double m, double v) {
  testing::Prescribed p;
  minimize(p.loss, Adam{.rate = 1, .convention = torch});
  Interpreter run(p.graph);
  run.set("step", {Shape{}, std::vector<double>{step}});
  run.set("g", {Shape{3}, std::vector<double>{1, 1, 1}});
  run.set("adam/m/w", {Shape{3}, std::vector<double>(3, m)});
  run.set("adam/v/w", {Shape{3}, std::vector<double>(3, v)});
  run.step();
  return -run.variable("w")[0];
}

TEST(Adam, CountsStepsInIntegersBeyondFloats) {
  // m = v = g² = 1 stays so; beta^t is 0: the update is 1 / (1 + 1e-8).
  for (const double step : {16777217.0, 2147483646.0, 9007199254740991.0})
    EXPECT_PRED3(testing::near, update_at(step, 1, 1), 1 / (1 + 1e-8), 1e-12) << step;
}

TEST(Nesterov, EqualsTheLookAheadForm) {
  const auto& v = testing::vectors("nag_equivalence");
  Graph g("quadratic");
  const Value x = variable(g, "x", f64(3, 1), zeros());
  const Value a = constant(g, testing::numbers(v.at("A")), f64(3, 3));
  const Value b = constant(g, testing::numbers(v.at("b")), f64(3, 1));
  const Value loss = 0.5 * sum(x * matmul(a, x)) - sum(b * x);
  minimize(loss, Sgd{.rate = v.at("lr").get<double>(), .momentum = v.at("momentum").get<double>(), .nesterov = true});
  g.output("loss", loss);
  Interpreter run(g);
  // The textbook's φ and the variable θ = φ + μv start together: the first velocity is 0.
  run.set("x", {Shape{3, 1}, testing::numbers(v.at("x0"))});
  for (std::size_t i = 0; i < v.at("keras_form_theta").size(); ++i) {
    run.step();
    const auto theta = testing::numbers(v.at("keras_form_theta").at(i));
    const auto ahead = testing::numbers(v.at("lookahead_form").at(i).at("phi_plus_mu_v"));
    for (std::size_t k = 0; k < 3; ++k) {
      EXPECT_PRED3(testing::near, run.variable("x")[k], theta[k], 1e-12);
      EXPECT_PRED3(testing::near, run.variable("x")[k], ahead[k], 1e-12);
    }
    run.evaluate();
    EXPECT_PRED3(testing::near, run.output("loss")[0], v.at("f_values_keras").at(i).get<double>(), 1e-12);
  }
}

}  // namespace
}  // namespace thalweg
