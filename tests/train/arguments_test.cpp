// SPDX-License-Identifier: Apache-2.0
// Golden: the whole text of what a user reads who gives training a wrong argument, at the line that gave it. And a
// sweep: no number of any rule, schedule or penalty may be nan or infinite.
#include <gtest/gtest.h>

#include <thalweg/thalweg.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "../graph/message.h"
#include "models.h"

namespace thalweg {
namespace {

using testing::message_of;

const double nan = std::nan("");
constexpr SourceLoc here{"net.cpp", 12};

/// A net whose parts stand in lines 3 and 4 of net.cpp.
struct Net {
  Graph g{"net"};
  Value image = input(g, "image", f32(4, 3), {"net.cpp", 3});
  Value labels = input(g, "labels", i32(4), {"net.cpp", 3});
  Value weight = variable(g, "weight", f32(3, 2), zeros(), {}, {"net.cpp", 4});
  Value scores = matmul(Operand(image, {"net.cpp", 5}), weight);
  Value loss = mean(Operand(sparse_cross_entropy(Operand(scores, {"net.cpp", 6}), labels), {"net.cpp", 6}));

  static Operand at(const Value& value) { return {value, here}; }
  void train(const Optimizer& optimizer, const MinimizeOptions& options = {}) const {
    minimize(loss, optimizer, options, here);
  }
};

struct Row {
  const char* name;
  std::function<void(Net&)> act;
  const char* message;
};

void fit_with(const FitOptions& options) { fit(testing::mlp(4), testing::spiral(12), options, here); }

const std::vector<Row> rows = {
    // schedules
    {"BoundariesUnsorted",
     [](Net&) { piecewise_constant({900, 700}, {0.1, 0.05, 0.01}, Convention::keras, here); },
     "net.cpp:12: piecewise_constant: boundaries must ascend, from 0 to 2^53, got [900,700]"},
    {"ValuesOfTheWrongLength", [](Net&) { piecewise_constant({700, 900}, {0.1, 0.05}, Convention::keras, here); },
     "net.cpp:12: piecewise_constant: 2 boundaries need 3 values, got 2"},
    {"ValueBelowZero", [](Net&) { piecewise_constant({700}, {0.1, -0.05}, Convention::keras, here); },
     "net.cpp:12: piecewise_constant: every value must be finite and at least 0, got -0.05"},
    {"MilestonesUnsorted", [](Net&) { multi_step(0.1, 0.5, {9, 9}, here); },
     "net.cpp:12: multi_step: milestones must ascend, from 0 to 2^53, got [9,9]"},
    {"RateNan", [](Net&) { Schedule(nan, here); },
     "net.cpp:12: schedule: the rate must be finite and at least 0, got nan"},
    {"RateBelowZero", [](Net&) { Schedule(-0.1, here); },
     "net.cpp:12: schedule: the rate must be finite and at least 0, got -0.1"},
    {"NoDecaySteps", [](Net&) { exponential_decay(0.1, 0.96, 0, {}, here); },
     "net.cpp:12: exponential_decay: decay_steps must be finite and above 0, got 0"},
    {"UnitsMixed",
     [](Net&) {
       cosine_decay(0.1, Epochs(10), {.warmup_target = 0.2, .warmup_steps = 100}, here);
     },
     "net.cpp:12: cosine_decay: times must all be in iterations or all in epochs"},
    // update rules
    {"MomentumAboveOne", [](Net& n) { n.train(Sgd{.momentum = 1.5}); },
     "net.cpp:12: sgd: momentum must lie in [0, 1], got 1.5"},
    {"NesterovWithoutMomentum", [](Net& n) { n.train(Sgd{.nesterov = true}); },
     "net.cpp:12: sgd: nesterov needs momentum above 0"},
    {"BetaOne", [](Net& n) { n.train(Adam{.beta1 = 1}); },
     "net.cpp:12: adam: beta1 must lie in [0, 1), got 1"},
    {"GroupOfNothing", [](Net& n) { n.train(Sgd{}, {.groups = {{.of = named("wieght")}}}); },
     "net.cpp:12: minimize: groups[0] has no variable; those that learn are weight"},
    {"LossIsNoScalar", [](Net& n) { minimize(n.scores, Sgd{}, {}, here); },
     "net.cpp:12: minimize: the loss must be a float scalar, got f32[4,2]\n"
     "    %0   f32[4,2]       matmul at net.cpp:5"},
    // penalties, clips, constraints
    {"LambdaBelowZero", [](Net&) { l2(-1e-4, here); },
     "net.cpp:12: l2: lambda must be finite and at least 0, got -0.0001"},
    {"ClipAtZero", [](Net&) { by_global_norm(0, {}, here); },
     "net.cpp:12: by_global_norm: the limit must be finite and above 0, got 0"},
    {"EmaOne", [](Net&) { ema(1, here); }, "net.cpp:12: ema: momentum must lie in [0, 1), got 1"},
    // layers and losses
    {"DropoutOne", [](Net& n) { dropout(n.at(n.image), 1); },
     "net.cpp:12: dropout: rate is 1, must be in [0, 1)"},
    {"DropoutNan", [](Net& n) { dropout(n.at(n.image), nan); },
     "net.cpp:12: dropout: rate is nan, must be in [0, 1)"},
    {"LabelSmoothingOne", [](Net& n) { sparse_cross_entropy(n.at(n.scores), n.labels, {.label_smoothing = 1}); },
     "net.cpp:12: sparse_cross_entropy: label_smoothing is 1, must be in [0, 1)"},
    {"ClassWeightsOfTheWrongLength",
     [](Net& n) { sparse_cross_entropy(n.at(n.scores), n.labels, {.class_weights = {1, 2, 3}}); },
     "net.cpp:12: sparse_cross_entropy: class_weights has 3 numbers, the logits have 2 classes\n"
     "    a  %0   f32[4,2]       matmul at net.cpp:5"},
    {"HuberDeltaZero", [](Net& n) { huber(n.at(n.scores), n.scores, 0); },
     "net.cpp:12: huber: delta is 0, must be finite and above 0"},
    // initializers
    {"StddevBelowZero",
     [](Net& n) { variable(n.g, "v", f32(3), random_normal_init({.stddev = -0.5}), {}, here); },
     "net.cpp:12: variable 'v': attribute stddev is -0.5, must be at least 0"},
    {"IdentityOfAVector", [](Net& n) { variable(n.g, "v", f32(3), identity_init(), {}, here); },
     "net.cpp:12: variable 'v': init=identity needs two axes, not [3]"},
    // fit and its callbacks
    {"PatienceBelowZero", [](Net&) { EarlyStopping({.patience = -1}, here); },
     "net.cpp:12: EarlyStopping: patience is -1, must be 0 or more"},
    {"PatienceOfFitBelowZero", [](Net&) { fit_with({.verbose = 0, .patience = -2}); },
     "net.cpp:12: EarlyStopping: patience is -2, must be 0 or more"},
    {"PlateauFactorOne", [](Net&) { ReduceLROnPlateau({.factor = 1}, here); },
     "net.cpp:12: ReduceLROnPlateau: factor is 1, must be between 0 and 1"},
    {"NoEpochs", [](Net&) { fit_with({.epochs = 0, .verbose = 0}); },
     "net.cpp:12: epochs is 0, must be at least 1"},
    {"BatchBelowZero", [](Net&) { fit_with({.batch = -3, .verbose = 0}); },
     "net.cpp:12: batch is -3, must be 0 (as the graph says), full_batch or more"},
    {"MicroBatchThatDoesNotDivide", [](Net&) { fit_with({.batch = 4, .micro_batch = 3, .verbose = 0}); },
     "net.cpp:12: a batch of 4 samples cannot be cut into micro-batches of 3: it must be a multiple"},
    {"ValidationAboveOne", [](Net&) { fit_with({.validation = 1.5, .verbose = 0}); },
     "net.cpp:12: a validation fraction lies between 0 and 1, and 1.5 was given"},
    {"VerboseUnknown", [](Net&) { fit_with({.verbose = 7}); },
     "net.cpp:12: verbose is 7, must be -1 (by itself), 0 (silent), 1 (a bar) or 2 (a line an epoch)"},
    {"MonitorUnknown", [](Net&) { fit_with({.verbose = 0, .patience = 1, .monitor = "val_los"}); },
     "net.cpp:12: EarlyStopping watches 'val_los', which the history lacks"},
    {"MonitorWithoutPatience", [](Net&) { fit_with({.verbose = 0, .monitor = "loss"}); },
     "net.cpp:12: monitor and min_delta say what patience looks at, and no patience was given"},
    {"MinDeltaNan", [](Net&) { fit_with({.verbose = 0, .patience = 1, .min_delta = nan}); },
     "net.cpp:12: EarlyStopping: min_delta is nan, must be 0 or more"},
};

class Arguments : public ::testing::TestWithParam<Row> {};

TEST_P(Arguments, Message) {
  Net net;
  EXPECT_EQ(message_of([&] { GetParam().act(net); }), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(Wrong, Arguments, ::testing::ValuesIn(rows),
                         [](const auto& row) { return std::string(row.param.name); });

// ---- every number of every rule

struct Setting {
  std::string text;  ///< of the message: `sgd: momentum `
  std::function<Optimizer(double)> with;
};

const std::vector<Setting> settings = {
    {"sgd: momentum ", [](double x) { return Sgd{.momentum = x}; }},
    {"sgd: dampening ",
     [](double x) { return Sgd{.momentum = 0.9, .convention = Convention::torch, .dampening = x}; }},
    {"sgd: weight_decay ", [](double x) { return Sgd{.weight_decay = x}; }},
    {"rmsprop: rho ", [](double x) { return RmsProp{.rho = x}; }},
    {"rmsprop: momentum ", [](double x) { return RmsProp{.momentum = x}; }},
    {"rmsprop: epsilon ", [](double x) { return RmsProp{.epsilon = x}; }},
    {"rmsprop: weight_decay ", [](double x) { return RmsProp{.weight_decay = x}; }},
    {"adagrad: initial ", [](double x) { return Adagrad{.initial = x}; }},
    {"adagrad: epsilon ", [](double x) { return Adagrad{.epsilon = x}; }},
    {"adagrad: rate_decay ", [](double x) { return Adagrad{.rate_decay = x}; }},
    {"adagrad: weight_decay ", [](double x) { return Adagrad{.weight_decay = x}; }},
    {"adadelta: rho ", [](double x) { return Adadelta{.rho = x}; }},
    {"adadelta: epsilon ", [](double x) { return Adadelta{.epsilon = x}; }},
    {"adadelta: weight_decay ", [](double x) { return Adadelta{.weight_decay = x}; }},
    {"adam: beta1 ", [](double x) { return Adam{.beta1 = x}; }},
    {"adam: beta2 ", [](double x) { return Adam{.beta2 = x}; }},
    {"adam: epsilon ", [](double x) { return Adam{.epsilon = x}; }},
    {"adam: weight_decay ", [](double x) { return Adam{.weight_decay = x}; }},
    {"adamw: beta1 ", [](double x) { return AdamW{.beta1 = x}; }},
    {"adamw: beta2 ", [](double x) { return AdamW{.beta2 = x}; }},
    {"adamw: epsilon ", [](double x) { return AdamW{.epsilon = x}; }},
    {"adamw: weight_decay ", [](double x) { return AdamW{.weight_decay = x}; }},
    {"adamax: beta1 ", [](double x) { return Adamax{.beta1 = x}; }},
    {"adamax: beta2 ", [](double x) { return Adamax{.beta2 = x}; }},
    {"adamax: epsilon ", [](double x) { return Adamax{.epsilon = x}; }},
    {"adamax: weight_decay ", [](double x) { return Adamax{.weight_decay = x}; }},
    {"nadam: beta1 ", [](double x) { return Nadam{.beta1 = x}; }},
    {"nadam: beta2 ", [](double x) { return Nadam{.beta2 = x}; }},
    {"nadam: epsilon ", [](double x) { return Nadam{.epsilon = x}; }},
    {"nadam: momentum_decay ", [](double x) { return Nadam{.momentum_decay = x}; }},
    {"nadam: weight_decay ", [](double x) { return Nadam{.weight_decay = x}; }},
    {"radam: beta1 ", [](double x) { return RAdam{.beta1 = x}; }},
    {"radam: beta2 ", [](double x) { return RAdam{.beta2 = x}; }},
    {"radam: epsilon ", [](double x) { return RAdam{.epsilon = x}; }},
    {"radam: weight_decay ", [](double x) { return RAdam{.weight_decay = x}; }},
    {"ftrl: rate_power ", [](double x) { return Ftrl{.rate_power = x}; }},
    {"ftrl: initial ", [](double x) { return Ftrl{.initial = x}; }},
    {"ftrl: l1 ", [](double x) { return Ftrl{.l1 = x}; }},
    {"ftrl: l2 ", [](double x) { return Ftrl{.l2 = x}; }},
    {"ftrl: l2_shrinkage ", [](double x) { return Ftrl{.l2_shrinkage = x}; }},
    {"ftrl: beta ", [](double x) { return Ftrl{.beta = x}; }},
    {"lion: beta1 ", [](double x) { return Lion{.beta1 = x}; }},
    {"lion: beta2 ", [](double x) { return Lion{.beta2 = x}; }},
    {"lion: weight_decay ", [](double x) { return Lion{.weight_decay = x}; }},
    {"rprop: shrink ", [](double x) { return Rprop{.shrink = x}; }},
    {"rprop: grow ", [](double x) { return Rprop{.grow = x}; }},
    {"rprop: smallest ", [](double x) { return Rprop{.smallest = x}; }},
    {"rprop: largest ", [](double x) { return Rprop{.largest = x}; }},
    {"lamb: beta1 ", [](double x) { return Lamb{.beta1 = x}; }},
    {"lamb: beta2 ", [](double x) { return Lamb{.beta2 = x}; }},
    {"lamb: epsilon ", [](double x) { return Lamb{.epsilon = x}; }},
    {"lamb: weight_decay ", [](double x) { return Lamb{.weight_decay = x}; }},
    {"lars: momentum ", [](double x) { return Lars{.momentum = x}; }},
    {"lars: weight_decay ", [](double x) { return Lars{.weight_decay = x}; }},
    {"lars: trust ", [](double x) { return Lars{.trust = x}; }},
    {"lars: epsilon ", [](double x) { return Lars{.epsilon = x}; }},
    {"adafactor: beta2_decay ", [](double x) { return Adafactor{.beta2_decay = x}; }},
    {"adafactor: epsilon1 ", [](double x) { return Adafactor{.epsilon1 = x}; }},
    {"adafactor: epsilon2 ", [](double x) { return Adafactor{.epsilon2 = x}; }},
    {"adafactor: clip_threshold ", [](double x) { return Adafactor{.clip_threshold = x}; }},
    {"adafactor: weight_decay ", [](double x) { return Adafactor{.weight_decay = x}; }},
    {"muon: momentum ", [](double x) { return Muon{.momentum = x}; }},
    {"muon: rms_rate ", [](double x) { return Muon{.rms_rate = x}; }},
    {"muon: weight_decay ", [](double x) { return Muon{.weight_decay = x}; }},
    {"schedule_free_adamw: beta1 ", [](double x) { return ScheduleFreeAdamW{.beta1 = x}; }},
    {"schedule_free_adamw: beta2 ", [](double x) { return ScheduleFreeAdamW{.beta2 = x}; }},
    {"schedule_free_adamw: epsilon ", [](double x) { return ScheduleFreeAdamW{.epsilon = x}; }},
    {"schedule_free_adamw: weight_decay ", [](double x) { return ScheduleFreeAdamW{.weight_decay = x}; }},
    {"schedule_free_sgd: momentum ", [](double x) { return ScheduleFreeSgd{.momentum = x}; }},
    {"schedule_free_sgd: weight_decay ", [](double x) { return ScheduleFreeSgd{.weight_decay = x}; }},
};

/// nan and both infinities; what `text` should begin is refused for each, and the graph stays as it was.
void expect_refused(const std::string& text, const std::function<void(double)>& act) {
  for (const double x : {nan, HUGE_VAL, -HUGE_VAL}) {
    const std::string message = message_of([&] { act(x); });
    EXPECT_TRUE(message.starts_with("net.cpp:12: " + text)) << x << ": " << message;
  }
}

TEST(Settings, OfUpdateRulesAreFinite) {
  for (const Setting& setting : settings) {
    const Net net;
    const std::size_t before = net.g.size();
    expect_refused(setting.text, [&](double x) { net.train(setting.with(x)); });
    EXPECT_EQ(net.g.size(), before) << setting.text;
  }
}

TEST(Settings, OfSchedulesAreFinite) {
  using Convention::keras;
  const std::vector<std::pair<std::string, std::function<void(double)>>> all = {
      {"piecewise_constant: ", [](double x) { piecewise_constant({x}, {0.1, 0.2}, keras, here); }},
      {"piecewise_constant: every value ", [](double x) { piecewise_constant({5}, {0.1, x}, keras, here); }},
      {"multi_step: initial ", [](double x) { multi_step(x, 0.1, {5}, here); }},
      {"multi_step: factor ", [](double x) { multi_step(0.1, x, {5}, here); }},
      {"step_decay: initial ", [](double x) { step_decay(x, 0.5, 5, here); }},
      {"step_decay: factor ", [](double x) { step_decay(0.1, x, 5, here); }},
      {"step_decay: every ", [](double x) { step_decay(0.1, 0.5, x, here); }},
      {"exponential_decay: initial ", [](double x) { exponential_decay(x, 0.9, 5, {}, here); }},
      {"exponential_decay: decay_rate ", [](double x) { exponential_decay(0.1, x, 5, {}, here); }},
      {"exponential_decay: decay_steps ", [](double x) { exponential_decay(0.1, 0.9, x, {}, here); }},
      {"inverse_time_decay: initial ", [](double x) { inverse_time_decay(x, 0.9, 5, {}, here); }},
      {"inverse_time_decay: decay_rate ", [](double x) { inverse_time_decay(0.1, x, 5, {}, here); }},
      {"inverse_time_decay: decay_steps ", [](double x) { inverse_time_decay(0.1, 0.9, x, {}, here); }},
      {"polynomial_decay: initial ", [](double x) { polynomial_decay(x, 5, {}, here); }},
      {"polynomial_decay: decay_steps ", [](double x) { polynomial_decay(0.1, x, {}, here); }},
      {"polynomial_decay: end ", [](double x) { polynomial_decay(0.1, 5, {.end = x}, here); }},
      {"polynomial_decay: power ", [](double x) { polynomial_decay(0.1, 5, {.power = x}, here); }},
      {"linear: initial ", [](double x) { linear(x, 0.1, 5, here); }},
      {"linear: target ", [](double x) { linear(0.1, x, 5, here); }},
      {"linear: steps ", [](double x) { linear(0.1, 0.2, x, here); }},
      {"cosine_decay: initial ", [](double x) { cosine_decay(x, 5, {}, here); }},
      {"cosine_decay: decay_steps ", [](double x) { cosine_decay(0.1, x, {}, here); }},
      {"cosine_decay: alpha ", [](double x) { cosine_decay(0.1, 5, {.alpha = x}, here); }},
      {"cosine_decay: warmup_target ",
       [](double x) { cosine_decay(0.1, 5, {.warmup_target = x, .warmup_steps = 5}, here); }},
      {"cosine_decay: warmup_steps ",
       [](double x) { cosine_decay(0.1, 5, {.warmup_target = 0.2, .warmup_steps = x}, here); }},
      {"cosine_decay_restarts: initial ", [](double x) { cosine_decay_restarts(x, 5, {}, here); }},
      {"cosine_decay_restarts: first_decay_steps ", [](double x) { cosine_decay_restarts(0.1, x, {}, here); }},
      {"cosine_decay_restarts: t_mul ", [](double x) { cosine_decay_restarts(0.1, 5, {.t_mul = x}, here); }},
      {"cosine_decay_restarts: m_mul ", [](double x) { cosine_decay_restarts(0.1, 5, {.m_mul = x}, here); }},
      {"cosine_decay_restarts: alpha ", [](double x) { cosine_decay_restarts(0.1, 5, {.alpha = x}, here); }},
      {"one_cycle: greatest ", [](double x) { one_cycle(x, 9, {}, here); }},
      {"one_cycle: steps ", [](double x) { one_cycle(0.1, x, {}, here); }},
      {"one_cycle: rise ", [](double x) { one_cycle(0.1, 9, {.rise = x}, here); }},
      {"one_cycle: div_factor ", [](double x) { one_cycle(0.1, 9, {.div_factor = x}, here); }},
      {"one_cycle: final_div_factor ", [](double x) { one_cycle(0.1, 9, {.final_div_factor = x}, here); }},
      {"one_cycle_momentum: low ", [](double x) { one_cycle_momentum(x, 0.9, 9, {}, here); }},
      {"one_cycle_momentum: high ", [](double x) { one_cycle_momentum(0.8, x, 9, {}, here); }},
      {"cyclic: low ", [](double x) { cyclic(x, 0.2, 4, {}, here); }},
      {"cyclic: high ", [](double x) { cyclic(0.1, x, 4, {}, here); }},
      {"cyclic: up ", [](double x) { cyclic(0.1, 0.2, x, {}, here); }},
      {"cyclic: down ", [](double x) { cyclic(0.1, 0.2, 4, {.down = x}, here); }},
      {"cyclic: factor ",
       [](double x) { cyclic(0.1, 0.2, 4, {.shape = CycleShape::exp_range, .factor = x}, here); }},
      {"join: ", [](double x) { join(0.1, x, 0.2, here); }},
      {"warm_up: steps ", [](double x) { warm_up(x, 0.1, 0, here); }},
      {"warm_up: from ", [](double x) { warm_up(5, 0.1, x, here); }},
      {"ema: momentum ", [](double x) { ema(x, here); }},
  };
  for (const auto& [text, act] : all) expect_refused(text, act);
}

TEST(Settings, OfPenaltiesClipsAndConstraintsAreFinite) {
  const std::vector<std::pair<std::string, std::function<void(double)>>> all = {
      {"l1: lambda ", [](double x) { l1(x, here); }},
      {"l2: lambda ", [](double x) { l2(x, here); }},
      {"l1_l2: lambda1 ", [](double x) { l1_l2(x, 0, here); }},
      {"l1_l2: lambda2 ", [](double x) { l1_l2(0, x, here); }},
      {"orthogonal: lambda ", [](double x) { orthogonal(x, Between::rows, here); }},
      {"by_value: the limit ", [](double x) { by_value(x, here); }},
      {"by_norm: the limit ", [](double x) { by_norm(x, here); }},
      {"by_global_norm: the limit ", [](double x) { by_global_norm(x, {}, here); }},
      {"max_norm: the limit ", [](double x) { max_norm(x, {}, here); }},
      {"max_norm: epsilon ", [](double x) { max_norm(1, {.epsilon = x}, here); }},
      {"unit_norm: epsilon ", [](double x) { unit_norm({.epsilon = x}, here); }},
      {"min_max_norm: low ", [](double x) { min_max_norm(x, 2, 1, {}, here); }},
      {"min_max_norm: high ", [](double x) { min_max_norm(1, x, 1, {}, here); }},
      {"min_max_norm: rate ", [](double x) { min_max_norm(1, 2, x, {}, here); }},
      {"minimize: weight_decay ", [](double x) { Net().train(Sgd{}, {.weight_decay = x}); }},
      {"minimize: loss_scale: initial ", [](double x) { Net().train(Sgd{}, {.loss_scale = LossScale{.initial = x}}); }},
      {"minimize: the rate of groups[0] ",
       [](double x) { Net().train(Sgd{}, {.groups = {{.of = named("weight"), .rate = x}}}); }},
  };
  for (const auto& [text, act] : all) expect_refused(text, act);
}

}  // namespace
}  // namespace thalweg
