// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/tensorboard.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/append.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/train/event_file.h"

namespace thalweg {
namespace {

/// Seconds since 1970, as TensorBoard shows them.
double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void append(const std::string& path, const std::string& records) {
  append_file(path, std::as_bytes(std::span(records)));
}

}  // namespace

TensorBoard::TensorBoard(std::string folder, TensorBoardOptions options, SourceLoc loc)
    : folder_(std::move(folder)), options_(options), loc_(loc) {
  if (folder_.empty()) throw RunError("TensorBoard: the folder's name is empty", loc);
  if (options.histogram_freq < 0)
    throw RunError(fmt::format("TensorBoard: histogram_freq is {}, must be 0 or more epochs", options.histogram_freq),
                   loc);
  if (options.update_freq < 0)
    throw RunError(fmt::format("TensorBoard: update_freq is {}, must be 0 or more steps", options.update_freq), loc);
}

/// Makes `FOLDER/part/events.out.tfevents.…`, under a name that no other training takes.
std::string TensorBoard::new_file(const std::string& part) const {
  static std::atomic<int> number = 0;
  const std::string folder = folder_ + "/" + part;
  try {
    make_folder(folder);
  } catch (const RunError& error) {
    throw RunError(fmt::format("TensorBoard: the folder {} cannot be made: {}", shown(folder), error.what()), loc_);
  }
  char host[64] = "host";
  ::gethostname(host, sizeof(host) - 1);
  const double time = now();
  const std::string path =
      fmt::format("{}/events.out.tfevents.{:010.0f}.{}.{}.{}.v2", folder, time, host, ::getpid(), number++);
  append(path, event_record(version_event(time)));
  return path;
}

void TensorBoard::on_train_begin(TrainingRun& run) {
  steps_ = 0;
  train_file_ = new_file("train");
  const std::vector<std::string>& columns = run.history().columns;
  const bool validates = std::any_of(columns.begin(), columns.end(),
                                     [](const std::string& column) { return column.starts_with("val_"); });
  validation_file_ = validates ? new_file("validation") : "";
}

void TensorBoard::on_train_batch_end(TrainingRun& run) {
  ++steps_;
  if (options_.update_freq == 0 || steps_ % options_.update_freq != 0) return;
  std::string records;
  for (const std::string& name : run.measures())
    records += event_record(scalar_event(now(), steps_, "batch_" + name, run.program().scalar(name)));
  append(train_file_, records);
}

void TensorBoard::on_epoch_end(TrainingRun& run) {
  const History& history = run.history();
  const std::int64_t epoch = run.epoch() - 1;  // Keras counts from 0
  const double time = now();
  std::string train, validation;
  for (std::size_t i = 0; i < history.columns.size(); ++i) {
    const std::string& column = history.columns[i];
    if (column == "epoch" || column == "seconds") continue;
    const bool judged = column.starts_with("val_");
    (judged ? validation : train) += event_record(
        scalar_event(time, epoch, "epoch_" + (judged ? column.substr(4) : column), history.rows.back()[i]));
  }
  if (options_.histogram_freq > 0 && epoch % options_.histogram_freq == 0)
    for (const std::string& name : run.weights())
      train += event_record(histogram_event(time, epoch, name, run.variables().at(name).numbers()));
  append(train_file_, train);
  if (!validation.empty()) append(validation_file_, validation);
}

CallbackState TensorBoard::save() const {
  CallbackState state;
  state.set("steps", static_cast<double>(steps_));
  return state;
}

// A resumed training writes files of its own; TensorBoard joins those of one folder.
void TensorBoard::load(const CallbackState& state) { steps_ = static_cast<Dim>(state.number("steps")); }

}  // namespace thalweg
