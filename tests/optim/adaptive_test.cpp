// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/adaptive.h"

#include "trajectory.h"

namespace thalweg {
namespace {

using testing::error_of;
using testing::expect_slot;
using testing::expect_trajectory;
using testing::stepped_rate;

constexpr Convention torch = Convention::torch;

TEST(Adagrad, FollowsItsTrajectories) {
  expect_trajectory("adagrad_keras", Adagrad{.rate = 0.1});
  expect_trajectory("adagrad_torch", Adagrad{.rate = 0.1, .convention = torch});
  expect_slot("adagrad_keras", Adagrad{.rate = 0.1}, "accumulator", "accumulator");
}

TEST(Adadelta, FollowsItsTrajectories) {
  expect_trajectory("adadelta_keras", Adadelta{.rate = 1.0});
  expect_trajectory("adadelta_torch", Adadelta{.rate = 1.0, .rho = 0.9, .epsilon = 1e-6});
  expect_slot("adadelta_keras", Adadelta{.rate = 1.0}, "accumulated_delta", "accumulated_delta");
}

TEST(RmsProp, FollowsItsTrajectories) {
  expect_trajectory("rmsprop_keras", RmsProp{.rate = 0.01});
  expect_trajectory("rmsprop_torch", RmsProp{.rate = 0.01, .convention = torch});
  expect_trajectory("rmsprop_centered_keras", RmsProp{.rate = 0.01, .centered = true});
  expect_trajectory("rmsprop_centered_torch", RmsProp{.rate = 0.01, .centered = true, .convention = torch});
  expect_trajectory("rmsprop_momentum_keras", RmsProp{.rate = 0.01, .momentum = 0.9});
  expect_trajectory("rmsprop_momentum_torch", RmsProp{.rate = 0.01, .momentum = 0.9, .convention = torch});
  expect_trajectory("rmsprop_centered_momentum_keras", RmsProp{.rate = 0.01, .momentum = 0.9, .centered = true});
  expect_trajectory("rmsprop_centered_momentum_torch",
                    RmsProp{.rate = 0.01, .momentum = 0.9, .centered = true, .convention = torch});
}

TEST(RmsProp, PutsTheRateWhereTheConventionSays) {
  expect_trajectory("rmsprop_centered_momentum_keras_lrsched",
                    RmsProp{.rate = stepped_rate(), .momentum = 0.9, .centered = true});
  expect_trajectory("rmsprop_momentum_torch_lrsched",
                    RmsProp{.rate = stepped_rate(), .momentum = 0.9, .convention = torch});
}

TEST(Adamax, FollowsItsTrajectories) {
  expect_trajectory("adamax_keras", Adamax{.rate = 0.01});
  expect_trajectory("adamax_torch", Adamax{.rate = 0.01, .convention = torch});
  expect_slot("adamax_torch", Adamax{.rate = 0.01, .convention = torch}, "u", "u");
}

TEST(Adaptive, RefusesSettingsOutOfRange) {
  const auto with = [](const Optimizer& optimizer) {
    testing::Prescribed p;
    const std::string error = error_of([&] { minimize(p.loss, optimizer); });
    return error.substr(std::min(error.size(), error.find(' ') + 1));
  };
  EXPECT_EQ(with(Adagrad{.initial = -1}), "adagrad: initial must be finite and at least 0, got -1");
  EXPECT_EQ(with(Adadelta{.rho = 1}), "adadelta: rho must lie in [0, 1), got 1");
  EXPECT_EQ(with(RmsProp{.momentum = 2}), "rmsprop: momentum must lie in [0, 1], got 2");
  EXPECT_EQ(with(RmsProp{.epsilon = 0}), "rmsprop: epsilon must be finite and above 0, got 0");
  EXPECT_EQ(with(Adamax{.beta2 = 1}), "adamax: beta2 must lie in [0, 1), got 1");
  EXPECT_EQ(with(Adamax{.convention = Convention::optax}), "adamax: the convention must be keras or torch, got optax");
}

}  // namespace
}  // namespace thalweg
