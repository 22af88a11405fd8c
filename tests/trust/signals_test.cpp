// SPDX-License-Identifier: Apache-2.0
// SIGINT and SIGTERM at any moment: while files are read, nets are judged, a training trains or saves.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <thread>

#include "../data/files.h"
#include "faults.h"
#include "job.h"
#include "process.h"
#include "soak.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/base/interruption.h"
#include "thalweg/lib/data/readers.h"
#include "thalweg/lib/io/npy.h"
#include "thalweg/lib/io/safetensors.h"
#include "thalweg/lib/train/deep_belief.h"

namespace thalweg {
namespace {

using testing::bits_of;
using testing::content_of;
using testing::count_of;
using testing::Folder;
using testing::job_mlp;
using testing::report;
using testing::spiral;
using testing::Worker;

/// The real file system, where a signal comes with the `call`-th call that reads.
class SignallingFileSystem final : public testing::FailingFileSystem {
 public:
  SignallingFileSystem(std::size_t call, int signal) : FailingFileSystem({}), call_(call), signal_(signal) {}
  ssize_t read(int descriptor, void* to, std::size_t bytes) override {
    if (++reads_ == call_) std::raise(signal_);
    return FailingFileSystem::read(descriptor, to, bytes);
  }
  std::size_t reads() const { return reads_; }

 private:
  std::size_t call_, reads_ = 0;
  int signal_;
};

struct Reader {
  std::function<void()> read;
  bool goes_on_after_its_last_file;  ///< in a loop that a signal must end as well
};

/// Every reader of data, with files that it can read.
std::map<std::string, Reader> readers(const Folder& folder) {
  const std::string idx("\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x03" "abcdef", 22), labels("\0\0\x08\x01\0\0\0\x02\x03\x04", 10);
  const auto at = [&](const std::string& name, const std::string& bytes) {
    folder.write(name, bytes);
    return folder.file(name);
  };
  const std::string table = at("table.csv", "a,b,label\n1,2,x\n3,4,y\n"), images = at("images", idx), numbers = at("labels", labels);
  const std::string sklearn = at("sklearn.csv", "2,2,red,blue\n1,2,0\n3,4,1\n");
  for (const char* part : {"train", "t10k"}) {
    at(part + std::string("-images-idx3-ubyte"), idx);
    at(part + std::string("-labels-idx1-ubyte"), labels);
  }
  for (int i = 1; i <= 5; ++i) at("data_batch_" + std::to_string(i) + ".bin", std::string(3073, '\7'));
  at("test_batch.bin", std::string(3073, '\7'));
  at("train.bin", std::string(3074, '\7'));
  at("test.bin", std::string(3074, '\7'));
  for (const char* kind : {"cats", "dogs"}) {
    make_folder(folder.file(std::string("pictures/") + kind));
    for (const char* name : {"/1.ppm", "/2.ppm"}) at("pictures/" + std::string(kind) + name, "P6 1 2 255\nabcdef");
  }
  const Tensor three(f32(3), std::vector<double>{1, 2, 3});
  write_npy(three, folder.file("a.npy"));
  write_npz({{"a", three}}, folder.file("a.npz"));
  write_safetensors({{{"a", three}}, {}}, folder.file("a.safetensors"));
  const std::string all = folder.path().string();
  return {{"csv", {[=] { csv(table); }, true}},
          {"sklearn_csv", {[=] { sklearn_csv(sklearn); }, true}},
          {"read_idx", {[=] { read_idx(images); }, false}},
          {"read_idx_images", {[=] { read_idx_images(images, numbers); }, false}},
          {"mnist", {[=] { mnist(all); }, false}},
          {"cifar10", {[=] { cifar10(all); }, true}},
          {"cifar100", {[=] { cifar100(all); }, true}},
          {"read_image", {[=] { read_image(all + "/pictures/cats/1.ppm"); }, false}},
          {"image_folder", {[=] { image_folder(all + "/pictures"); }, false}},
          {"read_npy", {[=] { read_npy(all + "/a.npy"); }, false}},
          {"read_npz", {[=] { read_npz(all + "/a.npz"); }, false}},
          {"read_safetensors", {[=] { read_safetensors(all + "/a.safetensors"); }, false}}};
}

TEST(Signals, EndReadersOfData) {
  const Folder folder;
  std::uint64_t ended = 0;
  for (const auto& [name, reader] : readers(folder)) {
    for (const int signal : {SIGINT, SIGTERM}) {
      for (std::size_t call = 1;; ++call) {
        SignallingFileSystem files(call, signal);
        bool gave_up = false;
        {
          const FileSystemScope scope(files);
          const Interruption interruption;
          try {
            reader.read();
          } catch (const Interrupted& error) {
            gave_up = true;
            EXPECT_CONTAINS(error.what(), "interrupted by a signal while ");
          }
          EXPECT_EQ(interruption.came(), files.reads() >= call) << name;
        }
        EXPECT_EQ(files.open_files(), 0) << name;
        if (files.reads() < call) {
          EXPECT_FALSE(gave_up) << name << " gave up, and no signal had come";
          break;
        }
        ended += gave_up ? 1 : 0;
        // With the last byte that is read, what there is may as well be given.
        EXPECT_TRUE(gave_up || !reader.goes_on_after_its_last_file) << name << " went on after its read " << call;
      }
    }
    // Whoever does not ask is not told: nobody holds a signal now.
    EXPECT_NO_THROW(reader.read()) << name;
  }
  EXPECT_GT(ended, 20u);
  report("readings that a signal ended", ended);
}

TEST(Signals, EndWhatReadersInflate) {
  const Folder folder;
  Tensor zeros(f32(1 << 20));
  write_npz({{"zeros", zeros}}, folder.file("zeros.npz"));
  const Interruption interruption;
  const std::vector<std::byte> bytes = read_file(folder.file("zeros.npz"));
  std::raise(SIGTERM);
  EXPECT_THROW(gunzip(bytes, "zeros"), Interrupted);
  EXPECT_THROW(inflate_raw(bytes, 10, "zeros"), Interrupted);
}

FitOptions options_for(int epochs) { return {.epochs = epochs, .validation = 0.2, .seed = 3, .verbose = 0}; }

TEST(Signals, EndEvaluationAndPrediction) {
  const Dataset data = spiral(50);
  const Graph graph = job_mlp(16, Adam{});
  const Variables variables = fit(graph, data, options_for(1)).variables;
  {
    const Interruption interruption;
    EXPECT_NO_THROW(evaluate(graph, variables, data));
    std::raise(SIGINT);
    EXPECT_THROW(evaluate(graph, variables, data), Interrupted);
    EXPECT_THROW(predict(graph, variables, data.inputs, "logits"), Interrupted);
    const History history = fit(graph, data, options_for(3));
    EXPECT_TRUE(history.interrupted);
    EXPECT_EQ(history.epochs(), 0);
  }
  EXPECT_NO_THROW(evaluate(graph, variables, data));
}

TEST(Signals, LetACallbackFinishWhatItReadsAndJudges) {
  const Folder folder;
  folder.write("table.csv", "a,b,label\n1,2,x\n3,4,y\n");
  const Dataset data = spiral(50);
  const Graph graph = job_mlp(16, Adam{});
  for (const bool asked : {false, true}) {
    std::optional<Interruption> interruption;
    if (asked) interruption.emplace();
    int finished = 0;
    FitOptions options = options_for(5);
    options.callbacks = {[&](TrainingRun& run) {
      if (run.epoch() != 2) return;
      std::raise(SIGTERM);
      csv(folder.file("table.csv"));
      evaluate(graph, run.variables(), data);
      ++finished;
    }};
    const History history = fit(graph, data, options);
    EXPECT_EQ(finished, 1);
    EXPECT_TRUE(history.interrupted);
    EXPECT_EQ(history.epochs(), 2);
  }
}

/// Raises a signal while it is saved, at its `call`-th time.
class RaiseWhileSaved : public Callback {
 public:
  explicit RaiseWhileSaved(int call) : call_(call) {}
  std::string name() const override { return "Raise"; }
  CallbackState save() const override {
    if (++calls_ == call_) std::raise(SIGTERM);
    return {};
  }

 private:
  int call_;
  mutable int calls_ = 0;
};

TEST(Signals, AreToldThoughTheyCameWithTheLastSave) {
  const Folder folder;
  const Dataset data = spiral(50);
  const Graph graph = job_mlp(16, Adam{.rate = 0.05});
  const auto with = [&](int call) {
    FitOptions options = options_for(2);
    options.checkpoint = {folder.file("runs")};
    options.resume = true;
    options.callbacks = {RaiseWhileSaved(call)};
    return fit(graph, data, options);
  };
  const std::string expected = bits_of(fit(graph, data, options_for(2)));
  const History told = with(3);  // before the first step, after the first epoch, and then
  EXPECT_TRUE(told.interrupted);
  EXPECT_EQ(told.epochs(), 2);
  EXPECT_EQ(bits_of(told), expected);
  const History whole = with(0);
  EXPECT_FALSE(whole.interrupted);
  EXPECT_EQ(bits_of(whole), expected);
}

/// A program's own handler for SIGTERM, that counts.
class OwnHandler {
 public:
  OwnHandler() {
    heard = 0;
    before_ = std::signal(SIGTERM, [](int) { heard = heard + 1; });
  }
  ~OwnHandler() { std::signal(SIGTERM, before_); }
  OwnHandler(const OwnHandler&) = delete;
  OwnHandler& operator=(const OwnHandler&) = delete;
  int count() const { return heard; }

 private:
  static inline volatile std::sig_atomic_t heard = 0;
  void (*before_)(int);
};

TEST(Signals, OfWhichNobodyWasToldGoToTheHandlerThatWasThere) {
  const Dataset data = spiral(50);
  const Graph graph = job_mlp(16, Adam{});
  {
    const OwnHandler own;
    {
      const Interruption interruption;
      std::raise(SIGTERM);
      EXPECT_EQ(own.count(), 0);
    }
    EXPECT_EQ(own.count(), 1) << "the signal was lost";
  }
  for (const bool asked : {false, true}) {
    const OwnHandler own;
    {
      const Interruption interruption;
      std::raise(SIGTERM);
      if (asked) EXPECT_TRUE(interruption.came());
      else EXPECT_THROW(evaluate(graph, fit(graph, data, options_for(1)).variables, data), Interrupted);
    }
    EXPECT_EQ(own.count(), 0) << "whoever was told has ended for it";
  }
  // An error ends a training before it looks for signals.
  const OwnHandler own;
  FitOptions options = options_for(2);
  options.callbacks = {[](TrainingRun&) {
    std::raise(SIGTERM);
    throw std::runtime_error("another reason");
  }};
  EXPECT_THROW(fit(graph, data, options), std::runtime_error);
  EXPECT_EQ(own.count(), 1);
  // Nothing is left over for the next.
  EXPECT_FALSE(fit(graph, data, options_for(1)).interrupted);
  EXPECT_EQ(own.count(), 1);
}

/// The real file system, that is full once a signal has come.
class FullAfterASignal final : public testing::FailingFileSystem {
 public:
  FullAfterASignal() : FailingFileSystem({}) {}
  ssize_t write(int descriptor, const void* from, std::size_t bytes) override {
    return full ? -ENOSPC : FailingFileSystem::write(descriptor, from, bytes);
  }
  bool full = false;
};

TEST(Signals, ReachTheHandlerThatWasThereWhereTheCheckpointForThemFails) {
  const Folder folder;
  const OwnHandler own;
  FullAfterASignal files;
  const FileSystemScope scope(files);
  FitOptions options = options_for(3);
  options.checkpoint = {folder.file("runs")};
  options.callbacks = {LambdaCallback({.on_train_batch_end = [&](TrainingRun&) {
    if (!files.full) std::raise(SIGTERM);
    files.full = true;
  }})};
  EXPECT_CONTAINS(testing::run_error_of([&] { fit(job_mlp(16, Adam{}), spiral(50), options); }), "No space left");
  EXPECT_EQ(own.count(), 1) << "the caller was told of the disk, and nobody of the signal";
}

TEST(Signals, DoNotEndTheProcessBeforeAnErrorIsRead) {
  FitOptions options = options_for(2);
  options.callbacks = {[](TrainingRun&) {
    std::raise(SIGTERM);
    throw std::runtime_error("another reason");
  }};
  // By default the signal would end this test.
  EXPECT_THROW(fit(job_mlp(16, Adam{}), spiral(50), options), std::runtime_error);
}

TEST(Signals, LeaveAHandlerAloneThatWasSetMeanwhile) {
  const OwnHandler own;
  void (*const before)(int) = std::signal(SIGTERM, SIG_DFL);
  {
    const Interruption interruption;
    std::signal(SIGTERM, before);
  }
  EXPECT_EQ(std::signal(SIGTERM, before), before);
}

/// Calls a function at the begin of validation, or while it is saved.
class Call : public Callback {
 public:
  Call(bool while_saved, std::function<void()> function) : while_saved_(while_saved), function_(std::move(function)) {}
  std::string name() const override { return "Call"; }
  void on_train_batch_end(TrainingRun&) override { trained_ = true; }
  void on_test_begin(TrainingRun&) override {
    if (!while_saved_) function_();
  }
  CallbackState save() const override {
    if (while_saved_ && trained_) function_();
    return {};
  }

 private:
  bool while_saved_;
  bool trained_ = false;
  std::function<void()> function_;
};

TEST(Signals, TheSecondIsTheHandlersThatWasThereAtOnceWhateverIsDone) {
  const Folder folder;
  folder.write("table.csv", "a,b,label\n1,2,x\n3,4,y\n");
  const Dataset data = spiral(50);
  const Graph graph = job_mlp(16, Adam{});
  for (const std::string where : {"reading", "validating", "saving"}) {
    const OwnHandler own;
    int first = -1, second = -1;
    const auto twice = [&] {
      if (second >= 0) return;
      std::raise(SIGTERM);
      first = own.count();
      std::raise(SIGTERM);
      second = own.count();
    };
    if (where == "reading") {
      class Files final : public testing::FailingFileSystem {
       public:
        explicit Files(std::function<void()> act) : FailingFileSystem({}), act_(std::move(act)) {}
        ssize_t read(int descriptor, void* to, std::size_t bytes) override {
          act_();
          return FailingFileSystem::read(descriptor, to, bytes);
        }

       private:
        std::function<void()> act_;
      } files(twice);
      const FileSystemScope scope(files);
      const Interruption interruption;
      EXPECT_THROW(csv(folder.file("table.csv")), Interrupted);
    } else {
      FitOptions options = options_for(3);
      options.checkpoint = {folder.file(where)};
      options.callbacks = {Call(where == "saving", twice)};
      EXPECT_TRUE(fit(graph, data, options).interrupted) << where;
    }
    EXPECT_EQ(first, 0) << where << ": the first is ours";
    EXPECT_EQ(second, 1) << where << ": the second was held back";
  }
}

TEST(Signals, EndPretraining) {
  const Interruption interruption;
  Dataset data;
  data.inputs = Tensor(f32(200, 20));
  for (std::size_t i = 0; i < 4000; ++i) data.inputs.as<float>()[i] = static_cast<float>(i % 7) / 7.0f;
  std::thread other([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    ::kill(::getpid(), SIGTERM);
  });
  const DeepBelief belief = pretrain(data, {.hidden = {8, 4}, .epochs = 10'000'000, .verbose = 0});
  other.join();
  EXPECT_TRUE(belief.interrupted);
  EXPECT_EQ(belief.layers.size(), 1u);
}

TEST(Signals, AtAnyMomentLoseNothing) {
  const Folder folder;
  Worker whole({"job", "-", "0", folder.file("expected"), "6"});
  ASSERT_EQ(whole.wait(), 0) << whole.text();
  const std::string expected = content_of(folder.file("expected"));
  const std::uint64_t wanted = count_of("THALWEG_SOAK_SIGNALS", 25);
  std::mt19937_64 random(count_of("THALWEG_SOAK_SEED", 7));
  std::uint64_t signals = 0, interruptions = 0;
  for (int training = 0; signals < wanted; ++training) {
    const std::string runs = folder.file("runs" + std::to_string(training)), out = folder.file("out");
    const std::string every = std::to_string(1 + random() % 4);
    std::uniform_int_distribution<int> microseconds(0, 60'000);
    for (int tries = 0;; ++tries) {
      ASSERT_LT(tries, 1000) << "it never gets further";
      Worker worker({"job", runs, every, out, "6"});
      const int signal = random() % 2 == 0 ? SIGINT : SIGTERM;
      if (!worker.wait_for(std::chrono::microseconds(microseconds(random) * (1 + tries / 10)))) {
        worker.kill(signal);
        ++signals;
      }
      // Before fit() begins, and after it has ended, the process is as it would be without us.
      const int status = worker.wait();
      ASSERT_TRUE(status == 0 || status == 4 || status == -signal) << status << worker.text();
      interruptions += status == 4 ? 1 : 0;
      if (status == 0) break;
    }
    ASSERT_EQ(content_of(out), expected) << "after " << signals << " signals";
    std::filesystem::remove_all(runs);
  }
  EXPECT_GT(interruptions, 0u);
  report("signals at any moment of a training", signals);
  report("of them answered by interrupted, and resumed with the same bits", interruptions);
}

}  // namespace
}  // namespace thalweg
