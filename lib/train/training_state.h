// SPDX-License-Identifier: Apache-2.0
// Private: all that a training is between two steps, and how it lies in a checkpoint.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/lib/data/dataset.h"
#include "thalweg/lib/io/safetensors.h"
#include "thalweg/lib/train/batches.h"
#include "thalweg/lib/train/callback.h"

namespace thalweg {

/// Something that a training must have in common with the one that it goes on from.
struct Fact {
  std::string name;   ///< as messages and metadata call it
  std::string value;
  bool bits_only = false;  ///< another value changes the last bits of results, and nothing else
};

struct TrainingState {
  std::vector<Fact> facts;
  int epochs_done = 0;
  Dim steps_done = 0;          ///< of the epoch after those
  bool stopping = false;       ///< no step follows
  int best_epoch = 0;
  double seconds = 0;          ///< that the epoch at hand has taken
  std::optional<double> last_loss;
  double last_rate = 0;        ///< the rate of the last step, where callbacks may change it
  double rate_scale = 1;       ///< what callbacks have made of the learning rate
  std::vector<double> sums;    ///< of the measures of the epoch at hand, over its samples
  Dim samples = 0;
  std::vector<std::string> columns;  ///< of the history
  std::vector<std::vector<double>> rows;
  Threads training_threads, validation_threads;
  int update_threads = 0;  ///< of the program that updates after micro-batches
  std::map<std::string, Tensor> variables;
  /// What a diverged training goes back to, in the midst of an epoch: the variables as the epoch found them.
  std::map<std::string, Tensor> epoch_begin;
  Dim skipped = 0;                      ///< steps of the epoch at hand that updated nothing
  std::vector<std::string> warnings;    ///< of the history; none has a line break
  std::vector<std::pair<std::string, CallbackState>> callbacks;  ///< name and state, in order
};

/// The state as a checkpoint's content. Tensors share their bytes with the state.
Safetensors to_checkpoint(const TrainingState& state);
/// Reads it back. Facts are read by the names of `facts`. Throws RunError naming `path` and what is missing or wrong.
TrainingState from_checkpoint(const Safetensors& content, const std::vector<Fact>& facts, const std::string& path);

/// Throws RunError listing everything in which a checkpoint is of another run than the one that is `here`; unless
/// `same_bits`, facts that change bits only are not compared.
void check_same_run(const TrainingState& here, const TrainingState& saved, bool same_bits, const std::string& path);

/// What a graph computes, as 16 hexadecimal digits: of its text, without the lines of the user's program.
std::string graph_digest(const Graph& graph);
/// A CRC-32 of all that is in a dataset's tensors.
std::string data_digest(const Dataset& data);

}  // namespace thalweg
