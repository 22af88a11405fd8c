// SPDX-License-Identifier: Apache-2.0
// Update rules, schedules, constraints and guards compiled, in f32, against the interpreter.
#include <cmath>
#include <limits>

#include "cases.h"
#include "tests/compile/run.h"
#include "thalweg/ops/layers.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"
#include "thalweg/optim/adafactor.h"
#include "thalweg/optim/adam.h"
#include "thalweg/optim/adaptive.h"
#include "thalweg/optim/layerwise.h"
#include "thalweg/optim/minimize.h"
#include "thalweg/optim/muon.h"
#include "thalweg/optim/schedule_free.h"
#include "thalweg/optim/sgd.h"
#include "thalweg/optim/sign.h"

namespace thalweg::testing {
namespace {

constexpr Convention torch = Convention::torch;

/// A matrix and a vector whose gradients are the inputs gw and gb.
struct Prescribed {
  Graph graph{"prescribed"};
  Value w = variable(graph, "w", f32(3, 5), filled(0.5));
  Value b = variable(graph, "b", f32(7), filled(-0.25));
  Value gw = input(graph, "gw", f32(3, 5)), gb = input(graph, "gb", f32(7));
  Value in_w = sum(w * gw), in_b = sum(b * gb);
  Value loss = in_w + in_b;
};

Array<double> rounded(Array<double> numbers, DType dtype) {
  if (dtype == DType::f32)
    for (double& x : numbers.data) x = static_cast<float>(x);
  return numbers;
}

/// The state after three steps, in which slots hold what they would, and new gradients.
Bounds::Feeds state_of(const Graph& graph) {
  Interpreter run(graph);
  Numbers random(7);
  Bounds::Feeds feeds;
  for (int i = 0; i < 4; ++i) {
    for (const NodeId id : graph.inputs()) {
      const Node& node = graph.node(id);
      feeds[node.name] = rounded(random.array(node.types[0].shape), DType::f32);
      run.set(node.name, feeds[node.name]);
    }
    if (i < 3) run.step();
  }
  for (const NodeId id : graph.variables()) {
    const Node& node = graph.node(id);
    feeds[node.name] = rounded(run.variable(node.name), node.types[0].dtype);
  }
  return feeds;
}

std::string departure_of(const Optimizer& optimizer, const MinimizeOptions& options = {}) {
  Prescribed p;
  const Minimized m = minimize(p.loss, optimizer, options);
  p.graph.output("loss", m.loss);
  const Bounds::Feeds feeds = state_of(p.graph);
  const Bounds bounds(p.graph, feeds);
  Program program = compile(p.graph);
  set_all(program, feeds);
  program.run();
  return departure(program, bounds);
}

const std::vector<Optimizer>& every_rule() {
  static const std::vector<Optimizer> rules = {
      Sgd{},
      Sgd{.momentum = 0.9, .nesterov = true},
      Sgd{.momentum = 0.9, .convention = torch, .dampening = 0.5, .weight_decay = 0.1},
      Adam{},
      Adam{.convention = torch, .amsgrad = true, .weight_decay = 0.1},
      AdamW{},
      Nadam{},
      Nadam{.convention = torch},
      RAdam{},
      RAdam{.beta2 = 0.9, .weight_decay = 0.1, .decoupled = true},
      Adagrad{},
      Adagrad{.convention = torch, .rate_decay = 0.1},
      Adadelta{},
      RmsProp{.momentum = 0.9, .centered = true},
      RmsProp{.momentum = 0.9, .convention = torch},
      Adamax{},
      Ftrl{.rate = 0.1, .l1 = 0.05, .l2 = 0.01, .l2_shrinkage = 0.02, .beta = 0.1},
      Lion{.weight_decay = 0.1},
      Rprop{},
      Lamb{},
      Lamb{.convention = Convention::optax, .weight_decay = 0.1},
      Lars{.weight_decay = 1e-4},
      Adafactor{},
      Adafactor{.convention = torch},
      Muon{},
      Muon{.convention = torch},
      ScheduleFreeAdamW{.weight_decay = 0.1},
      ScheduleFreeAdamW{.convention = Convention::keras},
      ScheduleFreeSgd{},
  };
  return rules;
}

TEST(CompiledOptim, EveryRuleIsWithinItsBounds) {
  for (std::size_t i = 0; i < every_rule().size(); ++i)
    EXPECT_EQ(departure_of(every_rule()[i]), "") << every_rule()[i].name() << ", rule " << i;
}

/// Weights of pixels that are always blank have no gradient, ever: what is divided by what they have seen is 0 / 0 but
/// for the rule's care.
TEST(CompiledOptim, WeightsWithoutAGradientStayFinite) {
  for (std::size_t i = 0; i < every_rule().size(); ++i) {
    Prescribed p;
    minimize(p.loss, every_rule()[i]);
    Program program = compile(p.graph, {.variables = Variables()});
    const Array<double> ones(Shape{3, 5}, 1);
    Array<double> some = ones;
    for (std::size_t k = 0; k < some.size(); ++k)
      if (k / 5 == 1 || k % 5 == 2) some[k] = 0;  // a row and a column
    for (int step = 0; step < 3; ++step) {
      program.feed("gw", Tensor(f32(3, 5), some.data));
      program.feed("gb", Tensor(f32(7), std::vector<double>(7, 0.0)));
      program.run();
    }
    EXPECT_TRUE(program.finite()) << every_rule()[i].name() << ", rule " << i;
  }
}

TEST(CompiledOptim, WhatComesAroundTheRuleIsWithinItsBounds) {
  EXPECT_EQ(departure_of(Adam{.rate = cosine_decay(0.1, 100)},
                         {.penalty = l1_l2(0.1, 0.2), .clip = by_global_norm(0.5), .weight_decay = 0.1,
                          .average = ema(0.9), .constraint = max_norm(1),
                          .groups = {{.of = named("b"), .rate = 0.5, .decay = false, .constraint = unit_norm()}}}),
            "");
  EXPECT_EQ(departure_of(Sgd{.momentum = 0.9},
                         {.penalty = orthogonal(), .clip = by_norm(0.5), .non_finite = NonFinite::skip,
                          .average = equal_average(), .constraint = min_max_norm(0.5, 1, 0.5)}),
            "");
  EXPECT_EQ(departure_of(Sgd{}, {.clip = by_value(0.5), .non_finite = NonFinite::fail, .constraint = non_neg()}), "");
}

TEST(CompiledOptim, SchedulesAreThoseOfTheInterpreter) {
  const Schedule schedules[] = {
      piecewise_constant({2, 5}, {0.1, 0.05, 0.01}), multi_step(0.1, 0.5, {3}), step_decay(0.1, 0.5, 3),
      exponential_decay(0.1, 0.5, 10), inverse_time_decay(0.1, 0.5, 10), polynomial_decay(0.1, 7, {.power = 2}),
      polynomial_decay(0.1, 3, {.cycle = true}), linear(0, 0.1, 5),
      cosine_decay(0, 7, {.alpha = 0.1, .warmup_target = 0.1, .warmup_steps = 2}),
      cosine_decay_restarts(0.1, 2, {.t_mul = 1.5, .m_mul = 0.9}), cosine_decay_restarts(0.1, 3, {.t_mul = 1}),
      one_cycle(0.1, 9), one_cycle(0.1, 9, {.straight = true, .three_phase = true}), cyclic(0.1, 0.2, 2),
      join(linear(0, 0.1, 3), 3, exponential_decay(0.1, 0.5, 2)), warm_up(3, 0.1), adjustable(0.1),
      exponential_decay(0.1, 0.5, Epochs(1))};
  Graph g("schedules");
  const Value at = step(g), epoch = steps_per_epoch(g);
  for (std::size_t i = 0; i < std::size(schedules); ++i) g.output("rate" + std::to_string(i), schedules[i](at));
  g.update(at, at + 1);
  Interpreter run(g);
  Program program = compile(g);
  run.set("steps_per_epoch", {Shape{}, std::vector<double>{4}});
  program.variables().at("steps_per_epoch").as<std::int64_t>()[0] = 4;
  for (int s = 0; s < 12; ++s) {
    run.step();
    program.run();
    for (const std::string& name : program.output_names())
      EXPECT_NEAR(program.scalar(name), run.output(name)[0], 1e-15) << name << " at " << s;
  }
}

TEST(CompiledOptim, AStepThatFailsItsCheckChangesNothing) {
  Prescribed p;
  minimize(p.loss, Muon{}, {.non_finite = NonFinite::fail, .average = ema(0.9)});
  const Bounds::Feeds feeds = state_of(p.graph);
  Program program = compile(p.graph);
  set_all(program, feeds);
  const Variables before = program.variables().clone();
  program.input<float>("gb")[3] = std::numeric_limits<float>::infinity();
  program.variables().at("b").as<float>()[3] = 0.5f;
  before.at("b").as<float>()[3] = 0.5f;
  try {
    program.run();
    FAIL();
  } catch (const RunError& error) {
    EXPECT_NE(std::string(error.what()).find("optim_test.cpp:"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(": the loss is not finite"), std::string::npos) << error.what();
  }
  for (const std::string& name : before.names())
    EXPECT_EQ(program.variables().at(name).numbers(), before.at(name).numbers()) << name;
}

TEST(CompiledOptim, ASkippedStepChangesNothingButItsCount) {
  Prescribed p;
  minimize(p.loss, Adam{}, {.non_finite = NonFinite::skip});
  const Bounds::Feeds feeds = state_of(p.graph);
  Program program = compile(p.graph);
  set_all(program, feeds);
  const Variables before = program.variables().clone();
  program.input<float>("gb")[3] = std::numeric_limits<float>::quiet_NaN();
  program.run();
  for (const std::string& name : before.names()) {
    if (name == "skipped_steps") EXPECT_EQ(program.variables().at(name).numbers(), std::vector<double>{1});
    else EXPECT_EQ(program.variables().at(name).numbers(), before.at(name).numbers()) << name;
  }
}

TEST(CompiledOptim, NotesCostNothing) {
  Prescribed plain, noted;
  const Value once = sum(plain.w), twice = note(sum(noted.w), "objective");
  plain.graph.output("y", once);
  noted.graph.output("y", twice);
  EXPECT_EQ(compile(plain.graph).kernels(), compile(noted.graph).kernels());
}

}  // namespace
}  // namespace thalweg::testing
