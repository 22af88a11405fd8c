// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/minimize.h"

#include <algorithm>
#include <cmath>

#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
#include "thalweg/optim/adam.h"
#include "thalweg/optim/sgd.h"
#include "thalweg/optim/sign.h"
#include "thalweg/ops/inference.h"
#include "thalweg/ops/matmul.h"
#include "trajectory.h"

namespace thalweg {
namespace {

using testing::error_of;
using testing::near;

std::size_t count(const Graph& g, Origin origin, std::string_view op = {}) {
  std::size_t n = 0;
  for (NodeId id = 0; id < g.size(); ++id)
    n += g.node(id).origin == origin && (op.empty() || g.node(id).op->name == op) ? 1 : 0;
  return n;
}

/// A kernel and a bias: loss Σ (x·w + b)².
struct Net {
  Graph graph{"net"};
  Value x = input(graph, "x", f32(4, 1));
  Value w = variable(graph, "w", f32(1, 3), filled(0.5));
  Value b = variable(graph, "b", f32(3), zeros());
  Value loss = sum(square(x * w + b));
};

TEST(Minimize, MakesTheWholeStepAGraph) {
  Net n;
  const Minimized m = minimize(n.loss, Adam{.rate = exponential_decay(0.1, 0.5, 10)},
                               {.penalty = l2(0.01), .clip = by_global_norm(1)});
  ASSERT_EQ(m.variables.size(), 2u);
  EXPECT_EQ(m.variables[0], n.w);
  EXPECT_EQ(m.variables[1], n.b);
  EXPECT_EQ(m.rate.type(), f64());
  EXPECT_EQ(m.loss.type(), f32());
  EXPECT_FALSE(m.loss == n.loss);
  for (const Origin origin :
       {Origin::forward, Origin::backward, Origin::regularizer, Origin::clip, Origin::schedule, Origin::optimizer})
    EXPECT_GT(count(n.graph, origin), 0u) << to_string(origin);

  std::vector<std::string> updated;
  for (const Graph::Update& u : n.graph.updates()) updated.push_back(n.graph.node(u.variable.node).name);
  std::sort(updated.begin(), updated.end());
  EXPECT_EQ(updated, (std::vector<std::string>{"adam/m/b", "adam/m/w", "adam/v/b", "adam/v/w", "b", "step", "w"}));
  for (const char* slot : {"adam/m/w", "adam/v/b"}) {
    EXPECT_FALSE(n.graph.find(slot).node().attrs.flag("trainable"));
    EXPECT_EQ(n.graph.find(slot).dtype(), DType::f32);
  }
  for (NodeId id = 0; id < n.graph.size(); ++id)
    EXPECT_EQ(to_string(n.graph.node(id).loc).rfind("minimize_test.cpp:", 0), 0u) << print(n.graph);
}

TEST(Minimize, ComputesWhatVariablesShareOnce) {
  Net n;
  minimize(n.loss, Adam{});
  // The bias corrections, the step in double, and its way back to f32: one each for both variables.
  EXPECT_EQ(count(n.graph, Origin::optimizer, "expm1"), 2u);
  EXPECT_EQ(count(n.graph, Origin::optimizer, "cast"), 2u);
  // For each of two variables: 3 + 4 for the moments and 5 for the update.
  for (const auto& [op, times] : std::vector<std::pair<std::string, std::size_t>>{{"square", 2}, {"div", 3}})
    EXPECT_EQ(count(n.graph, Origin::optimizer, op), times) << op << "\n" << print(n.graph);
}

TEST(Minimize, PlainDescentOfF32NeedsNoCast) {
  Net n;
  minimize(n.loss, Sgd{.rate = 0.1});
  EXPECT_EQ(count(n.graph, Origin::optimizer, "cast"), 0u) << print(n.graph);
  EXPECT_EQ(count(n.graph, Origin::schedule, "cast"), 0u) << print(n.graph);
}

TEST(Minimize, PenalizesKernelsAndNotBiases) {
  Net n;
  const Minimized m = minimize(n.loss, Sgd{}, {.penalty = l2(0.1)});
  n.graph.output("penalty", m.penalty);
  n.graph.output("loss", m.loss);
  n.graph.output("data", n.loss);
  Interpreter run(n.graph);
  run.set("x", {Shape{4, 1}, std::vector<double>{1, 2, 3, 4}});
  run.set("b", {Shape{3}, std::vector<double>{1, 1, 1}});
  run.evaluate();
  EXPECT_PRED3(near, run.output("penalty")[0], 0.1 * 3 * 0.25, 1e-12);
  EXPECT_PRED3(near, run.output("loss")[0], run.output("data")[0] + 0.075, 1e-12);
}

TEST(Minimize, PenalizesWhatItIsToldTo) {
  Net n;
  const Minimized m = minimize(n.loss, Sgd{}, {.penalty = l1(0.1), .penalize = [](const Value& v) {
                                                 return v.node().name == "b";
                                               }});
  n.graph.output("penalty", m.penalty);
  Interpreter run(n.graph);
  run.set("x", {Shape{4, 1}, std::vector<double>{1, 2, 3, 4}});
  run.set("b", {Shape{3}, std::vector<double>{1, -1, 2}});
  run.evaluate();
  EXPECT_PRED3(near, run.output("penalty")[0], 0.4, 1e-12);
}

TEST(Minimize, LeavesOtherVariablesAlone) {
  Net n;
  minimize(n.loss, Sgd{}, {.variables = {n.b}});
  ASSERT_EQ(n.graph.updates().size(), 2u);
  EXPECT_EQ(n.graph.updates()[0].variable, n.b.id());

  Graph g("frozen");
  const Value w = variable(g, "w", f32(2), zeros()), v = variable(g, "v", f32(2), zeros());
  variable(g, "unused", f32(2), zeros());
  const Value fixed = variable(g, "fixed", f32(2), zeros(), {.trainable = false});
  const Value inferred = variable(g, "inferred", f32(2), zeros());
  const Minimized m = minimize(sum(by_mode(w * fixed + stop_gradient(v), inferred)), Sgd{});
  ASSERT_EQ(m.variables.size(), 1u);
  EXPECT_EQ(m.variables[0], w);
}

TEST(Minimize, TwoLossesOfOneGraphCountOneStep) {
  Graph g("two");
  const Value w = variable(g, "w", f64(), filled(1)), v = variable(g, "v", f64(), filled(1));
  minimize(square(w), Sgd{.rate = 0.25}, {.variables = {w}});
  minimize(square(v - w), Adam{.rate = 0.5}, {.variables = {v}});
  Interpreter run(g);
  run.step();
  run.step();
  EXPECT_EQ(run.variable("step")[0], 2);
  EXPECT_PRED3(near, run.variable("w")[0], 0.25, 1e-15);
}

TEST(Minimize, ConvergesOnAQuadratic) {
  for (const Optimizer& optimizer : {Optimizer(Sgd{.rate = 0.1, .momentum = 0.5}), Optimizer(Adam{.rate = 0.1})}) {
    Graph g("bowl");
    const Value w = variable(g, "w", f64(2), filled(3));
    const Value target = constant(g, {1, -2}, f64(2));
    minimize(sum(square(w - target)), optimizer);
    Interpreter run(g);
    for (int i = 0; i < 500; ++i) run.step();
    EXPECT_NEAR(run.variable("w")[0], 1, 1e-3);
    EXPECT_NEAR(run.variable("w")[1], -2, 1e-3);
  }
}

// ---- groups, decay, averages, constraints, and their order

TEST(Minimize, DecaysWeightsOfAnyRuleDecoupled) {
  testing::expect_trajectory("sgd_weight_decay_keras", Sgd{.rate = 0.1, .momentum = 0.9}, 1e-12, {.weight_decay = 0.01});
  testing::expect_trajectory("adamw_keras", Adam{.rate = 0.01}, 1e-12, {.weight_decay = 0.004});
  testing::expect_trajectory("adamw_keras_lrsched", Adam{.rate = testing::stepped_rate()}, 1e-12,
                             {.weight_decay = 0.004});
  testing::expect_trajectory("lion_wd", Lion{.rate = 0.01}, 1e-12, {.weight_decay = 0.1});
}

/// Two variables whose gradients are 1, each element.
struct Pair {
  Graph graph{"pair"};
  Value kernel = variable(graph, "dense/kernel", f64(1, 1), filled(1));
  Value bias = variable(graph, "dense/bias", f64(1), filled(1));
  Value loss = sum(kernel) + sum(bias);

  /// The two after so many steps.
  std::vector<double> after(int steps) const {
    Interpreter run(graph);
    for (int i = 0; i < steps; ++i) run.step();
    return {run.variable("dense/kernel")[0], run.variable("dense/bias")[0]};
  }
};

void expect_pair(const MinimizeOptions& options, int steps, std::vector<double> want, const Optimizer& optimizer) {
  Pair p;
  minimize(p.loss, optimizer, options);
  const std::vector<double> got = p.after(steps);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_PRED3(near, got[i], want[i], 1e-12) << i;
}

TEST(Minimize, TreatsGroupsOnTheirOwn) {
  const Sgd sgd{.rate = 0.1};
  expect_pair({.groups = {{.of = named("bias"), .rate = 0.5}}}, 2, {0.8, 0.9}, sgd);
  expect_pair({.groups = {{.of = named("bias"), .frozen = true}}}, 2, {0.8, 1}, sgd);
  expect_pair({.weight_decay = 0.5, .groups = {{.of = named("bias"), .decay = false}}}, 1, {0.85, 0.9}, sgd);
  expect_pair({.weight_decay = 0.5, .groups = {{.of = named("bias"), .rate = 2}}}, 1, {0.85, 0.7}, sgd);
  // The first that fits counts.
  expect_pair({.groups = {{.of = named("kernel"), .rate = 0.5}, {.of = named("dense"), .rate = 2}}}, 1, {0.95, 0.8},
              sgd);
  expect_pair({.groups = {{.of = named("bias"), .penalty = l2(0.5)}}}, 1, {0.9, 0.8}, sgd);
  expect_pair({.groups = {{.of = named("bias"), .optimizer = Sgd{.rate = 0.3}}}}, 1, {0.9, 0.7}, sgd);
  // A rule's own decay, and rates in sums that variables share.
  expect_pair({.groups = {{.of = named("bias"), .rate = 0.5, .decay = false}}}, 1,
              {1 - 0.1 * 0.5 - 0.1, 1 - 0.05}, AdamW{.rate = 0.1, .epsilon = 1e-14, .weight_decay = 0.5});
}

TEST(Minimize, KeepsSlotsOfSeveralOptimizersApart) {
  Pair p;
  minimize(p.loss, Nadam{.rate = 0.1, .beta1 = 0.5},
           {.groups = {{.of = named("bias"), .optimizer = Nadam{.rate = 0.1, .beta1 = 0.9}}}});
  EXPECT_TRUE(p.graph.has("nadam/mu_product"));
  EXPECT_TRUE(p.graph.has("nadam_1/mu_product"));
  EXPECT_TRUE(p.graph.has("nadam_1/m/dense/bias"));

  Pair apart;
  minimize(apart.loss, Nadam{.rate = 0.1, .beta1 = 0.5}, {.variables = {apart.kernel}});
  minimize(apart.loss, Nadam{.rate = 0.1, .beta1 = 0.9}, {.variables = {apart.bias}});
  EXPECT_TRUE(apart.graph.has("nadam_1/mu_product"));
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(p.after(3)[i], apart.after(3)[i]);
}

TEST(Minimize, AveragesWeightsAsTheReference) {
  const auto& v = testing::vectors("weight_averaging");
  const auto expect = [&](const std::string& key, const Schedule& average) {
    testing::Prescribed p;
    minimize(p.loss, Sgd{.rate = 0.1}, {.average = average});
    const auto& meta = testing::vectors("meta");
    testing::run_updates(p.graph, Shape{3}, meta.at("param_w0"), meta.at("grads"),
                         [&](const Interpreter& run, std::size_t i) {
      testing::expect_numbers(run.variable("w").data, testing::numbers(v.at("weights").at(i)), 1e-12);
      testing::expect_numbers(run.variable("average/w").data, testing::numbers(v.at(key).at(i)), 1e-12);
    });
  };
  expect("keras_ema_0.9", ema(0.9));
  expect("torch_swa_equal", equal_average());
}

TEST(Minimize, PredictsFromAverages) {
  Graph g("averaged");
  const Value x = input(g, "x", f64(1, 2));
  const Value w = variable(g, "w", f64(2, 1), glorot_uniform());
  const Value y = matmul(x, w);
  g.output("y", y);
  minimize(sum(y), Sgd{.rate = 0.1}, {.average = ema(0.9)});
  const Graph predicting = inference(g, {"y"});
  ASSERT_EQ(predicting.variables().size(), 1u);
  EXPECT_EQ(predicting.node(predicting.variables()[0]).name, "average/w");
  // Before the first update an average is what the variable is.
  EXPECT_EQ(Interpreter(predicting).variable("average/w").data, Interpreter(g).variable("w").data);
}

TEST(Minimize, ConstrainsWhatTheRuleGives) {
  expect_pair({.constraint = [](const Value& w) { return max(w, 0.95); }}, 1, {0.95, 0.9}, Sgd{.rate = 0.1});
  expect_pair({.constraint = [](const Value& w) { return max(w, 0.95); }, .constrain = named("bias")}, 1, {0.9, 0.95},
              Sgd{.rate = 0.1});
  const Constraint higher = [](const Value& w) { return max(w, 0.97); };
  expect_pair({.groups = {{.of = named("bias"), .constraint = higher}}}, 1, {0.9, 0.97}, Sgd{.rate = 0.1});
}

TEST(Minimize, DoesEverythingInItsOrder) {
  // Of w = 2: gradient 1 + 4 of the penalty, clipped to 1: penalties are clipped; w − 0.1·0.5·2 of the decay, which is
  // not; − 0.1·1; the average takes that; and the constraint comes last.
  Graph g("order");
  const Value w = variable(g, "w", f64(1, 1), filled(2));
  const Minimized m = minimize(sum(w), Sgd{.rate = 0.1},
                               {.penalty = l2(1), .clip = by_value(1), .weight_decay = 0.5,
                                .non_finite = NonFinite::skip, .average = equal_average(),
                                .constraint = [](const Value& v) { return min(v, 1.75); }});
  EXPECT_EQ(m.order, (std::vector<std::string>{"loss", "penalty", "gradients", "finite: skip", "clip", "decay", "sgd",
                                               "average", "constraint", "step + 1"}));
  Interpreter run(g);
  run.step();
  EXPECT_PRED3(near, run.variable("average/w")[0], 2 - 0.1 - 0.1, 1e-15);
  EXPECT_EQ(run.variable("w")[0], 1.75);
  // The dump says so in the same order, by what each node is part of.
  std::vector<std::string> seen;
  for (NodeId id = 0; id < g.size(); ++id) {
    const Node& node = g.node(id);
    const std::string part = node.origin == Origin::backward ? "gradients" : node.scope;
    if (part.empty() || node.op->fusion == Fusion::source) continue;
    if (seen.empty() || seen.back() != part) seen.push_back(part);
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"penalty", "gradients", "finite", "clip", "sgd", "average", "constraint",
                                            "sgd", "finite"}))
      << print(g);
}

// ---- steps that are not finite

/// Σ w·g with running statistics beside it.
struct Guarded {
  testing::Prescribed p;
  explicit Guarded(NonFinite policy) {
    const Value seen = variable(p.graph, "seen", f64(3), zeros(), {.trainable = false});
    p.graph.update(seen, seen + p.g);
    minimize(p.loss, Adam{}, {.clip = by_global_norm(1), .non_finite = policy});
  }
};

TEST(Minimize, SkipsStepsThatAreNotFinite) {
  const Guarded guarded(NonFinite::skip);
  Interpreter run(guarded.p.graph);
  const auto step = [&](double g) {
    run.set("g", {Shape{3}, std::vector<double>{1, g, 2}});
    run.step();
  };
  step(3);
  const auto w = run.variable("w").data, m = run.variable("adam/m/w").data, seen = run.variable("seen").data;
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) step(bad);
  EXPECT_EQ(run.variable("w").data, w);
  EXPECT_EQ(run.variable("adam/m/w").data, m);
  EXPECT_EQ(run.variable("seen").data, seen) << "what the forward pass keeps is not updated either";
  EXPECT_EQ(run.variable("step")[0], 1);
  EXPECT_EQ(run.variable("skipped_steps")[0], 3);
  step(3);
  EXPECT_NE(run.variable("w").data, w);
  EXPECT_EQ(run.variable("step")[0], 2);
  EXPECT_EQ(run.variable("skipped_steps")[0], 3);
}

TEST(Minimize, FailsAtStepsThatAreNotFinite) {
  const Guarded guarded(NonFinite::fail);
  Interpreter run(guarded.p.graph);
  run.set("g", {Shape{3}, std::vector<double>{1, 2, 3}});
  run.step();
  const auto w = run.variable("w").data;
  run.set("w", {Shape{3}, std::vector<double>{0, 0, 0}});
  run.set("g", {Shape{3}, std::vector<double>{1, HUGE_VAL, 3}});
  try {
    run.step();
    FAIL();
  } catch (const RunError& error) {
    // 0 · ∞ in the loss is NaN, and comes first.
    EXPECT_NE(std::string(error.what()).find("the loss is not finite"), std::string::npos) << error.what();
  }
  EXPECT_EQ(run.variable("w").data, (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(run.variable("step")[0], 1);

  Graph g("gradient");
  const Value v = variable(g, "v", f64(), zeros());
  minimize(sqrt(v), Sgd{}, {.non_finite = NonFinite::fail});  // finite at 0, its slope is not
  try {
    Interpreter(g).step();
    FAIL();
  } catch (const RunError& error) {
    EXPECT_NE(std::string(error.what()).find("the gradient of 'v' is not finite"), std::string::npos) << error.what();
  }
}

TEST(Minimize, AdaptsTheLossScaleAsTheReference) {
  const auto& want = testing::vectors("dynamic_loss_scale");
  for (const auto& [key, initial] : {std::pair{"keras_scale_after (init 2^15, x2, /2)", 32768.0},
                                     {"torch_GradScaler_scale_after (init 2^16, x2, x0.5, growth_interval=3)", 65536.0}}) {
    testing::Prescribed p;
    const LossScale scale{.initial = initial, .growth_steps = want.at("growth_steps").get<int>()};
    const Minimized m = minimize(p.loss, Sgd{.rate = 0.1}, {.loss_scale = scale});
    EXPECT_EQ(m.order,
              (std::vector<std::string>{"loss", "loss scale", "gradients", "finite: skip", "sgd", "step + 1"}));
    Interpreter run(p.graph);
    double steps = 0;
    for (std::size_t i = 0; i < want.at("finite").size(); ++i) {
      const bool finite = want.at("finite")[i];
      run.set("g", {Shape{3}, std::vector<double>{1, finite ? -0.3 : HUGE_VAL, 0.7}});
      run.step();
      steps += finite;
      EXPECT_EQ(run.variable("loss_scale")[0], want.at(key)[i].get<double>()) << i;
      EXPECT_PRED3(near, run.variable("w")[1], 0.03 * steps, 1e-12);
    }
    EXPECT_EQ(run.variable("skipped_steps")[0], static_cast<double>(want.at("finite").size()) - steps);
  }
}

TEST(Minimize, LooksAtGradientsWithoutTheLossScale) {
  // A scale by a power of 2 changes no bit of what a step does, clipping and penalties included.
  const auto weights = [](std::optional<LossScale> scale) {
    testing::Prescribed p;
    const Minimized m = minimize(p.loss, Adam{}, {.penalty = l2(0.3), .penalize = named("w"), .clip = by_global_norm(1),
                                                  .loss_scale = scale});
    p.graph.output("gradient", m.raw_gradients[0]);
    Interpreter run(p.graph);
    for (int i = 0; i < 4; ++i) {
      run.set("g", {Shape{3}, std::vector<double>{0.1 * i, 3, -2}});
      run.step();
    }
    std::vector<double> all = run.variable("w").data;
    for (const double x : run.output("gradient").data) all.push_back(x);
    return all;
  };
  EXPECT_EQ(weights(LossScale{.initial = 1024, .growth_steps = 0}), weights({}));
  EXPECT_EQ(weights(LossScale{.growth_steps = 2}), weights({}));
}

// ---- what is refused, in the words that a user reads

/// "minimize_test.cpp:LINE: text" and nothing else on the first line.
void expect_error(const std::string& text, const std::string& error) {
  const std::string first = error.substr(0, error.find('\n'));
  EXPECT_EQ(first.rfind("minimize_test.cpp:", 0), 0u) << error;
  EXPECT_EQ(first.substr(std::min(first.size(), first.find(' ') + 1)), text) << error;
}

TEST(Minimize, RefusesALossThatCannotBeMinimized) {
  Net n;
  expect_error("minimize: the loss must be a float scalar, got f32[4,3]",
               error_of([&] { minimize(n.x * n.w, Sgd{}); }));
  expect_error("minimize: the loss must be a float scalar, got i64[]", error_of([&] { minimize(step(n.graph), Sgd{}); }));
  expect_error("minimize: the loss is an empty Value", error_of([&] { minimize(Value(), Sgd{}); }));
  expect_error("minimize: the loss depends on no trainable variable",
               error_of([&] { minimize(sum(n.x), Sgd{}); }));
}

TEST(Minimize, RefusesVariablesThatCannotLearn) {
  Net n;
  Net other;
  const Value fixed = variable(n.graph, "fixed", f32(1, 3), zeros(), {.trainable = false});
  const Value loss = sum(n.x * n.w + n.b + fixed);
  const auto with = [&](std::vector<Value> variables) {
    return error_of([&] { minimize(loss, Sgd{}, {.variables = variables}); });
  };
  expect_error("minimize: variable 'fixed' is not trainable", with({n.w, fixed}));
  expect_error("minimize: variables[0] is no variable", with({n.x}));
  expect_error("minimize: variables[1] is not a value of the loss's graph", with({n.w, other.w}));
  expect_error("minimize: variable 'w' is given twice", with({n.w, n.b, n.w}));
}

TEST(Minimize, RefusesToUpdateAVariableTwice) {
  Net n;
  minimize(n.loss, Sgd{});
  const std::size_t before = n.graph.size(), updates = n.graph.updates().size();
  expect_error("minimize: variable 'w' is already updated, and a step updates it once",
               error_of([&] { minimize(n.loss, Adam{}); }));
  EXPECT_EQ(n.graph.size(), before) << "a refused call leaves the graph as it was";
  EXPECT_EQ(n.graph.updates().size(), updates);

  Net m;
  m.graph.update(m.b, m.b * 0.5);
  expect_error("minimize: variable 'b' is already updated, and a step updates it once",
               error_of([&] { minimize(m.loss, Sgd{}); }));
}

TEST(Minimize, RefusesSettingsOutOfRange) {
  Net n;
  const std::size_t before = n.graph.size();
  const auto with = [&](const Optimizer& optimizer) { return error_of([&] { minimize(n.loss, optimizer); }); };
  expect_error("sgd: momentum must lie in [0, 1], got 1.5", with(Sgd{.momentum = 1.5}));
  expect_error("sgd: momentum must lie in [0, 1], got nan", with(Sgd{.momentum = std::nan("")}));
  expect_error("sgd: nesterov needs momentum above 0", with(Sgd{.nesterov = true}));
  expect_error("sgd: dampening belongs to the convention torch", with(Sgd{.momentum = 0.9, .dampening = 0.5}));
  expect_error("sgd: nesterov and dampening exclude each other",
               with(Sgd{.momentum = 0.9, .nesterov = true, .convention = Convention::torch, .dampening = 0.5}));
  expect_error("sgd: the convention must be keras or torch, got optax", with(Sgd{.convention = Convention::optax}));
  expect_error("sgd: weight_decay must be finite and at least 0, got -1", with(Sgd{.weight_decay = -1}));
  expect_error("adam: beta1 must lie in [0, 1), got 1", with(Adam{.beta1 = 1}));
  expect_error("adam: beta2 must lie in [0, 1), got -0.1", with(Adam{.beta2 = -0.1}));
  expect_error("adam: epsilon must be finite and above 0, got 0", with(Adam{.epsilon = 0}));
  expect_error("adamw: weight_decay must be finite and at least 0, got -1", with(AdamW{.weight_decay = -1}));
  expect_error("schedule: the rate must be finite and at least 0, got -1",
               error_of([&] { minimize(n.loss, Sgd{.rate = -1}); }));
  const auto scaled = [&](const LossScale& scale, NonFinite policy = NonFinite::propagate) {
    return error_of([&] { minimize(n.loss, Sgd{}, {.non_finite = policy, .loss_scale = scale}); });
  };
  expect_error("minimize: loss_scale: initial must be finite and above 0, got 0", scaled({.initial = 0}));
  expect_error("minimize: loss_scale: growth_steps must be finite and at least 0, got -1",
               scaled({.growth_steps = -1}));
  expect_error("minimize: loss_scale: factor must be finite and above 1, got 1", scaled({.factor = 1}));
  expect_error("minimize: loss_scale: one that adapts skips steps that are not finite; NonFinite::fail asks for the "
               "opposite",
               scaled({}, NonFinite::fail));
  EXPECT_EQ(n.graph.size(), before);
}

TEST(Minimize, RefusesGroupsThatMakeNoSense) {
  Net n;
  const std::size_t before = n.graph.size();
  const auto with = [&](const MinimizeOptions& options, const Optimizer& optimizer = Sgd{}) {
    return error_of([&] { minimize(n.loss, optimizer, options); });
  };
  expect_error("minimize: groups[0] does not say of which variables it is", with({.groups = {{.rate = 2}}}));
  expect_error("minimize: groups[1] has no variable; those that learn are w, b",
               with({.groups = {{.of = named("b")}, {.of = named("bais")}}}));
  expect_error("minimize: the rate of groups[0] must be finite and above 0, got 0; to stand still is `frozen`",
               with({.groups = {{.of = named("b"), .rate = 0}}}));
  expect_error("minimize: every variable is frozen", with({.groups = {{.of = named(""), .frozen = true}}}));
  expect_error("sgd: momentum must lie in [0, 1], got 2",
               with({.groups = {{.of = named("b"), .optimizer = Sgd{.momentum = 2}}}}));
  expect_error("minimize: weight_decay must be finite and at least 0, got nan", with({.weight_decay = std::nan("")}));
  EXPECT_EQ(n.graph.size(), before);
  expect_error("minimize: weight_decay needs a rule with a rate, and 'optimizer' has none",
               with({.weight_decay = 0.1}, [](Value w, Value g, Slots&) { return w - g; }));
  Net m;
  expect_error("minimize: the constraint turned 'w' from f32[1,3] into f32[]",
               error_of([&] { minimize(m.loss, Sgd{}, {.constraint = [](Value w) { return sum(w); }}); }));
  EXPECT_NE(error_of([] { ema(1); }).find(": ema: momentum must lie in [0, 1), got 1"), std::string::npos);
  EXPECT_NE(error_of([] { equal_average(-1); }).find(": equal_average: from must be finite and at least 0, got -1"),
            std::string::npos);
}

TEST(Minimize, RefusesPartsOfOnesOwnThatGiveTheWrongType) {
  Net n;
  const std::string before = print(n.graph);
  expect_error("optimizer 'optimizer': the next value of 'w' is f32[], must be f32[1,3]",
               error_of([&] { minimize(n.loss, [](Value w, Value, Slots&) { return sum(w); }); }));
  EXPECT_EQ(print(n.graph), before) << "gradients, slots and the counter are taken back";
  minimize(n.loss, Sgd{});
  Net m;
  expect_error("minimize: the penalty on 'w' must be f32[] as the loss, got f32[1,3]",
               error_of([&] { minimize(m.loss, Sgd{}, {.penalty = [](Value w) { return w; }}); }));
  Net k;
  expect_error("minimize: the clip was given 2 gradients and returned 0",
               error_of([&] { minimize(k.loss, Sgd{}, {.clip = [](Values) { return Values{}; }}); }));
  Net l;
  expect_error("schedule: it must give a scalar of type f64[], got i64[]",
               error_of([&] { minimize(l.loss, Sgd{.rate = [](Value at) { return at; }}); }));
}

}  // namespace
}  // namespace thalweg
