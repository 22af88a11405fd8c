// SPDX-License-Identifier: Apache-2.0
// A training that others kill: trust_worker NET FOLDER EVERY OUT [EPOCHS] trains with checkpoints in FOLDER (none if it
// is `-`), going on from the last, and writes all bits of the result to OUT. Status 0, 3 for an error, 4 if it was
// interrupted. NET is mlp, job (with dropout and batch norm), cnn, or twice: job that tells itself to end, twice; leaves:
// job that calls std::exit(5) from within; statics: job, after a program that outlives main(); or
// mnist_mlp, mnist_cnn, mnist_norm: on the digits in THALWEG_DATA/mnist, on 640 of them unless THALWEG_SOAK_EPOCHS is set.
// With THALWEG_TRUST_CLOCK set the clocks jump, by an hour at each look.
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>

#include "job.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/data/readers.h"

/// The system's, found before it by the program and all of its libraries: the time of day goes forth and back, what
/// counts from the start only forth.
extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static const bool jumps = std::getenv("THALWEG_TRUST_CLOCK") != nullptr;
  static std::atomic<long> looks{0};
  const long result = syscall(SYS_clock_gettime, clock, time);
  if (jumps && result == 0) {
    const long hours = ++looks;
    time->tv_sec += 3600 * (clock != CLOCK_REALTIME ? hours : hours % 2 == 0 ? 7 : -7);
  }
  return static_cast<int>(result);
}

namespace {

using namespace thalweg;
using namespace thalweg::testing;

Graph mnist_net(const std::string& net) {
  Graph g(net);
  const Value x = input(g, "x", f32(64, 28, 28, 1)), t = input(g, "t", i32(64));
  Value y;
  if (net == "mnist_mlp") {
    y = dropout(dense(flatten(x), 128, {.activation = relu}), 0.2);
  } else {
    const auto block = [&](const Value& from, Dim channels) {
      const Value maps = conv(from, channels, 3);
      return max_pool(relu(net == "mnist_norm" ? batch_norm(maps) : maps), 2);
    };
    y = dropout(dense(flatten(block(block(x, 16), 32)), 64, {.activation = relu}), 0.2);
  }
  finish(g, dense(y, 10), t, Adam{.rate = 0.002});
  return g;
}

Dataset mnist_digits() {
  const std::string folder = std::string(std::getenv("THALWEG_DATA")) + "/mnist";
  if (std::getenv("THALWEG_SOAK_EPOCHS") != nullptr) return mnist(folder).train;
  return rows(read_idx_images(folder + "/t10k-images-idx3-ubyte.gz", folder + "/t10k-labels-idx1-ubyte.gz"), 0, 640);
}

int run(const std::string& net, const std::string& folder, std::int64_t every, const std::string& out, int epochs) {
  const Optimizer adam = Adam{.rate = exponential_decay(0.02, 0.9, 20)};
  const Graph graph = net.starts_with("mnist") ? mnist_net(net)
                      : net == "cnn"           ? job_cnn(16, adam)
                      : net == "mlp"           ? mlp(16, adam)
                                               : job_mlp(16, adam);
  FitOptions options{.epochs = epochs, .validation = 0.2, .seed = 5, .verbose = 0, .patience = 50,
                     .compile = {.logical_threads = 4}};
  if (folder != "-") {
    options.checkpoint = {folder, every};
    options.resume = true;
  }
  if (net == "twice")
    options.callbacks = {LambdaCallback({.on_train_batch_begin = [](TrainingRun& run) {
      if (run.step() != 3) return;
      std::raise(SIGTERM);
      std::raise(SIGTERM);
    }})};
  if (net == "leaves")
    options.callbacks = {LambdaCallback({.on_train_batch_begin = [](TrainingRun& run) {
      if (run.step() == 3) std::exit(5);
    }})};
  if (net == "statics") {
    static std::unique_ptr<Program> outlives;
    outlives = std::make_unique<Program>(compile(job_mlp(16, adam), {.logical_threads = 4}));
  }
  const Dataset data = net.starts_with("mnist") ? mnist_digits() : net == "cnn" ? corners(150) : spiral(150);
  const History history = fit(graph, data, options);
  if (history.interrupted) return 4;
  write_file(out, bits_of(history));
  return 0;
}

}  // namespace

int main(int count, char** words) {
  if (count < 5) return 2;
  try {
    return run(words[1], words[2], std::stoll(words[3]), words[4], count > 5 ? std::stoi(words[5]) : 4);
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 3;
  }
}
