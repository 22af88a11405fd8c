// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/monitor.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"

namespace thalweg {
namespace {

bool larger_is_better(std::string_view measure) {
  constexpr std::string_view words[] = {"accuracy", "precision", "recall", "auc", "f1"};
  return std::any_of(std::begin(words), std::end(words),
                     [&](std::string_view word) { return measure.find(word) != measure.npos; });
}

}  // namespace

Monitor::Monitor(std::string_view who, std::string column, MonitorMode mode, double min_delta, SourceLoc loc)
    : who_(who), asked_(std::move(column)), mode_(mode), min_delta_(min_delta), loc_(loc) {
  if (!(min_delta >= 0 && std::isfinite(min_delta)))
    throw RunError(fmt::format("{}: min_delta is {}, must be finite and 0 or more", who, min_delta), loc);
}

void Monitor::begin(const TrainingRun& run) {
  const History& history = run.history();
  column_ = asked_;
  if (column_.empty()) {
    // The first measure is the loss, under whatever name.
    const std::string& loss = history.columns.at(1);
    column_ = history.has("val_" + loss) ? "val_" + loss : loss;
  } else if (!history.has(column_)) {
    throw RunError(fmt::format("{} watches '{}', which the history lacks{}", who_, shown(column_),
                               suggestion(column_, history.columns)), loc_);
  }
  larger_ = mode_ == MonitorMode::automatic ? larger_is_better(column_) : mode_ == MonitorMode::max;
}

bool Monitor::better(double value, double than, double scale) const {
  const double delta = std::isinf(than) ? 0 : min_delta_ * scale;
  return larger_ ? value - delta > than : value + delta < than;
}

double Monitor::worst() const {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  return larger_ ? -infinity : infinity;
}

}  // namespace thalweg
