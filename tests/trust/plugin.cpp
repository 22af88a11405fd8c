// SPDX-License-Identifier: Apache-2.0
// What a host program loads: the shared library comes with it, and goes with it.
#include <memory>

#include "job.h"
#include "thalweg/thalweg.h"

namespace {

std::unique_ptr<thalweg::Program> kept;  // destroyed when this is unloaded

}  // namespace

/// Trains for a step; 0 if all is well.
extern "C" int train_a_step() {
  using namespace thalweg;
  kept = std::make_unique<Program>(compile(testing::job_mlp(16, Adam{}), {.logical_threads = 2}));
  const Dataset data = testing::spiral(16);
  kept->feed("x", data.inputs);
  kept->feed("t", data.labels);
  kept->run();
  return kept->finite() ? 0 : 1;
}
