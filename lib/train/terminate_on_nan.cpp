// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/terminate_on_nan.h"

#include <cmath>

#include "thalweg/graph/fail.h"

namespace thalweg {

void TerminateOnNaN::on_train_batch_end(TrainingRun& run) {
  for (const std::string& name : run.measures()) {
    const double x = run.program().scalar(name);
    if (std::isfinite(x)) continue;
    run.say(fmt::format("Epoch {}, step {}: {} is {}, training ends", run.epoch(), run.step(), name,
                        std::isnan(x) ? "nan" : fmt::format("{}", x)));
    run.stop();
    return;
  }
}

}  // namespace thalweg
