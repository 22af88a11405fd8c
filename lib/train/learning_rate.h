// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "thalweg/graph/function.h"
#include "thalweg/lib/train/callback.h"
#include "thalweg/lib/train/monitor.h"
#include "thalweg/ops/convention.h"

namespace thalweg {

struct ReduceLROnPlateauOptions {
  std::string monitor = {};  ///< a column of the history; by default val_loss, or loss without validation
  double factor = 0.1;       ///< new rate = rate * factor
  int patience = 10;         ///< how many epochs in a row may bring no improvement
  MonitorMode mode = MonitorMode::automatic;
  double min_delta = 1e-4;  ///< an improvement is larger than this
  bool relative = false;    ///< min_delta is a share of the best value, torch's threshold_mode 'rel' (its default)
  int cooldown = 0;         ///< so many epochs after a reduction are not counted
  double min_rate = 0;
  /// keras reduces once `patience` epochs brought nothing, torch when one more did.
  Convention convention = Convention::keras;
};

/// Reduces the learning rate when a measure has stopped getting better: Keras' ReduceLROnPlateau, or torch's. It
/// multiplies what the graph's schedule gives, so that a warm-up or a decay goes on beneath. Errors, at the line that
/// made it: factor not in (0, 1), patience or cooldown below 0, min_delta below 0 or nan, min_rate not finite or below 0;
/// when training begins: a monitor that the history lacks, a graph without a rate.
class THALWEG_API ReduceLROnPlateau : public Callback {
 public:
  explicit ReduceLROnPlateau(ReduceLROnPlateauOptions options = {}, SourceLoc loc = SourceLoc::current());
  std::string name() const override { return "ReduceLROnPlateau"; }
  bool sets_rate() const override { return true; }
  void on_train_begin(TrainingRun& run) override;
  void on_epoch_end(TrainingRun& run) override;
  CallbackState save() const override;
  void load(const CallbackState& state) override;

 private:
  bool due_in_keras(bool improved);
  bool due_in_torch(bool improved);
  ReduceLROnPlateauOptions options_;
  Monitor monitor_;
  double best_ = 0;
  int wait_ = 0;
  int cooldown_ = 0;
};

/// Sets the learning rate at the begin of each epoch: schedule(epoch, rate) with the epoch from 1 and the rate before it.
/// Keras' LearningRateScheduler, whose epochs count from 0. Where the rate follows a schedule of the graph, that goes on
/// from there within the epoch. Errors: an empty function; when training: a rate that is not finite or below 0, a graph
/// without a rate.
class THALWEG_API LearningRateScheduler : public Callback {
 public:
  explicit LearningRateScheduler(Function<double(int epoch, double rate)> schedule,
                                 SourceLoc loc = SourceLoc::current());
  std::string name() const override { return "LearningRateScheduler"; }
  bool sets_rate() const override { return true; }
  void on_train_begin(TrainingRun& run) override;
  void on_epoch_begin(TrainingRun& run) override;

 private:
  Function<double(int, double)> schedule_;
};

}  // namespace thalweg
