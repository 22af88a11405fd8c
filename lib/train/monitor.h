// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "thalweg/graph/error.h"
#include "thalweg/lib/train/callback.h"

namespace thalweg {

/// When a measure is better: Keras' `mode`. `automatic`: accuracy, precision, recall, auc and f1 when larger, anything
/// else when smaller.
enum class MonitorMode { automatic, min, max };

/// A column of the history that a callback judges epochs by. An empty name: val_loss, or without validation the loss.
class THALWEG_API Monitor {
 public:
  /// Throws RunError at `loc`, naming `who`, for a min_delta below 0 or nan.
  Monitor(std::string_view who, std::string column, MonitorMode mode, double min_delta, SourceLoc loc);
  /// Finds the column in the history of that training; throws RunError with the nearest names.
  void begin(const TrainingRun& run);
  const std::string& column() const { return column_; }
  /// In the last row.
  double value(const TrainingRun& run) const { return run.history().last(column_); }
  /// Whether `value` beats `than` by more than min_delta * scale; nan beats nothing.
  bool better(double value, double than, double scale = 1) const;
  /// What every number beats: an infinity.
  double worst() const;

 private:
  std::string who_;
  std::string asked_;
  MonitorMode mode_;
  double min_delta_;
  SourceLoc loc_;
  std::string column_;
  bool larger_ = false;
};

}  // namespace thalweg
