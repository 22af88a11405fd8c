// SPDX-License-Identifier: Apache-2.0
// A training that others kill: trust_worker NET FOLDER EVERY OUT [EPOCHS] trains with checkpoints in FOLDER (none if it
// is `-`), going on from the last, and writes all bits of the result to OUT. Status 0, 3 for an error, 4 if it was
// interrupted. NET is mlp, job (with dropout and batch norm), cnn, or twice: job that tells itself to end, twice.
#include <csignal>
#include <iostream>

#include "job.h"
#include "thalweg/lib/base/file.h"

namespace {

using namespace thalweg;
using namespace thalweg::testing;

int run(const std::string& net, const std::string& folder, std::int64_t every, const std::string& out, int epochs) {
  const bool pictures = net == "cnn";
  const Optimizer adam = Adam{.rate = exponential_decay(0.02, 0.9, 20)};
  const Graph graph = pictures ? job_cnn(16, adam) : net == "mlp" ? mlp(16, adam) : job_mlp(16, adam);
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
  const History history = fit(graph, pictures ? corners(150) : spiral(150), options);
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
