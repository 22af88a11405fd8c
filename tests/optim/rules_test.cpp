// SPDX-License-Identifier: Apache-2.0
// The update rules that other files do not cover, against the reference trajectories, in double.
#include <cmath>

#include "thalweg/optim/adafactor.h"
#include "thalweg/optim/adam.h"
#include "thalweg/optim/adaptive.h"
#include "thalweg/optim/layerwise.h"
#include "thalweg/optim/muon.h"
#include "thalweg/optim/schedule_free.h"
#include "thalweg/optim/sgd.h"
#include "thalweg/optim/sign.h"
#include "thalweg/ops/movement.h"
#include "trajectory.h"

namespace thalweg {
namespace {

using testing::error_of;
using testing::expect_slot;
using testing::expect_trajectory;
using testing::expect_variable;
using testing::numbers;
using testing::vectors;

constexpr Convention torch = Convention::torch;
constexpr Convention optax = Convention::optax;

TEST(Nadam, FollowsItsTrajectories) {
  expect_trajectory("nadam_keras", Nadam{.rate = 0.01});
  expect_trajectory("nadam_torch", Nadam{.rate = 0.01, .convention = torch});
  expect_slot("nadam_torch", Nadam{.rate = 0.01, .convention = torch}, "v", "v");
  expect_variable("nadam_keras", Nadam{.rate = 0.01}, "nadam/mu_product", "u_product");
  expect_variable("nadam_torch", Nadam{.rate = 0.01, .convention = torch}, "nadam/mu_product", "mu_product");
}

TEST(RAdam, FollowsItsTrajectories) {
  expect_trajectory("radam_torch", RAdam{.rate = 0.01});
  expect_trajectory("radam_torch_b2_0.9", RAdam{.rate = 0.01, .beta2 = 0.9});
  expect_trajectory("radam_torch_decoupled_wd",
                    RAdam{.rate = 0.01, .beta2 = 0.9, .weight_decay = 0.1, .decoupled = true});
}

TEST(Adagrad, SlowsAndDecaysAsTorch) {
  expect_trajectory("adagrad_torch_lrdecay_wd",
                    Adagrad{.rate = 0.1, .convention = torch, .initial = 0.1, .rate_decay = 0.1, .weight_decay = 0.01});
}

TEST(Ftrl, FollowsItsTrajectories) {
  expect_trajectory("ftrl_keras", Ftrl{.rate = 0.1});
  const Ftrl all{.rate = 0.1, .l1 = 0.05, .l2 = 0.01, .l2_shrinkage = 0.02, .beta = 0.1};
  expect_trajectory("ftrl_keras_l1_l2_shrink_beta", all);
  expect_slot("ftrl_keras_l1_l2_shrink_beta", all, "accumulator", "accumulator");
  expect_slot("ftrl_keras_l1_l2_shrink_beta", all, "linear", "linear");
}

TEST(Lion, FollowsItsTrajectories) {
  expect_trajectory("lion_keras", Lion{.rate = 0.01});
  expect_trajectory("lion_wd", Lion{.rate = 0.01, .weight_decay = 0.1});
  expect_slot("lion_keras", Lion{.rate = 0.01}, "m", "m");
}

TEST(Rprop, FollowsItsTrajectory) {
  expect_trajectory("rprop_torch", Rprop{.rate = 0.01});
  expect_slot("rprop_torch", Rprop{.rate = 0.01}, "step_size", "step_size");
  expect_slot("rprop_torch", Rprop{.rate = 0.01}, "previous", "prev");
}

TEST(Lamb, FollowsItsTrajectories) {
  expect_trajectory("lamb_keras", Lamb{.rate = 0.01});
  expect_trajectory("lamb_paper_optax_tinygrad", Lamb{.rate = 0.01, .convention = optax, .weight_decay = 0.1});
  expect_slot("lamb_keras", Lamb{.rate = 0.01}, "v", "v");
}

TEST(Lars, FollowsItsTrajectories) {
  expect_trajectory("lars_optax", Lars{.weight_decay = 1e-4});
  expect_trajectory("lars_paper_tinygrad", Lars{.weight_decay = 1e-4, .separate_norms = true});
  expect_slot("lars_optax", Lars{.weight_decay = 1e-4}, "velocity", "trace");
}

TEST(ScheduleFree, FollowsItsTrajectories) {
  expect_trajectory("schedule_free_adamw_reference", ScheduleFreeAdamW{});
  expect_trajectory("schedule_free_adamw_reference_warmup_wd",
                    ScheduleFreeAdamW{.rate = linear(0.0025 / 3, 0.0025, 2), .weight_decay = 0.1});
  expect_trajectory("schedule_free_adamw_keras", ScheduleFreeAdamW{.convention = Convention::keras});
  expect_trajectory("schedule_free_sgd_reference", ScheduleFreeSgd{.rate = 0.1});
  for (const auto& [key, name] : {std::pair("z", "schedule_free_adamw/z/w"), std::pair("x", "average/w"),
                                  std::pair("exp_avg_sq", "schedule_free_adamw/v/w")})
    expect_variable("schedule_free_adamw_reference_warmup_wd",
                    ScheduleFreeAdamW{.rate = linear(0.0025 / 3, 0.0025, 2), .weight_decay = 0.1}, name, key);
  expect_variable("schedule_free_sgd_reference", ScheduleFreeSgd{.rate = 0.1}, "average/w", "x");
}

/// As expect_trajectory, for the 2x3 matrices of `matrix_optimizers`.
void expect_matrix_trajectory(const std::string& entry, const Optimizer& optimizer,
                              const std::vector<std::pair<std::string, std::string>>& slots) {
  SCOPED_TRACE(entry);
  Graph g("matrix");
  const Value w = variable(g, "w", f64(2, 3), zeros());
  minimize(sum(w * input(g, "g", f64(2, 3))), optimizer);
  const auto& expected = vectors("matrix_optimizers").at(entry);
  const auto& meta = vectors("meta");
  testing::run_updates(g, Shape{2, 3}, meta.at("matrix_param_w0"), meta.at("matrix_grads"),
                       [&](const Interpreter& run, std::size_t i) {
    SCOPED_TRACE("step " + std::to_string(i));
    testing::expect_numbers(run.variable("w").data, numbers(expected.at("trajectory").at(i)), 1e-12);
    if (i + 1 < expected.at("trajectory").size()) return;
    for (const auto& [slot, key] : slots)
      testing::expect_numbers(run.variable(optimizer.name() + "/" + slot + "/w").data,
                              numbers(expected.at("final_slots").at(key)), 1e-12);
  });
}

TEST(Adafactor, FollowsItsTrajectories) {
  expect_trajectory("adafactor_keras_vector", Adafactor{.rate = 0.01});
  expect_slot("adafactor_keras_vector", Adafactor{.rate = 0.01}, "v", "v");
  expect_matrix_trajectory("adafactor_keras_2x3", Adafactor{.rate = 0.01}, {{"rows", "r"}, {"columns", "c"}});
  expect_matrix_trajectory("adafactor_torch_2x3", Adafactor{.convention = torch},
                           {{"rows", "row_var"}, {"columns", "col_var"}});
}

TEST(Muon, FollowsItsTrajectories) {
  expect_matrix_trajectory("muon_keras", Muon{.rate = 0.02}, {{"momentum", "momentum"}});
  expect_matrix_trajectory("muon_torch_original", Muon{.rate = 0.02, .convention = torch},
                           {{"momentum", "momentum_buffer"}});
  expect_matrix_trajectory("muon_torch_match_rms_adamw", Muon{.rate = 0.02, .rms_rate = 0.2, .convention = torch},
                           {{"momentum", "momentum_buffer"}});
}

TEST(Muon, MakesMatricesOrthogonal) {
  const auto& v = vectors("matrix_optimizers").at("newton_schulz5_of_first_grad");
  const std::vector<double> in = numbers(v.at("in"));
  double norm = 0;
  for (const double x : in) norm += x * x;
  norm = std::sqrt(norm) + 1e-7;
  Graph g("orthogonal");
  const Value x = constant(g, in, f64(2, 3)) / norm;
  g.output("wide", newton_schulz(x));
  g.output("tall", newton_schulz(transpose(x)));
  Interpreter run(g);
  run.evaluate();
  testing::expect_numbers(run.output("wide").data, numbers(v.at("out")), 1e-12);
  testing::expect_numbers(run.output("tall").data, numbers(v.at("out_transposed_input")), 1e-12);
}

TEST(Muon, LeavesVectorsToAdamW) {
  // Keras' AdamW with Muon's rate and decay.
  expect_trajectory("adamw_keras", Muon{.rate = 0.01});
}

TEST(Rules, StandStillWithoutAGradient) {
  const Optimizer all[] = {Sgd{.momentum = 0.9},       Adam{},      Nadam{},  RAdam{},
                           Adagrad{},                  Adadelta{},  RmsProp{}, Adamax{},
                           Lion{},                     Rprop{},     Lamb{},   Lars{},
                           ScheduleFreeAdamW{},        ScheduleFreeSgd{},     Adafactor{},
                           Muon{.weight_decay = 0}};
  for (const Optimizer& optimizer : all) {
    SCOPED_TRACE(optimizer.name());
    for (const TensorType& type : {f64(3), f64(2, 3), f64()}) {
      Graph g("still");
      const Value w = variable(g, "w", type, filled(0.5));
      minimize(sum(w * constant(g, 0, type)), optimizer);
      Interpreter run(g);
      for (int i = 0; i < 3; ++i) run.step();
      for (const double x : run.variable("w").data) EXPECT_NEAR(x, 0.5, 1e-15);
    }
  }
}

TEST(Rules, MinimizeABowlInF64) {
  struct Row {
    Optimizer optimizer;
    double within;
  };
  const Row rows[] = {{Nadam{.rate = 0.05}, 1e-3},       {RAdam{.rate = 0.1}, 1e-2},  {Lion{.rate = 0.01}, 0.02},
                      {Rprop{}, 1e-4},                   {Lamb{.rate = 0.01}, 0.05},  {Lars{.rate = 10}, 0.05},
                      {ScheduleFreeAdamW{.rate = 0.1}, 1e-2},  {ScheduleFreeSgd{.rate = 0.1}, 1e-2},
                      {Adafactor{.rate = 0.05}, 0.1},    {Muon{.rate = 0.05, .weight_decay = 0}, 0.1}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.optimizer.name());
    Graph g("bowl");
    const Value w = variable(g, "w", f64(2, 2), filled(3));
    const Value target = constant(g, {1, -2, 0.5, 2}, f64(2, 2));
    minimize(sum(square(w - target)), row.optimizer);
    Interpreter run(g);
    for (int i = 0; i < 800; ++i) run.step();
    const std::vector<double> want = {1, -2, 0.5, 2};
    for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(run.variable("w")[k], want[k], row.within);
  }
}

TEST(Rules, RefuseSettingsOutOfRange) {
  const double nan = std::nan("");
  const auto with = [](const Optimizer& optimizer) {
    testing::Prescribed p;
    const std::string error = error_of([&] { minimize(p.loss, optimizer); });
    EXPECT_EQ(error.rfind("rules_test.cpp:", 0), 0u) << error;
    return error.substr(std::min(error.size(), error.find(' ') + 1));
  };
  EXPECT_EQ(with(Nadam{.momentum_decay = -1}), "nadam: momentum_decay must be finite and at least 0, got -1");
  EXPECT_EQ(with(Nadam{.convention = optax}), "nadam: the convention must be keras or torch, got optax");
  EXPECT_EQ(with(RAdam{.beta2 = 1}), "radam: beta2 must lie in [0, 1), got 1");
  EXPECT_EQ(with(Ftrl{.rate_power = 0.5}), "ftrl: rate_power must be finite and at most 0, got 0.5");
  EXPECT_EQ(with(Ftrl{.rate = 0}), "ftrl: the rate must be above 0");
  EXPECT_EQ(with(Lion{.beta1 = nan}), "lion: beta1 must lie in [0, 1], got nan");
  EXPECT_EQ(with(Rprop{.shrink = 1}), "rprop: shrink must lie in (0, 1), got 1");
  EXPECT_EQ(with(Rprop{.grow = 1}), "rprop: grow must be finite and above 1, got 1");
  EXPECT_EQ(with(Rprop{.smallest = 1, .largest = 0.5}), "rprop: largest must be finite and at least 1, got 0.5");
  EXPECT_EQ(with(Lamb{.convention = torch}), "lamb: the convention must be keras or optax, got torch");
  EXPECT_EQ(with(Lars{.momentum = 1.5}), "lars: momentum must lie in [0, 1], got 1.5");
  EXPECT_EQ(with(Lars{.trust = 0}), "lars: trust must be finite and above 0, got 0");
  EXPECT_EQ(with(ScheduleFreeAdamW{.beta1 = 0}), "schedule_free_adamw: beta1 must lie in (0, 1), got 0");
  EXPECT_EQ(with(ScheduleFreeSgd{.momentum = 1}), "schedule_free_sgd: momentum must lie in (0, 1), got 1");
  EXPECT_EQ(with(Adafactor{.beta2_decay = 0}), "adafactor: beta2_decay must lie in [-1, 0), got 0");
  EXPECT_EQ(with(Adafactor{.relative_step = false, .convention = torch}),
            "adafactor: relative_step = false belongs to the convention keras");
  EXPECT_EQ(with(Muon{.momentum = 1}), "muon: momentum must lie in [0, 1), got 1");
  EXPECT_EQ(with(Muon{.steps = 0}), "muon: steps must lie in [1, 100], got 0");
}

}  // namespace
}  // namespace thalweg
