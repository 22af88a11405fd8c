// SPDX-License-Identifier: Apache-2.0
// Private: when training has stopped getting better.
#pragma once

#include <cmath>
#include <limits>

namespace thalweg {

/// Keras' EarlyStopping: an epoch is better if its measure beats the best one by more than `min_delta`; after
/// `patience` epochs in a row that are not, training stops, though never after the first. NaN is never better.
class EarlyStop {
 public:
  EarlyStop(int patience, double min_delta, bool larger_is_better)
      : patience_(patience), min_delta_(min_delta), sign_(larger_is_better ? -1 : 1) {}

  /// Whether this epoch is the best yet.
  bool better(int epoch, double measure) {
    const double cost = sign_ * measure;
    if (!(cost + min_delta_ < best_)) {
      ++wait_;
      return false;
    }
    best_ = cost;
    best_epoch_ = epoch;
    wait_ = 0;
    return true;
  }
  bool stop(int epoch, int first_epoch) const { return wait_ > 0 && wait_ >= patience_ && epoch > first_epoch; }
  /// 0 before any finite measure.
  int best_epoch() const { return best_epoch_; }
  double best() const { return sign_ * best_; }
  int wait() const { return wait_; }

 private:
  int patience_;
  double min_delta_;
  double sign_;
  double best_ = std::numeric_limits<double>::infinity();
  int best_epoch_ = 0;
  int wait_ = 0;
};

}  // namespace thalweg
