// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/model_checkpoint.h"

#include <fmt/args.h>

#include <cmath>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/io/safetensors.h"

namespace thalweg {

ModelCheckpoint::ModelCheckpoint(std::string path, ModelCheckpointOptions options, SourceLoc loc)
    : path_(std::move(path)),
      options_(std::move(options)),
      monitor_("ModelCheckpoint", options_.monitor, options_.mode, 0, loc),
      loc_(loc) {
  if (path_.empty()) throw RunError("ModelCheckpoint: the path is empty", loc);
  if (options_.save_freq < 0)
    throw RunError(fmt::format("ModelCheckpoint: save_freq is {}, must be 0 or more steps", options_.save_freq), loc);
  if (options_.initial_value_threshold && std::isnan(*options_.initial_value_threshold))
    throw RunError("ModelCheckpoint: initial_value_threshold is nan, which no epoch beats", loc);
  if (options_.save_best_only && options_.save_freq > 0)
    throw RunError("ModelCheckpoint: save_best_only judges whole epochs, and save_freq saves within them: choose one",
                   loc);
}

std::string ModelCheckpoint::path_now(const TrainingRun& run) const {
  fmt::dynamic_format_arg_store<fmt::format_context> values;
  std::string names = "epoch, step";
  values.push_back(fmt::arg("epoch", run.epoch()));
  values.push_back(fmt::arg("step", run.step()));
  const History& history = run.history();
  for (std::size_t i = 1; i < history.columns.size() && options_.save_freq == 0; ++i) {
    values.push_back(fmt::arg(history.columns[i].c_str(), history.rows.empty() ? 0.0 : history.rows.back()[i]));
    names += ", " + history.columns[i];
  }
  try {
    return fmt::vformat(path_, values);
  } catch (const fmt::format_error& error) {
    throw RunError(fmt::format("ModelCheckpoint: the path '{}' cannot be filled in: {}; it may hold {{name}} or "
                               "{{name:format}} of {}", shown(path_), error.what(), names), loc_);
  }
}

void ModelCheckpoint::on_train_begin(TrainingRun& run) {
  if (options_.save_best_only) monitor_.begin(run);
  best_ = options_.initial_value_threshold.value_or(monitor_.worst());
  steps_ = 0;
  last_.clear();
  // What can be known to fail after hours is said before the first step.
  const std::string path = path_now(run);
  const std::string folder = path.substr(0, path.find_last_of('/') == path.npos ? 0 : path.find_last_of('/'));
  if (!folder.empty() && !is_folder(folder))
    throw RunError(fmt::format("ModelCheckpoint: there is no folder {}", shown(folder)), loc_);
}

void ModelCheckpoint::on_train_batch_end(TrainingRun& run) {
  if (options_.save_freq == 0 || ++steps_ < options_.save_freq) return;
  steps_ = 0;
  write(run);
}

void ModelCheckpoint::on_epoch_end(TrainingRun& run) {
  if (options_.save_freq > 0) return;
  if (options_.save_best_only) {
    const double value = monitor_.value(run);
    if (!monitor_.better(value, best_)) return;
    best_ = value;
  }
  write(run);
}

void ModelCheckpoint::write(const TrainingRun& run) {
  const std::string path = path_now(run);
  if (!options_.save_weights_only) {
    save_weights(run.variables(), path);
  } else {
    Safetensors content;
    for (const std::string& name : run.weights()) content.tensors.emplace(name, run.variables().at(name));
    write_safetensors(content, path);
  }
  last_ = path;
}

CallbackState ModelCheckpoint::save() const {
  CallbackState state;
  state.set("best", best_);
  state.set("steps", static_cast<double>(steps_));
  state.texts.emplace("last", last_);
  return state;
}

void ModelCheckpoint::load(const CallbackState& state) {
  best_ = state.number("best");
  steps_ = state.whole("steps");
  if (const auto last = state.texts.find("last"); last != state.texts.end()) last_ = last->second;
}

}  // namespace thalweg
