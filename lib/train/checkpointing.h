// SPDX-License-Identifier: Apache-2.0
// Private: when fit puts its state on the disk, and takes it up again.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "thalweg/lib/io/checkpoint_file.h"
#include "thalweg/lib/train/checkpoint.h"
#include "thalweg/lib/train/training_state.h"

namespace thalweg {

/// A training's folder of checkpoints, if it has one.
class Checkpointing {
 public:
  /// Opens the folder, so that what is wrong with it is known before the training begins. Throws RunError for wrong
  /// options, for a folder in use, and, unless `resume`, for one that holds another training.
  Checkpointing(const Checkpoint& options, bool resume);

  /// Whether there are checkpoints at all.
  explicit operator bool() const { return folder_.has_value(); }
  /// Whether one is due after `steps` steps.
  bool due(std::int64_t steps) const { return folder_ && options_.every > 0 && steps % options_.every == 0; }
  bool due_each_epoch() const { return folder_ && options_.every == 0; }

  /// Looks for a training to go on with. Its facts are read by the names of `facts`.
  void find(const std::vector<Fact>& facts);
  const std::optional<TrainingState>& found() const { return found_; }
  /// Throws RunError unless what was found is of the training `here`.
  void check(const TrainingState& here) const;
  /// Why newer checkpoints were passed over, a line each.
  std::vector<std::string> passed_over() const;
  /// What is resumed from, if something was found.
  std::string resuming() const;

  /// Why no file can hold such a state (a text that is no UTF-8, a header that is too long), so that it is known before
  /// the first step; empty if one can. Throws RunError instead if that ends the training.
  std::string cannot_hold(const TrainingState& state) const;

  /// Writes the state. Returns what there is to say: nothing, or why it was not written (unless that ends the
  /// training, by RunError).
  std::string save(const TrainingState& state);
  /// The last that was written; empty if none was.
  const std::string& last_path() const { return last_path_; }

 private:
  Checkpoint options_;
  std::optional<CheckpointFolder> folder_;
  std::optional<TrainingState> found_;
  std::string found_path_;
  std::string last_path_;
  std::vector<std::string> damaged_;
};

}  // namespace thalweg
