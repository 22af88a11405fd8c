// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/checkpointing.h"

#include "thalweg/graph/fail.h"

namespace thalweg {

Checkpointing::Checkpointing(const Checkpoint& options, bool resume) : options_(options) {
  if (options_.folder.empty()) return;
  folder_.emplace(options_.folder);
  if (!resume && !folder_->empty())
    run_error("{}: holds the checkpoints of a training: go on with it by .resume = true, or name another folder",
              shown(options_.folder));
}

void Checkpointing::find(const std::vector<Fact>& facts) {
  if (!folder_) return;
  const auto newest = within_memory(options_.folder, [&] { return folder_->newest(damaged_); });
  if (!newest) return;
  found_ = from_checkpoint(newest->content, facts, newest->path);
  found_path_ = newest->path;
}

void Checkpointing::check(const TrainingState& here) const {
  if (found_) check_same_run(here, *found_, options_.same_bits, found_path_);
}

std::string Checkpointing::cannot_hold(const TrainingState& state) const {
  try {
    check_checkpoint(to_checkpoint(state), options_.folder);
    return {};
  } catch (const RunError& error) {
    if (options_.required) throw;
    return "No checkpoint can be written: " + printable(error.what());
  }
}

std::vector<std::string> Checkpointing::passed_over() const {
  std::vector<std::string> lines;
  for (const std::string& reason : damaged_) {
    lines.push_back("Passed over " + printable(reason));
  }
  return lines;
}

std::string Checkpointing::resuming() const {
  return fmt::format("Resuming from {} after {} epochs and {} steps", found_path_, found_->epochs_done,
                     found_->steps_done);
}

std::string Checkpointing::save(const TrainingState& state) {
  try {
    last_path_ = folder_->save(to_checkpoint(state), options_.keep);
    return {};
  } catch (const RunError& error) {
    if (options_.required) throw;
    return "No checkpoint: " + printable(error.what());
  }
}

}  // namespace thalweg
