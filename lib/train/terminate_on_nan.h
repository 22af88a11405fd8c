// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "thalweg/lib/train/callback.h"

namespace thalweg {

/// Stops when a scalar output of a step is nan or infinite: Keras' TerminateOnNaN. fit then returns what it has instead
/// of throwing Diverged; the epoch's row holds what is not finite.
class THALWEG_API TerminateOnNaN : public Callback {
 public:
  std::string name() const override { return "TerminateOnNaN"; }
  bool bears_not_finite() const override { return true; }
  void on_train_batch_end(TrainingRun& run) override;
};

}  // namespace thalweg
