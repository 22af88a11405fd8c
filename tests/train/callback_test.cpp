// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/callback.h"

#include <gtest/gtest.h>

#include <cmath>

#include "../data/files.h"
#include "../vectors.h"
#include "models.h"
#include "thalweg/lib/train/early_stopping.h"
#include "thalweg/lib/train/fit.h"
#include "thalweg/ops/index.h"

namespace thalweg {
namespace {

using testing::mlp;
using testing::run_error_of;
using testing::spiral;

/// A net that takes one step an epoch, with a measure that says what the list says, epoch after epoch: exactly, as a mean
/// over four samples is.
Graph scripted(const std::vector<double>& list, const std::string& name = "measure",
               const Optimizer& optimizer = Sgd{.rate = 0.1}) {
  Graph g = mlp(4, optimizer);
  const TensorType type{DType::f64, {static_cast<Dim>(list.size())}};
  g.output(name, gather(constant(g, list, type), step(g)));
  return g;
}

int epochs_of(const std::vector<double>& list) { return static_cast<int>(list.size()); }

/// What EarlyStopping knew after each epoch.
struct Watched {
  std::vector<int> wait;
  std::vector<double> best;
  std::shared_ptr<EarlyStopping> rule;
  History history;
};

Watched watch(const std::vector<double>& list, const EarlyStoppingOptions& options) {
  Watched seen;
  seen.rule = std::make_shared<EarlyStopping>(options);
  seen.history = fit(scripted(list), spiral(4), {.epochs = epochs_of(list), .verbose = 0,
                                                 .callbacks = {seen.rule, [&](TrainingRun&) {
                                                                 seen.wait.push_back(seen.rule->wait());
                                                                 seen.best.push_back(seen.rule->best());
                                                               }}});
  return seen;
}

TEST(EarlyStopping, StopsWhereKerasDoes) {
  const nlohmann::json& section = testing::vectors("early_stopping_keras");
  const std::vector<double> metrics = testing::numbers(section["metrics"]);
  int cases = 0;
  for (const nlohmann::json& example : section["cases"]) {
    SCOPED_TRACE(example.dump());
    for (const double sign : {1.0, -1.0}) {
      std::vector<double> list;
      for (const double x : metrics) list.push_back(sign * x);
      EarlyStoppingOptions options{.monitor = "measure", .min_delta = example["min_delta"],
                                   .patience = example["patience"],
                                   .mode = sign > 0 ? MonitorMode::automatic : MonitorMode::max,
                                   .start_from_epoch = example.value("start_from_epoch", 0)};
      if (example.contains("baseline")) options.baseline = sign * example["baseline"].get<double>();
      const Watched seen = watch(list, options);
      const nlohmann::json& result = example["result"];
      EXPECT_EQ(seen.rule->stopped_epoch(), result["stopped_epoch"].get<int>() + 1);
      EXPECT_EQ(seen.rule->best_epoch(), result["best_epoch"].get<int>() + 1);
      EXPECT_EQ(seen.rule->best(), sign * result["best"].get<double>());
      EXPECT_TRUE(seen.history.stopped_early);
      ASSERT_EQ(seen.wait.size(), result["log"].size());
      for (std::size_t epoch = 0; epoch < seen.wait.size(); ++epoch) {
        const nlohmann::json& log = result["log"][epoch];
        EXPECT_EQ(seen.wait[epoch], log["wait"].get<int>()) << epoch;
        if (log.contains("best")) {
          EXPECT_EQ(seen.best[epoch], sign * log["best"].get<double>()) << epoch;
        } else {
          EXPECT_EQ(seen.best[epoch], sign * INFINITY) << epoch;
        }
        ++cases;
      }
    }
  }
  EXPECT_EQ(cases, 2 * (3 + 8 + 4 + 3 + 8));
}

TEST(EarlyStopping, GoesOnFromItsSavedState) {
  // Two trainings of some epochs each, the second with the first one's state, are one training.
  const std::vector<double> list = {1.0, 0.8, 0.81, 0.79, 0.7901, 0.785, 0.786, 0.787, 0.788, 0.789};
  const EarlyStoppingOptions options{.monitor = "measure", .patience = 3, .restore_best_weights = true};
  for (int cut = 1; cut < 8; ++cut) {
    SCOPED_TRACE(cut);
    CallbackState state;
    Variables at_cut;
    const auto keep = [&](TrainingRun& run) {
      if (run.epoch() == cut) at_cut = run.variables().clone();
    };
    const auto rule = std::make_shared<EarlyStopping>(options);
    fit(scripted(list), spiral(4), {.epochs = cut, .shuffle = false, .verbose = 0, .callbacks = {rule, keep}});
    state = rule->save();
    const auto resumed = std::make_shared<EarlyStopping>(options);
    const auto load = LambdaCallback({.on_train_begin = [&](TrainingRun&) { resumed->load(state); }});
    fit(scripted(list), spiral(4),
        {.epochs = 10 - cut, .shuffle = false, .verbose = 0, .callbacks = {resumed, load}, .variables = at_cut});
    const History whole = fit(scripted(list), spiral(4), {.epochs = 10, .shuffle = false, .verbose = 0,
                                                          .callbacks = {EarlyStopping(options)}});
    EXPECT_EQ(resumed->best(), 0.785);
    EXPECT_EQ(resumed->wait(), 3);
    EXPECT_EQ(at_cut.at("dense/kernel").numbers(), whole.variables.at("dense/kernel").numbers());
  }
}

TEST(EarlyStopping, NanIsNeverBetter) {

  const double nan = std::nan("");
  struct Fake final : TrainingRun {
    Graph g = mlp(4);
    Variables v;
    History h{.columns = {"epoch", "loss", "val_loss"}, .rows = {}, .variables = {}};
    std::vector<std::string> none;
    bool stopped = false;
    const Graph& graph() const override { return g; }
    const Variables& variables() const override { return v; }
    const std::vector<std::string>& weights() const override { return none; }
    const History& history() const override { return h; }
    const Program& program() const override { throw RunError("none"); }
    int epochs() const override { return 9; }
    int epoch() const override { return static_cast<int>(h.rows.size()); }
    Dim steps() const override { return 1; }
    Dim step() const override { return 1; }
    void stop() override { stopped = true; }
    bool stopping() const override { return stopped; }
    void set_best_epoch(int epoch) override { h.best_epoch = epoch; }
    void say(std::string_view) override {}
    bool end_epoch(EarlyStopping& rule, double value) {
      h.rows.push_back({static_cast<double>(epoch() + 1), 0, value});
      rule.on_epoch_end(*this);
      return stopped;
    }
  };
  Fake run;
  EarlyStopping rule({.patience = 2});
  rule.on_train_begin(run);
  EXPECT_FALSE(run.end_epoch(rule, 3));
  EXPECT_FALSE(run.end_epoch(rule, nan));
  EXPECT_TRUE(run.end_epoch(rule, nan));
  EXPECT_EQ(rule.best_epoch(), 1);
  Fake never;
  rule.on_train_begin(never);
  EXPECT_FALSE(never.end_epoch(rule, nan));
  EXPECT_TRUE(never.end_epoch(rule, nan));
  EXPECT_EQ(rule.best_epoch(), 1);
}

TEST(EarlyStopping, WrongArgumentsNameTheirLine) {
  const auto error = [](const EarlyStoppingOptions& options) {
    return run_error_of([&] { EarlyStopping(options, {"net.cpp", 12}); });
  };
  EXPECT_EQ(error({.patience = -1}), "net.cpp:12: EarlyStopping: patience is -1, must be 0 or more");
  EXPECT_EQ(error({.min_delta = -0.5}), "net.cpp:12: EarlyStopping: min_delta is -0.5, must be 0 or more");
  EXPECT_EQ(error({.min_delta = std::nan("")}), "net.cpp:12: EarlyStopping: min_delta is nan, must be 0 or more");
  EXPECT_EQ(error({.baseline = std::nan("")}), "net.cpp:12: EarlyStopping: baseline is nan");
  EXPECT_EQ(error({.start_from_epoch = -2}), "net.cpp:12: EarlyStopping: start_from_epoch is -2, must be 0 or more");
  const std::string unknown = run_error_of([] {
    fit(mlp(4), spiral(4), {.verbose = 0, .callbacks = {EarlyStopping({.monitor = "los"}, {"net.cpp", 13})}});
  });
  EXPECT_EQ(unknown, "net.cpp:13: EarlyStopping watches 'los', which the history lacks (did you mean loss?)");
}

/// Writes down which hooks are called.
class Diary : public Callback {
 public:
  explicit Diary(std::shared_ptr<std::string> text) : text_(std::move(text)) {}
  void on_train_begin(TrainingRun& run) override { add("begin", run); }
  void on_epoch_begin(TrainingRun& run) override { add("epoch", run); }
  void on_train_batch_begin(TrainingRun& run) override { add("batch", run); }
  void on_train_batch_end(TrainingRun& run) override { add("done", run); }
  void on_test_begin(TrainingRun& run) override { add("test", run); }
  void on_test_end(TrainingRun& run) override { add("tested", run); }
  void on_epoch_end(TrainingRun& run) override { add("end", run); }
  void on_train_end(TrainingRun& run) override { add("over", run); }

 private:
  void add(std::string_view hook, const TrainingRun& run) {
    *text_ += std::string(hook) + std::to_string(run.epoch()) + "." + std::to_string(run.step()) + " ";
  }
  std::shared_ptr<std::string> text_;
};

TEST(Callbacks, AreCalledInKerasOrder) {
  const auto text = std::make_shared<std::string>();
  fit(mlp(6), spiral(16), {.epochs = 2, .validation = 0.25, .verbose = 0, .callbacks = {Diary(text)}});
  EXPECT_EQ(*text,
            "begin0.0 epoch1.0 batch1.1 done1.1 batch1.2 done1.2 test1.2 tested1.2 end1.2 "
            "epoch2.0 batch2.1 done2.1 batch2.2 done2.2 test2.2 tested2.2 end2.2 over2.2 ");
}

TEST(Callbacks, StopEndsTheEpochAfterTheStep) {
  const auto text = std::make_shared<std::string>();
  const LambdaCallback second_step({.on_train_batch_end = [](TrainingRun& run) {
    if (run.step() == 2) run.stop();
  }});
  const History history =
      fit(mlp(4), spiral(16), {.epochs = 3, .verbose = 0, .callbacks = {Diary(text), second_step}});
  EXPECT_EQ(*text, "begin0.0 epoch1.0 batch1.1 done1.1 batch1.2 done1.2 end1.2 over1.2 ");
  EXPECT_TRUE(history.stopped_early);
  EXPECT_EQ(history.epochs(), 1u);
}

TEST(Callbacks, EndOnEveryWayOut) {
  const auto text = std::make_shared<std::string>();
  const auto fails_at = [](std::string hook) {
    const auto fail = [hook](TrainingRun&) { throw std::runtime_error("failed in " + hook); };
    Hooks hooks;
    if (hook == "begin") hooks.on_train_begin = fail;
    if (hook == "step") hooks.on_train_batch_end = fail;
    if (hook == "end") hooks.on_train_end = fail;
    return LambdaCallback(hooks);
  };
  const auto error_of = [&](const AnyCallback& callback) -> std::string {
    text->clear();
    try {
      fit(mlp(8), spiral(8), {.epochs = 1, .verbose = 0, .callbacks = {Diary(text), callback, Diary(text)}});
    } catch (const std::exception& error) {
      return error.what();
    }
    return "none";
  };
  EXPECT_EQ(error_of(fails_at("begin")), "failed in begin");
  EXPECT_EQ(*text, "begin0.0 over0.0 ");  // the last diary never began
  EXPECT_EQ(error_of(fails_at("step")), "failed in step");
  EXPECT_EQ(*text, "begin0.0 begin0.0 epoch1.0 epoch1.0 batch1.1 batch1.1 done1.1 over1.1 over1.1 ");
  EXPECT_EQ(error_of(fails_at("end")), "failed in end");
  EXPECT_EQ(text->substr(text->size() - 16), "over1.1 over1.1 ");
  // Of two errors, the first is told.
  EXPECT_EQ(error_of(LambdaCallback({.on_train_batch_end = [](TrainingRun&) { throw std::runtime_error("first"); },
                                     .on_train_end = [](TrainingRun&) { throw std::runtime_error("second"); }})),
            "first");
  EXPECT_EQ(run_error_of([] { AnyCallback(std::shared_ptr<Callback>()); }), "a callback is an empty pointer");
}

TEST(Callbacks, MayAddOutputsToTheirCopyOfTheGraph) {
  class Norm : public Callback {
   public:
    void on_build(Graph& g) override { g.output("norm", sum(square(g.find("dense/kernel")))); }
    void on_train_batch_end(TrainingRun& run) override { EXPECT_GT(run.program().scalar("norm"), 0); }
  };
  const Graph g = mlp(4);
  const History history = fit(g, spiral(10), {.verbose = 0, .callbacks = {Norm()}});
  EXPECT_FALSE(g.has("norm"));
  EXPECT_FALSE(history.has("norm"));
}

TEST(CallbackState, SaysWhatIsMissing) {
  CallbackState state;
  state.set("wait", 2);
  state.set("best", INFINITY);
  EXPECT_EQ(state.number("best"), INFINITY);
  EXPECT_EQ(run_error_of([&] { state.number("epoch"); }), "the state of a callback lacks 'epoch'");
  state.tensors.at("wait") = Tensor(f32(2));
  EXPECT_EQ(run_error_of([&] { state.number("wait"); }), "'wait' in the state of a callback is f32[2], must be f64[]");
}

}  // namespace
}  // namespace thalweg
