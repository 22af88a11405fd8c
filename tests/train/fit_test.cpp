// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/fit.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <map>
#include <thread>

#include "../data/files.h"
#include "models.h"
#include "thalweg/lib/data/readers.h"
#include "thalweg/lib/io/safetensors.h"
#include "thalweg/lib/train/early_stopping.h"
#include "thalweg/ops/metric.h"
#include "thalweg/ops/random.h"

namespace thalweg {
namespace {

using testing::finish;
using testing::Folder;
using testing::mlp;
using testing::run_error_of;
using testing::spiral;

bool same_values(const Variables& a, const Variables& b) {
  if (a.names() != b.names()) return false;
  for (const std::string& name : a.names())
    if (a.at(name).numbers() != b.at(name).numbers()) return false;
  return true;
}

TEST(Fit, LearnsAndMeasures) {
  const TrainTest data = split(spiral(300), 0.2, 1);
  const History history = fit(mlp(32), data.train, {.epochs = 60, .validation = data.test, .verbose = 0});
  EXPECT_EQ(history.columns,
            (std::vector<std::string>{"epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds"}));
  EXPECT_EQ(history.epochs(), 60u);
  EXPECT_LT(history.last("loss"), 0.3 * history["loss"][0]);
  EXPECT_GE(history.last("val_accuracy"), 0.9);
  EXPECT_FALSE(history.interrupted || history.stopped_early);
}

TEST(Fit, FractionValidatesOnTheLastSamples) {
  const Dataset data = spiral(100);
  const History split_off = fit(mlp(16), data, {.epochs = 3, .validation = 0.25, .verbose = 0});
  const History given =
      fit(mlp(16), rows(data, 0, 75), {.epochs = 3, .validation = rows(data, 75, 100), .verbose = 0});
  EXPECT_EQ(split_off["loss"], given["loss"]);
  EXPECT_EQ(split_off["val_loss"], given["val_loss"]);
  EXPECT_TRUE(same_values(split_off.variables, given.variables));
}

/// Quotients and roots of means are computed from the means over all samples, for any batch size.
TEST(Fit, MetricsThatAreNoMeansAreOfAllSamples) {
  const Dataset data = spiral(50);
  const auto with_metrics = [](Dim batch) {
    Graph g = mlp(batch);
    const auto value = [&](const char* name) {
      for (const Graph::Output& output : g.outputs())
        if (output.name == name) return g.value(output.value);
      return Value();
    };
    const MacroScores scores = macro_scores(value("logits"), g.find("t"));
    g.output("f1", scores.f1);
    g.output("precision", scores.precision);
    g.output("rms", sqrt(sample_mean(square(value("loss")))));
    return g;
  };
  const Graph g = with_metrics(16);
  const History history = fit(g, data, {.epochs = 4, .validation = data, .verbose = 0});
  EXPECT_EQ(history.columns,
            (std::vector<std::string>{"epoch", "loss", "accuracy", "f1", "precision", "rms", "val_loss", "val_accuracy",
                                      "val_f1", "val_precision", "val_rms", "seconds"}));
  const Scores by16 = evaluate(g, history.variables, data), whole = evaluate(with_metrics(50), history.variables, data);
  for (const char* name : {"f1", "precision", "accuracy"}) {
    EXPECT_NEAR(by16[name], whole[name], 1e-6) << name;
    EXPECT_NEAR(by16[name], history.last(std::string("val_") + name), 1e-6) << name;
  }
  // The mean of the batches' own numbers is another one.
  double batches = 0;
  for (Dim first = 0; first < 50; first += 10)
    batches += evaluate(with_metrics(10), history.variables, rows(data, first, first + 10))["f1"] / 5;
  EXPECT_GT(std::fabs(batches - whole["f1"]), 1e-4);

  Graph mixed = mlp(16);
  const Value loss = mixed.value(mixed.outputs()[1].value);
  mixed.output("mixed", sample_mean(loss) + loss);
  EXPECT_NE(run_error_of([&] { evaluate(mixed, history.variables, data); })
                .find("output 'mixed' is computed from sample means and from what a single step holds"),
            std::string::npos);
}

TEST(Fit, ShortLastBatchWeighsWhatItHolds) {
  const Dataset data = spiral(50);
  const Graph g = mlp(16);
  const History history = fit(g, data, {.epochs = 1, .verbose = 0});
  const Scores by16 = evaluate(g, history.variables, data);
  for (const Dim batch : {1, 7, 50, 64}) {
    const Scores other = evaluate(g, history.variables, data, {.batch = batch});
    EXPECT_NEAR(other["loss"], by16["loss"], 1e-6) << batch;
    EXPECT_NEAR(other["accuracy"], by16["accuracy"], 1e-6) << batch;
  }
  // 50 samples: accuracy is a multiple of 1/50 only if the last two samples weigh as two.
  EXPECT_NEAR(by16["accuracy"] * 50, std::round(by16["accuracy"] * 50), 1e-4);
}

TEST(Fit, ShortLastStepTakesTheMeanOfItsOwn) {
  // One epoch of batches of 4 over 6 samples is a step on 4 and a step on 2.
  const Dataset data = spiral(6);
  const History whole = fit(mlp(4, Sgd{.rate = 0.5}), data, {.epochs = 1, .shuffle = false, .verbose = 0});
  const History first = fit(mlp(4, Sgd{.rate = 0.5}), rows(data, 0, 4), {.epochs = 1, .shuffle = false, .verbose = 0});
  fit(mlp(2, Sgd{.rate = 0.5}), rows(data, 4, 6),
      {.epochs = 1, .shuffle = false, .verbose = 0, .variables = first.variables});
  EXPECT_TRUE(same_values(whole.variables, first.variables));
}

TEST(Fit, SameSeedSameBits) {
  const Dataset data = spiral(90);
  const History a = fit(mlp(32), data, {.epochs = 4, .seed = 3, .verbose = 0});
  const History b = fit(mlp(32), data, {.epochs = 4, .seed = 3, .verbose = 0});
  const History c = fit(mlp(32), data, {.epochs = 4, .seed = 4, .verbose = 0});
  EXPECT_EQ(a["loss"], b["loss"]);
  EXPECT_TRUE(same_values(a.variables, b.variables));
  EXPECT_NE(a["loss"], c["loss"]);
}

TEST(Fit, PatienceGivesTheBestWeightsBack) {
  const TrainTest data = split(spiral(120), 0.25, 1);
  const Graph g = mlp(32, Sgd{.rate = 3.0});  // jumps about
  std::vector<Variables> after;
  const History history =
      fit(g, data.train, {.epochs = 40, .validation = data.test, .verbose = 0, .patience = 4,
                          .callbacks = {[&](TrainingRun& run) { after.push_back(run.variables().clone()); }}});
  const std::vector<double> losses = history["val_loss"];
  const auto best = static_cast<std::size_t>(std::min_element(losses.begin(), losses.end()) - losses.begin());
  ASSERT_EQ(history.best_epoch, static_cast<int>(best) + 1);
  EXPECT_TRUE(history.stopped_early);
  EXPECT_EQ(history.epochs(), best + 5);
  EXPECT_NEAR(evaluate(g, history.variables, data.test)["loss"], losses[best], 1e-6);
  for (const std::string& name : history.variables.names()) {
    const Variables& expected = name == "step" ? after.back() : after[best];  // slots and counters go on
    EXPECT_EQ(history.variables.at(name).numbers(), expected.at(name).numbers()) << name;
  }
}

TEST(Fit, BestWeightsComeBackAlsoAfterAnException) {
  const Dataset data = spiral(60);
  const Graph g = mlp(32, Sgd{.rate = 3.0});
  Variables variables;
  std::vector<double> losses;
  std::vector<Variables> after;
  const auto fail = [&](TrainingRun& run) {
    losses.push_back(run.history().last("val_loss"));
    after.push_back(run.variables().clone());
    if (run.epoch() == 6) throw std::logic_error("the user's own");
  };
  EXPECT_THROW(fit(g, data, {.epochs = 9, .validation = 0.3, .verbose = 0, .patience = 8, .callbacks = {fail},
                             .variables = variables}),
               std::logic_error);
  ASSERT_EQ(losses.size(), 6u);
  const auto best = static_cast<std::size_t>(std::min_element(losses.begin(), losses.end()) - losses.begin());
  for (const std::string& name : variables.names())
    if (name != "step") {
      EXPECT_EQ(variables.at(name).numbers(), after[best].at(name).numbers()) << name;
    }
}

TEST(Fit, BestWeightsComeBackOnEveryWayOut) {
  const Dataset data = spiral(60);
  const Graph g = mlp(32, Sgd{.rate = 3.0});
  const auto at_epoch = [](int epoch, std::function<void(TrainingRun&)> act) {
    return LambdaCallback({.on_epoch_begin = [=](TrainingRun& run) { if (run.epoch() == epoch) act(run); }});
  };
  const auto to_nan = [](TrainingRun& run) { Tensor(run.variables().at("dense/kernel")).as<float>()[0] = NAN; };
  const auto ways = std::map<std::string, AnyCallback>{
      {"the epochs are over", [](TrainingRun&) {}},
      {"a callback stops", at_epoch(6, [](TrainingRun& run) { run.stop(); })},
      {"a signal", at_epoch(6, [](TrainingRun&) { raise(SIGINT); })},
      {"an exception", at_epoch(6, [](TrainingRun&) { throw std::logic_error("the user's own"); })},
      {"divergence", at_epoch(6, to_nan)},
  };
  for (const WhenDiverged policy : {WhenDiverged::raise, WhenDiverged::restore})
    for (const auto& [way, out] : ways) {
      Variables variables;
      std::vector<double> losses;
      std::vector<Variables> after;
      const auto note_epoch = [&](TrainingRun& run) {
        losses.push_back(run.history().last("val_loss"));
        after.push_back(run.variables().clone());
      };
      try {
        fit(g, data, {.epochs = 6, .validation = 0.3, .verbose = 0,
                      .callbacks = {EarlyStopping({.patience = 9, .restore_best_weights = true}), note_epoch, out},
                      .when_diverged = policy, .variables = variables});
      } catch (const std::exception&) {
      }
      ASSERT_GE(losses.size(), 5u) << way;
      const auto best = static_cast<std::size_t>(std::min_element(losses.begin(), losses.end()) - losses.begin());
      for (const std::string& name : variables.names())
        if (name != "step") {
          EXPECT_EQ(variables.at(name).numbers(), after[best].at(name).numbers()) << way << ": " << name;
        }
    }
}

/// An mlp whose loss weighs samples as their data set says.
Graph weighing(Dim batch) {
  Graph g("weighing");
  const Value x = input(g, "x", f32(batch, 2)), t = input(g, "t", i32(batch));
  const Value losses = sparse_cross_entropy(dense(relu(dense(x, 16)), 3), t);
  const Value loss = mean(losses * sample_weights(g, batch));
  g.output("loss", loss);
  minimize(loss, Sgd{.rate = 0.5});
  return g;
}

TEST(Fit, SamplesCountAsTheirWeightsSay) {
  // A sample of weight 0 is none: the rest alone, at half the weight, as the mean is over half as many.
  Dataset data = spiral(24);
  std::vector<double> weights(24, 1);
  for (std::size_t i = 0; i < 24; i += 2) weights[i] = 0;
  const auto trained = [](Dim batch, const Dataset& set, FitOptions options = {.epochs = 3, .verbose = 0}) {
    return fit(weighing(batch), set, options);
  };
  const History plain = trained(24, data);
  data.weights = Tensor(f32(24), std::vector<double>(24, 1));
  EXPECT_TRUE(same_values(plain.variables, trained(24, data).variables)) << "without weights all are 1";
  data.weights = Tensor(f32(24), weights);
  const History half = trained(24, data);
  std::vector<std::uint32_t> odd;
  for (std::uint32_t i = 1; i < 24; i += 2) odd.push_back(i);
  Dataset kept = take(data, odd);
  EXPECT_EQ(kept.weights.numbers(), std::vector<double>(12, 1));
  kept.weights = Tensor(f32(12), std::vector<double>(12, 0.5));
  const History same = trained(12, kept);
  for (std::size_t epoch = 0; epoch < 3; ++epoch) EXPECT_NEAR(half["loss"][epoch], same["loss"][epoch], 1e-6);
  // In smaller batches, shuffled, in micro-batches and in a validation set they go with their samples.
  const History whole = trained(12, data, {.epochs = 3, .batch = full_batch, .verbose = 0});
  const History parts = trained(12, data, {.epochs = 3, .batch = full_batch, .micro_batch = 6, .verbose = 0});
  for (std::size_t epoch = 0; epoch < 3; ++epoch) {
    EXPECT_NEAR(whole["loss"][epoch], half["loss"][epoch], 1e-6);
    EXPECT_NEAR(parts["loss"][epoch], half["loss"][epoch], 1e-6);
  }
  const double judged = evaluate(weighing(5), half.variables, data)["loss"];
  EXPECT_NEAR(judged, evaluate(weighing(12), half.variables, kept)["loss"], 1e-6);
  data.weights = Tensor(f32(23), std::vector<double>(23, 1));
  EXPECT_CONTAINS(run_error_of([&] { trained(24, data); }), "24 samples and weights f32[23], must be f32[24]");
  weights[7] = -1;
  data.weights = Tensor(f32(24), weights);
  EXPECT_CONTAINS(run_error_of([&] { trained(24, data); }),
                  "the weight of sample 7 is -1, must be finite and at least 0");
}

TEST(Fit, CallbackStops) {
  const History history = fit(mlp(32), spiral(60), {.epochs = 9, .verbose = 0, .callbacks = {[](TrainingRun& run) {
                                                      if (run.epoch() == 2) run.stop();
                                                    }}});
  EXPECT_EQ(history.epochs(), 2u);
  EXPECT_TRUE(history.stopped_early);
}

TEST(Fit, InterruptFinishesTheStepAndReturns) {
  struct sigaction before {}, after {};
  sigaction(SIGINT, nullptr, &before);
  std::atomic<bool> running = false;
  std::thread user([&] {
    while (!running) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    kill(getpid(), SIGINT);
  });
  const History history = fit(mlp(8), spiral(300), {.epochs = 1000000, .verbose = 0, .callbacks = {[&](TrainingRun&) {
                                                      running = true;
                                                    }}});
  user.join();
  EXPECT_TRUE(history.interrupted);
  EXPECT_GE(history.epochs(), 1u);
  EXPECT_LT(history.epochs(), 1000000u);
  // Whole steps only: the counter says how many, each epoch has 38.
  const double steps = history.variables.at("step").number(0);
  EXPECT_GE(steps, 38.0 * static_cast<double>(history.epochs()));
  EXPECT_LE(steps, 38.0 * static_cast<double>(history.epochs() + 1));
  sigaction(SIGINT, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
}

TEST(Fit, GoesOnFromGivenVariables) {
  const Dataset data = spiral(64);
  Variables variables;
  const FitOptions options{.epochs = 2, .shuffle = false, .verbose = 0, .variables = variables};
  fit(mlp(16), data, options);
  fit(mlp(16), data, options);
  const History at_once = fit(mlp(16), data, {.epochs = 4, .shuffle = false, .verbose = 0});
  EXPECT_TRUE(same_values(variables, at_once.variables));
}

TEST(Fit, DivergenceIsAnError) {
  const std::string message = run_error_of(
      [] { fit(mlp(16, Sgd{.rate = 1e30}), spiral(64), {.epochs = 50, .verbose = 0}); });
  EXPECT_CONTAINS(message, "training has diverged");
  EXPECT_CONTAINS(message, "in epoch ");
  EXPECT_EQ(message.find("-nan"), std::string::npos) << message;
}

/// The message of the Diverged that `f` throws.
template <class F>
std::string divergence_of(F f) {
  try {
    f();
  } catch (const Diverged& error) {
    return error.what();
  }
  return "nothing of the kind was thrown";
}

TEST(Fit, DivergenceOfAnyOutputIsAnError) {
  Graph g("second");
  const Value x = input(g, "x", f32(16, 2)), t = input(g, "t", i32(16));
  const Value y = dense(x, 3);
  finish(g, y, t, Sgd{.rate = 0.1});
  // log of a negative number: the processor's nan has its sign set.
  g.output("measure", mean(log(square(y) * -1)));
  EXPECT_CONTAINS(divergence_of([&] { fit(g, spiral(64), {.verbose = 0}); }),
                  "measure is nan in epoch 1, step 1 of 4: training has diverged");
}

TEST(Fit, ANumberOfTheDataThatIsNotFiniteIsNamed) {
  Dataset data = spiral(64);
  data.inputs.as<float>()[2 * 21 + 1] = std::nanf("");
  const std::string message =
      divergence_of([&] { fit(mlp(16, Sgd{.rate = 0.1}), data, {.shuffle = false, .verbose = 0}); });
  EXPECT_CONTAINS(message, "is nan in epoch 1, step 2 of 4: sample 21 of the data set holds nan at element 1");
  EXPECT_CONTAINS(divergence_of([&] { fit(mlp(16, Sgd{.rate = 0.1}), data, {.verbose = 0}); }), "sample 21 of the");
}

TEST(Fit, DivergenceOfAVariableIsAnError) {
  // The loss never reads what the last step made of the variable.
  Graph g("last");
  const Value x = input(g, "x", f32(64, 2)), t = input(g, "t", i32(64));
  const Value huge = variable(g, "huge", f32(), filled(1e30), {.trainable = false});
  finish(g, dense(x, 3), t, Sgd{.rate = 0.1});
  g.update(huge, mul(huge, huge));
  const std::string message = divergence_of([&] { fit(g, spiral(64), {.verbose = 0}); });
  EXPECT_CONTAINS(message, "variable 'huge' is inf in epoch 1, step 1 of 1: training has diverged");
  EXPECT_CONTAINS(message, "a smaller learning rate or clipping the gradients may help");
}

TEST(Fit, LabelOutOfRangeSaysWhere) {
  Dataset data = spiral(20);
  data.labels.as<std::int32_t>()[18] = 3;
  const auto message_of = [&](const FitOptions& options) {
    return run_error_of([&] { fit(mlp(16), data, options); });
  };
  const std::string first = "sparse_cross_entropy: the label of sample 18 of the data set is 3, must be in [0,3)";
  EXPECT_CONTAINS(message_of({.shuffle = false, .verbose = 0}),
                  first + "\n    in epoch 1, training batch 2 of 2 (4 samples)");
  EXPECT_CONTAINS(message_of({.shuffle = true, .seed = 5, .verbose = 0}), first);
  EXPECT_CONTAINS(message_of({.validation = 0.25, .shuffle = true, .verbose = 0}),
                  first + "\n    in epoch 1, validation batch 1 of 1 (5 samples)");
}

TEST(Fit, SaysWhichDataFits) {
  Dataset wide = spiral(12);
  wide.inputs = Tensor(f32(12, 5));
  const std::string message = run_error_of([&] { fit(mlp(4), wide, {.verbose = 0}); });
  EXPECT_CONTAINS(message, "no reading of the inputs of graph 'mlp' fits the data");
  EXPECT_CONTAINS(message, "samples  f32[12,5]");
  EXPECT_CONTAINS(message, "input 'x'  f32[4,2]");
  EXPECT_CONTAINS(run_error_of([&] { fit(mlp(4), spiral(12), {.verbose = 0, .input = "y"}); }), "has no input 'y'");
  EXPECT_CONTAINS(run_error_of([&] { fit(mlp(4), Dataset{}, {.verbose = 0}); }), "no samples");

  Graph two("two");
  const Value a = input(two, "a", f32(4, 2)), b = input(two, "b", f32(4, 2));
  const Value loss = mean(mse(dense(a, 2), b));
  two.output("loss", loss);
  minimize(loss, Sgd{.rate = 0.1});
  Dataset pairs = spiral(12);
  pairs.labels = Tensor(f32(12, 2));
  EXPECT_CONTAINS(run_error_of([&] { fit(two, pairs, {.verbose = 0}); }), "more than one reading");
  EXPECT_EQ(fit(two, pairs, {.verbose = 0, .input = "a", .label = "b"}).epochs(), 1u);
}

TEST(Fit, ChecksItsOptions) {
  const Dataset data = spiral(12);
  const auto error = [&](const FitOptions& options) { return run_error_of([&] { fit(mlp(4), data, options); }); };
  EXPECT_CONTAINS(error({.epochs = 0, .verbose = 0}), "epochs is 0");
  EXPECT_CONTAINS(error({.verbose = 3}), "verbose is 3");
  EXPECT_CONTAINS(error({.verbose = 0, .patience = -1}), "patience is -1");
  EXPECT_CONTAINS(error({.verbose = 0, .patience = 1, .monitor = "los"}), "did you mean loss");
  EXPECT_CONTAINS(error({.validation = 1.5, .verbose = 0}), "between 0 and 1");
  FitOptions tuned{.verbose = 0, .checkpoint = {"runs"}, .resume = true};
  tuned.compile.tune = true;
  EXPECT_CONTAINS(error(tuned), "compile.tune chooses kernels by their times");
  Graph idle("idle");
  const Value x = input(idle, "x", f32(4, 2));
  idle.output("loss", mean(x));
  Dataset unlabelled = data;
  unlabelled.labels = {};
  EXPECT_CONTAINS(run_error_of([&] { fit(idle, unlabelled, {.verbose = 0}); }), "updates nothing");
}

TEST(Fit, ProgressNeverStopsTraining) {
  const Dataset data = spiral(30);
  const int saved = dup(STDERR_FILENO);
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  close(pipe_ends[0]);  // nobody reads
  dup2(pipe_ends[1], STDERR_FILENO);
  close(pipe_ends[1]);
  const std::size_t broken = fit(mlp(8), data, {.epochs = 3}).epochs();
  close(STDERR_FILENO);
  const std::size_t closed = fit(mlp(8), data, {.epochs = 3}).epochs();
  dup2(saved, STDERR_FILENO);
  close(saved);
  EXPECT_EQ(broken, 3u);
  EXPECT_EQ(closed, 3u);
}

TEST(Fit, PlainProgressIsALineAnEpoch) {
  ::testing::internal::CaptureStderr();
  fit(mlp(8), spiral(30), {.epochs = 2});
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
  EXPECT_CONTAINS(text, "Epoch 1/2 - ");
  EXPECT_CONTAINS(text, "Epoch 2/2 - ");
  EXPECT_CONTAINS(text, "s - loss: ");
  EXPECT_EQ(text.find_first_of("\r\x1b"), text.npos);
}

TEST(Predict, GivesEveryRow) {
  const Dataset data = spiral(50);
  const Graph g = mlp(16);
  const History history = fit(g, data, {.epochs = 5, .verbose = 0});
  const Tensor by16 = predict(g, history.variables, data.inputs);
  EXPECT_EQ(by16.type(), f32(50, 3));
  const Tensor by1 = predict(g, history.variables, data.inputs, "logits", {.batch = 1});
  double right = 0;
  for (std::size_t i = 0; i < 50; ++i) {
    std::size_t best = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      EXPECT_NEAR(by16.number(3 * i + k), by1.number(3 * i + k), 1e-5);
      if (by16.number(3 * i + k) > by16.number(3 * i + best)) best = k;
    }
    right += static_cast<double>(best) == data.labels.number(i) ? 1 : 0;
  }
  EXPECT_NEAR(right / 50, evaluate(g, history.variables, data)["accuracy"], 1e-6);
  EXPECT_CONTAINS(run_error_of([&] { predict(g, Variables(), data.inputs); }), "the variables given lack");
  EXPECT_CONTAINS(run_error_of([&] { predict(g, history.variables, data.inputs, "loss"); }), "prediction feeds one");
}

TEST(Weights, ComeBackFromAFile) {
  const Folder folder;
  const Graph g = mlp(16);
  const Dataset data = spiral(50);
  const History history = fit(g, data, {.epochs = 3, .verbose = 0});
  save_weights(history.variables, folder.file("w.safetensors"), {{"graph", "mlp"}});
  EXPECT_EQ(read_safetensors(folder.file("w.safetensors")).metadata.at("graph"), "mlp");
  const Variables loaded = load_weights(g, folder.file("w.safetensors"));
  EXPECT_TRUE(same_values(loaded, history.variables));
  EXPECT_EQ(evaluate(g, loaded, data)["loss"], evaluate(g, history.variables, data)["loss"]);
}

TEST(Weights, ListEveryMisfitAndChangeNothing) {
  const Folder folder;
  const Graph g = mlp(16);
  const Variables variables = fit(g, spiral(16), {.epochs = 1, .verbose = 0}).variables;
  Safetensors content;
  for (const std::string& name : variables.names()) content.tensors.emplace(name, Tensor(variables.at(name).type()));
  const std::string first = variables.names()[0], second = variables.names()[1];
  content.tensors.erase(first);
  content.tensors[second] = Tensor(f64(3));
  content.tensors["extra"] = Tensor(f32(1));
  write_safetensors(content, folder.file("w"));
  const Variables before = variables.clone();
  const std::string message = run_error_of([&] { load_weights(variables, folder.file("w")); });
  EXPECT_CONTAINS(message, "3 of its tensors do not fit");
  EXPECT_CONTAINS(message, "'" + first + "' is missing in the file");
  EXPECT_CONTAINS(message, "'" + second + "' is f64[3] in the file");
  EXPECT_CONTAINS(message, "'extra' is no variable");
  EXPECT_TRUE(same_values(variables, before));

  content.tensors.erase(second);
  write_safetensors(content, folder.file("w"));
  load_weights(variables, folder.file("w"), {.allow_missing = true, .allow_unknown = true});
  EXPECT_EQ(variables.at(first).numbers(), before.at(first).numbers());
  EXPECT_EQ(variables.at("step").number(0), 0);
}

}  // namespace
}  // namespace thalweg
