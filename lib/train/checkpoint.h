// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace thalweg {

struct CheckpointOptions {
  int keep = 2;  ///< how many of the last stay, at least 1
  /// Whether a checkpoint that cannot be written ends the training (RunError); else it is said on standard error, and
  /// is in History::warnings.
  bool required = true;
  /// Whether resuming under other versions, instruction sets or thread counts, or with kernels that are chosen by their
  /// times (compile.tune), is refused (RunError): the training would go on, but not with the same bits.
  bool same_bits = true;
};

/// How fit keeps its state on the disk, so that a training that was cut short goes on as if it had not been: `fit(g,
/// data, {.epochs = 5, .checkpoint = {"runs/a"}, .resume = true})`.
///
/// A checkpoint is one safetensors file with everything that the training is: variables and optimizer slots, the place
/// in the data, seeds, callbacks' state, the history, and what it must be resumed with; a CRC-32 for each tensor and
/// one over the file. It appears whole or not at all, and one that is damaged is passed over for the one before.
struct Checkpoint {
  Checkpoint() = default;
  Checkpoint(std::string in, std::int64_t steps = 0, const CheckpointOptions& options = {})  // NOLINT: `{"runs/a"}`
      : folder(std::move(in)), every(steps), keep(options.keep), required(options.required),
        same_bits(options.same_bits) {}

  std::string folder;      ///< made if needed, used by one training at a time; empty: nothing is kept
  std::int64_t every = 0;  ///< steps from one to the next; 0: one at the end of each epoch
  int keep = 2;            ///< this and the next two as in CheckpointOptions
  bool required = true;
  bool same_bits = true;
};

}  // namespace thalweg
