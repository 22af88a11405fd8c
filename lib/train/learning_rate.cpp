// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/learning_rate.h"

#include <algorithm>
#include <cmath>

#include "thalweg/graph/fail.h"

namespace thalweg {

ReduceLROnPlateau::ReduceLROnPlateau(ReduceLROnPlateauOptions options, SourceLoc loc)
    : options_(std::move(options)),
      monitor_("ReduceLROnPlateau", options_.monitor, options_.mode, options_.min_delta, loc) {
  const auto need = [&](bool right, std::string_view name, auto value, std::string_view range) {
    if (!right) throw RunError(fmt::format("ReduceLROnPlateau: {} is {}, must be {}", name, value, range), loc);
  };
  need(options_.factor > 0 && options_.factor < 1, "factor", options_.factor, "between 0 and 1");
  need(options_.patience >= 0, "patience", options_.patience, "0 or more");
  need(options_.cooldown >= 0, "cooldown", options_.cooldown, "0 or more");
  need(std::isfinite(options_.min_rate) && options_.min_rate >= 0, "min_rate", options_.min_rate, "0 or more");
}

void ReduceLROnPlateau::on_train_begin(TrainingRun& run) {
  monitor_.begin(run);
  run.rate();  // an error now rather than after the first plateau
  best_ = monitor_.worst();
  wait_ = cooldown_ = 0;
}

bool ReduceLROnPlateau::due_in_keras(bool improved) {
  if (cooldown_ > 0) {
    --cooldown_;
    wait_ = 0;
  }
  if (improved) wait_ = 0;
  else if (cooldown_ == 0) return ++wait_ >= options_.patience;
  return false;
}

bool ReduceLROnPlateau::due_in_torch(bool improved) {
  wait_ = improved ? 0 : wait_ + 1;
  if (cooldown_ > 0) {
    --cooldown_;
    wait_ = 0;
  }
  return wait_ > options_.patience;
}

void ReduceLROnPlateau::on_epoch_end(TrainingRun& run) {
  const double value = monitor_.value(run);
  const bool improved = monitor_.better(value, best_, options_.relative ? std::fabs(best_) : 1);
  if (improved) best_ = value;
  const bool torch = options_.convention == Convention::torch;
  if (!(torch ? due_in_torch(improved) : due_in_keras(improved))) return;
  const double rate = run.rate();
  const double reduced = std::max(rate * options_.factor, options_.min_rate);
  // torch rests after every plateau, Keras after those that it could do something about.
  if (torch || rate > options_.min_rate) {
    wait_ = 0;
    cooldown_ = options_.cooldown;
  }
  if (!(reduced < rate)) return;
  run.set_rate(reduced);
  run.say(fmt::format("Epoch {}: ReduceLROnPlateau sets the learning rate to {:.6g}", run.epoch(), reduced));
}

CallbackState ReduceLROnPlateau::save() const {
  CallbackState state;
  state.set("best", best_);
  state.set("wait", wait_);
  state.set("cooldown", cooldown_);
  return state;
}

void ReduceLROnPlateau::load(const CallbackState& state) {
  best_ = state.number("best");
  wait_ = state.whole("wait");
  cooldown_ = state.whole("cooldown");
}

LearningRateScheduler::LearningRateScheduler(Function<double(int, double)> schedule, SourceLoc loc) {
  if (!schedule) throw RunError("LearningRateScheduler: the schedule is an empty function", loc);
  schedule_ = [given = std::move(schedule), loc](int epoch, double rate) {
    const double next = given(epoch, rate);
    if (!std::isfinite(next) || next < 0)
      throw RunError(fmt::format("LearningRateScheduler: the schedule gives {} in epoch {}, must be finite and at least "
                                 "0", next, epoch), loc);
    return next;
  };
}

void LearningRateScheduler::on_train_begin(TrainingRun& run) { run.rate(); }

void LearningRateScheduler::on_epoch_begin(TrainingRun& run) { run.set_rate(schedule_(run.epoch(), run.rate())); }

}  // namespace thalweg
