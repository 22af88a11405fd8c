// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "thalweg/lib/train/callback.h"
#include "thalweg/lib/train/monitor.h"

namespace thalweg {

struct ModelCheckpointOptions {
  std::string monitor = {};         ///< what save_best_only judges by; as in EarlyStopping
  MonitorMode mode = MonitorMode::automatic;
  bool save_best_only = false;      ///< only epochs that beat all before them
  std::optional<double> initial_value_threshold = {};  ///< only epochs that beat this, too
  bool save_weights_only = false;   ///< what prediction reads; else every variable, so that training can go on
  Dim save_freq = 0;                ///< every so many steps; 0: at the end of each epoch
};

/// Saves the variables as safetensors while training: Keras' ModelCheckpoint. The path may hold `{epoch}`, `{step}` (of
/// the epoch) and, at the end of an epoch, the columns of the history, each with a format as in fmt and Python:
/// `net-{epoch:02d}-{val_loss:.3f}.safetensors`. A file is replaced as a whole or not at all. Errors, at the line that
/// made it: an empty path, save_freq below 0, save_best_only with save_freq; when training begins: a name or format that
/// the path may not hold, a folder that is not there.
class THALWEG_API ModelCheckpoint : public Callback {
 public:
  explicit ModelCheckpoint(std::string path, ModelCheckpointOptions options = {},
                           SourceLoc loc = SourceLoc::current());
  /// The path of the last file that was written; empty before any.
  const std::string& last_path() const { return last_; }
  double best() const { return best_; }

  std::string name() const override { return "ModelCheckpoint"; }
  void on_train_begin(TrainingRun& run) override;
  void on_train_batch_end(TrainingRun& run) override;
  void on_epoch_end(TrainingRun& run) override;
  CallbackState save() const override;
  void load(const CallbackState& state) override;

 private:
  std::string path_now(const TrainingRun& run) const;
  void write(const TrainingRun& run);
  std::string path_;
  ModelCheckpointOptions options_;
  Monitor monitor_;
  SourceLoc loc_;
  double best_ = 0;
  Dim steps_ = 0;  ///< since the last file
  std::string last_;
};

}  // namespace thalweg
