// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/callback.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>

#include "../data/files.h"
#include "../vectors.h"
#include "models.h"
#include "thalweg/lib/train/early_stopping.h"
#include "thalweg/lib/io/safetensors.h"
#include "thalweg/lib/train/csv_logger.h"
#include "thalweg/lib/train/event_file.h"
#include "thalweg/lib/train/fit.h"
#include "thalweg/lib/train/gradient_statistics.h"
#include "thalweg/lib/train/learning_rate.h"
#include "thalweg/lib/train/model_checkpoint.h"
#include "thalweg/lib/train/tensorboard.h"
#include "thalweg/lib/train/terminate_on_nan.h"
#include "thalweg/ops/index.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/optim/adjust.h"

namespace thalweg {
namespace {

using testing::content_of;
using testing::Folder;
using testing::mlp;
using testing::run_error_of;
using testing::spiral;

/// A net that takes one step an epoch, with a measure that says what the list says, epoch after epoch: exactly, as the
/// mean over four samples is.
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
    History h{.columns = {"epoch", "loss", "val_loss"}, .rows = {}, .variables = {}, .warnings = {}};
    std::vector<std::string> none;
    bool stopped = false;
    const Graph& graph() const override { return g; }
    const Variables& variables() const override { return v; }
    const std::vector<std::string>& weights() const override { return none; }
    const std::vector<std::string>& measures() const override { return none; }
    const History& history() const override { return h; }
    double rate() const override { return 0; }
    void set_rate(double) override {}
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
  EXPECT_EQ(error({.min_delta = -0.5}), "net.cpp:12: EarlyStopping: min_delta is -0.5, must be finite and 0 or more");
  EXPECT_EQ(error({.min_delta = std::nan("")}), "net.cpp:12: EarlyStopping: min_delta is nan, must be finite and 0 or more");
  EXPECT_EQ(error({.baseline = std::nan("")}), "net.cpp:12: EarlyStopping: baseline is nan, must be finite");
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
  EXPECT_EQ(run_error_of([] { AnyCallback(std::unique_ptr<EarlyStopping>()); }), "a callback is an empty pointer");
  EXPECT_TRUE(dynamic_cast<EarlyStopping*>(&*AnyCallback(std::make_unique<EarlyStopping>())));
  // A plain pointer says nothing of who ends the object.
  static_assert(!std::is_constructible_v<AnyCallback, EarlyStopping*>);
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

// ---- the learning rate

/// The learning rate after each epoch.
std::vector<double> rates_of(const std::vector<double>& list, const ReduceLROnPlateauOptions& options,
                             const Optimizer& optimizer) {
  std::vector<double> rates;
  fit(scripted(list, "measure", optimizer), spiral(4),
      {.epochs = epochs_of(list), .verbose = 0,
       .callbacks = {ReduceLROnPlateau(options), [&](TrainingRun& run) { rates.push_back(run.rate()); }}});
  return rates;
}

TEST(ReduceLROnPlateau, FollowsKerasAndTorch) {
  const nlohmann::json& section = testing::vectors("reduce_lr_on_plateau");
  const nlohmann::json& config = section["config"];
  const std::vector<double> metrics = testing::numbers(section["metrics"]);
  for (const auto& [key, convention, relative] :
       {std::tuple{"keras_lr_after_epoch", Convention::keras, false},
        std::tuple{"torch_rel_lr_after_epoch", Convention::torch, true},
        std::tuple{"torch_abs_lr_after_epoch", Convention::torch, false}}) {
    SCOPED_TRACE(key);
    const std::vector<double> want = testing::numbers(section[key]);
    const std::vector<double> got =
        rates_of(metrics, {.monitor = "measure", .factor = config["factor"], .patience = config["patience"],
                           .min_delta = config["min_delta"], .relative = relative, .cooldown = config["cooldown"],
                           .min_rate = config["min_lr"], .convention = convention},
                 Sgd{.rate = config["lr"].get<double>()});
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-12) << "epoch " << i;
  }
}

TEST(ReduceLROnPlateau, MultipliesASchedule) {
  const std::vector<double> rates =
      rates_of(std::vector<double>(6, 1.0), {.monitor = "measure", .factor = 0.5, .patience = 2},
               Sgd{.rate = exponential_decay(0.1, 0.5, 1)});
  // rate() is the next step's: epoch 1 was step 0, and the plateau is seen in epochs 3 and 5.
  for (int epoch = 1; epoch <= 6; ++epoch) {
    const double plateau = epoch < 3 ? 1 : epoch < 5 ? 0.5 : 0.25;
    EXPECT_NEAR(rates[static_cast<std::size_t>(epoch - 1)], 0.1 * std::pow(0.5, epoch) * plateau, 1e-15) << epoch;
  }
}

TEST(ReduceLROnPlateau, WrongArgumentsNameTheirLine) {
  const auto error = [](const ReduceLROnPlateauOptions& options) {
    return run_error_of([&] { ReduceLROnPlateau(options, {"net.cpp", 3}); });
  };
  EXPECT_EQ(error({.factor = 1}), "net.cpp:3: ReduceLROnPlateau: factor is 1, must be between 0 and 1");
  EXPECT_EQ(error({.factor = std::nan("")}), "net.cpp:3: ReduceLROnPlateau: factor is nan, must be between 0 and 1");
  EXPECT_EQ(error({.patience = -1}), "net.cpp:3: ReduceLROnPlateau: patience is -1, must be 0 or more");
  EXPECT_EQ(error({.min_delta = -1}), "net.cpp:3: ReduceLROnPlateau: min_delta is -1, must be finite and 0 or more");
  EXPECT_EQ(error({.cooldown = -1}), "net.cpp:3: ReduceLROnPlateau: cooldown is -1, must be 0 or more");
  EXPECT_EQ(error({.min_rate = -1}), "net.cpp:3: ReduceLROnPlateau: min_rate is -1, must be 0 or more");
}

TEST(LearningRate, ASetRateTrainsAsThatRate) {
  // A rate set before the first step is the rate that the graph might have had, to the bit; with each optimizer's way
  // of using it.
  const auto trained = [](const Optimizer& optimizer, std::optional<double> set) {
    FitOptions options{.epochs = 3, .verbose = 0};
    if (set) options.callbacks.emplace_back(LearningRateScheduler([&](int, double) { return *set; }));
    return fit(mlp(8, optimizer), spiral(20), options);
  };
  const auto pairs = std::vector<std::pair<Optimizer, Optimizer>>{
      {Sgd{.rate = 0.25}, Sgd{.rate = 0.125}},
      {Sgd{.rate = 0.25, .momentum = 0.9}, Sgd{.rate = 0.125, .momentum = 0.9}},
      {Adam{.rate = 0.25}, Adam{.rate = 0.125}}};
  for (const auto& [other, wanted] : pairs) {
    const History set = trained(other, 0.125), given = trained(wanted, {});
    for (const std::string& name : given.variables.names())
      EXPECT_EQ(set.variables.at(name).numbers(), given.variables.at(name).numbers()) << name;
    EXPECT_EQ(set.variables.names(), given.variables.names());  // the set rate is no variable
    EXPECT_EQ(set["learning_rate"], (std::vector<double>{0.125, 0.125, 0.125}));
    EXPECT_FALSE(given.has("learning_rate"));
  }
}

TEST(LearningRate, SchedulerSeesTheRateBefore) {
  std::vector<double> before;
  const LearningRateScheduler halve([&](int epoch, double rate) {
    before.push_back(rate);
    return epoch == 1 ? rate : rate / 2;
  });
  const History history = fit(mlp(8, Sgd{.rate = 0.5}), spiral(16), {.epochs = 3, .verbose = 0, .callbacks = {halve}});
  EXPECT_EQ(before, (std::vector<double>{0.5, 0.5, 0.25}));
  EXPECT_EQ(history["learning_rate"], (std::vector<double>{0.5, 0.25, 0.125}));
}

TEST(LearningRate, SaysWhyItCannotBeSet) {
  const auto error = [](const Hooks& hooks, const Graph& g = mlp(4)) {
    return run_error_of([&] { fit(g, spiral(4), {.verbose = 0, .callbacks = {LambdaCallback(hooks)}}); });
  };
  const auto set_to = [](double rate) { return [rate](TrainingRun& run) { run.set_rate(rate); }; };
  EXPECT_EQ(error({.on_epoch_end = set_to(0.1)}),
            "the learning rate is fixed: a callback that sets it says so by sets_rate(), or Hooks::sets_rate");
  EXPECT_EQ(error({.sets_rate = true, .on_epoch_end = set_to(std::nan(""))}), "the learning rate cannot be set to nan");
  EXPECT_EQ(error({.sets_rate = true, .on_epoch_end = set_to(-1)}), "the learning rate cannot be set to -1");
  EXPECT_EQ(error({.sets_rate = true, .on_epoch_end = set_to(1)}, mlp(4, Sgd{.rate = 0})),
            "the learning rate is 0 by its schedule, and cannot be set to 1");
  const Optimizer own = [](Value w, Value dw, Slots&) { return w - 0.1 * dw; };
  EXPECT_EQ(error({.sets_rate = true, .on_epoch_end = set_to(1)}, mlp(4, own)),
            "graph 'mlp' has no learning rate: no optimizer with a rate updates it");
  EXPECT_EQ(run_error_of([] { LearningRateScheduler({}, {"net.cpp", 3}); }),
            "net.cpp:3: LearningRateScheduler: the schedule is an empty function");
}

TEST(LearningRate, OutputsThatShowItAreScaledToo) {
  Graph g("rated");
  const Value x = input(g, "x", f32(4, 2)), t = input(g, "t", i32(4));
  const Value loss = mean(sparse_cross_entropy(dense(x, 3), t));
  g.output("loss", loss);
  g.output("rate", minimize(loss, Sgd{.rate = 0.5}).rate);
  const LearningRateScheduler halve([](int, double rate) { return rate / 2; });
  const History history = fit(g, spiral(4), {.epochs = 2, .verbose = 0, .callbacks = {halve}});
  EXPECT_EQ(history["rate"], (std::vector<double>{0.25, 0.125}));
  EXPECT_EQ(history["learning_rate"], (std::vector<double>{0.25, 0.125}));
}

// ---- files

TEST(CSVLogger, WritesWhatTheHistorySays) {
  const Folder folder;
  const std::string path = folder.file("log.csv");
  const History history =
      fit(mlp(4), spiral(12), {.epochs = 3, .validation = 0.25, .verbose = 0, .callbacks = {CSVLogger(path)}});
  EXPECT_EQ(content_of(path), to_csv(history));
  const History more = fit(mlp(4), spiral(12), {.epochs = 1, .validation = 0.25, .verbose = 0,
                                                .callbacks = {CSVLogger(path, {.append = true})}});
  const std::string rows = to_csv(more);
  EXPECT_EQ(content_of(path), to_csv(history) + rows.substr(rows.find('\n') + 1));
  const std::string error = run_error_of([&] {
    fit(mlp(4), spiral(12), {.verbose = 0, .callbacks = {CSVLogger(path, {.append = true}, {"net.cpp", 4})}});
  });
  EXPECT_CONTAINS(error, "net.cpp:4: CSVLogger: ");
  EXPECT_CONTAINS(error, "log.csv cannot be appended to: its first line is not 'epoch,loss,accuracy,seconds'");
}

TEST(CSVLogger, ResumedKeepsTheRowsOfEarlierTrainings) {
  const Folder folder;
  const std::string path = folder.file("log.csv");
  const auto train = [&](int epochs, const std::string& runs) {
    FitOptions options{.epochs = epochs, .verbose = 0, .callbacks = {CSVLogger(path, {.append = true})}};
    if (!runs.empty()) options.checkpoint = {folder.file(runs)};
    options.resume = !runs.empty();
    return fit(mlp(4), spiral(12), options);
  };
  const auto epochs = [&] {
    std::string list;
    const std::string text = content_of(path);
    for (std::size_t at = text.find('\n'); at + 1 < text.size(); at = text.find('\n', at + 1)) list += text[at + 1];
    return list;
  };
  train(5, "");
  EXPECT_EQ(epochs(), "12345");
  train(2, "runs");
  EXPECT_EQ(epochs(), "1234512");
  // Another epoch that was written, and then the power went before its checkpoint.
  std::string text = content_of(path);
  folder.write("log.csv", text + "3,0.5,0.5,1\n4,0.");
  train(4, "runs");
  EXPECT_EQ(epochs(), "123451234");
}

TEST(CSVLogger, RefusesWhatItCannotWrite) {
  EXPECT_EQ(run_error_of([] { CSVLogger("", {}, {"net.cpp", 4}); }), "net.cpp:4: CSVLogger: the path is empty");
  EXPECT_EQ(run_error_of([] { CSVLogger("x", {.separator = '.'}, {"net.cpp", 4}); }),
            "net.cpp:4: CSVLogger: the separator is '.', must be a comma, a semicolon, a tab or a bar");
  const Folder folder;
  EXPECT_CONTAINS(run_error_of([&] {
    fit(mlp(4), spiral(4), {.verbose = 0, .callbacks = {CSVLogger(folder.file("no/such/log.csv"))}});
  }), "log.csv");
}

TEST(ModelCheckpoint, FillsItsPathAndSavesWhatCanGoOn) {
  const Folder folder;
  const std::string path = folder.file("net-{epoch:02d}-{val_loss:.3f}.safetensors");
  const auto checkpoint = std::make_shared<ModelCheckpoint>(path);
  const History history =
      fit(mlp(4), spiral(16), {.epochs = 2, .validation = 0.25, .verbose = 0, .callbacks = {checkpoint}});
  const auto file = [&](int epoch) {
    char name[64];
    const double loss = history["val_loss"][static_cast<std::size_t>(epoch - 1)];
    std::snprintf(name, sizeof(name), "net-%02d-%.3f.safetensors", epoch, loss);
    return folder.file(name);
  };
  EXPECT_EQ(checkpoint->last_path(), file(2));
  EXPECT_TRUE(std::filesystem::exists(file(1)));
  const Variables loaded = load_weights(mlp(4), file(2));
  for (const std::string& name : history.variables.names())
    EXPECT_EQ(loaded.at(name).numbers(), history.variables.at(name).numbers()) << name;
}

TEST(ModelCheckpoint, KeepsTheBestOnly) {
  const Folder folder;
  const std::string path = folder.file("best-{epoch}.safetensors");
  const std::vector<double> list = {0.5, 0.6, 0.4, 0.45, 0.3};
  const auto saved = [&](const ModelCheckpointOptions& options) {
    std::string epochs;
    const auto checkpoint = std::make_shared<ModelCheckpoint>(path, options);
    fit(scripted(list), spiral(4), {.epochs = 5, .verbose = 0, .callbacks = {checkpoint}});
    for (int epoch = 1; epoch <= 5; ++epoch)
      if (std::filesystem::remove(folder.file("best-" + std::to_string(epoch) + ".safetensors")))
        epochs += std::to_string(epoch);
    return epochs;
  };
  EXPECT_EQ(saved({.monitor = "measure", .save_best_only = true}), "135");
  EXPECT_EQ(saved({.monitor = "measure", .mode = MonitorMode::max, .save_best_only = true}), "12");
  EXPECT_EQ(saved({.monitor = "measure", .save_best_only = true, .initial_value_threshold = 0.42}), "35");
  EXPECT_EQ(saved({}), "12345");
}

TEST(ModelCheckpoint, SavesEverySoManySteps) {
  const Folder folder;
  const ModelCheckpoint checkpoint(folder.file("{epoch}-{step}.safetensors"),
                                   {.save_weights_only = true, .save_freq = 4});
  fit(mlp(4), spiral(20), {.epochs = 2, .verbose = 0, .callbacks = {checkpoint}});
  // Ten steps in two epochs of five: the fourth and the eighth.
  const Safetensors first = read_safetensors(folder.file("1-4.safetensors"));
  EXPECT_TRUE(std::filesystem::exists(folder.file("2-3.safetensors")));
  EXPECT_EQ(first.tensors.size(), 4u);
  EXPECT_TRUE(first.tensors.contains("dense/kernel"));
}

TEST(ModelCheckpoint, SaysWhatIsWrongBeforeTraining) {
  const Folder folder;
  const auto error = [&](const std::string& path, const ModelCheckpointOptions& options = {}) {
    return run_error_of([&] {
      fit(mlp(4), spiral(4), {.verbose = 0, .callbacks = {ModelCheckpoint(path, options, {"net.cpp", 5}),
                                                          [](TrainingRun&) { ADD_FAILURE() << "it trained"; }}});
    });
  };
  EXPECT_EQ(error(""), "net.cpp:5: ModelCheckpoint: the path is empty");
  EXPECT_EQ(error("x", {.save_freq = -1}), "net.cpp:5: ModelCheckpoint: save_freq is -1, must be 0 or more steps");
  EXPECT_EQ(error("x", {.save_best_only = true, .save_freq = 3}),
            "net.cpp:5: ModelCheckpoint: save_best_only judges whole epochs, and save_freq saves within them: choose "
            "one");
  EXPECT_CONTAINS(error("x-{val_loss}"), "net.cpp:5: ModelCheckpoint: the path 'x-{val_loss}' cannot be filled in: ");
  EXPECT_CONTAINS(error("x-{val_loss}"), "of epoch, step, loss, accuracy, seconds");
  EXPECT_CONTAINS(error("x-{epoch"), "cannot be filled in");
  EXPECT_CONTAINS(error("x-{epoch:.q}"), "cannot be filled in");
  EXPECT_CONTAINS(error(folder.file("none/x")), "ModelCheckpoint: there is no folder ");
}

TEST(TerminateOnNaN, EndsWithoutAnError) {
  const History history =
      fit(mlp(16, Sgd{.rate = 1e30}), spiral(64), {.epochs = 50, .verbose = 0, .callbacks = {TerminateOnNaN()}});
  EXPECT_TRUE(history.stopped_early);
  EXPECT_LT(history.epochs(), 50u);
  EXPECT_FALSE(std::isfinite(history.last("loss")));
}

// ---- TensorBoard

/// A protobuf message, field by field, as far as these files need it.
struct Fields {
  struct Field {
    int number = 0;
    std::uint64_t whole = 0;  ///< varints and fixed bits
    std::string bytes;
  };
  std::vector<Field> list;

  explicit Fields(std::string_view text) {
    const auto take = [&](std::size_t n) {
      if (n > text.size()) throw std::runtime_error("the message is cut off");
      const std::string part(text.substr(0, n));
      text.remove_prefix(n);
      return part;
    };
    const auto varint = [&] {
      std::uint64_t value = 0;
      for (int shift = 0;; shift += 7) {
        const auto byte = static_cast<unsigned char>(take(1)[0]);
        value |= std::uint64_t{byte & 0x7fu} << shift;
        if (byte < 0x80) return value;
      }
    };
    while (!text.empty()) {
      const std::uint64_t key = varint();
      Field field{.number = static_cast<int>(key >> 3), .whole = 0, .bytes = {}};
      switch (key & 7) {
        case 0: field.whole = varint(); break;
        case 1: field.bytes = take(8); std::memcpy(&field.whole, field.bytes.data(), 8); break;
        case 2: field.bytes = take(varint()); break;
        case 5: field.bytes = take(4); std::memcpy(&field.whole, field.bytes.data(), 4); break;
        default: throw std::runtime_error("no such wire type");
      }
      list.push_back(field);
    }
  }
  const Field& operator[](int number) const {
    for (const Field& field : list)
      if (field.number == number) return field;
    throw std::runtime_error("no field " + std::to_string(number));
  }
  bool has(int number) const {
    return std::any_of(list.begin(), list.end(), [&](const Field& field) { return field.number == number; });
  }
  double real(int number) const { return std::bit_cast<double>((*this)[number].whole); }
  std::vector<double> reals(int number) const {
    const std::string& bytes = (*this)[number].bytes;
    std::vector<double> numbers(bytes.size() / 8);
    std::memcpy(numbers.data(), bytes.data(), 8 * numbers.size());
    return numbers;
  }
};

/// The messages of an event file, each one's framing checked.
std::vector<Fields> events_of(const std::string& path) {
  const std::string content = content_of(path);
  std::vector<Fields> events;
  for (std::size_t at = 0; at < content.size();) {
    std::uint64_t size = 0;
    std::uint32_t size_crc = 0, crc = 0;
    std::memcpy(&size, content.data() + at, 8);
    std::memcpy(&size_crc, content.data() + at + 8, 4);
    EXPECT_EQ(size_crc, masked_crc32c(content.substr(at, 8)));
    std::memcpy(&crc, content.data() + at + 12 + size, 4);
    EXPECT_EQ(crc, masked_crc32c(content.substr(at + 12, size)));
    events.emplace_back(content.substr(at + 12, size));
    at += size + 16;
  }
  return events;
}

std::string only_file_in(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  return files.size() == 1 ? files[0] : throw std::runtime_error("not one file in " + folder);
}

TEST(EventFile, ChecksumsAreThoseOfTheStandard) {
  // RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(masked_crc32c("123456789"), 0xC78AB0E5u);
}

TEST(EventFile, HistogramsCountEveryNumber) {
  const double huge = std::numeric_limits<double>::max();
  for (const std::vector<double>& numbers : {std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {3, 3, 3},
                                             {-huge, 0, huge}, {std::nan(""), 1, INFINITY, 2}, {}}) {
    const Fields event(histogram_event(1.5, 7, "w", numbers, 5));
    const Fields histogram(Fields(Fields(event[5].bytes)[1].bytes)[5].bytes);
    const std::vector<double> limits = histogram.reals(6), counts = histogram.reals(7);
    ASSERT_EQ(limits.size(), counts.size());
    double total = 0;
    for (const double count : counts) total += count;
    EXPECT_EQ(total, histogram.real(3));
    EXPECT_EQ(total, std::count_if(numbers.begin(), numbers.end(), [](double x) { return std::isfinite(x); }));
    EXPECT_TRUE(std::is_sorted(limits.begin(), limits.end()));
    for (const double limit : limits) EXPECT_TRUE(std::isfinite(limit));
    EXPECT_EQ(limits.back(), histogram.real(2));
  }
  const Fields event(histogram_event(1.5, 7, "w", std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8, 10}, 5));
  const Fields histogram(Fields(Fields(event[5].bytes)[1].bytes)[5].bytes);
  EXPECT_EQ(histogram.reals(6), (std::vector<double>{2, 4, 6, 8, 10}));
  EXPECT_EQ(histogram.reals(7), (std::vector<double>{2, 2, 2, 2, 2}));
  EXPECT_EQ(histogram.real(4), 46);
  EXPECT_EQ(histogram.real(5), 304);
}

History board_into(const std::string& folder) {
  return fit(mlp(4), spiral(16), {.epochs = 3, .validation = 0.25, .verbose = 0,
                                  .callbacks = {TensorBoard(folder, {.histogram_freq = 1, .update_freq = 2})}});
}

TEST(TensorBoard, WritesScalarsAndHistograms) {
  const Folder folder;
  const History history = board_into(folder.file("board"));
  const std::vector<Fields> train = events_of(only_file_in(folder.file("board/train")));
  EXPECT_EQ(train.at(0)[3].bytes, "brain.Event:2");
  std::vector<double> losses;
  int batches = 0, histograms = 0;
  for (const Fields& event : train) {
    if (!event.has(5)) continue;
    const Fields value(Fields(event[5].bytes)[1].bytes);
    const std::string tag = value[1].bytes;
    if (tag == "epoch_loss") {
      EXPECT_EQ(event[2].whole, losses.size());
      losses.push_back(static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(value[2].whole))));
    }
    if (tag == "batch_loss") {
      EXPECT_EQ(event[2].whole, static_cast<std::uint64_t>(2 * ++batches));
    }
    if (tag == "dense/kernel") {
      EXPECT_EQ(Fields(value[5].bytes).real(3), 32);
      ++histograms;
    }
  }
  ASSERT_EQ(losses.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(losses[i], static_cast<double>(static_cast<float>(history["loss"][i])));
  EXPECT_EQ(batches, 4);  // nine steps
  EXPECT_EQ(histograms, 3);
  std::vector<std::string> tags;
  for (const Fields& event : events_of(only_file_in(folder.file("board/validation"))))
    if (event.has(5)) tags.push_back(Fields(Fields(event[5].bytes)[1].bytes)[1].bytes);
  EXPECT_EQ(tags, (std::vector<std::string>{"epoch_loss", "epoch_accuracy", "epoch_loss", "epoch_accuracy",
                                            "epoch_loss", "epoch_accuracy"}));
}

/// Python with TensorBoard in it, where there is one: THALWEG_PYTHON, or python3.
std::string python_with_tensorboard() {
  const char* named = std::getenv("THALWEG_PYTHON");
  const std::string python = named && *named ? named : "python3";
  return std::system((python + " -c 'import tensorboard' 2> /dev/null").c_str()) == 0 ? python : "";
}

TEST(TensorBoard, IsReadByTensorBoard) {
  const std::string python = python_with_tensorboard();
  if (python.empty()) GTEST_SKIP() << "no python with tensorboard";
  const Folder folder;
  const History history = board_into(folder.file("board"));
  std::ofstream(folder.file("read.py")) << R"py(
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
a = EventAccumulator(sys.argv[1] + '/train', size_guidance={'histograms': 0}).Reload()
v = EventAccumulator(sys.argv[1] + '/validation').Reload()
print(sorted(a.Tags()['scalars']), sorted(v.Tags()['scalars']))
print([e.step for e in a.Scalars('epoch_loss')], ['%.5g' % e.value for e in v.Scalars('epoch_loss')])
kernel = a.Histograms('dense/kernel')
print(sorted(a.Tags()['histograms']), kernel[2].step, kernel[0].histogram_value.num)
)py";
  const int status = std::system((python + " " + folder.file("read.py") + " " + folder.file("board") + " > " +
                                  folder.file("out") + " 2> " + folder.file("err")).c_str());
  ASSERT_EQ(status, 0) << content_of(folder.file("err"));
  std::string losses;
  for (const double loss : history["val_loss"]) {
    char text[32];
    std::snprintf(text, sizeof(text), "'%.5g'", static_cast<double>(static_cast<float>(loss)));
    losses += std::string(losses.empty() ? "" : ", ") + text;
  }
  EXPECT_EQ(content_of(folder.file("out")),
            "['batch_accuracy', 'batch_loss', 'epoch_accuracy', 'epoch_loss'] ['epoch_accuracy', 'epoch_loss']\n"
            "[0, 1, 2] [" + losses + "]\n"
            "['dense/bias', 'dense/kernel', 'dense_1/bias', 'dense_1/kernel'] 2 32.0\n");
}

TEST(TensorBoard, WrongArgumentsNameTheirLine) {
  const auto error = [](const std::string& folder, const TensorBoardOptions& options) {
    return run_error_of([&] { TensorBoard(folder, options, {"net.cpp", 6}); });
  };
  EXPECT_EQ(error("", {}), "net.cpp:6: TensorBoard: the folder's name is empty");
  EXPECT_EQ(error("x", {.histogram_freq = -1}),
            "net.cpp:6: TensorBoard: histogram_freq is -1, must be 0 or more epochs");
  EXPECT_EQ(error("x", {.update_freq = -1}), "net.cpp:6: TensorBoard: update_freq is -1, must be 0 or more steps");
  const Folder folder;
  std::ofstream(folder.file("file")) << "no folder";
  EXPECT_CONTAINS(run_error_of([&] {
    fit(mlp(4), spiral(4), {.verbose = 0, .callbacks = {TensorBoard(folder.file("file"), {}, {"net.cpp", 6})}});
  }), "net.cpp:6: TensorBoard: the folder ");
}

// ---- gradient statistics

/// Hidden layers of 24 units, one after another.
Graph deep(int layers, Value (*activation)(Operand), const Init& init) {
  Graph g("deep");
  const Value x = input(g, "x", f32(30, 2)), t = input(g, "t", i32(30));
  Value h = x;
  for (int i = 0; i < layers; ++i) h = dense(h, 24, {.init = init, .activation = activation});
  testing::finish(g, dense(h, 3), t, Sgd{.rate = 0.05});
  return g;
}

TEST(GradientStatistics, NamesTheLayersWhereTheGradientVanishes) {
  const auto statistics = std::make_shared<GradientStatistics>(GradientStatisticsOptions{.warn = false});
  fit(deep(6, sigmoid, glorot_uniform()), spiral(90), {.epochs = 1, .verbose = 0, .callbacks = {statistics}});
  ASSERT_EQ(statistics->layers().size(), 7u);
  EXPECT_TRUE(statistics->layers()[0].vanishing) << statistics->text();
  EXPECT_TRUE(statistics->layers()[1].vanishing) << statistics->text();
  EXPECT_FALSE(statistics->layers()[6].vanishing) << statistics->text();
  EXPECT_EQ(statistics->layers()[0].layer, "dense");
  EXPECT_CONTAINS(statistics->text(), "vanishing");
  fit(deep(6, relu, he_normal()), spiral(90), {.epochs = 1, .verbose = 0, .callbacks = {statistics}});
  for (const LayerStatistics& layer : statistics->layers())
    EXPECT_FALSE(layer.vanishing || layer.exploding) << statistics->text();
  fit(deep(6, relu, random_normal_init({.stddev = 3})), spiral(90),
      {.epochs = 1, .verbose = 0, .callbacks = {statistics, TerminateOnNaN()}});
  EXPECT_TRUE(statistics->layers()[0].exploding) << statistics->text();
}

TEST(GradientStatistics, NormsAndDeadUnitsAreRight) {
  Graph g("one");
  const Value x = input(g, "x", f32(2, 2)), t = input(g, "t", f32(2, 2));
  const Value w = variable(g, "layer/w", f32(2, 2), values({3, 4, 0, 0}));
  const Value h = relu(matmul(x, w) - 5.5);
  const Value loss = mean(sum(square(h - t), {.axes = {1}}));
  g.output("loss", loss);
  minimize(loss, Sgd{.rate = 0.5});
  Dataset data;
  data.inputs = Tensor(f32(4, 2), std::vector<double>{1, 0, 1, 0, 2, 0, 2, 0});
  data.labels = Tensor(f32(4, 2));
  const auto statistics = std::make_shared<GradientStatistics>();
  // Rates of 0: two steps of the same weights. Rows (1,0): h = (0,0); rows (2,0): h = (0.5, 2.5).
  const LearningRateScheduler still([](int, double) { return 0; });
  FitOptions options{.shuffle = false, .verbose = 0, .input = "x", .label = "t"};
  options.callbacks = {statistics, still};
  fit(g, data, options);
  ASSERT_EQ(statistics->layers().size(), 2u);
  const LayerStatistics& layer = statistics->layers()[0];
  EXPECT_EQ(layer.layer, "layer");
  // d loss / d w = x^T 2 h: (2, 10) for the second batch, 0 for the first.
  EXPECT_NEAR(layer.gradient, std::sqrt(104.0) / 2, 1e-5);
  EXPECT_EQ(layer.weight, 5);
  EXPECT_EQ(layer.update, 0);
  const LayerStatistics& units = statistics->layers()[1];
  EXPECT_CONTAINS(units.layer, "relu at callback_test.cpp:");
  EXPECT_EQ(units.units, 2);
  EXPECT_EQ(units.dead, 0);
  data.inputs = Tensor(f32(4, 2), std::vector<double>{1, 0, 1, 0, 1.5, 0, 1.5, 0});
  options.callbacks = {statistics};
  fit(g, data, options);
  EXPECT_EQ(statistics->layers()[1].dead, 1);  // 4.5 - 5.5 is below 0, 6 - 5.5 is not
  EXPECT_GT(statistics->layers()[0].update_ratio, 0);
}

TEST(GradientStatistics, WrongArgumentsNameTheirLine) {
  const auto error = [](const GradientStatisticsOptions& options) {
    return run_error_of([&] { GradientStatistics(options, {"net.cpp", 9}); });
  };
  EXPECT_EQ(error({.vanishing = 1}), "net.cpp:9: GradientStatistics: vanishing is 1, must be in [0, 1)");
  EXPECT_EQ(error({.exploding = 0}), "net.cpp:9: GradientStatistics: exploding is 0, must be above 0");
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
