// SPDX-License-Identifier: Apache-2.0
// How often weights are updated, on how many samples, and what fit tells schedules and policies.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "../data/files.h"
#include "../vectors.h"
#include "models.h"
#include "thalweg/graph/interpret.h"
#include "thalweg/lib/train/accumulation.h"
#include "thalweg/lib/train/fit.h"
#include "thalweg/ops/inference.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/random.h"
#include "thalweg/ops/softmax.h"
#include "thalweg/optim/clip.h"

namespace thalweg {
namespace {

using testing::finish;
using testing::mlp;
using testing::run_error_of;
using testing::spiral;

double counted(const History& history, const std::string& variable = "step") {
  return history.variables.at(variable).numbers()[0];
}

TEST(Descent, UpdatesAsOftenAsTheBatchSays) {
  const Dataset data = spiral(50);
  const auto updates = [&](Dim batch) {
    return counted(fit(mlp(32), data, {.epochs = 2, .batch = batch, .verbose = 0}));
  };
  EXPECT_EQ(updates(full_batch), 2);
  EXPECT_EQ(updates(1), 2 * 50);
  EXPECT_EQ(updates(7), 2 * 8);
  EXPECT_EQ(updates(0), 2 * 2);
  EXPECT_EQ(updates(64), 2);
}

TEST(Descent, FullBatchIsOneOfAllSamplesThatAreLearnedFrom) {
  const Dataset data = spiral(60);
  const FitOptions options{.epochs = 3, .batch = full_batch, .validation = 0.25, .shuffle = false, .verbose = 0};
  const History full = fit(mlp(7), data, options);
  const History same = fit(mlp(45), rows(data, 0, 45), {.epochs = 3, .shuffle = false, .verbose = 0});
  EXPECT_EQ(full["loss"], same["loss"]);
}

// ---- micro-batches

/// A small net in double, with everything that a step can have.
Graph careful(Dim batch, const MinimizeOptions& options = {}) {
  Graph g("careful");
  const Value x = input(g, "x", f64(batch, 6, 6, 1));
  const Value t = input(g, "t", i32(batch));
  Value h = max_pool(relu(conv(x, 3, 3)), 2);
  h = layer_norm(dense(flatten(h), 5, {.activation = [](Operand v) { return tanh(v); }}), LayerNormOptions{});
  const Value y = dense(h, 3);
  const Value data = mean(sparse_cross_entropy(y, t)), held = activity(h, l2(0.01));
  const Value loss = data + held;
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));
  const Minimized m = minimize(loss, Adam{.rate = exponential_decay(0.05, 0.9, 3)}, options);
  g.output("norm", global_norm(m.raw_gradients));
  g.output("rate", m.rate);
  return g;
}

Dataset pictures(Dim n) {
  std::vector<double> x, t;
  for (Dim i = 0; i < n; ++i) {
    for (Dim k = 0; k < 36; ++k)
      x.push_back(std::sin(static_cast<double>((i + 1) * (k + 3)) * 0.37) + 0.1 * static_cast<double>(i % 3));
    t.push_back(static_cast<double>(i % 3));
  }
  Dataset data;
  data.inputs = Tensor(f64(n, 6, 6, 1), x);
  data.labels = Tensor(i32(n), t);
  return data;
}

void expect_same(const History& a, const History& b, double tolerance) {
  for (std::size_t i = 0; i < a.epochs(); ++i) {
    for (const char* column : {"loss", "norm", "rate"})
      EXPECT_NEAR(a[column][i], b[column][i], tolerance) << column << " in epoch " << i + 1;
    EXPECT_NEAR(a["accuracy"][i], b["accuracy"][i], 0x1p-23) << "it is an f32";
  }
  for (const std::string& name : b.variables.names()) {
    const auto want = b.variables.at(name).numbers(), got = a.variables.at(name).numbers();
    for (std::size_t k = 0; k < want.size(); ++k)
      EXPECT_NEAR(got[k], want[k], tolerance * std::fmax(1, std::fabs(want[k]))) << name;
  }
}

TEST(Accumulation, GivesTheUpdatesOfTheWholeBatch) {
  const Dataset data = pictures(26);
  const MinimizeOptions options{.penalty = l2(0.01), .clip = by_global_norm(0.5), .weight_decay = 0.01,
                                .non_finite = NonFinite::skip, .loss_scale = LossScale{.initial = 64, .growth_steps = 2},
                                .average = ema(0.9), .constraint = max_norm(2)};
  const auto trained = [&](Dim batch, Dim micro) {
    return fit(careful(8, options), data, {.epochs = 3, .batch = batch, .micro_batch = micro, .seed = 5, .verbose = 0});
  };
  for (const Dim batch : {full_batch, Dim{12}}) {
    const History whole = trained(batch, 0);
    EXPECT_EQ(counted(whole), batch == full_batch ? 3 : 9);
    // 26 samples in parts of 1, 3 (the last of 2), 4 and 12, and in one part that asks for more than there are.
    for (const Dim micro : {1, 3, 4, 12, 100}) {
      SCOPED_TRACE(::testing::Message() << "batch " << batch << ", micro_batch " << micro);
      expect_same(trained(batch, micro), whole, 1e-12);
    }
  }
}

TEST(Accumulation, FollowsTheReference) {
  const auto& v = testing::vectors("gradient_accumulation_keras_2_sgd0.1");
  Graph g("accumulated");
  const Value x = input(g, "x", f64(2, 3));
  const Value w = variable(g, "w", f64(3), values({1, -2, 3}));
  const Value loss = mean(sum(x * w, {.axes = {1}}));
  g.output("loss", loss);
  minimize(loss, Sgd{.rate = 0.1});
  Dataset data;
  data.inputs = Tensor(f64(4, 3), testing::numbers(v.at("grads")));
  std::vector<std::vector<double>> after;
  const History history = fit(g, data, {.batch = 2, .micro_batch = 1, .shuffle = false, .verbose = 0});
  const auto want = testing::numbers(v.at("weights_after_each_micro_step").at(3));
  for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(history.variables.at("w").numbers()[k], want[k], 1e-12);
}

TEST(Accumulation, NeedsTheMemoryOfAMicroBatch) {
  const Dataset data = pictures(1024);
  const auto arena = [&](Dim micro) {
    std::size_t bytes = 0;
    const auto look = [&](TrainingRun& run) {
      bytes = run.program().memory().arena + run.program().memory().inputs;
    };
    fit(careful(1024), data, {.batch = full_batch, .micro_batch = micro, .verbose = 0, .callbacks = {look}});
    return bytes;
  };
  EXPECT_LT(4 * arena(8), arena(0));
}

TEST(Accumulation, DrawsAnewInEachMicroBatch) {
  Graph g("drawn");
  const Value x = input(g, "x", f32(4, 8));
  const Value y = dropout(x, 0.5);
  const Value w = variable(g, "w", f32(8), ones());
  minimize(mean(y * w), Sgd{.rate = 0.1});
  g.output("y", y);
  Interpreter whole(g), parts(accumulation(g).gather);
  const Array<double> ones_in(Shape{4, 8}, 1.0);
  whole.set("x", ones_in);
  parts.set("x", ones_in);
  whole.evaluate();
  parts.step();
  EXPECT_EQ(parts.output("y").data, whole.output("y").data);
  parts.step();
  EXPECT_NE(parts.output("y").data, whole.output("y").data);
}

/// The first line of what fit throws for micro-batches of 2, without the file and line.
template <class E>
std::string refusal(const Graph& g, const Dataset& data, FitOptions options = {}) {
  options.micro_batch = 2;
  options.verbose = 0;
  try {
    fit(g, data, options);
  } catch (const E& error) {
    const std::string text = error.what(), first = text.substr(0, text.find('\n'));
    EXPECT_EQ(first.find("descent_test.cpp:") == 0, error.where().known()) << text;
    return error.where().known() ? first.substr(first.find(' ') + 1) : first;
  }
  return "nothing was thrown";
}

Graph with_head(const std::function<Value(Value, Value)>& loss_of) {
  Graph g("refused");
  const Value x = input(g, "x", f32(4, 2)), t = input(g, "t", i32(4));
  const Value loss = loss_of(x, t);
  g.output("loss", loss);
  minimize(loss, Sgd{});
  return g;
}

TEST(Accumulation, RefusesWhatMixesSamples) {
  const Dataset data = spiral(8);
  const auto mixing = [](const std::string& op) {
    return "micro_batch: " + op + " mixes the samples of a batch, so that micro-batches give another result than the "
           "whole batch";
  };
  const auto normed = [](const Value& x, const Value& t) {
    return mean(sparse_cross_entropy(dense(batch_norm(x), 3), t));
  };
  EXPECT_EQ(refusal<GraphError>(with_head(normed), data), mixing("batch_norm_training"));
  EXPECT_EQ(refusal<GraphError>(with_head(normed), data, {.ghost_batches = true}), "nothing was thrown");
  EXPECT_EQ(refusal<GraphError>(with_head([](const Value& x, const Value& t) {
              return sum(sparse_cross_entropy(dense(x, 3), t));
            }), data),
            "micro_batch: the loss must be a mean over the samples; this sum adds them up");
  EXPECT_EQ(refusal<GraphError>(with_head([](const Value& x, const Value& t) {
              return sqrt(mean(sparse_cross_entropy(dense(x, 3), t)));
            }), data),
            mixing("sqrt"));
  EXPECT_EQ(refusal<GraphError>(with_head([](const Value& x, const Value& t) {
              const Value ce = sparse_cross_entropy(dense(x, 3), t);
              return sum(ce) / sum(square(ce));
            }), data),
            mixing("div"));
  EXPECT_EQ(refusal<GraphError>(with_head([](const Value& x, const Value& t) {
              return mean(sparse_cross_entropy(dense(softmax(x, 0), 3), t));
            }), data),
            mixing("softmax"));
  EXPECT_EQ(refusal<GraphError>(with_head([](const Value& x, const Value& t) {
              const Value h = dense(x, 3);
              return mean(sparse_cross_entropy(matmul(matmul(h, h, {.tb = true}), h), t));
            }), data),
            mixing("matmul"));
  EXPECT_EQ(refusal<RunError>(mlp(4), data, {.batch = 3}),
            "a batch of 3 samples cannot be cut into micro-batches of 2: it must be a multiple");

  Graph bare("bare");
  const Value w = variable(bare, "w", f32(2), zeros());
  const Value loss = mean(input(bare, "x", f32(4, 2)) * w);
  bare.output("loss", loss);
  bare.update(w, w * 0.5);
  Dataset unlabelled = data;
  unlabelled.labels = {};
  EXPECT_EQ(refusal<GraphError>(bare, unlabelled), "micro_batch: graph 'bare' has no objective: call minimize()");
}

TEST(Accumulation, SkipsAndFailsAsWholeBatchesDo) {
  Dataset data = spiral(12);
  data.inputs.as<float>()[2 * 5] = std::numeric_limits<float>::quiet_NaN();
  const auto with = [&](NonFinite policy, Dim micro) {
    Graph g("guarded");
    const Value x = input(g, "x", f32(4, 2)), t = input(g, "t", i32(4));
    finish(g, dense(x, 3), t, Sgd{.rate = 0.1}, {.non_finite = policy});
    return fit(g, data, {.epochs = 2, .micro_batch = micro, .shuffle = false, .verbose = 0});
  };
  for (const Dim micro : {0, 2}) {
    const History skipped = with(NonFinite::skip, micro);
    EXPECT_EQ(counted(skipped), 4);
    EXPECT_EQ(counted(skipped, "skipped_steps"), 2);
    EXPECT_TRUE(std::isfinite(skipped.last("loss")));
    ASSERT_EQ(skipped.warnings.size(), 2u);
    EXPECT_EQ(skipped.warnings[0], "1 of 3 steps of epoch 1 were skipped: their loss or gradients were not finite");
    EXPECT_NE(run_error_of([&] { with(NonFinite::fail, micro); }).find(": the loss is not finite\n    in epoch 1, "),
              std::string::npos);
  }
}

TEST(Accumulation, ForgetsAStepThatAnErrorCutShort) {
  const Dataset good = spiral(8);
  Dataset bad = good;
  bad.labels = Tensor(i32(8), std::vector<double>{0, 1, 2, 9, 0, 1, 2, 0});  // in the second micro-batch
  const FitOptions options{.batch = full_batch, .micro_batch = 2, .shuffle = false, .verbose = 0};
  FitOptions again = options;
  again.variables = Variables();
  const Graph g = mlp(8, Sgd{.rate = 0.1});
  EXPECT_THROW(fit(g, bad, again), RunError);
  EXPECT_GT(again.variables->at("accumulated/samples").numbers()[0], 0);
  const History after = fit(g, good, again), fresh = fit(g, good, options);
  EXPECT_EQ(after["loss"], fresh["loss"]);
  EXPECT_EQ(after.variables.at("dense/kernel").numbers(), fresh.variables.at("dense/kernel").numbers());
}

// ---- what fit tells the graph

TEST(Descent, GivesUpWhereEveryStepIsSkipped) {
  Dataset data = spiral(8);
  for (float& x : data.inputs.as<float>()) x = std::numeric_limits<float>::infinity();
  Graph g("hopeless");
  const Value x = input(g, "x", f32(4, 2)), t = input(g, "t", i32(4));
  finish(g, dense(x, 3), t, Sgd{.rate = 0.1}, {.non_finite = NonFinite::skip});
  EXPECT_THROW(fit(g, data, {.epochs = 2, .verbose = 0}), Diverged);
}

Graph scheduled(const Schedule& rate) {
  Graph g("scheduled");
  const Value x = input(g, "x", f32(4, 2)), t = input(g, "t", i32(4));
  const Value y = dense(x, 3), loss = mean(sparse_cross_entropy(y, t));
  g.output("loss", loss);
  g.output("rate", minimize(loss, Sgd{.rate = rate}).rate);
  return g;
}

TEST(Descent, TellsSchedulesHowLongAnEpochIs) {
  // 10 samples in batches of 4 are 3 steps; the rate halves with each epoch.
  const History history = fit(scheduled(step_decay(0.4, 0.5, Epochs(1))), spiral(10), {.epochs = 3, .verbose = 0});
  const std::vector<double> want = {0.4, 0.2, 0.1};
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(history["rate"][i], want[i], 1e-15);
  EXPECT_EQ(counted(history, "steps_per_epoch"), 3);
}

TEST(Descent, WarnsOfSchedulesThatAreLongerThanTheTraining) {
  const auto warnings = [](const Schedule& rate) {
    return fit(scheduled(rate), spiral(10), {.epochs = 2, .verbose = 0}).warnings;
  };
  EXPECT_TRUE(warnings(cosine_decay(0.1, 6)).empty());
  EXPECT_TRUE(warnings(cosine_decay(0.1, Epochs(2))).empty());
  EXPECT_TRUE(warnings(exponential_decay(0.1, 0.9, 1000)).empty());
  const auto long_one = warnings(cosine_decay(0.1, 100));
  ASSERT_EQ(long_one.size(), 1u);
  EXPECT_EQ(long_one[0].find("descent_test.cpp:"), 0u) << long_one[0];
  EXPECT_NE(long_one[0].find(": the schedule changes until step 100, and this training ends at 6: it stops short of "
                             "the schedule's end"),
            std::string::npos)
      << long_one[0];
  const auto in_epochs = warnings(polynomial_decay(0.1, Epochs(5)));
  ASSERT_EQ(in_epochs.size(), 1u);
  EXPECT_NE(in_epochs[0].find("until epoch 5, and this training ends at 2"), std::string::npos) << in_epochs[0];
}

TEST(Descent, JudgesByAverages) {
  const Dataset data = spiral(60);
  const Graph g = [] {
    Graph net("averaged");
    const Value x = input(net, "x", f32(16, 2)), t = input(net, "t", i32(16));
    finish(net, dense(relu(dense(x, 16)), 3), t, Adam{.rate = 0.05}, {.average = ema(0.9)});
    return net;
  }();
  const History history = fit(g, data, {.epochs = 3, .validation = data, .verbose = 0});
  const double judged = evaluate(g, history.variables, data)["loss"];
  EXPECT_NEAR(history.last("val_loss"), judged, 1e-6);
  // The same weights put in the place of the trained ones.
  const Graph plain = mlp(16);
  Variables moved = history.variables.clone();
  double apart = 0;
  for (const char* name : {"dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"}) {
    apart += std::fabs(moved.at(name).numbers()[0] - moved.at(std::string("average/") + name).numbers()[0]);
    moved.set(name, moved.at(std::string("average/") + name));
  }
  EXPECT_GT(apart, 1e-4);
  EXPECT_NEAR(evaluate(plain, moved, data)["loss"], judged, 1e-6);
}

}  // namespace
}  // namespace thalweg
