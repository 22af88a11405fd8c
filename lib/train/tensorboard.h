// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "thalweg/lib/train/callback.h"

namespace thalweg {

struct TensorBoardOptions {
  int histogram_freq = 0;  ///< histograms of the weights every so many epochs; 0: none
  Dim update_freq = 0;     ///< scalars every so many steps too, as `batch_loss` …; 0: at the end of an epoch only
};

/// Writes event files that TensorBoard shows: Keras' TensorBoard, with its folders and tags. `DIR/train` gets
/// `epoch_loss` and what else training measured, `DIR/validation` the same of validation, each over the epochs from 0;
/// weights are histograms named as their variables, in 30 equal parts of their range. Scalars are f32 in the file. Errors,
/// at the line that made it: an empty folder, a frequency below 0; when training begins: folders that cannot be made.
class THALWEG_API TensorBoard : public Callback {
 public:
  explicit TensorBoard(std::string folder, TensorBoardOptions options = {}, SourceLoc loc = SourceLoc::current());
  std::string name() const override { return "TensorBoard"; }
  void on_train_begin(TrainingRun& run) override;
  void on_train_batch_end(TrainingRun& run) override;
  void on_epoch_end(TrainingRun& run) override;
  CallbackState save() const override;
  void load(const CallbackState& state) override;

 private:
  std::string new_file(const std::string& part) const;
  std::string folder_;
  TensorBoardOptions options_;
  SourceLoc loc_;
  std::string train_file_;
  std::string validation_file_;
  Dim steps_ = 0;  ///< of the whole training
};

}  // namespace thalweg
