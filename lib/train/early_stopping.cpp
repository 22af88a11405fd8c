// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/early_stopping.h"

#include <cmath>
#include <cstring>

#include "thalweg/graph/fail.h"

namespace thalweg {
namespace {

void copy(const Tensor& from, Tensor to) { std::memcpy(to.data(), from.data(), from.bytes()); }

}  // namespace

EarlyStopping::EarlyStopping(EarlyStoppingOptions options, SourceLoc loc)
    : options_(std::move(options)),
      monitor_("EarlyStopping", options_.monitor, options_.mode, options_.min_delta, loc) {
  if (options_.patience < 0)
    throw RunError(fmt::format("EarlyStopping: patience is {}, must be 0 or more", options_.patience), loc);
  if (options_.start_from_epoch < 0)
    throw RunError(fmt::format("EarlyStopping: start_from_epoch is {}, must be 0 or more", options_.start_from_epoch),
                   loc);
  if (options_.baseline && !std::isfinite(*options_.baseline))
    throw RunError(fmt::format("EarlyStopping: baseline is {}, must be finite", *options_.baseline), loc);
}

void EarlyStopping::on_train_begin(TrainingRun& run) {
  monitor_.begin(run);
  best_ = monitor_.worst();
  best_epoch_ = wait_ = stopped_epoch_ = 0;
  weights_.clear();
  if (!options_.restore_best_weights) return;
  for (const std::string& name : run.weights()) {
    const Tensor now = run.variables().at(name);
    weights_.push_back({name, now, now.clone()});
  }
}

void EarlyStopping::keep(int epoch) {
  best_epoch_ = epoch;
  for (Weight& weight : weights_) copy(weight.now, weight.best);
}

void EarlyStopping::on_epoch_end(TrainingRun& run) {
  const int epoch = run.epoch();
  if (epoch <= options_.start_from_epoch) return;
  const double value = monitor_.value(run);
  ++wait_;
  if (monitor_.better(value, best_)) {
    best_ = value;
    keep(epoch);
    if (!options_.baseline || monitor_.better(value, *options_.baseline)) wait_ = 0;
    return;
  }
  if (best_epoch_ == 0) keep(epoch);  // the first is the best there is, even if it is nan
  if (wait_ < options_.patience || epoch <= 1) return;
  stopped_epoch_ = epoch;
  run.stop();
}

void EarlyStopping::on_train_end(TrainingRun& run) {
  if (!options_.restore_best_weights || best_epoch_ == 0) return;
  for (const Weight& weight : weights_) copy(weight.best, weight.now);
  run.set_best_epoch(best_epoch_);
}

CallbackState EarlyStopping::save() const {
  CallbackState state;
  state.set("best", best_);
  state.set("best_epoch", best_epoch_);
  state.set("wait", wait_);
  for (const Weight& weight : weights_) state.tensors.insert_or_assign("weights/" + weight.name, weight.best.clone());
  return state;
}

void EarlyStopping::load(const CallbackState& state) {
  best_ = state.number("best");
  best_epoch_ = state.whole("best_epoch");
  wait_ = state.whole("wait");
  for (Weight& weight : weights_) {
    const auto saved = state.tensors.find("weights/" + weight.name);
    if (saved == state.tensors.end() || saved->second.type() != weight.best.type())
      run_error("the saved state of EarlyStopping lacks the best weights of '{}', {}", weight.name,
                to_string(weight.best.type()));
    copy(saved->second, weight.best);
  }
}

}  // namespace thalweg
