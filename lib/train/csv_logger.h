// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "thalweg/lib/train/callback.h"

namespace thalweg {

struct CSVLoggerOptions {
  char separator = ',';
  bool append = false;  ///< to a file of the same columns; else the file is made anew
};

/// Writes a row of the history to a file at the end of each epoch: Keras' CSVLogger, with the columns and numbers of
/// to_csv(). A resumed training goes on in the file that is there, after the epochs that it has behind it. Errors, at the
/// line that made it: an empty path, a separator that numbers or names may hold; when training begins: a file that cannot
/// be written, or, to append to, of other columns.
class THALWEG_API CSVLogger : public Callback {
 public:
  explicit CSVLogger(std::string path, CSVLoggerOptions options = {}, SourceLoc loc = SourceLoc::current());
  std::string name() const override { return "CSVLogger"; }
  void on_train_begin(TrainingRun& run) override;
  void on_epoch_end(TrainingRun& run) override;

 private:
  std::string path_;
  CSVLoggerOptions options_;
  SourceLoc loc_;
};

}  // namespace thalweg
