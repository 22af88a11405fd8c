// SPDX-License-Identifier: Apache-2.0
// Golden: the whole text of what a user reads who gives training a wrong argument, at the line that gave it: a row for
// each argument of each rule, schedule, penalty, clip, constraint, layer, loss, metric, initializer, augmentation and
// callback. A test reads the headers, so that no option is without one.
#include <gtest/gtest.h>

#include <fmt/format.h>
#include <thalweg/thalweg.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "../graph/message.h"
#include "models.h"

namespace thalweg {
namespace {

using testing::message_of;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr SourceLoc here{"net.cpp", 12};

/// A net whose parts stand in lines 3 to 6 of net.cpp, and whatever else an argument may be given with.
struct Net {
  Graph g{"net"};
  Value image = input(g, "image", f32(4, 3), {"net.cpp", 3});
  Value labels = input(g, "labels", i32(4), {"net.cpp", 3});
  Value target = input(g, "target", f32(4, 2), {"net.cpp", 3});
  Value picture = input(g, "picture", f32(4, 8, 8, 3), {"net.cpp", 3});
  Value frames = input(g, "frames", f32(4, 5, 3), {"net.cpp", 3});
  Value spelling = input(g, "spelling", i32(4, 2), {"net.cpp", 3});
  Value weight = variable(g, "weight", f32(3, 2), zeros(), {}, {"net.cpp", 4});
  Rbm machine = rbm(Operand(image, {"net.cpp", 4}), 5);
  Value scores = matmul(Operand(image, {"net.cpp", 5}), weight);
  Value loss = mean(Operand(sparse_cross_entropy(Operand(scores, {"net.cpp", 6}), labels), {"net.cpp", 6}));

  static Operand at(const Value& value) { return {value, here}; }
  void train(const Optimizer& optimizer, const MinimizeOptions& options = {}) const {
    minimize(loss, optimizer, options, here);
  }
};

void fit_with(const FitOptions& options) { fit(testing::mlp(4), testing::spiral(12), options, here); }
void evaluate_with(const RunOptions& options) {
  const Graph g = testing::mlp(4);
  Variables variables;
  for (const NodeId id : g.variables()) variables.ensure(g, id);
  evaluate(g, variables, testing::spiral(12), options, here);
}
void pretrain_with(const PretrainOptions& options) {
  Dataset data;
  data.inputs = Tensor(f32(4, 2), std::vector<double>{0, 1, 1, 0, 0.5, 0.5, 1, 1});
  pretrain(data, options, here);
}

/// An argument, the numbers that it must not take, and the whole text that says so: `{}` stands for the number.
struct Row {
  const char* name;  ///< `Struct_member` or `function_argument`, and what is wrong where that is not the number
  std::vector<double> wrong;
  void (*give)(Net&, double);
  const char* message;
};

/// These, and what no real number may be.
std::vector<double> real(std::vector<double> also = {}) {
  also.insert(also.end(), {nan, infinity, -infinity});
  return also;
}

const std::vector<Row> all_rows = {
    // update rules
    {"Sgd_momentum", real({-0.1, 1.5}), [](Net& n, double x) { n.train(Sgd{.momentum = x}); },
     "net.cpp:12: sgd: momentum must lie in [0, 1], got {}"},
    {"Sgd_dampening", real({-0.1, 1.5}),
     [](Net& n, double x) { n.train(Sgd{.momentum = 0.9, .convention = Convention::torch, .dampening = x}); },
     "net.cpp:12: sgd: dampening must lie in [0, 1], got {}"},
    {"Sgd_weight_decay", real({-0.1}), [](Net& n, double x) { n.train(Sgd{.weight_decay = x}); },
     "net.cpp:12: sgd: weight_decay must be finite and at least 0, got {}"},
    {"RmsProp_rho", real({-0.1, 1}), [](Net& n, double x) { n.train(RmsProp{.rho = x}); },
     "net.cpp:12: rmsprop: rho must lie in [0, 1), got {}"},
    {"RmsProp_momentum", real({-0.1, 1.5}), [](Net& n, double x) { n.train(RmsProp{.momentum = x}); },
     "net.cpp:12: rmsprop: momentum must lie in [0, 1], got {}"},
    {"RmsProp_epsilon", real({0, -0.1}), [](Net& n, double x) { n.train(RmsProp{.epsilon = x}); },
     "net.cpp:12: rmsprop: epsilon must be finite and above 0, got {}"},
    {"RmsProp_weight_decay", real({-0.1}), [](Net& n, double x) { n.train(RmsProp{.weight_decay = x}); },
     "net.cpp:12: rmsprop: weight_decay must be finite and at least 0, got {}"},
    {"Adagrad_initial", real({-0.1}), [](Net& n, double x) { n.train(Adagrad{.initial = x}); },
     "net.cpp:12: adagrad: initial must be finite and at least 0, got {}"},
    {"Adagrad_epsilon", real({0, -0.1}), [](Net& n, double x) { n.train(Adagrad{.epsilon = x}); },
     "net.cpp:12: adagrad: epsilon must be finite and above 0, got {}"},
    {"Adagrad_rate_decay", real({-0.1}), [](Net& n, double x) { n.train(Adagrad{.rate_decay = x}); },
     "net.cpp:12: adagrad: rate_decay must be finite and at least 0, got {}"},
    {"Adagrad_weight_decay", real({-0.1}), [](Net& n, double x) { n.train(Adagrad{.weight_decay = x}); },
     "net.cpp:12: adagrad: weight_decay must be finite and at least 0, got {}"},
    {"Adadelta_rho", real({-0.1, 1}), [](Net& n, double x) { n.train(Adadelta{.rho = x}); },
     "net.cpp:12: adadelta: rho must lie in [0, 1), got {}"},
    {"Adadelta_epsilon", real({0, -0.1}), [](Net& n, double x) { n.train(Adadelta{.epsilon = x}); },
     "net.cpp:12: adadelta: epsilon must be finite and above 0, got {}"},
    {"Adadelta_weight_decay", real({-0.1}), [](Net& n, double x) { n.train(Adadelta{.weight_decay = x}); },
     "net.cpp:12: adadelta: weight_decay must be finite and at least 0, got {}"},
    {"Adam_beta1", real({-0.1, 1}), [](Net& n, double x) { n.train(Adam{.beta1 = x}); },
     "net.cpp:12: adam: beta1 must lie in [0, 1), got {}"},
    {"Adam_beta2", real({-0.1, 1}), [](Net& n, double x) { n.train(Adam{.beta2 = x}); },
     "net.cpp:12: adam: beta2 must lie in [0, 1), got {}"},
    {"Adam_epsilon", real({0, -0.1}), [](Net& n, double x) { n.train(Adam{.epsilon = x}); },
     "net.cpp:12: adam: epsilon must be finite and above 0, got {}"},
    {"Adam_weight_decay", real({-0.1}), [](Net& n, double x) { n.train(Adam{.weight_decay = x}); },
     "net.cpp:12: adam: weight_decay must be finite and at least 0, got {}"},
    {"AdamW_beta1", real({-0.1, 1}), [](Net& n, double x) { n.train(AdamW{.beta1 = x}); },
     "net.cpp:12: adamw: beta1 must lie in [0, 1), got {}"},
    {"AdamW_beta2", real({-0.1, 1}), [](Net& n, double x) { n.train(AdamW{.beta2 = x}); },
     "net.cpp:12: adamw: beta2 must lie in [0, 1), got {}"},
    {"AdamW_epsilon", real({0, -0.1}), [](Net& n, double x) { n.train(AdamW{.epsilon = x}); },
     "net.cpp:12: adamw: epsilon must be finite and above 0, got {}"},
    {"AdamW_weight_decay", real({-0.1}), [](Net& n, double x) { n.train(AdamW{.weight_decay = x}); },
     "net.cpp:12: adamw: weight_decay must be finite and at least 0, got {}"},
    {"Adamax_beta1", real({-0.1, 1}), [](Net& n, double x) { n.train(Adamax{.beta1 = x}); },
     "net.cpp:12: adamax: beta1 must lie in [0, 1), got {}"},
    {"Adamax_beta2", real({-0.1, 1}), [](Net& n, double x) { n.train(Adamax{.beta2 = x}); },
     "net.cpp:12: adamax: beta2 must lie in [0, 1), got {}"},
    {"Adamax_epsilon", real({0, -0.1}), [](Net& n, double x) { n.train(Adamax{.epsilon = x}); },
     "net.cpp:12: adamax: epsilon must be finite and above 0, got {}"},
    {"Adamax_weight_decay", real({-0.1}), [](Net& n, double x) { n.train(Adamax{.weight_decay = x}); },
     "net.cpp:12: adamax: weight_decay must be finite and at least 0, got {}"},
    {"Nadam_beta1", real({-0.1, 1}), [](Net& n, double x) { n.train(Nadam{.beta1 = x}); },
     "net.cpp:12: nadam: beta1 must lie in [0, 1), got {}"},
    {"Nadam_beta2", real({-0.1, 1}), [](Net& n, double x) { n.train(Nadam{.beta2 = x}); },
     "net.cpp:12: nadam: beta2 must lie in [0, 1), got {}"},
    {"Nadam_epsilon", real({0, -0.1}), [](Net& n, double x) { n.train(Nadam{.epsilon = x}); },
     "net.cpp:12: nadam: epsilon must be finite and above 0, got {}"},
    {"Nadam_weight_decay", real({-0.1}), [](Net& n, double x) { n.train(Nadam{.weight_decay = x}); },
     "net.cpp:12: nadam: weight_decay must be finite and at least 0, got {}"},
    {"RAdam_beta1", real({-0.1, 1}), [](Net& n, double x) { n.train(RAdam{.beta1 = x}); },
     "net.cpp:12: radam: beta1 must lie in [0, 1), got {}"},
    {"RAdam_beta2", real({-0.1, 1}), [](Net& n, double x) { n.train(RAdam{.beta2 = x}); },
     "net.cpp:12: radam: beta2 must lie in [0, 1), got {}"},
    {"RAdam_epsilon", real({0, -0.1}), [](Net& n, double x) { n.train(RAdam{.epsilon = x}); },
     "net.cpp:12: radam: epsilon must be finite and above 0, got {}"},
    {"RAdam_weight_decay", real({-0.1}), [](Net& n, double x) { n.train(RAdam{.weight_decay = x}); },
     "net.cpp:12: radam: weight_decay must be finite and at least 0, got {}"},
    {"Lamb_beta1", real({-0.1, 1}), [](Net& n, double x) { n.train(Lamb{.beta1 = x}); },
     "net.cpp:12: lamb: beta1 must lie in [0, 1), got {}"},
    {"Lamb_beta2", real({-0.1, 1}), [](Net& n, double x) { n.train(Lamb{.beta2 = x}); },
     "net.cpp:12: lamb: beta2 must lie in [0, 1), got {}"},
    {"Lamb_epsilon", real({0, -0.1}), [](Net& n, double x) { n.train(Lamb{.epsilon = x}); },
     "net.cpp:12: lamb: epsilon must be finite and above 0, got {}"},
    {"Lamb_weight_decay", real({-0.1}), [](Net& n, double x) { n.train(Lamb{.weight_decay = x}); },
     "net.cpp:12: lamb: weight_decay must be finite and at least 0, got {}"},
    {"Nadam_momentum_decay", real({-0.1}), [](Net& n, double x) { n.train(Nadam{.momentum_decay = x}); },
     "net.cpp:12: nadam: momentum_decay must be finite and at least 0, got {}"},
    {"Ftrl_rate_power", real({0.1}), [](Net& n, double x) { n.train(Ftrl{.rate_power = x}); },
     "net.cpp:12: ftrl: rate_power must be finite and at most 0, got {}"},
    {"Ftrl_initial", real({0, -0.1}), [](Net& n, double x) { n.train(Ftrl{.initial = x}); },
     "net.cpp:12: ftrl: initial must be finite and above 0, got {}"},
    {"Ftrl_l1", real({-0.1}), [](Net& n, double x) { n.train(Ftrl{.l1 = x}); },
     "net.cpp:12: ftrl: l1 must be finite and at least 0, got {}"},
    {"Ftrl_l2", real({-0.1}), [](Net& n, double x) { n.train(Ftrl{.l2 = x}); },
     "net.cpp:12: ftrl: l2 must be finite and at least 0, got {}"},
    {"Ftrl_l2_shrinkage", real({-0.1}), [](Net& n, double x) { n.train(Ftrl{.l2_shrinkage = x}); },
     "net.cpp:12: ftrl: l2_shrinkage must be finite and at least 0, got {}"},
    {"Ftrl_beta", real({-0.1}), [](Net& n, double x) { n.train(Ftrl{.beta = x}); },
     "net.cpp:12: ftrl: beta must be finite and at least 0, got {}"},
    {"Lion_beta1", real({-0.1, 1.5}), [](Net& n, double x) { n.train(Lion{.beta1 = x}); },
     "net.cpp:12: lion: beta1 must lie in [0, 1], got {}"},
    {"Lion_beta2", real({-0.1, 1}), [](Net& n, double x) { n.train(Lion{.beta2 = x}); },
     "net.cpp:12: lion: beta2 must lie in [0, 1), got {}"},
    {"Lion_weight_decay", real({-0.1}), [](Net& n, double x) { n.train(Lion{.weight_decay = x}); },
     "net.cpp:12: lion: weight_decay must be finite and at least 0, got {}"},
    {"Rprop_shrink", real({0, 1}), [](Net& n, double x) { n.train(Rprop{.shrink = x}); },
     "net.cpp:12: rprop: shrink must lie in (0, 1), got {}"},
    {"Rprop_grow", real({1}), [](Net& n, double x) { n.train(Rprop{.grow = x}); },
     "net.cpp:12: rprop: grow must be finite and above 1, got {}"},
    {"Rprop_smallest", real({0, -0.1}), [](Net& n, double x) { n.train(Rprop{.smallest = x}); },
     "net.cpp:12: rprop: smallest must be finite and above 0, got {}"},
    {"Rprop_largest", real({1e-9}), [](Net& n, double x) { n.train(Rprop{.largest = x}); },
     "net.cpp:12: rprop: largest must be finite and at least 1e-06, got {}"},
    {"Lars_momentum", real({-0.1, 1.5}), [](Net& n, double x) { n.train(Lars{.momentum = x}); },
     "net.cpp:12: lars: momentum must lie in [0, 1], got {}"},
    {"Lars_weight_decay", real({-0.1}), [](Net& n, double x) { n.train(Lars{.weight_decay = x}); },
     "net.cpp:12: lars: weight_decay must be finite and at least 0, got {}"},
    {"Lars_trust", real({0, -0.1}), [](Net& n, double x) { n.train(Lars{.trust = x}); },
     "net.cpp:12: lars: trust must be finite and above 0, got {}"},
    {"Lars_epsilon", real({-0.1}), [](Net& n, double x) { n.train(Lars{.epsilon = x}); },
     "net.cpp:12: lars: epsilon must be finite and at least 0, got {}"},
    {"Adafactor_beta2_decay", real({0, -1.5}), [](Net& n, double x) { n.train(Adafactor{.beta2_decay = x}); },
     "net.cpp:12: adafactor: beta2_decay must lie in [-1, 0), got {}"},
    {"Adafactor_epsilon1", real({0, -0.1}), [](Net& n, double x) { n.train(Adafactor{.epsilon1 = x}); },
     "net.cpp:12: adafactor: epsilon1 must be finite and above 0, got {}"},
    {"Adafactor_epsilon2", real({0, -0.1}), [](Net& n, double x) { n.train(Adafactor{.epsilon2 = x}); },
     "net.cpp:12: adafactor: epsilon2 must be finite and above 0, got {}"},
    {"Adafactor_clip_threshold", real({0, -0.1}), [](Net& n, double x) { n.train(Adafactor{.clip_threshold = x}); },
     "net.cpp:12: adafactor: clip_threshold must be finite and above 0, got {}"},
    {"Adafactor_weight_decay", real({-0.1}), [](Net& n, double x) { n.train(Adafactor{.weight_decay = x}); },
     "net.cpp:12: adafactor: weight_decay must be finite and at least 0, got {}"},
    {"Muon_momentum", real({-0.1, 1}), [](Net& n, double x) { n.train(Muon{.momentum = x}); },
     "net.cpp:12: muon: momentum must lie in [0, 1), got {}"},
    {"Muon_rms_rate", real({0, -0.1}), [](Net& n, double x) { n.train(Muon{.rms_rate = x}); },
     "net.cpp:12: muon: rms_rate must be finite and above 0, got {}"},
    {"Muon_weight_decay", real({-0.1}), [](Net& n, double x) { n.train(Muon{.weight_decay = x}); },
     "net.cpp:12: muon: weight_decay must be finite and at least 0, got {}"},
    {"Muon_steps", {0, 101}, [](Net& n, double x) { n.train(Muon{.steps = static_cast<int>(x)}); },
     "net.cpp:12: muon: steps must lie in [1, 100], got {}"},
    {"ScheduleFreeAdamW_beta1", real({0, 1}), [](Net& n, double x) { n.train(ScheduleFreeAdamW{.beta1 = x}); },
     "net.cpp:12: schedule_free_adamw: beta1 must lie in (0, 1), got {}"},
    {"ScheduleFreeAdamW_beta2", real({-0.1, 1}), [](Net& n, double x) { n.train(ScheduleFreeAdamW{.beta2 = x}); },
     "net.cpp:12: schedule_free_adamw: beta2 must lie in [0, 1), got {}"},
    {"ScheduleFreeAdamW_epsilon", real({0, -0.1}), [](Net& n, double x) { n.train(ScheduleFreeAdamW{.epsilon = x}); },
     "net.cpp:12: schedule_free_adamw: epsilon must be finite and above 0, got {}"},
    {"ScheduleFreeAdamW_weight_decay", real({-0.1}),
     [](Net& n, double x) { n.train(ScheduleFreeAdamW{.weight_decay = x}); },
     "net.cpp:12: schedule_free_adamw: weight_decay must be finite and at least 0, got {}"},
    {"ScheduleFreeSgd_momentum", real({0, 1}), [](Net& n, double x) { n.train(ScheduleFreeSgd{.momentum = x}); },
     "net.cpp:12: schedule_free_sgd: momentum must lie in (0, 1), got {}"},
    {"ScheduleFreeSgd_weight_decay", real({-0.1}),
     [](Net& n, double x) { n.train(ScheduleFreeSgd{.weight_decay = x}); },
     "net.cpp:12: schedule_free_sgd: weight_decay must be finite and at least 0, got {}"},
    {"Sgd_nesterov_alone", {0}, [](Net& n, double) { n.train(Sgd{.nesterov = true}); },
     "net.cpp:12: sgd: nesterov needs momentum above 0"},
    {"Sgd_nesterov_dampened", {0},
     [](Net& n, double) {
       n.train(Sgd{.momentum = 0.9, .nesterov = true, .convention = Convention::torch, .dampening = 0.5});
     },
     "net.cpp:12: sgd: nesterov and dampening exclude each other"},
    {"Sgd_dampening_of_keras", {0}, [](Net& n, double) { n.train(Sgd{.momentum = 0.9, .dampening = 0.5}); },
     "net.cpp:12: sgd: dampening belongs to the convention torch"},
    {"Sgd_unit_gain_alone", {0}, [](Net& n, double) { n.train(Sgd{.unit_gain = true}); },
     "net.cpp:12: sgd: unit_gain needs momentum above 0"},
    {"Sgd_convention", {0}, [](Net& n, double) { n.train(Sgd{.convention = Convention::optax}); },
     "net.cpp:12: sgd: the convention must be keras or torch, got optax"},
    {"Lamb_convention", {0}, [](Net& n, double) { n.train(Lamb{.convention = Convention::torch}); },
     "net.cpp:12: lamb: the convention must be keras or optax, got torch"},
    {"Adafactor_relative_step", {0},
     [](Net& n, double) { n.train(Adafactor{.relative_step = false, .convention = Convention::torch}); },
     "net.cpp:12: adafactor: relative_step = false belongs to the convention keras"},
    {"Ftrl_rate", {0}, [](Net& n, double) { n.train(Ftrl{.rate = 0}); },
     "net.cpp:12: ftrl: the rate must be above 0"},
    // schedules
    {"Schedule_number", real({-0.1}), [](Net&, double x) { Schedule(x, here); },
     "net.cpp:12: schedule: the rate must be finite and at least 0, got {}"},
    {"piecewise_constant_boundary", real({-1}),
     [](Net&, double x) { piecewise_constant({x}, {0.1, 0.2}, Convention::keras, here); },
     "net.cpp:12: piecewise_constant: boundaries must ascend, from 0 to 2^53, got [{}]"},
    {"piecewise_constant_unsorted", {700},
     [](Net&, double x) { piecewise_constant({900, x}, {0.1, 0.05, 0.01}, Convention::keras, here); },
     "net.cpp:12: piecewise_constant: boundaries must ascend, from 0 to 2^53, got [900,{}]"},
    {"piecewise_constant_broken", {7.5},
     [](Net&, double x) { piecewise_constant({x}, {0.1, 0.05}, Convention::keras, here); },
     "net.cpp:12: piecewise_constant: boundaries in iterations must be whole, got {}"},
    {"piecewise_constant_value", real({-0.05}),
     [](Net&, double x) { piecewise_constant({5}, {0.1, x}, Convention::keras, here); },
     "net.cpp:12: piecewise_constant: every value must be finite and at least 0, got {}"},
    {"piecewise_constant_length", {0},
     [](Net&, double) { piecewise_constant({700, 900}, {0.1, 0.05}, Convention::keras, here); },
     "net.cpp:12: piecewise_constant: 2 boundaries need 3 values, got 2"},
    {"piecewise_constant_units", {0},
     [](Net&, double) { piecewise_constant({700, Epochs(9)}, {0.1, 0.05, 0.01}, Convention::keras, here); },
     "net.cpp:12: piecewise_constant: times must all be in iterations or all in epochs"},
    {"multi_step_initial", real({-0.1}), [](Net&, double x) { multi_step(x, 0.1, {5}, here); },
     "net.cpp:12: multi_step: initial must be finite and at least 0, got {}"},
    {"multi_step_factor", real({-0.1}), [](Net&, double x) { multi_step(0.1, x, {5}, here); },
     "net.cpp:12: multi_step: factor must be finite and at least 0, got {}"},
    {"multi_step_milestones", {9}, [](Net&, double x) { multi_step(0.1, 0.5, {9, x}, here); },
     "net.cpp:12: multi_step: milestones must ascend, from 0 to 2^53, got [9,{}]"},
    {"step_decay_initial", real({-0.1}), [](Net&, double x) { step_decay(x, 0.5, 5, here); },
     "net.cpp:12: step_decay: initial must be finite and at least 0, got {}"},
    {"step_decay_factor", real({-0.1}), [](Net&, double x) { step_decay(0.1, x, 5, here); },
     "net.cpp:12: step_decay: factor must be finite and at least 0, got {}"},
    {"step_decay_every", real({0, -1}), [](Net&, double x) { step_decay(0.1, 0.5, x, here); },
     "net.cpp:12: step_decay: every must be finite and above 0, got {}"},
    {"exponential_decay_initial", real({-0.1}), [](Net&, double x) { exponential_decay(x, 0.9, 5, {}, here); },
     "net.cpp:12: exponential_decay: initial must be finite and at least 0, got {}"},
    {"exponential_decay_decay_rate", real({-0.1}), [](Net&, double x) { exponential_decay(0.1, x, 5, {}, here); },
     "net.cpp:12: exponential_decay: decay_rate must be finite and at least 0, got {}"},
    {"exponential_decay_decay_steps", real({0, -1}), [](Net&, double x) { exponential_decay(0.1, 0.9, x, {}, here); },
     "net.cpp:12: exponential_decay: decay_steps must be finite and above 0, got {}"},
    {"inverse_time_decay_initial", real({-0.1}), [](Net&, double x) { inverse_time_decay(x, 0.9, 5, {}, here); },
     "net.cpp:12: inverse_time_decay: initial must be finite and at least 0, got {}"},
    {"inverse_time_decay_decay_rate", real({-0.1}), [](Net&, double x) { inverse_time_decay(0.1, x, 5, {}, here); },
     "net.cpp:12: inverse_time_decay: decay_rate must be finite and at least 0, got {}"},
    {"inverse_time_decay_decay_steps", real({0, -1}), [](Net&, double x) { inverse_time_decay(0.1, 0.9, x, {}, here); },
     "net.cpp:12: inverse_time_decay: decay_steps must be finite and above 0, got {}"},
    {"polynomial_decay_initial", real({-0.1}), [](Net&, double x) { polynomial_decay(x, 5, {}, here); },
     "net.cpp:12: polynomial_decay: initial must be finite and at least 0, got {}"},
    {"polynomial_decay_decay_steps", real({0}), [](Net&, double x) { polynomial_decay(0.1, x, {}, here); },
     "net.cpp:12: polynomial_decay: decay_steps must be finite and above 0, got {}"},
    {"PolynomialOptions_end", real({-0.1}), [](Net&, double x) { polynomial_decay(0.1, 5, {.end = x}, here); },
     "net.cpp:12: polynomial_decay: end must be finite and at least 0, got {}"},
    {"PolynomialOptions_power", real({0, -1}), [](Net&, double x) { polynomial_decay(0.1, 5, {.power = x}, here); },
     "net.cpp:12: polynomial_decay: power must be finite and above 0, got {}"},
    {"linear_initial", real({-0.1}), [](Net&, double x) { linear(x, 0.1, 5, here); },
     "net.cpp:12: linear: initial must be finite and at least 0, got {}"},
    {"linear_target", real({-0.1}), [](Net&, double x) { linear(0.1, x, 5, here); },
     "net.cpp:12: linear: target must be finite and at least 0, got {}"},
    {"linear_steps", real({0}), [](Net&, double x) { linear(0.1, 0.2, x, here); },
     "net.cpp:12: linear: steps must be finite and above 0, got {}"},
    {"cosine_decay_initial", real({-0.1}), [](Net&, double x) { cosine_decay(x, 5, {}, here); },
     "net.cpp:12: cosine_decay: initial must be finite and at least 0, got {}"},
    {"cosine_decay_decay_steps", real({0}), [](Net&, double x) { cosine_decay(0.1, x, {}, here); },
     "net.cpp:12: cosine_decay: decay_steps must be finite and above 0, got {}"},
    {"CosineOptions_alpha", real({-0.1, 1.5}), [](Net&, double x) { cosine_decay(0.1, 5, {.alpha = x}, here); },
     "net.cpp:12: cosine_decay: alpha must lie in [0, 1], got {}"},
    {"CosineOptions_warmup_target", real({-0.1}),
     [](Net&, double x) { cosine_decay(0.1, 5, {.warmup_target = x, .warmup_steps = 5}, here); },
     "net.cpp:12: cosine_decay: warmup_target must be finite and at least 0, got {}"},
    {"CosineOptions_warmup_steps", real({-1}),
     [](Net&, double x) { cosine_decay(0.1, 5, {.warmup_target = 0.2, .warmup_steps = x}, here); },
     "net.cpp:12: cosine_decay: warmup_steps must be finite and at least 0, got {}"},
    {"CosineOptions_warmup_alone", {0}, [](Net&, double) { cosine_decay(0.1, 5, {.warmup_steps = 5}, here); },
     "net.cpp:12: cosine_decay: warmup_target and warmup_steps belong together"},
    {"CosineOptions_units", {0},
     [](Net&, double) { cosine_decay(0.1, Epochs(10), {.warmup_target = 0.2, .warmup_steps = 100}, here); },
     "net.cpp:12: cosine_decay: times must all be in iterations or all in epochs"},
    {"cosine_decay_restarts_initial", real({-0.1}), [](Net&, double x) { cosine_decay_restarts(x, 5, {}, here); },
     "net.cpp:12: cosine_decay_restarts: initial must be finite and at least 0, got {}"},
    {"cosine_decay_restarts_first_decay_steps", real({0}),
     [](Net&, double x) { cosine_decay_restarts(0.1, x, {}, here); },
     "net.cpp:12: cosine_decay_restarts: first_decay_steps must be finite and above 0, got {}"},
    {"RestartsOptions_t_mul", real({0.5, 1.001}),
     [](Net&, double x) { cosine_decay_restarts(0.1, 5, {.t_mul = x}, here); },
     "net.cpp:12: cosine_decay_restarts: t_mul must be 1, or finite and at least 1.01, got {}"},
    {"RestartsOptions_m_mul", real({-0.1}), [](Net&, double x) { cosine_decay_restarts(0.1, 5, {.m_mul = x}, here); },
     "net.cpp:12: cosine_decay_restarts: m_mul must be finite and at least 0, got {}"},
    {"RestartsOptions_alpha", real({-0.1, 1.5}),
     [](Net&, double x) { cosine_decay_restarts(0.1, 5, {.alpha = x}, here); },
     "net.cpp:12: cosine_decay_restarts: alpha must lie in [0, 1], got {}"},
    {"one_cycle_greatest", real({-0.1}), [](Net&, double x) { one_cycle(x, 9, {}, here); },
     "net.cpp:12: one_cycle: greatest must be finite and at least 0, got {}"},
    {"one_cycle_steps", real({0}), [](Net&, double x) { one_cycle(0.1, x, {}, here); },
     "net.cpp:12: one_cycle: steps must be finite and above 0, got {}"},
    {"one_cycle_too_few_steps", {1}, [](Net&, double x) { one_cycle(0.1, x, {}, here); },
     "net.cpp:12: one_cycle: steps must be at least 2, got {}"},
    {"OneCycleOptions_rise", real({0, 1}), [](Net&, double x) { one_cycle(0.1, 9, {.rise = x}, here); },
     "net.cpp:12: one_cycle: rise must lie in (0, 1), got {}"},
    {"OneCycleOptions_rise_of_three", {0.5},
     [](Net&, double x) { one_cycle(0.1, 9, {.rise = x, .three_phase = true}, here); },
     "net.cpp:12: one_cycle: rise must lie in (0, 0.5), got {}"},
    {"OneCycleOptions_div_factor", real({0, -1}), [](Net&, double x) { one_cycle(0.1, 9, {.div_factor = x}, here); },
     "net.cpp:12: one_cycle: div_factor must be finite and above 0, got {}"},
    {"OneCycleOptions_final_div_factor", real({0}),
     [](Net&, double x) { one_cycle(0.1, 9, {.final_div_factor = x}, here); },
     "net.cpp:12: one_cycle: final_div_factor must be finite and above 0, got {}"},
    {"one_cycle_momentum_low", real({-0.1, 1.5}), [](Net&, double x) { one_cycle_momentum(x, 0.9, 9, {}, here); },
     "net.cpp:12: one_cycle_momentum: low must lie in [0, 1], got {}"},
    {"one_cycle_momentum_high", real({-0.1, 1.5}), [](Net&, double x) { one_cycle_momentum(0.8, x, 9, {}, here); },
     "net.cpp:12: one_cycle_momentum: high must lie in [0, 1], got {}"},
    {"cyclic_low", real({-0.1}), [](Net&, double x) { cyclic(x, 0.2, 4, {}, here); },
     "net.cpp:12: cyclic: low must be finite and at least 0, got {}"},
    {"cyclic_high", real({-0.1}), [](Net&, double x) { cyclic(0.1, x, 4, {}, here); },
     "net.cpp:12: cyclic: high must be finite and at least 0, got {}"},
    {"cyclic_up", real({0}), [](Net&, double x) { cyclic(0.1, 0.2, x, {}, here); },
     "net.cpp:12: cyclic: up must be finite and above 0, got {}"},
    {"CyclicOptions_down", real({0}), [](Net&, double x) { cyclic(0.1, 0.2, 4, {.down = x}, here); },
     "net.cpp:12: cyclic: down must be finite and above 0, got {}"},
    {"CyclicOptions_factor", real({-0.1}),
     [](Net&, double x) { cyclic(0.1, 0.2, 4, {.shape = CycleShape::exp_range, .factor = x}, here); },
     "net.cpp:12: cyclic: factor must be finite and at least 0, got {}"},
    {"join_at", real({0, 1.5}), [](Net&, double x) { join(0.1, x, 0.2, here); },
     "net.cpp:12: join: the second schedule must start at step 1 or later, got {}"},
    {"warm_up_steps", real({0}), [](Net&, double x) { warm_up(x, 0.1, 0, here); },
     "net.cpp:12: warm_up: steps must be finite and above 0, got {}"},
    {"warm_up_from", real({-0.1}), [](Net&, double x) { warm_up(5, 0.1, x, here); },
     "net.cpp:12: warm_up: from must be finite and at least 0, got {}"},
    {"ema_momentum", real({1, -0.1}), [](Net&, double x) { ema(x, here); },
     "net.cpp:12: ema: momentum must lie in [0, 1), got {}"},
    {"equal_average_from", {-1}, [](Net&, double x) { equal_average(static_cast<std::int64_t>(x), here); },
     "net.cpp:12: equal_average: from must be finite and at least 0, got {}"},
    // penalties, clips, constraints
    {"l1_lambda", real({-0.1}), [](Net&, double x) { l1(x, here); },
     "net.cpp:12: l1: lambda must be finite and at least 0, got {}"},
    {"l2_lambda", real({-0.0001}), [](Net&, double x) { l2(x, here); },
     "net.cpp:12: l2: lambda must be finite and at least 0, got {}"},
    {"l1_l2_lambda1", real({-0.1}), [](Net&, double x) { l1_l2(x, 0, here); },
     "net.cpp:12: l1_l2: lambda1 must be finite and at least 0, got {}"},
    {"l1_l2_lambda2", real({-0.1}), [](Net&, double x) { l1_l2(0, x, here); },
     "net.cpp:12: l1_l2: lambda2 must be finite and at least 0, got {}"},
    {"orthogonal_lambda", real({-0.1}), [](Net&, double x) { orthogonal(x, Between::rows, here); },
     "net.cpp:12: orthogonal: lambda must be finite and at least 0, got {}"},
    {"orthogonal_of_no_matrix", {0},
     [](Net& n, double) { orthogonal(0.1, Between::rows, here)(n.machine.hidden_bias); },
     "net.cpp:12: orthogonal: a penalized variable must be a matrix, is f32[5]\n"
     "    @rbm/bias f32[5]         variable at net.cpp:4"},
    {"activity_without_penalty", {0}, [](Net& n, double) { activity(n.scores, {}, here); },
     "net.cpp:12: activity: there is no penalty"},
    {"activity_of_a_scalar", {0}, [](Net& n, double) { activity(n.loss, l2(0.1, here), here); },
     "net.cpp:12: activity: x must have an axis of samples, is f32[]"},
    {"by_value_limit", real({0, -1}), [](Net&, double x) { by_value(x, here); },
     "net.cpp:12: by_value: the limit must be finite and above 0, got {}"},
    {"by_norm_limit", real({0}), [](Net&, double x) { by_norm(x, here); },
     "net.cpp:12: by_norm: the limit must be finite and above 0, got {}"},
    {"by_global_norm_limit", real({0}), [](Net&, double x) { by_global_norm(x, {}, here); },
     "net.cpp:12: by_global_norm: the limit must be finite and above 0, got {}"},
    {"max_norm_limit", real({-1}), [](Net&, double x) { max_norm(x, {}, here); },
     "net.cpp:12: max_norm: the limit must be finite and at least 0, got {}"},
    {"ConstraintOptions_epsilon", real({0}), [](Net&, double x) { max_norm(1, {.epsilon = x}, here); },
     "net.cpp:12: max_norm: epsilon must be finite and above 0, got {}"},
    {"ConstraintOptions_epsilon_of_unit_norm", real({0}), [](Net&, double x) { unit_norm({.epsilon = x}, here); },
     "net.cpp:12: unit_norm: epsilon must be finite and above 0, got {}"},
    {"ConstraintOptions_axes", {2, -3},
     [](Net& n, double x) { n.train(Sgd{}, {.constraint = max_norm(1, {.axes = {static_cast<Dim>(x)}}, here)}); },
     "net.cpp:12: sum: axis {} is out of range for rank 2: [-2, 2)\n    a  %15  f32[3,2]       square at net.cpp:12"},
    {"min_max_norm_low", real({-0.1}), [](Net&, double x) { min_max_norm(x, 2, 1, {}, here); },
     "net.cpp:12: min_max_norm: low must be finite and at least 0, got {}"},
    {"min_max_norm_high", real({0.5}), [](Net&, double x) { min_max_norm(1, x, 1, {}, here); },
     "net.cpp:12: min_max_norm: high must be finite and at least 1, got {}"},
    {"min_max_norm_rate", real({-0.1, 1.5}), [](Net&, double x) { min_max_norm(1, 2, x, {}, here); },
     "net.cpp:12: min_max_norm: rate must lie in [0, 1], got {}"},
    {"MinimizeOptions_weight_decay", real({-0.1}), [](Net& n, double x) { n.train(Sgd{}, {.weight_decay = x}); },
     "net.cpp:12: minimize: weight_decay must be finite and at least 0, got {}"},
    {"MinimizeOptions_average", {1.5}, [](Net& n, double x) { n.train(Sgd{}, {.average = x}); },
     "net.cpp:12: minimize: the share of the new weights in `average` must lie in [0, 1], got {}"},
    {"LossScale_initial", real({0}), [](Net& n, double x) { n.train(Sgd{}, {.loss_scale = LossScale{.initial = x}}); },
     "net.cpp:12: minimize: loss_scale: initial must be finite and above 0, got {}"},
    {"LossScale_growth_steps", {-1},
     [](Net& n, double x) { n.train(Sgd{}, {.loss_scale = LossScale{.growth_steps = static_cast<int>(x)}}); },
     "net.cpp:12: minimize: loss_scale: growth_steps must be finite and at least 0, got {}"},
    {"LossScale_factor", real({1}), [](Net& n, double x) { n.train(Sgd{}, {.loss_scale = LossScale{.factor = x}}); },
     "net.cpp:12: minimize: loss_scale: factor must be finite and above 1, got {}"},
    {"ParameterGroup_rate", real({0}),
     [](Net& n, double x) { n.train(Sgd{}, {.groups = {{.of = named("weight"), .rate = x}}}); },
     "net.cpp:12: minimize: the rate of groups[0] must be finite and above 0, got {}; to stand still is `frozen`"},
    {"ParameterGroup_of_nothing", {0}, [](Net& n, double) { n.train(Sgd{}, {.groups = {{.of = named("wieght")}}}); },
     "net.cpp:12: minimize: groups[0] has no variable; those that learn are weight"},
    {"ParameterGroup_optimizer", {0},
     [](Net& n, double) { n.train(Sgd{}, {.groups = {{.of = named("weight"), .optimizer = Adam{.beta1 = 1}}}}); },
     "net.cpp:12: adam: beta1 must lie in [0, 1), got 1"},
    {"minimize_loss", {0}, [](Net& n, double) { minimize(n.scores, Sgd{}, {}, here); },
     "net.cpp:12: minimize: the loss must be a float scalar, got f32[4,2]\n"
     "    %0   f32[4,2]       matmul at net.cpp:5"},
    {"minimize_decay_without_a_rate", {0},
     [](Net& n, double) { n.train([](const Value& w, const Value&, Slots&) { return w; }, {.weight_decay = 0.1}); },
     "net.cpp:12: minimize: weight_decay needs a rule with a rate, and 'optimizer' has none"},
    // layers
    {"dense_units", {0, -3}, [](Net& n, double x) { dense(n.at(n.image), static_cast<Dim>(x)); },
     "net.cpp:12: dense: units is {}, must be at least 1"},
    {"conv_filters", {0}, [](Net& n, double x) { conv(n.at(n.picture), static_cast<Dim>(x), 3); },
     "net.cpp:12: conv: filters is {}, must be at least 1"},
    {"conv_window", {0}, [](Net& n, double x) { conv(n.at(n.picture), 2, static_cast<Dim>(x)); },
     "net.cpp:12: conv: the window's height is {}, must be at least 1"},
    {"conv_window_too_wide", {9}, [](Net& n, double x) { conv(n.at(n.picture), 2, {3, static_cast<Dim>(x)}); },
     "net.cpp:12: conv2d: a window of width {} (dilation included) is larger than the padded input of 8\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3\n"
     "    b  @conv/kernel f32[3,9,3,2]   variable at net.cpp:12"},
    {"ConvOptions_strides", {0},
     [](Net& n, double x) { conv(n.at(n.picture), 2, 3, {.strides = static_cast<Dim>(x)}); },
     "net.cpp:12: conv2d: attribute strides is [{},{}], must be at least 1\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3\n"
     "    b  @conv/kernel f32[3,3,3,2]   variable at net.cpp:12"},
    {"ConvOptions_dilation", {0},
     [](Net& n, double x) { conv(n.at(n.picture), 2, 3, {.dilation = static_cast<Dim>(x)}); },
     "net.cpp:12: conv2d: attribute dilation is [{},{}], must be at least 1\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3\n"
     "    b  @conv/kernel f32[3,3,3,2]   variable at net.cpp:12"},
    {"ConvOptions_pads", {-1},
     [](Net& n, double x) { conv(n.at(n.picture), 2, 3, {.pads = {static_cast<Dim>(x), 0, 0, 0}}); },
     "net.cpp:12: conv2d: attribute pads is [{},0,0,0], must be at least 0\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3\n"
     "    b  @conv/kernel f32[3,3,3,2]   variable at net.cpp:12"},
    {"ConvOptions_padding", {0}, [](Net& n, double) { conv(n.at(n.picture), 2, 3, {.padding = "some"}); },
     "net.cpp:12: conv2d: attribute padding is 'some', must be one of valid|same|explicit\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3\n"
     "    b  @conv/kernel f32[3,3,3,2]   variable at net.cpp:12"},
    {"ConvOptions_groups", {0}, [](Net& n, double x) { conv(n.at(n.picture), 2, 3, {.groups = static_cast<Dim>(x)}); },
     "net.cpp:12: conv: groups is {}, must be at least 1"},
    {"ConvOptions_groups_that_do_not_divide", {2},
     [](Net& n, double x) { conv(n.at(n.picture), 2, 3, {.groups = static_cast<Dim>(x)}); },
     "net.cpp:12: conv: groups={} does not divide the 3 channels of the input\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3"},
    {"DepthwiseConvOptions_strides", {0},
     [](Net& n, double x) { depthwise_conv(n.at(n.picture), 3, {.strides = static_cast<Dim>(x)}); },
     "net.cpp:12: conv2d: attribute strides is [{},{}], must be at least 1\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3\n"
     "    b  @depthwise_conv/kernel f32[3,3,1,3]   variable at net.cpp:12"},
    {"DepthwiseConvOptions_dilation", {0},
     [](Net& n, double x) { depthwise_conv(n.at(n.picture), 3, {.dilation = static_cast<Dim>(x)}); },
     "net.cpp:12: conv2d: attribute dilation is [{},{}], must be at least 1\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3\n"
     "    b  @depthwise_conv/kernel f32[3,3,1,3]   variable at net.cpp:12"},
    {"DepthwiseConvOptions_pads", {-1},
     [](Net& n, double x) { depthwise_conv(n.at(n.picture), 3, {.pads = {static_cast<Dim>(x), 0, 0, 0}}); },
     "net.cpp:12: conv2d: attribute pads is [{},0,0,0], must be at least 0\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3\n"
     "    b  @depthwise_conv/kernel f32[3,3,1,3]   variable at net.cpp:12"},
    {"DepthwiseConvOptions_padding", {0},
     [](Net& n, double) { depthwise_conv(n.at(n.picture), 3, {.padding = "some"}); },
     "net.cpp:12: conv2d: attribute padding is 'some', must be one of valid|same|explicit\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3\n"
     "    b  @depthwise_conv/kernel f32[3,3,1,3]   variable at net.cpp:12"},
    {"ConvTransposeOptions_strides", {0},
     [](Net& n, double x) { conv_transpose(n.at(n.picture), 2, 3, {.strides = static_cast<Dim>(x)}); },
     "net.cpp:12: conv2d_transpose: strides is [{},{}], must be at least 1\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3\n"
     "    b  @conv_transpose/kernel f32[3,3,2,3]   variable at net.cpp:12"},
    {"ConvTransposeOptions_dilation", {0},
     [](Net& n, double x) { conv_transpose(n.at(n.picture), 2, 3, {.dilation = static_cast<Dim>(x)}); },
     "net.cpp:12: conv2d_transpose: dilation is [{},{}], must be at least 1\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3\n"
     "    b  @conv_transpose/kernel f32[3,3,2,3]   variable at net.cpp:12"},
    {"ConvTransposeOptions_pads", {-1},
     [](Net& n, double x) { conv_transpose(n.at(n.picture), 2, 3, {.pads = {static_cast<Dim>(x), 0, 0, 0}}); },
     "net.cpp:12: conv2d_transpose: pads is [{},0,0,0], must be at least 0\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3\n"
     "    b  @conv_transpose/kernel f32[3,3,2,3]   variable at net.cpp:12"},
    {"ConvTransposeOptions_padding", {0},
     [](Net& n, double) { conv_transpose(n.at(n.picture), 2, 3, {.padding = "some"}); },
     "net.cpp:12: conv2d_transpose: padding is 'some', must be one of valid|same|explicit\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3\n"
     "    b  @conv_transpose/kernel f32[3,3,2,3]   variable at net.cpp:12"},
    {"ConvTransposeOptions_groups", {0},
     [](Net& n, double x) { conv_transpose(n.at(n.picture), 2, 3, {.groups = static_cast<Dim>(x)}); },
     "net.cpp:12: conv_transpose: groups is {}, must be at least 1"},
    {"ConvTransposeOptions_groups_that_do_not_divide", {2},
     [](Net& n, double x) { conv_transpose(n.at(n.picture), 2, 3, {.groups = static_cast<Dim>(x)}); },
     "net.cpp:12: conv_transpose: groups={} does not divide the 3 channels of the input\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3"},
    {"DepthwiseConvOptions_multiplier", {0},
     [](Net& n, double x) { depthwise_conv(n.at(n.picture), 3, {.multiplier = static_cast<Dim>(x)}); },
     "net.cpp:12: depthwise_conv: multiplier is {}, must be at least 1"},
    {"ConvTransposeOptions_output_padding", {-1, 2},
     [](Net& n, double x) {
       conv_transpose(n.at(n.picture), 2, 3, {.strides = 2, .output_padding = static_cast<Dim>(x)});
     },
     "net.cpp:12: conv2d_transpose: output_padding is {}, must be at least 0 and below the stride 2\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3\n"
     "    b  @conv_transpose/kernel f32[3,3,2,3]   variable at net.cpp:12"},
    {"conv1d_window", {0}, [](Net& n, double x) { conv1d(n.at(n.frames), 2, static_cast<Dim>(x)); },
     "net.cpp:12: conv1d: the window is {}, must be at least 1"},
    {"dropout_rate", real({1, -0.1}), [](Net& n, double x) { dropout(n.at(n.picture), x); },
     "net.cpp:12: dropout: rate is {}, must be in [0, 1)"},
    {"spatial_dropout_rate", real({1, -0.1}), [](Net& n, double x) { spatial_dropout(n.at(n.picture), x); },
     "net.cpp:12: spatial_dropout: rate is {}, must be in [0, 1)"},
    {"alpha_dropout_rate", real({1, -0.1}), [](Net& n, double x) { alpha_dropout(n.at(n.picture), x); },
     "net.cpp:12: alpha_dropout: rate is {}, must be in [0, 1)"},
    {"gaussian_dropout_rate", real({1, -0.1}), [](Net& n, double x) { gaussian_dropout(n.at(n.picture), x); },
     "net.cpp:12: gaussian_dropout: rate is {}, must be in [0, 1)"},
    {"gaussian_noise_stddev", real({-0.1}), [](Net& n, double x) { gaussian_noise(n.at(n.picture), x); },
     "net.cpp:12: gaussian_noise: stddev is {}, must be finite and at least 0"},
    {"BatchNormOptions_eps", real({0, -1}), [](Net& n, double x) { batch_norm(n.at(n.picture), {.eps = x}); },
     "net.cpp:12: batch_norm_training: attribute eps is {}, must be finite and greater than 0\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3\n"
     "    b  @batch_norm/gamma f32[3]         variable at net.cpp:12\n"
     "    c  @batch_norm/beta f32[3]         variable at net.cpp:12"},
    {"BatchNormOptions_running_update_rate", real({-0.1, 1.5}),
     [](Net& n, double x) { batch_norm(n.at(n.picture), {.running_update_rate = x}); },
     "net.cpp:12: batch_norm: running_update_rate is {}, must be in [0, 1]"},
    {"LayerNormOptions_eps", real({0}),
     [](Net& n, double x) { layer_norm(n.at(n.picture), LayerNormOptions{.eps = x}); },
     "net.cpp:12: layer_norm: attribute eps is {}, must be finite and greater than 0\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3\n"
     "    b  @layer_norm/gamma f32[3]         variable at net.cpp:12\n"
     "    c  @layer_norm/beta f32[3]         variable at net.cpp:12"},
    {"LayerNormOptions_axes", {0, 5},
     [](Net& n, double x) { layer_norm(n.at(n.picture), LayerNormOptions{.axes = static_cast<Dim>(x)}); },
     "net.cpp:12: layer_norm: axes is {}, must be in [1, 4]\n    a  %picture f32[4,8,8,3]   input at net.cpp:3"},
    {"GroupNormOptions_eps", real({0}), [](Net& n, double x) { group_norm(n.at(n.picture), {.groups = 3, .eps = x}); },
     "net.cpp:12: group_norm: eps is {}, must be finite and above 0"},
    {"GroupNormOptions_groups_that_do_not_divide", {2},
     [](Net& n, double x) { group_norm(n.at(n.picture), {.groups = static_cast<Dim>(x)}); },
     "net.cpp:12: group_norm: groups={} does not divide the 3 channels of the input\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3"},
    {"GroupNormOptions_groups", {0, -2},
     [](Net& n, double x) { group_norm(n.at(n.picture), {.groups = static_cast<Dim>(x)}); },
     "net.cpp:12: group_norm: groups is {}, must be at least 1"},
    {"RmsNormOptions_eps", real({0}), [](Net& n, double x) { rms_norm(n.at(n.picture), RmsNormOptions{.eps = x}); },
     "net.cpp:12: rms_norm: eps is {}, must be finite and above 0"},
    {"RmsNormOptions_axes", {0, 5},
     [](Net& n, double x) { rms_norm(n.at(n.picture), RmsNormOptions{.axes = static_cast<Dim>(x)}); },
     "net.cpp:12: rms_norm: axes is {}, must be in [1, 4]\n    a  %picture f32[4,8,8,3]   input at net.cpp:3"},
    {"max_pool_window_too_large", {9}, [](Net& n, double x) { max_pool(n.at(n.picture), static_cast<Dim>(x)); },
     "net.cpp:12: max_pool: a window of height {} (dilation included) is larger than the padded input of 8\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3"},
    {"max_pool_window", {0}, [](Net& n, double x) { max_pool(n.at(n.picture), static_cast<Dim>(x)); },
     "net.cpp:12: max_pool: attribute window is [{},{}], must be at least 1\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3"},
    {"PoolOptions_strides", {0},
     [](Net& n, double x) { max_pool(n.at(n.picture), 2, {.strides = static_cast<Dim>(x)}); },
     "net.cpp:12: max_pool: attribute strides is [{},{}], must be at least 1\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3"},
    {"PoolOptions_pads_as_large_as_the_window", {2},
     [](Net& n, double x) { avg_pool(n.at(n.picture), 2, {.pads = {static_cast<Dim>(x), 0, 0, 0}}); },
     "net.cpp:12: avg_pool: a padding of {} hides the window of 2: pads must be smaller than the window\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3"},
    {"PoolOptions_pads", {-1},
     [](Net& n, double x) { avg_pool(n.at(n.picture), 2, {.pads = {static_cast<Dim>(x), 0, 0, 0}}); },
     "net.cpp:12: avg_pool: attribute pads is [{},0,0,0], must be at least 0\n"
     "    a  %picture f32[4,8,8,3]   input at net.cpp:3"},
    {"leaky_relu_slope", real(), [](Net& n, double x) { leaky_relu(n.at(n.scores), x); },
     "net.cpp:12: leaky_relu: attribute slope is {}, must be finite\n    a  %0   f32[4,2]       matmul at net.cpp:5"},
    {"elu_alpha", real({-1}), [](Net& n, double x) { elu(n.at(n.scores), x); },
     "net.cpp:12: elu: attribute alpha is {}, must be finite and at least 0\n"
     "    a  %0   f32[4,2]       matmul at net.cpp:5"},
    {"hard_shrink_threshold", real({-1}), [](Net& n, double x) { hard_shrink(n.at(n.scores), x); },
     "net.cpp:12: hard_shrink: threshold is {}, must be finite and at least 0"},
    {"soft_shrink_threshold", real({-1}), [](Net& n, double x) { soft_shrink(n.at(n.scores), x); },
     "net.cpp:12: soft_shrink: threshold is {}, must be finite and at least 0"},
    {"squareplus_b", real({-1}), [](Net& n, double x) { squareplus(n.at(n.scores), x); },
     "net.cpp:12: squareplus: b is {}, must be finite and above 0"},
    {"ClipOptions_low", {2, nan}, [](Net& n, double x) { clip(n.at(n.scores), {.low = x, .high = 1}); },
     "net.cpp:12: clip: attribute low is {}, must be at most high, 1\n    a  %0   f32[4,2]       matmul at net.cpp:5"},
    {"ClipOptions_high", {-2, nan}, [](Net& n, double x) { clip(n.at(n.scores), {.low = -1, .high = x}); },
     "net.cpp:12: clip: attribute low is -1, must be at most high, {}\n    a  %0   f32[4,2]       matmul at net.cpp:5"},
    {"rbm_hidden", {0}, [](Net& n, double x) { rbm(n.at(n.image), static_cast<Dim>(x)); },
     "net.cpp:12: rbm: hidden is {}, must be at least 1"},
    {"ContrastiveOptions_steps", {0},
     [](Net& n, double x) { contrastive_divergence(n.machine, n.at(n.image), {.steps = static_cast<int>(x)}); },
     "net.cpp:12: contrastive_divergence: steps is {}, must be at least 1"},
    {"ContrastiveOptions_persistent_chains", {-1},
     [](Net& n, double x) {
       contrastive_divergence(n.machine, n.at(n.image), {.persistent_chains = static_cast<Dim>(x)});
     },
     "net.cpp:12: contrastive_divergence: persistent_chains is {}, must be 0 (none) or more"},
    {"spatial_dropout_axes", {0}, [](Net& n, double) { spatial_dropout(n.at(n.image), 0.5); },
     "net.cpp:12: spatial_dropout: the input must have at least 3 axes\n"
     "    a  %image f32[4,3]       input at net.cpp:3"},
    // losses and metrics
    {"CrossEntropyOptions_label_smoothing", real({-0.1, 1}),
     [](Net& n, double x) { sparse_cross_entropy(n.at(n.scores), n.labels, {.label_smoothing = x}); },
     "net.cpp:12: sparse_cross_entropy: label_smoothing is {}, must be in [0, 1)"},
    {"CrossEntropyOptions_label_smoothing_dense", real({1}),
     [](Net& n, double x) { cross_entropy(n.at(n.scores), n.target, {.label_smoothing = x}); },
     "net.cpp:12: cross_entropy: label_smoothing is {}, must be in [0, 1)"},
    {"CrossEntropyOptions_class_weights", real({-1}),
     [](Net& n, double x) { sparse_cross_entropy(n.at(n.scores), n.labels, {.class_weights = {1, x}}); },
     "net.cpp:12: sparse_cross_entropy: class_weights[1] is {}, must be finite and at least 0"},
    {"CrossEntropyOptions_class_weights_count", {0},
     [](Net& n, double) { sparse_cross_entropy(n.at(n.scores), n.labels, {.class_weights = {1, 2, 3}}); },
     "net.cpp:12: sparse_cross_entropy: class_weights has 3 numbers, the logits have 2 classes\n"
     "    a  %0   f32[4,2]       matmul at net.cpp:5"},
    {"CrossEntropyOptions_ignore_label", {0},
     [](Net& n, double) { cross_entropy(n.at(n.scores), n.target, {.ignore_label = 1}); },
     "net.cpp:12: cross_entropy: ignore_label is an option of sparse_cross_entropy: a distribution has no label"},
    {"BinaryCrossEntropyOptions_label_smoothing", real({1}),
     [](Net& n, double x) { binary_cross_entropy(n.at(n.scores), n.target, {.label_smoothing = x}); },
     "net.cpp:12: binary_cross_entropy: label_smoothing is {}, must be in [0, 1)"},
    {"BinaryCrossEntropyOptions_positive_weight", real({0, -1}),
     [](Net& n, double x) { binary_cross_entropy(n.at(n.scores), n.target, {.positive_weight = x}); },
     "net.cpp:12: binary_cross_entropy: positive_weight is {}, must be finite and above 0"},
    {"FocalOptions_gamma", real({-1, 0.5}),
     [](Net& n, double x) { binary_focal_cross_entropy(n.at(n.scores), n.target, {.gamma = x}); },
     "net.cpp:12: binary_focal_cross_entropy: gamma is {}, must be 0, or finite and at least 1"},
    {"FocalOptions_alpha", real({-0.1, 1.5}),
     [](Net& n, double x) { binary_focal_cross_entropy(n.at(n.scores), n.target, {.alpha = x}); },
     "net.cpp:12: binary_focal_cross_entropy: alpha is {}, must be in [0, 1]"},
    {"FocalOptions_label_smoothing", real({1}),
     [](Net& n, double x) { binary_focal_cross_entropy(n.at(n.scores), n.target, {.label_smoothing = x}); },
     "net.cpp:12: binary_focal_cross_entropy: label_smoothing is {}, must be in [0, 1)"},
    {"FocalOptions_gamma_sparse", real({0.5}),
     [](Net& n, double x) { sparse_focal_cross_entropy(n.at(n.scores), n.labels, {.gamma = x}); },
     "net.cpp:12: sparse_focal_cross_entropy: gamma is {}, must be 0, or finite and at least 1"},
    {"huber_delta", real({0, -1}), [](Net& n, double x) { huber(n.at(n.scores), n.target, x); },
     "net.cpp:12: huber: delta is {}, must be finite and above 0"},
    {"smooth_l1_beta", real({0}), [](Net& n, double x) { smooth_l1(n.at(n.scores), n.target, x); },
     "net.cpp:12: smooth_l1: beta is {}, must be finite and above 0"},
    {"CtcOptions_blank_too_large", {3},
     [](Net& n, double x) { ctc(n.at(n.frames), n.spelling, {.blank = static_cast<Dim>(x)}); },
     "net.cpp:12: ctc: attribute blank is {}, must be below the 3 classes\n"
     "    a  %frames f32[4,5,3]     input at net.cpp:3\n"
     "    b  %spelling i32[4,2]       input at net.cpp:3\n"
     "    c  %3   i32[4]         constant at net.cpp:12\n"
     "    d  %4   i32[4]         constant at net.cpp:12"},
    {"CtcOptions_blank", {-1},
     [](Net& n, double x) { ctc(n.at(n.frames), n.spelling, {.blank = static_cast<Dim>(x)}); },
     "net.cpp:12: ctc: attribute blank is {}, must be at least 0\n"
     "    a  %frames f32[4,5,3]     input at net.cpp:3\n"
     "    b  %spelling i32[4,2]       input at net.cpp:3\n"
     "    c  %3   i32[4]         constant at net.cpp:12\n"
     "    d  %4   i32[4]         constant at net.cpp:12"},
    {"top_k_accuracy_k", {0, 3},
     [](Net& n, double x) { top_k_accuracy(n.at(n.scores), n.labels, static_cast<Dim>(x)); },
     "net.cpp:12: top_k_accuracy: k is {}, must be in [1, 2]"},
    {"binary_accuracy_threshold", real(), [](Net& n, double x) { binary_accuracy(n.at(n.scores), n.target, x); },
     "net.cpp:12: binary_accuracy: threshold is {}, must be finite"},
    {"precision_threshold", real(), [](Net& n, double x) { precision(n.at(n.scores), n.target, x); },
     "net.cpp:12: precision: threshold is {}, must be finite"},
    {"recall_threshold", real(), [](Net& n, double x) { recall(n.at(n.scores), n.target, x); },
     "net.cpp:12: recall: threshold is {}, must be finite"},
    {"f_score_threshold", real(), [](Net& n, double x) { f_score(n.at(n.scores), n.target, 1, x); },
     "net.cpp:12: f_score: threshold is {}, must be finite"},
    {"f_score_beta", real({0}), [](Net& n, double x) { f_score(n.at(n.scores), n.target, x); },
     "net.cpp:12: f_score: beta is {}, must be finite and above 0"},
    {"auc_thresholds", {2}, [](Net& n, double x) { auc(n.at(n.scores), n.target, static_cast<Dim>(x)); },
     "net.cpp:12: auc: thresholds is {}, must be in [3, 100000]"},
    // initializers
    {"filled_value", real(), [](Net& n, double x) { variable(n.g, "v", f32(3, 2), filled(x), {}, here); },
     "net.cpp:12: variable 'v': a trainable variable cannot begin with {}"},
    {"filled_too_large", {1e39}, [](Net& n, double x) { variable(n.g, "v", f32(3, 2), filled(x), {}, here); },
     "net.cpp:12: variable 'v': {} is out of the range of f32"},
    {"values_element", real(), [](Net& n, double x) { variable(n.g, "v", f32(2), values({1, x}), {}, here); },
     "net.cpp:12: variable 'v': a trainable variable cannot begin with {}"},
    {"values_count", {0}, [](Net& n, double) { variable(n.g, "v", f32(2), values({1, 2, 3}), {}, here); },
     "net.cpp:12: variable 'v': attribute values has 3 elements, f32[2] needs 2"},
    {"FanInit_gain", real({0, -1}),
     [](Net& n, double x) { variable(n.g, "v", f32(3, 2), glorot_uniform({.gain = x}), {}, here); },
     "net.cpp:12: variable 'v': attribute gain is {}, must be finite and greater than 0"},
    {"FanInit_fans", {0},
     [](Net& n, double x) {
       variable(n.g, "v", f32(3, 2), he_uniform({.fans = Fans{static_cast<Dim>(x), 1}}), {}, here);
     },
     "net.cpp:12: variable 'v': attribute fans is [{},1], must be at least 1"},
    {"FanNormalInit_gain", real({0}),
     [](Net& n, double x) { variable(n.g, "v", f32(3, 2), he_normal({.gain = x}), {}, here); },
     "net.cpp:12: variable 'v': attribute gain is {}, must be finite and greater than 0"},
    {"FanNormalInit_fans", {0},
     [](Net& n, double x) {
       variable(n.g, "v", f32(3, 2), lecun_normal({.fans = Fans{static_cast<Dim>(x), 1}}), {}, here);
     },
     "net.cpp:12: variable 'v': attribute fans is [{},1], must be at least 1"},
    {"VarianceScalingInit_scale", real({0}),
     [](Net& n, double x) { variable(n.g, "v", f32(3, 2), variance_scaling({.scale = x}), {}, here); },
     "net.cpp:12: variable 'v': attribute scale is {}, must be finite and greater than 0"},
    {"VarianceScalingInit_fans", {0},
     [](Net& n, double x) {
       variable(n.g, "v", f32(3, 2), variance_scaling({.fans = Fans{1, static_cast<Dim>(x)}}), {}, here);
     },
     "net.cpp:12: variable 'v': attribute fans is [1,{}], must be at least 1"},
    {"UniformInit_low", real(),
     [](Net& n, double x) { variable(n.g, "v", f32(3, 2), random_uniform_init({.low = x}), {}, here); },
     "net.cpp:12: variable 'v': attribute low is {}, must be finite"},
    {"UniformInit_low_above_high", {1},
     [](Net& n, double x) { variable(n.g, "v", f32(3, 2), random_uniform_init({.low = x}), {}, here); },
     "net.cpp:12: variable 'v': attribute low is {}, must be at most high, 0.05"},
    {"UniformInit_high", real(),
     [](Net& n, double x) { variable(n.g, "v", f32(3, 2), random_uniform_init({.high = x}), {}, here); },
     "net.cpp:12: variable 'v': attribute high is {}, must be finite"},
    {"UniformInit_high_below_low", {-1},
     [](Net& n, double x) { variable(n.g, "v", f32(3, 2), random_uniform_init({.high = x}), {}, here); },
     "net.cpp:12: variable 'v': attribute low is -0.05, must be at most high, {}"},
    {"NormalInit_mean", real(),
     [](Net& n, double x) { variable(n.g, "v", f32(3, 2), random_normal_init({.mean = x}), {}, here); },
     "net.cpp:12: variable 'v': attribute mean is {}, must be finite"},
    {"NormalInit_stddev", real({-0.5}),
     [](Net& n, double x) { variable(n.g, "v", f32(3, 2), random_normal_init({.stddev = x}), {}, here); },
     "net.cpp:12: variable 'v': attribute stddev is {}, must be finite and at least 0"},
    {"TruncatedNormalInit_mean", real(),
     [](Net& n, double x) { variable(n.g, "v", f32(3, 2), truncated_normal({.mean = x}), {}, here); },
     "net.cpp:12: variable 'v': attribute mean is {}, must be finite"},
    {"TruncatedNormalInit_stddev", real({-0.5}),
     [](Net& n, double x) { variable(n.g, "v", f32(3, 2), truncated_normal({.stddev = x}), {}, here); },
     "net.cpp:12: variable 'v': attribute stddev is {}, must be finite and at least 0"},
    {"TruncatedNormalInit_bounds", real(),
     [](Net& n, double x) { variable(n.g, "v", f32(3, 2), truncated_normal({.bounds = {{x, 1}}}), {}, here); },
     "net.cpp:12: variable 'v': attribute bounds is [{},1], must be finite"},
    {"TruncatedNormalInit_bounds_unsorted", {2, 1},
     [](Net& n, double x) { variable(n.g, "v", f32(3, 2), truncated_normal({.bounds = {{x, 1}}}), {}, here); },
     "net.cpp:12: variable 'v': attribute bounds is [{},1], must be two numbers, the smaller one first"},
    {"TruncatedNormalInit_bounds_too_far", {50},
     [](Net& n, double x) {
       variable(n.g, "v", f32(3, 2), truncated_normal({.stddev = 1, .bounds = {{x, 51}}}), {}, here);
     },
     "net.cpp:12: variable 'v': no number of mean 0 and standard deviation 1 lies within bounds=[{},51]"},
    {"MatrixInit_gain", real({0}),
     [](Net& n, double x) { variable(n.g, "v", f32(3, 2), orthogonal_init({.gain = x}), {}, here); },
     "net.cpp:12: variable 'v': attribute gain is {}, must be finite and greater than 0"},
    {"orthogonal_of_a_vector", {0}, [](Net& n, double) { variable(n.g, "v", f32(3), orthogonal_init(), {}, here); },
     "net.cpp:12: variable 'v': init=orthogonal needs at least two axes, not [3]"},
    {"identity_gain", real(), [](Net& n, double x) { variable(n.g, "v", f32(3, 2), identity_init(x), {}, here); },
     "net.cpp:12: variable 'v': attribute gain is {}, must be finite and greater than 0"},
    {"identity_of_a_vector", {0}, [](Net& n, double) { variable(n.g, "v", f32(3), identity_init(), {}, here); },
     "net.cpp:12: variable 'v': init=identity needs two axes, not [3]"},
    {"dense_init", real({-1}),
     [](Net& n, double x) { dense(n.at(n.image), 2, {.init = random_normal_init({.stddev = x})}); },
     "net.cpp:12: variable 'dense/kernel': attribute stddev is {}, must be finite and at least 0"},
    // augmentation
    {"FlipOptions_horizontal", real({-0.1, 1.5}),
     [](Net& n, double x) { random_flip(n.at(n.picture), {.horizontal = x}); },
     "net.cpp:12: random_flip: horizontal is {}, must be in [0, 1]"},
    {"FlipOptions_vertical", real({-0.1, 1.5}), [](Net& n, double x) { random_flip(n.at(n.picture), {.vertical = x}); },
     "net.cpp:12: random_flip: vertical is {}, must be in [0, 1]"},
    {"random_crop_padding", {-1}, [](Net& n, double x) { random_crop(n.at(n.picture), static_cast<int>(x)); },
     "net.cpp:12: random_crop: padding is {}, must be 0 or more"},
    {"CropOptions_fill", real(), [](Net& n, double x) { random_crop(n.at(n.picture), 1, {.fill = x}); },
     "net.cpp:12: random_crop: fill is {}, must be finite"},
    {"random_translation_height", {nan}, [](Net& n, double x) { random_translation(n.at(n.picture), x, 0.1); },
     "net.cpp:12: random_translation: height is drawn from [{}, {}], which is no range"},
    {"random_translation_width", {2}, [](Net& n, double x) { random_translation(n.at(n.picture), 0.1, {x, 1}); },
     "net.cpp:12: random_translation: width is drawn from [{}, 1], which is no range"},
    {"MoveOptions_fill", real(),
     [](Net& n, double x) { random_translation(n.at(n.picture), 0.1, 0.1, {.mode = FillMode::constant, .fill = x}); },
     "net.cpp:12: random_translation: fill is {}, must be finite"},
    {"random_rotation_factor", {0.5, infinity, -infinity, nan},
     [](Net& n, double x) { random_rotation(n.at(n.picture), {x, 0.1}); },
     "net.cpp:12: random_rotation: factor is drawn from [{}, 0.1], which is no range"},
    {"random_zoom_factor", {-1}, [](Net& n, double x) { random_zoom(n.at(n.picture), {x, 0.1}); },
     "net.cpp:12: random_zoom: factor is drawn from [{}, 0.1], must be -0.999999 or more"},
    {"random_zoom_height", {-1}, [](Net& n, double x) { random_zoom(n.at(n.picture), {x, 0.1}, 0.1); },
     "net.cpp:12: random_zoom: height is drawn from [{}, 0.1], must be -0.999999 or more"},
    {"random_zoom_width", {-1}, [](Net& n, double x) { random_zoom(n.at(n.picture), 0.1, {x, 0.1}); },
     "net.cpp:12: random_zoom: width is drawn from [{}, 0.1], must be -0.999999 or more"},
    {"random_brightness_factor", {0.5, nan, infinity, -infinity},
     [](Net& n, double x) { random_brightness(n.at(n.picture), {x, 0.1}); },
     "net.cpp:12: random_brightness: factor is drawn from [{}, 0.1], which is no range"},
    {"ColourOptions_low", real({1}), [](Net& n, double x) { random_brightness(n.at(n.picture), 0.1, {.low = x}); },
     "net.cpp:12: random_brightness: pixels are in [{}, 1], which is no range"},
    {"ColourOptions_high", real({0}), [](Net& n, double x) { random_contrast(n.at(n.picture), 0.1, {.high = x}); },
     "net.cpp:12: random_contrast: pixels are in [0, {}], which is no range"},
    {"random_contrast_factor", {-1.5}, [](Net& n, double x) { random_contrast(n.at(n.picture), {x, 0.1}); },
     "net.cpp:12: random_contrast: factor is drawn from [{}, 0.1], must be -1 or more"},
    {"random_noise_stddev", real({-0.1}), [](Net& n, double x) { random_noise(n.at(n.picture), x); },
     "net.cpp:12: random_noise: stddev is {}, must be 0 or more"},
    {"cutout_size", {0}, [](Net& n, double x) { cutout(n.at(n.picture), static_cast<int>(x)); },
     "net.cpp:12: cutout: size is {}, must be 1 or more"},
    {"CutoutOptions_probability", real({-0.1, 1.5}),
     [](Net& n, double x) { cutout(n.at(n.picture), 3, {.probability = x}); },
     "net.cpp:12: cutout: probability is {}, must be in [0, 1]"},
    {"CutoutOptions_fill", real(), [](Net& n, double x) { cutout(n.at(n.picture), 3, {.fill = x}); },
     "net.cpp:12: cutout: fill is {}, must be finite"},
    {"mixup_alpha", real({0}), [](Net& n, double x) { mixup(n.at(n.picture), n.target, x); },
     "net.cpp:12: mixup: alpha is {}, must be above 0"},
    {"mixup_labels", {0}, [](Net& n, double) { mixup(n.at(n.picture), n.labels); },
     "net.cpp:12: mixup: labels must be float [4,…], as one_hot() makes them, got i32[4]"},
    {"cutmix_alpha", real({0}), [](Net& n, double x) { cutmix(n.at(n.picture), n.target, x); },
     "net.cpp:12: cutmix: alpha is {}, must be above 0"},
    // fit and its callbacks
    {"EarlyStoppingOptions_patience", {-1},
     [](Net&, double x) { EarlyStopping({.patience = static_cast<int>(x)}, here); },
     "net.cpp:12: EarlyStopping: patience is {}, must be 0 or more"},
    {"EarlyStoppingOptions_min_delta", real({-0.1}), [](Net&, double x) { EarlyStopping({.min_delta = x}, here); },
     "net.cpp:12: EarlyStopping: min_delta is {}, must be finite and 0 or more"},
    {"EarlyStoppingOptions_baseline", real(), [](Net&, double x) { EarlyStopping({.baseline = x}, here); },
     "net.cpp:12: EarlyStopping: baseline is {}, must be finite"},
    {"EarlyStoppingOptions_start_from_epoch", {-1},
     [](Net&, double x) { EarlyStopping({.start_from_epoch = static_cast<int>(x)}, here); },
     "net.cpp:12: EarlyStopping: start_from_epoch is {}, must be 0 or more"},
    {"ReduceLROnPlateauOptions_factor", real({0, 1}), [](Net&, double x) { ReduceLROnPlateau({.factor = x}, here); },
     "net.cpp:12: ReduceLROnPlateau: factor is {}, must be between 0 and 1"},
    {"ReduceLROnPlateauOptions_patience", {-1},
     [](Net&, double x) { ReduceLROnPlateau({.patience = static_cast<int>(x)}, here); },
     "net.cpp:12: ReduceLROnPlateau: patience is {}, must be 0 or more"},
    {"ReduceLROnPlateauOptions_min_delta", real({-0.1}),
     [](Net&, double x) { ReduceLROnPlateau({.min_delta = x}, here); },
     "net.cpp:12: ReduceLROnPlateau: min_delta is {}, must be finite and 0 or more"},
    {"ReduceLROnPlateauOptions_cooldown", {-1},
     [](Net&, double x) { ReduceLROnPlateau({.cooldown = static_cast<int>(x)}, here); },
     "net.cpp:12: ReduceLROnPlateau: cooldown is {}, must be 0 or more"},
    {"ReduceLROnPlateauOptions_min_rate", real({-0.1}),
     [](Net&, double x) { ReduceLROnPlateau({.min_rate = x}, here); },
     "net.cpp:12: ReduceLROnPlateau: min_rate is {}, must be 0 or more"},
    {"LearningRateScheduler_schedule", {0}, [](Net&, double) { LearningRateScheduler({}, here); },
     "net.cpp:12: LearningRateScheduler: the schedule is an empty function"},
    {"LearningRateScheduler_schedule_gives", real({-0.1}),
     [](Net&, double x) {
       fit_with({.verbose = 0, .callbacks = {LearningRateScheduler([x](int, double) { return x; }, here)}});
     },
     "net.cpp:12: LearningRateScheduler: the schedule gives {} in epoch 1, must be finite and at least 0"},
    {"ModelCheckpoint_path", {0}, [](Net&, double) { ModelCheckpoint("", {}, here); },
     "net.cpp:12: ModelCheckpoint: the path is empty"},
    {"ModelCheckpointOptions_save_freq", {-1},
     [](Net&, double x) { ModelCheckpoint("w", {.save_freq = static_cast<Dim>(x)}, here); },
     "net.cpp:12: ModelCheckpoint: save_freq is {}, must be 0 or more steps"},
    {"ModelCheckpointOptions_initial_value_threshold", {nan},
     [](Net&, double x) { ModelCheckpoint("w", {.save_best_only = true, .initial_value_threshold = x}, here); },
     "net.cpp:12: ModelCheckpoint: initial_value_threshold is {}, which no epoch beats"},
    {"ModelCheckpointOptions_both", {0},
     [](Net&, double) { ModelCheckpoint("w", {.save_best_only = true, .save_freq = 3}, here); },
     "net.cpp:12: ModelCheckpoint: save_best_only judges whole epochs, and save_freq saves within them: choose one"},
    {"CSVLogger_path", {0}, [](Net&, double) { CSVLogger("", {}, here); },
     "net.cpp:12: CSVLogger: the path is empty"},
    {"CSVLoggerOptions_separator", {0}, [](Net&, double) { CSVLogger("w", {.separator = '.'}, here); },
     "net.cpp:12: CSVLogger: the separator is '.', must be a comma, a semicolon, a tab or a bar"},
    {"TensorBoard_folder", {0}, [](Net&, double) { TensorBoard("", {}, here); },
     "net.cpp:12: TensorBoard: the folder's name is empty"},
    {"TensorBoardOptions_histogram_freq", {-1},
     [](Net&, double x) { TensorBoard("w", {.histogram_freq = static_cast<int>(x)}, here); },
     "net.cpp:12: TensorBoard: histogram_freq is {}, must be 0 or more epochs"},
    {"TensorBoardOptions_update_freq", {-1},
     [](Net&, double x) { TensorBoard("w", {.update_freq = static_cast<Dim>(x)}, here); },
     "net.cpp:12: TensorBoard: update_freq is {}, must be 0 or more steps"},
    {"GradientStatisticsOptions_vanishing", real({-0.1, 1}),
     [](Net&, double x) { GradientStatistics({.vanishing = x}, here); },
     "net.cpp:12: GradientStatistics: vanishing is {}, must be in [0, 1)"},
    {"GradientStatisticsOptions_exploding", {0, nan},
     [](Net&, double x) { GradientStatistics({.exploding = x}, here); },
     "net.cpp:12: GradientStatistics: exploding is {}, must be above 0"},
    {"FitOptions_epochs", {0}, [](Net&, double x) { fit_with({.epochs = static_cast<int>(x), .verbose = 0}); },
     "net.cpp:12: epochs is {}, must be at least 1"},
    {"FitOptions_batch", {-3}, [](Net&, double x) { fit_with({.batch = static_cast<Dim>(x), .verbose = 0}); },
     "net.cpp:12: batch is {}, must be 0 (as the graph says), full_batch or more"},
    {"FitOptions_micro_batch", {-1},
     [](Net&, double x) { fit_with({.micro_batch = static_cast<Dim>(x), .verbose = 0}); },
     "net.cpp:12: micro_batch is {}, must be 0 or more"},
    {"FitOptions_micro_batch_that_does_not_divide", {3},
     [](Net&, double x) { fit_with({.batch = 4, .micro_batch = static_cast<Dim>(x), .verbose = 0}); },
     "net.cpp:12: a batch of 4 samples cannot be cut into micro-batches of {}: it must be a multiple"},
    {"FitOptions_validation", real({0, 1, -0.1, 1.5}),
     [](Net&, double x) { fit_with({.validation = x, .verbose = 0}); },
     "net.cpp:12: a validation fraction lies between 0 and 1, and {} was given"},
    {"FitOptions_verbose", {7}, [](Net&, double x) { fit_with({.verbose = static_cast<int>(x)}); },
     "net.cpp:12: verbose is {}, must be -1 (by itself), 0 (silent), 1 (a bar) or 2 (a line an epoch)"},
    {"FitOptions_patience", {-2}, [](Net&, double x) { fit_with({.verbose = 0, .patience = static_cast<int>(x)}); },
     "net.cpp:12: EarlyStopping: patience is {}, must be 0 or more"},
    {"FitOptions_min_delta", real({-0.1}),
     [](Net&, double x) { fit_with({.verbose = 0, .patience = 1, .min_delta = x}); },
     "net.cpp:12: EarlyStopping: min_delta is {}, must be finite and 0 or more"},
    {"FitOptions_monitor", {0}, [](Net&, double) { fit_with({.verbose = 0, .patience = 1, .monitor = "val_los"}); },
     "net.cpp:12: EarlyStopping watches 'val_los', which the history lacks"},
    {"FitOptions_monitor_alone", {0}, [](Net&, double) { fit_with({.verbose = 0, .monitor = "loss"}); },
     "net.cpp:12: monitor and min_delta say what patience looks at, and no patience was given"},
    {"FitOptions_input", {0}, [](Net&, double) { fit_with({.verbose = 0, .input = "imagge"}); },
     "net.cpp:12: graph 'mlp' has no input 'imagge'"},
    {"FitOptions_label", {0}, [](Net&, double) { fit_with({.verbose = 0, .label = "lable"}); },
     "net.cpp:12: graph 'mlp' has no input 'lable'"},
    {"Checkpoint_every", {-1},
     [](Net&, double x) { fit_with({.verbose = 0, .checkpoint = {"w", static_cast<std::int64_t>(x)}}); },
     "net.cpp:12: checkpoint.every is {}, must be 0 (each epoch) or more"},
    {"CheckpointOptions_keep", {0},
     [](Net&, double x) { fit_with({.verbose = 0, .checkpoint = {"w", 0, {.keep = static_cast<int>(x)}}}); },
     "net.cpp:12: checkpoint.keep is {}, must be at least 1"},
    {"FitOptions_resume_from_nowhere", {0}, [](Net&, double) { fit_with({.verbose = 0, .resume = true}); },
     "net.cpp:12: resume needs a folder of checkpoints: .checkpoint = {\"runs/a\"}"},
    {"RunOptions_batch", {-1}, [](Net&, double x) { evaluate_with({.batch = static_cast<Dim>(x)}); },
     "net.cpp:12: batch is {}, must be 0 (as the graph says) or more"},
    {"PretrainOptions_hidden", {0}, [](Net&, double x) { pretrain_with({.hidden = {4, static_cast<Dim>(x)}}); },
     "net.cpp:12: pretrain: hidden has a machine of {} units, must be at least 1"},
    {"PretrainOptions_hidden_empty", {0}, [](Net&, double) { pretrain_with({}); },
     "net.cpp:12: pretrain: hidden is empty: it names the units of each machine"},
    {"PretrainOptions_epochs", {0},
     [](Net&, double x) { pretrain_with({.hidden = {4}, .epochs = static_cast<int>(x)}); },
     "net.cpp:12: pretrain: epochs is {}, must be at least 1"},
    {"PretrainOptions_batch", {0}, [](Net&, double x) { pretrain_with({.hidden = {4}, .batch = static_cast<Dim>(x)}); },
     "net.cpp:12: pretrain: batch is {}, must be at least 1"},
    {"PretrainOptions_verbose", {9},
     [](Net&, double x) { pretrain_with({.hidden = {4}, .verbose = static_cast<int>(x)}); },
     "net.cpp:12: verbose is {}, must be -1 (by itself), 0 (silent), 1 (a bar) or 2 (a line an epoch)"},
    {"PretrainOptions_contrastive", {0},
     [](Net&, double x) { pretrain_with({.hidden = {4}, .contrastive = {.steps = static_cast<int>(x)}}); },
     "net.cpp:12: contrastive_divergence: steps is {}, must be at least 1"},
    {"PretrainOptions_optimizer", {1.5},
     [](Net&, double x) { pretrain_with({.hidden = {4}, .optimizer = Sgd{.momentum = x}}); },
     "net.cpp:12: sgd: momentum must lie in [0, 1], got {}"},
    {"PretrainOptions_init", {-1},
     [](Net&, double x) { pretrain_with({.hidden = {4}, .init = random_normal_init({.stddev = x})}); },
     "net.cpp:12: variable 'rbm/kernel': attribute stddev is {}, must be finite and at least 0"},
};

class Arguments : public ::testing::TestWithParam<Row> {};

TEST_P(Arguments, Message) {
  const Row& row = GetParam();
  for (const double x : row.wrong) {
    Net net;
    const std::size_t before = net.g.size();
    std::string want = row.message;
    for (std::size_t at = 0; (at = want.find("{}", at)) != want.npos;) want.replace(at, 2, fmt::format("{}", x));
    EXPECT_EQ(message_of([&] { row.give(net, x); }), want);
    EXPECT_EQ(net.g.size(), before) << "the graph stays as it was";
  }
}

INSTANTIATE_TEST_SUITE_P(Wrong, Arguments, ::testing::ValuesIn(all_rows),
                         [](const auto& row) { return std::string(row.param.name); });

/// The numbers of an options' struct, as `Struct_member`, of a header of the library.
std::vector<std::string> options_in(const std::string& path) {
  static const std::regex opening(R"(^struct (?:THALWEG_API )?(\w+) \{)");
  static const std::regex member(
      R"(^  (?:int|double|Dim|Extent|std::int64_t|FactorRange|Duration)"
      R"(|std::(?:optional|vector)<(?:int|double|Dim|Extent|Fans|Duration|std::pair<double, double>)>))"
      R"( (\w+)(?: = [^;]*)?;)");
  std::ifstream file(path);
  std::vector<std::string> found;
  std::string within;
  for (std::string line; std::getline(file, line);) {
    std::smatch match;
    if (std::regex_search(line, match, opening)) within = match[1];
    else if (line == "};") within.clear();
    else if (!within.empty() && std::regex_search(line, match, member) && match[1] != "seed")
      found.push_back(within + "_" + match[1].str());
  }
  return found;
}

/// Numbers of structs that are no arguments: what a call returns, what a rule reads, and the parts of other arguments.
const std::set<std::string> no_arguments = {
    "Iterations_count", "Epochs_count", "Treatment_rate", "Fans_in", "Fans_out", "FactorRange_low", "FactorRange_high",
    "LayerStatistics_gradient", "LayerStatistics_weight", "LayerStatistics_update", "LayerStatistics_update_ratio",
    "LayerStatistics_units", "LayerStatistics_dead", "Scores_values", "Checkpoint_keep"};

TEST(Arguments, OfEveryOptionHaveARow) {
  const char* const source = std::getenv("THALWEG_SOURCE");
  if (source == nullptr) GTEST_SKIP() << "THALWEG_SOURCE is not set";
  std::size_t count = 0;
  for (const char* header :
       {"optim/adafactor", "optim/adam", "optim/adaptive", "optim/constraint", "optim/layerwise", "optim/minimize",
        "optim/muon", "optim/optimizer", "optim/schedule", "optim/schedule_free", "optim/sgd", "optim/sign",
        "ops/augment", "ops/ctc", "ops/init", "ops/layers", "ops/loss", "ops/pointwise", "ops/pool", "ops/rbm",
        "lib/train/checkpoint", "lib/train/deep_belief", "lib/train/early_stopping", "lib/train/fit",
        "lib/train/gradient_statistics", "lib/train/learning_rate", "lib/train/model_checkpoint",
        "lib/train/tensorboard"})
    for (const std::string& option : options_in(std::string(source) + "/" + header + ".h")) {
      ++count;
      const bool has_row = std::any_of(all_rows.begin(), all_rows.end(), [&](const Row& row) {
        const std::string name = row.name;
        return name == option || name.starts_with(option + "_");
      });
      EXPECT_NE(has_row, no_arguments.contains(option)) << option << " of " << header << ".h";
    }
  EXPECT_GT(count, 150U);
}

}  // namespace
}  // namespace thalweg
