// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "thalweg/lib/train/callback.h"
#include "thalweg/lib/train/monitor.h"

namespace thalweg {

struct EarlyStoppingOptions {
  std::string monitor = {};  ///< a column of the history; by default val_loss, or loss without validation
  double min_delta = 0;      ///< an improvement is larger than this
  int patience = 0;          ///< how many epochs in a row may bring none
  MonitorMode mode = MonitorMode::automatic;
  /// Epochs that do not reach it count against patience even while they improve.
  std::optional<double> baseline = {};
  /// Gives back the weights of the best epoch however training ends. Slots of the optimizer keep their last values.
  bool restore_best_weights = false;
  int start_from_epoch = 0;  ///< so many epochs are not looked at
};

/// Stops when a measure gets no better (Prechelt 1998): Keras' EarlyStopping. An epoch is an improvement if its measure
/// beats the best by more than min_delta; each watched epoch adds 1 to `wait`, and an improvement (that beats the
/// baseline too, if there is one) takes it back to 0; wait >= patience in an epoch without improvement is the end, though
/// never in the first epoch. nan is no improvement. Errors, at the line that made it: patience or start_from_epoch below 0,
/// min_delta below 0 or nan, baseline nan; when training begins: a monitor that the history lacks.
class THALWEG_API EarlyStopping : public Callback {
 public:
  explicit EarlyStopping(EarlyStoppingOptions options = {}, SourceLoc loc = SourceLoc::current());

  int best_epoch() const { return best_epoch_; }        ///< from 1; 0 before any
  double best() const { return best_; }
  int wait() const { return wait_; }
  int stopped_epoch() const { return stopped_epoch_; }  ///< from 1; 0 if it did not stop training

  std::string name() const override { return "EarlyStopping"; }
  void on_train_begin(TrainingRun& run) override;
  void on_epoch_end(TrainingRun& run) override;
  void on_train_end(TrainingRun& run) override;
  CallbackState save() const override;
  void load(const CallbackState& state) override;

 private:
  /// A weight, and what it was in the best epoch.
  struct Weight {
    std::string name;
    Tensor now;
    Tensor best;
  };
  void keep(int epoch);

  EarlyStoppingOptions options_;
  Monitor monitor_;
  double best_ = 0;
  int best_epoch_ = 0;
  int wait_ = 0;
  int stopped_epoch_ = 0;
  std::vector<Weight> weights_;
};

}  // namespace thalweg
