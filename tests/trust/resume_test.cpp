// SPDX-License-Identifier: Apache-2.0
// A training that was cut short and resumed gives the bits of one that was not: for every optimizer and schedule, at
// any step, in this process and after kill -9.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <thread>

#include "../data/files.h"
#include "faults.h"
#include "job.h"
#include "optimizers.h"
#include "process.h"
#include "soak.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/io/checkpoint_file.h"
#include "thalweg/lib/train/csv_logger.h"
#include "thalweg/lib/train/gradient_statistics.h"
#include "thalweg/lib/train/learning_rate.h"
#include "thalweg/lib/train/model_checkpoint.h"
#include "thalweg/ops/augment.h"
#include "thalweg/ops/metric.h"
#include "thalweg/optim/constraint.h"

namespace thalweg {
namespace {

using testing::bits_of;
using testing::content_of;
using testing::count_of;
using testing::Folder;
using testing::job_mlp;
using testing::optimizers;
using testing::report;
using testing::run_error_of;
using testing::schedules;
using testing::spiral;
using testing::Worker;

constexpr Dim samples = 50;  // 40 to learn from: two steps of 16 and one of 8

FitOptions options_for(int epochs) {
  return {.epochs = epochs, .validation = 0.2, .seed = 3, .verbose = 0, .patience = 2};
}

/// A training that can be begun any number of times.
struct Job {
  Graph graph;
  Dataset data;
  std::function<FitOptions()> options;
  /// What it shows besides variables and history.
  std::function<std::string(const FitOptions&)> more = [](const FitOptions&) { return std::string(); };

  std::string run(const std::function<void(FitOptions&)>& change = [](FitOptions&) {}) const {
    FitOptions asked = options();
    change(asked);
    const History history = fit(graph, data, asked);
    std::string text = bits_of(history) + (history.diverged ? "diverged\n" : "");
    for (const std::string& warning : history.warnings) text += warning + '\n';
    return text + more(asked);
  }
};

/// Trains with a checkpoint at each step, then goes on from each of `steps` alone, and compares. Returns how often.
std::uint64_t expect_same_bits(const Job& job, const std::vector<int>& steps, const std::string& what) {
  const Folder folder;
  const std::string expected = job.run();
  EXPECT_EQ(job.run([&](FitOptions& o) { o.checkpoint = {folder.file("all"), 1, {.keep = 1000}}; }), expected)
      << what << ": checkpoints changed something";
  std::uint64_t runs = 0;
  for (const int step : steps) {
    const std::string name = "checkpoint-" + std::string(step < 10 ? "00000" : "0000") + std::to_string(step) + ".safetensors";
    const std::string one = folder.file("from" + std::to_string(step));
    std::filesystem::create_directory(one);
    if (!std::filesystem::exists(folder.file("all/" + name))) break;  // it had stopped early
    std::filesystem::copy(folder.file("all/" + name), one + "/" + name);
    const std::string resumed = job.run([&](FitOptions& o) {
      o.checkpoint = {one, 2};
      o.resume = true;
    });
    EXPECT_EQ(resumed, expected) << what << ", resumed after step " << step;
    ++runs;
  }
  EXPECT_GT(runs, 0u) << what;
  return runs;
}

TEST(Resume, EveryOptimizerGoesOnWithTheSameBits) {
  const bool all = count_of("THALWEG_SOAK_RESUME", 0) != 0;
  std::uint64_t runs = 0;
  for (const auto& [schedule_name, schedule] : schedules()) {
    for (const auto& [name, optimizer] : optimizers(schedule)) {
      // In the default suite each optimizer has one schedule, and each schedule an optimizer.
      if (!all && schedule_name != "exponential" && name != "adam") continue;
      const std::vector<int> steps = all ? std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10} : std::vector<int>{1, 3, 5};
      const Job job{job_mlp(16, optimizer), spiral(samples), [] { return options_for(3); }};
      runs += expect_same_bits(job, steps, name + " with " + schedule_name);
    }
  }
  report("resumed trainings with the same bits", runs);
}

/// A net without batch norm, for steps in micro-batches.
Graph plain_mlp(const Optimizer& optimizer, const MinimizeOptions& options = {}) {
  Graph g("plain");
  const Value x = input(g, "x", f32(16, 2)), t = input(g, "t", i32(16));
  testing::finish(g, dense(dropout(relu(dense(x, 12)), 0.25), 3), t, optimizer, options);
  return g;
}

/// Trainings that keep something that others do not.
std::map<std::string, Job> jobs() {
  const Optimizer adam = Adam{.rate = exponential_decay(0.05, 0.9, 5)};
  const auto usual = [] { return options_for(3); };
  const auto minimized = [&](const MinimizeOptions& options) { return Job{plain_mlp(adam, options), spiral(samples), usual}; };
  std::map<std::string, Job> all;

  all.emplace("micro-batches", Job{plain_mlp(adam, {.clip = by_global_norm(0.5)}), spiral(samples), [] {
    FitOptions o = options_for(3);
    o.micro_batch = 4;
    return o;
  }});
  all.emplace("full batch in micro-batches, a plateau", Job{plain_mlp(adam), spiral(samples), [] {
    FitOptions o = options_for(6);
    o.patience = {};
    o.batch = full_batch;
    o.micro_batch = 16;
    o.callbacks = {ReduceLROnPlateau({.factor = 0.5, .patience = 1})};
    return o;
  }});
  all.emplace("ghost batches", Job{job_mlp(16, adam), spiral(samples), [] {
    FitOptions o = options_for(3);
    o.micro_batch = 4;
    o.ghost_batches = true;
    return o;
  }});
  all.emplace("moving average", minimized({.average = ema(0.9)}));
  all.emplace("equal average", minimized({.average = equal_average(3)}));
  all.emplace("constraint", minimized({.constraint = max_norm(0.7)}));
  all.emplace("weight decay", minimized({.weight_decay = 0.1}));
  all.emplace("groups", minimized({.groups = {{.of = named("dense/bias"), .frozen = true},
                                              {.of = named("dense_1"), .rate = 0.5, .optimizer = Sgd{.rate = 0.1, .momentum = 0.9}}}}));
  all.emplace("epochs", Job{plain_mlp(Sgd{.rate = linear(0.2, 0.01, Epochs(2))}), spiral(samples), usual});

  Dataset broken = spiral(samples);
  broken.inputs = broken.inputs.clone();
  broken.inputs.as<float>()[2 * 11] = HUGE_VALF;
  all.emplace("skipped steps", Job{plain_mlp(adam, {.non_finite = NonFinite::skip}), broken, usual});

  Graph measured = plain_mlp(adam);
  const Value logits = measured.find("logits");
  measured.output("f1", macro_scores(logits, measured.find("t")).f1);
  measured.output("rms", sqrt(sample_mean(square(measured.find("loss")))));
  all.emplace("measures that are no means", Job{measured, spiral(samples), usual});

  Graph pictures("pictures");
  const Value x = input(pictures, "x", f32(16, 8, 8, 1)), t = input(pictures, "t", i32(16));
  const Value changed = random_noise(cutout(random_crop(random_flip(x), 1), 2), 0.05);
  const Value h = max_pool(relu(batch_norm(conv(changed, 8, 3))), 2);
  testing::finish(pictures, dense(dropout(flatten(h), 0.2), 4), t, adam);
  all.emplace("augmentation", Job{pictures, testing::corners(samples), usual});

  all.emplace("a rate that callbacks set", Job{job_mlp(16, adam), spiral(samples), [] {
    FitOptions o = options_for(3);
    o.callbacks = {ReduceLROnPlateau({.factor = 0.5, .patience = 1}),
                   LearningRateScheduler([](int epoch, double rate) { return epoch == 2 ? 0.7 * rate : rate; })};
    return o;
  }});
  all.emplace("statistics", Job{plain_mlp(adam), spiral(samples), [] {
    FitOptions o = options_for(3);
    o.callbacks = {std::make_shared<GradientStatistics>()};
    return o;
  }, [](const FitOptions& o) { return dynamic_cast<const GradientStatistics&>(*o.callbacks[0]).text(); }});
  const auto folder = std::make_shared<Folder>();
  all.emplace("files that callbacks write", Job{job_mlp(16, adam), spiral(samples), [folder] {
    FitOptions o = options_for(3);
    o.callbacks = {CSVLogger(folder->file("log.csv")), ModelCheckpoint(folder->file("best.safetensors"), {.monitor = "val_loss", .save_best_only = true})};
    return o;
  }, [folder](const FitOptions&) {
    std::string text = content_of(folder->file("best.safetensors"));
    const std::string log = content_of(folder->file("log.csv"));
    for (std::size_t at = 0; at < log.size(); at = log.find('\n', at) + 1)  // the last column is the time
      text += log.substr(at, log.rfind(',', log.find('\n', at)) - at) + '\n';
    return text;
  }});
  all.emplace("four threads", Job{testing::job_cnn(16, adam), testing::corners(samples), [] {
    FitOptions o = options_for(3);
    o.compile.logical_threads = 4;
    return o;
  }});
  all.emplace("divergence", Job{plain_mlp(adam), spiral(samples), [] {
    FitOptions o = options_for(3);
    o.patience = {};
    o.when_diverged = WhenDiverged::restore;
    o.callbacks = {LambdaCallback({.on_train_batch_begin = [](TrainingRun& run) {
      if (run.epoch() == 2 && run.step() == 3) run.variables().at("dense/bias").as<float>()[0] = HUGE_VALF;
    }})};
    return o;
  }});
  return all;
}

TEST(Resume, WhatEachTrainingKeepsGoesOnWithTheSameBits) {
  std::uint64_t runs = 0;
  for (const auto& [name, job] : jobs()) runs += expect_same_bits(job, {1, 2, 3, 4, 5, 6, 7, 8}, name);
  report("resumed trainings with more to keep, with the same bits", runs);
}

TEST(Resume, CallbacksThatSetTheRateGoOn) {
  const Folder folder;
  const Dataset data = spiral(samples);
  const Graph graph = job_mlp(16, Adam{.rate = exponential_decay(0.05, 0.9, 5)});
  const auto with = [&](int epochs) {
    FitOptions options = options_for(epochs);
    options.patience = {};
    options.callbacks = {ReduceLROnPlateau({.factor = 0.5, .patience = 1}),
                         LearningRateScheduler([](int epoch, double rate) { return epoch == 3 ? 0.7 * rate : rate; })};
    return options;
  };
  const History whole = fit(graph, data, with(6));
  for (int first = 1; first < 6; ++first) {
    FitOptions options = with(first);
    options.checkpoint = {folder.file(std::to_string(first))};
    fit(graph, data, options);
    options = with(6);
    options.checkpoint = {folder.file(std::to_string(first))};
    options.resume = true;
    EXPECT_EQ(bits_of(fit(graph, data, options)), bits_of(whole)) << "resumed after epoch " << first;
  }
  EXPECT_LT(whole.last("learning_rate"), 0.04);
}

TEST(Resume, PicturesGoOnWithTheSameBits) {
  const Folder folder;
  const Dataset data = testing::corners(50);
  const Graph graph = testing::job_cnn(16);
  const std::string expected = bits_of(fit(graph, data, options_for(2)));
  FitOptions first = options_for(1);
  first.checkpoint = {folder.file("a")};
  fit(graph, data, first);
  FitOptions second = options_for(2);  // more epochs than the first time
  second.checkpoint = {folder.file("a")};
  second.resume = true;
  EXPECT_EQ(bits_of(fit(graph, data, second)), expected);
  // Nothing is left to do, and the result is the same.
  EXPECT_EQ(bits_of(fit(graph, data, second)), expected);
}

/// Raises a signal the second time that one of its hooks is called; while it is saved, the first time.
class Raise : public Callback {
 public:
  enum When { batch_begin, batch_end, epoch_begin, epoch_end, validation, saving, all };
  Raise(int signal, When when) : signal_(signal), when_(when) {}
  std::string name() const override { return "Raise"; }
  void on_train_batch_begin(TrainingRun&) override { at(batch_begin); }
  void on_train_batch_end(TrainingRun&) override {
    trained_ = true;
    at(batch_end);
  }
  void on_epoch_begin(TrainingRun&) override { at(epoch_begin); }
  void on_epoch_end(TrainingRun&) override { at(epoch_end); }
  void on_test_begin(TrainingRun&) override { at(validation); }
  CallbackState save() const override {
    // Before the first step it is asked too, whether a file can hold what it says.
    if (when_ == saving && trained_ && !saved_) std::raise(signal_);
    saved_ = trained_;
    return {};
  }

 private:
  void at(When when) {
    if (when == when_ && ++calls_ == 2) std::raise(signal_);
  }
  int signal_;
  When when_;
  int calls_ = 0;
  bool trained_ = false;
  mutable bool saved_ = false;
};

TEST(Resume, GoesOnAfterASignalAnywhere) {
  const Folder folder;
  const Dataset data = spiral(samples);
  const Graph graph = job_mlp(16, Adam{.rate = 0.05});
  const std::string expected = bits_of(fit(graph, data, options_for(8)));
  int interrupted = 0;
  for (const int signal : {SIGINT, SIGTERM}) {
    FitOptions options = options_for(8);
    options.checkpoint = {folder.file("by" + std::to_string(signal))};
    options.resume = true;
    for (int i = 0;; ++i) {
      ASSERT_LT(i, 100) << "it never ends";
      options.callbacks = {Raise(signal, static_cast<Raise::When>(i % Raise::all))};
      const History history = fit(graph, data, options);
      if (history.interrupted) {
        ++interrupted;
        continue;
      }
      EXPECT_EQ(bits_of(history), expected);
      break;
    }
  }
  EXPECT_GT(interrupted, 4);
}

TEST(Resume, RefusesAnotherTraining) {
  const Folder folder;
  const Dataset data = spiral(samples);
  const Graph graph = job_mlp(16, Adam{});
  const auto with = [&](auto change) {
    FitOptions options = options_for(1);
    options.checkpoint = {folder.file("a")};
    options.resume = true;
    change(options);
    return options;
  };
  const auto same = [](FitOptions&) {};
  fit(graph, data, with(same));
  const auto refusal = [&](const Graph& g, const Dataset& d, const FitOptions& options) {
    return run_error_of([&] { fit(g, d, options); });
  };
  EXPECT_CONTAINS(refusal(graph, data, with([](FitOptions& o) { o.resume = false; })),
                  "holds the checkpoints of a training: go on with it by .resume = true, or name another folder");
  EXPECT_CONTAINS(refusal(job_mlp(16, Adam{.rate = 0.5}), data, with(same)), "\n    graph is ");
  EXPECT_CONTAINS(refusal(job_mlp(16, Sgd{}), data, with(same)), "' of the checkpoint is no variable here");
  EXPECT_CONTAINS(refusal(graph, data, with([](FitOptions& o) { o.batch = 8; })),
                  "\n    batch is 16 in the checkpoint and 8 here");
  EXPECT_CONTAINS(refusal(graph, spiral(51), with(same)), "\n    data is ");
  EXPECT_CONTAINS(refusal(graph, data, with([](FitOptions& o) { o.seed = 4; })),
                  "\n    shuffle is by seed 3 in the checkpoint and by seed 4 here");
  EXPECT_CONTAINS(refusal(graph, data, with([](FitOptions& o) { o.patience = {}; })),
                  "\n    callbacks are [EarlyStopping] in the checkpoint and [] here");
  const auto without_fusion = [](FitOptions& o) { o.compile.fuse = false; };
  const std::string bits = refusal(graph, data, with(without_fusion));
  EXPECT_CONTAINS(bits, "not with the same bits: .same_bits = false allows it");
  EXPECT_NO_THROW(fit(graph, data, with([&](FitOptions& o) {
    without_fusion(o);
    o.checkpoint.same_bits = false;
  })));
  EXPECT_CONTAINS(run_error_of([&] { fit(graph, data, {.resume = true}); }), "resume needs a folder of checkpoints");
  EXPECT_CONTAINS(refusal(graph, data, with([](FitOptions& o) { o.checkpoint.keep = 0; })), "keep is 0");
  EXPECT_CONTAINS(refusal(graph, data, with([](FitOptions& o) { o.checkpoint.folder = "/proc/none"; })),
                  "cannot make the folder");
}

TEST(Resume, ADiskThatFailsAtAnyCallEndsTheTrainingOrDoesNot) {
  const Dataset data = spiral(samples);
  const Graph graph = job_mlp(16, Adam{});
  const std::string expected = bits_of(fit(graph, data, options_for(2)));
  const std::size_t each = count_of("THALWEG_SOAK_RESUME", 0) != 0 ? 1 : 5;
  std::uint64_t injected = 0, ended = 0;
  for (const bool required : {true, false}) {
    for (const bool stays : {true, false}) {
      for (std::size_t call = 1;; call += each) {
        const Folder folder;
        FitOptions options = options_for(2);
        options.checkpoint = {folder.file("a"), 1, {.required = required}};
        testing::FailingFileSystem failing({.call = call, .error = stays ? ENOSPC : EIO, .stays = stays});
        {
          const FileSystemScope scope(failing);
          try {
            EXPECT_EQ(bits_of(fit(graph, data, options)), expected) << "call " << call;
          } catch (const RunError& error) {
            EXPECT_CONTAINS(error.what(), stays ? "No space left on device" : "errno");
            ++ended;
          }
        }
        EXPECT_EQ(failing.open_files(), 0) << "call " << call;
        // What was saved before is whole, and the training goes on from it.
        options.resume = true;
        EXPECT_EQ(bits_of(fit(graph, data, options)), expected) << "call " << call;
        if (failing.calls() < call) break;
        ++injected;
      }
    }
  }
  EXPECT_GT(ended, 0u);
  EXPECT_GT(injected, ended) << "some failures harm nobody";
  report("injected failures of whole trainings", injected);
}

TEST(Resume, SaysWhatItCouldNotSave) {
  const Folder folder;
  FitOptions options = options_for(2);
  options.checkpoint = {folder.file("a"), 1, {.required = false}};
  testing::FailingFileSystem full({.call = 30, .error = ENOSPC, .stays = true});
  const FileSystemScope scope(full);
  const History history = fit(job_mlp(16, Adam{}), spiral(samples), options);
  ASSERT_FALSE(history.warnings.empty());
  EXPECT_CONTAINS(history.warnings[0], "No checkpoint: ");
  EXPECT_CONTAINS(history.warnings[0], "No space left on device");
  for (const std::string& warning : history.warnings) EXPECT_EQ(warning.find(".tmp"), std::string::npos) << warning;
}

TEST(Resume, SaysWhatItPassedOver) {
  const Folder folder;
  const Dataset data = spiral(samples);
  const Graph graph = job_mlp(16, Adam{});
  FitOptions options = options_for(2);
  options.checkpoint = {folder.file("a")};
  const History whole = fit(graph, data, options);
  EXPECT_TRUE(whole.warnings.empty());
  const std::string newest = folder.file("a/checkpoint-000002.safetensors");
  std::string bytes = content_of(newest);
  bytes[bytes.size() - 3] ^= 1;
  folder.write("a/checkpoint-000002.safetensors", bytes);
  options.resume = true;
  const History again = fit(graph, data, options);
  EXPECT_EQ(bits_of(again), bits_of(whole));
  ASSERT_EQ(again.warnings.size(), 1u);
  EXPECT_CONTAINS(again.warnings[0], "Passed over " + newest + ": tensor '");
}

TEST(Resume, WithinAnEpochExpectsNoMoreStepsThanThereAre) {
  const Folder folder;
  // 18 steps in 6 epochs of 3, and a schedule that changes until the 19th.
  const Graph graph = job_mlp(16, Sgd{.rate = linear(0.1, 0.01, 19)});
  FitOptions options = options_for(6);
  options.patience = {};
  options.checkpoint = {folder.file("a"), 1, {.keep = 100}};
  const History whole = fit(graph, spiral(samples), options);
  ASSERT_EQ(whole.warnings.size(), 1u);
  for (int left = 18; left > 8; --left) remove_file(folder.file("a/checkpoint-0000" + std::string(left < 10 ? "0" : "") + std::to_string(left) + ".safetensors"));
  options.resume = true;
  EXPECT_EQ(fit(graph, spiral(samples), options).warnings, whole.warnings);
}

TEST(Resume, ATextThatNoCheckpointCanHoldIsToldBeforeTheFirstStep) {
  class Says : public Callback {
   public:
    std::string name() const override { return "Says"; }
    void on_train_batch_end(TrainingRun&) override { ADD_FAILURE() << "a step ran"; }
    CallbackState save() const override { return {.tensors = {}, .texts = {{"text", "\xff"}}}; }
  };
  const Folder folder;
  FitOptions options = options_for(1);
  options.checkpoint = {folder.file("a")};
  options.callbacks = {Says()};
  EXPECT_CONTAINS(run_error_of([&] { fit(job_mlp(16, Adam{}), spiral(samples), options); }), "UTF-8");
}

/// How many files in a folder end so.
std::uint64_t files_with(const std::string& folder, std::string_view ending) {
  if (!is_there(folder)) return 0;
  const std::vector<std::string> names = list_folder(folder);
  return static_cast<std::uint64_t>(
      std::count_if(names.begin(), names.end(), [&](const std::string& name) { return name.ends_with(ending); }));
}

TEST(Kill, AtAnyMomentLosesNothing) {
  const Folder folder;
  std::map<std::string, std::string> expected;
  for (const std::string net : {"job", "cnn"}) {
    Worker whole({net, "-", "0", folder.file(net), "6"});
    ASSERT_EQ(whole.wait(), 0) << whole.text();
    expected[net] = content_of(folder.file(net));
  }
  const std::uint64_t wanted = count_of("THALWEG_SOAK_KILLS", 50);
  std::mt19937_64 random(count_of("THALWEG_SOAK_SEED", 7));
  std::uint64_t kills = 0, trainings = 0, trained = 0, saving = 0;
  while (kills < wanted) {
    const std::string net = trainings % 4 == 3 ? "cnn" : "job";
    const std::string runs = folder.file("runs" + std::to_string(trainings)), out = folder.file("out");
    const std::string every = std::to_string(1 + random() % 4);
    std::uniform_int_distribution<int> microseconds(0, 60'000);
    for (int tries = 0;; ++tries) {
      ASSERT_LT(tries, 1000) << "it never gets further";
      Worker worker({net, runs, every, out, "6"});
      // At first a random moment, start included; later it gets the time that it needs on a busy machine.
      const int patience = microseconds(random) * (1 + tries / 10);
      if (!worker.wait_for(std::chrono::microseconds(patience))) {
        worker.kill(SIGKILL);
        worker.wait();
        ++kills;
        trained += files_with(runs, ".safetensors") > 0 ? 1 : 0;
        saving += files_with(runs, temporary_suffix);
        continue;
      }
      ASSERT_EQ(worker.wait(), 0) << worker.text();
      break;
    }
    ASSERT_EQ(content_of(out), expected.at(net)) << "after " << kills << " kills";
    std::filesystem::remove_all(runs);
    ++trainings;
  }
  EXPECT_GT(trained, 0u) << "every kill came before the first step";
  EXPECT_TRUE(saving > 0 || wanted < 1000) << "no kill came while a checkpoint was written";
  report("kills -9 of a training", kills);
  report("of them after a checkpoint", trained);
  report("of them while one was written", saving);
  report("trainings resumed after them, with the same bits", trainings);
}

TEST(Signal, TheSecondLeavesAtOnce) {
  const Folder folder;
  Worker worker({"twice", folder.file("runs"), "0", folder.file("out"), "1000000"});
  EXPECT_EQ(worker.wait(), -SIGTERM) << worker.text();
}

TEST(Signal, TermSavesAndReturns) {
  const Folder folder;
  const std::string runs = folder.file("runs"), out = folder.file("out");
  Worker worker({"job", runs, "0", out, "1000000"});
  while (!std::filesystem::exists(runs) || list_folder(runs).size() < 2) ASSERT_FALSE(worker.wait_for(std::chrono::milliseconds(5))) << worker.text();
  worker.kill(SIGTERM);
  EXPECT_EQ(worker.wait(), 4) << worker.text();
  CheckpointFolder checkpoints(runs);
  std::vector<std::string> damaged;
  ASSERT_TRUE(checkpoints.newest(damaged));
  EXPECT_TRUE(damaged.empty());
}

TEST(Signal, OneTrainingAtATimeUsesAFolder) {
  const Folder folder;
  const std::string runs = folder.file("runs");
  Worker worker({"job", runs, "0", folder.file("out"), "1000000"});
  while (!std::filesystem::exists(runs) || list_folder(runs).size() < 2) ASSERT_FALSE(worker.wait_for(std::chrono::milliseconds(5))) << worker.text();
  Worker second({"job", runs, "0", folder.file("out"), "2"});
  EXPECT_EQ(second.wait(), 3);
  EXPECT_CONTAINS(second.text(), "/runs/lock: is in use by process " + std::to_string(worker.id()));
  worker.kill(SIGKILL);
  worker.wait();
  Worker third({"job", runs, "0", folder.file("out"), "2"});
  EXPECT_EQ(third.wait(), 0) << third.text();
}

TEST(Signal, WhoReadsWhileATrainingSavesSeesWholeFiles) {
  const Folder folder;
  const std::string runs = folder.file("runs");
  Worker worker({"job", runs, "1", folder.file("out"), "1000000"});
  const std::uint64_t wanted = count_of("THALWEG_SOAK_READS", 200);
  std::uint64_t reads = 0;
  std::set<std::string> seen;
  while (reads < wanted || seen.size() < 4) {
    ASSERT_FALSE(worker.wait_for(std::chrono::microseconds(100))) << worker.text();
    if (!std::filesystem::exists(runs)) continue;
    for (const std::string& name : list_folder(runs)) {
      if (!name.ends_with(".safetensors")) continue;
      const std::string path = runs + "/" + name;
      try {
        EXPECT_FALSE(read_checkpoint(path).tensors.empty());
        seen.insert(name);
        ++reads;
      } catch (const RunError& error) {
        // The training removes what is older than the last few: such a file is gone, and never seen in part.
        EXPECT_FALSE(std::filesystem::exists(path)) << error.what();
      }
    }
  }
  report("checkpoints read while a training saved", reads);
}

}  // namespace
}  // namespace thalweg
