// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/lib/compile/program.h"
#include "thalweg/lib/data/dataset.h"
#include "thalweg/lib/train/callback.h"
#include "thalweg/lib/train/checkpoint.h"
#include "thalweg/lib/train/history.h"

namespace thalweg {

/// What training is judged by after each epoch: nothing, the last part of the training set (a fraction; cut off before
/// any shuffling, as Keras does), or a set of its own.
class THALWEG_API Validation {
 public:
  Validation() = default;
  Validation(double fraction) : fraction_(fraction) {}           // NOLINT: `.validation = 0.1`
  Validation(Dataset data) : data_(std::move(data)) {}           // NOLINT: `.validation = test`
  const std::optional<double>& fraction() const { return fraction_; }
  const std::optional<Dataset>& data() const { return data_; }

 private:
  std::optional<double> fraction_;
  std::optional<Dataset> data_;
};

/// What is shown of training on standard error. The words of Keras: 1 a bar, 2 a line an epoch.
inline constexpr int verbose_automatic = -1;  ///< a bar on a terminal, else a line an epoch
inline constexpr int verbose_silent = 0;
inline constexpr int verbose_bar = 1;
inline constexpr int verbose_lines = 2;

/// Every sample in one step: an epoch is one update.
inline constexpr Dim full_batch = -1;

/// What fit does when a number of a training is nan or infinite: an output, or anything that a step writes.
enum class WhenDiverged : std::uint8_t {
  raise,   ///< throws Diverged
  restore  ///< ends the training (`history.diverged`) with the variables that the last whole epoch left
};

struct FitOptions {
  int epochs = 1;
  /// Samples a step: 1 is an update for each sample, `full_batch` one for all of them; 0: as many as the graph's inputs
  /// say. The last step of an epoch takes what is left, and the mean of that.
  Dim batch = 0;
  /// Samples that are computed at once, if a step's batch needs more memory than there is: gradients are summed up over
  /// micro-batches, each weighed by what it holds, and the update is that of the whole batch, up to the rounding of
  /// sums. 0: all of a step's. `batch` must be a multiple of it, or full_batch. Outputs that read no gradient are those
  /// of the micro-batches, and the others the step's. A GraphError names what would make the result differ from the
  /// whole batch's (batch norm, a loss that is a sum); dropout draws other masks than for the whole batch.
  Dim micro_batch = 0;
  /// Lets what mixes samples, such as batch norm, see micro-batches only (ghost batch normalization, Hoffer et al.
  /// 2017): the result is not that of the whole batch.
  bool ghost_batches = false;
  Validation validation = {};
  bool shuffle = true;      ///< anew for each epoch, by `permutation(N, seed, epoch)`
  std::uint64_t seed = 0;
  int verbose = verbose_automatic;
  /// Short for an EarlyStopping with this patience, monitor and min_delta that gives back the best epoch's weights. It
  /// is called before the other callbacks.
  std::optional<int> patience = {};
  std::string monitor = {};
  double min_delta = 0;
  /// The graph's inputs that get samples and labels; by default those whose types fit, if that is unambiguous.
  std::string input = {};
  std::string label = {};
  std::vector<AnyCallback> callbacks = {};
  WhenDiverged when_diverged = WhenDiverged::raise;
  /// A folder: each step is kept until it is known to be finite (which costs a copy of the variables), and one that is
  /// not is written there by write_replay(), and told with the first node of it that is not finite and its line.
  std::string check_finite = {};
  Checkpoint checkpoint = {};
  /// Goes on from the newest whole checkpoint in `checkpoint.folder`; from the beginning if there is none. The weights
  /// are then, to the last bit, those of a training that was never cut short. A checkpoint of another graph, other
  /// data or other options is refused with a list of what differs; more `epochs` than before are not.
  bool resume = false;
  /// The variables to train; by default new ones, from their initializers. Those of a history let training go on.
  std::optional<Variables> variables = {};
  /// How steps are compiled (`compile.variables` is replaced by `variables`).
  CompileOptions compile = {};
};

/// Training has diverged: a scalar output or an updated variable is nan or infinite after a step. The message names it,
/// the epoch and the step. Variables that the caller shares with the training hold what that step wrote: what they were
/// is in the last checkpoint, or comes back by WhenDiverged::restore.
class THALWEG_API Diverged : public RunError {
 public:
  using RunError::RunError;
};

/// Trains: compiles the graph (its updates are a step), runs `epochs` times over the data, and returns what it
/// measured and the variables. Measures are averaged over samples, so that a short last batch weighs what it holds.
/// SIGINT or SIGTERM ends it after the current step, with a checkpoint if there is a folder for it
/// (`history.interrupted`); a second one ends the process at once, unless the program has a handler of its own for it.
///
/// Throws RunError for data that does not fit the graph, and Diverged for numbers that are not finite; for a wrong
/// option at the caller's line.
THALWEG_API History fit(const Graph& graph, const Dataset& train, const FitOptions& options = {},
                        SourceLoc loc = SourceLoc::current());
/// The same on the training part; the test part is not looked at.
THALWEG_API History fit(const Graph& graph, const TrainTest& data, const FitOptions& options = {},
                        SourceLoc loc = SourceLoc::current());

struct RunOptions {
  Dim batch = 0;           ///< samples a run; 0: the graph's
  std::string input = {};  ///< as in FitOptions
  std::string label = {};
  CompileOptions compile = {};  ///< `compile.variables` is replaced by the given ones
};

/// The scalar outputs of a graph, averaged over samples; loss first.
struct THALWEG_API Scores {
  std::vector<std::string> names;
  std::vector<double> values;
  /// Throws RunError with the nearest names for an unknown one.
  double operator[](std::string_view name) const;
};
/// Runs `inference(graph)` over all samples, in order, and averages its scalar outputs. Throws RunError for variables
/// that are lacking and data that does not fit; for a wrong option at the caller's line.
THALWEG_API Scores evaluate(const Graph& graph, const Variables& variables, const Dataset& data,
                            const RunOptions& options = {}, SourceLoc loc = SourceLoc::current());
/// An output of `inference(graph)` for all samples of `inputs` [N, …]. Its first axis must be the batch. By default
/// the only output that has one. Errors as of evaluate().
THALWEG_API Tensor predict(const Graph& graph, const Variables& variables, const Tensor& inputs,
                           const std::string& output = {}, const RunOptions& options = {},
                           SourceLoc loc = SourceLoc::current());

}  // namespace thalweg
