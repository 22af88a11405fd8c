// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "thalweg/lib/train/callback.h"

namespace thalweg {

struct GradientStatisticsOptions {
  /// A layer's gradient vanishes where its norm is below this share of the largest layer's.
  double vanishing = 1e-2;
  /// It explodes where its norm is above this, or not finite.
  double exploding = 100;
  bool warn = true;  ///< says so in the progress, for each layer the first time
};

/// What a layer did in an epoch. Norms are Euclidean, over all of the layer's variables, and means over the steps.
struct LayerStatistics {
  std::string layer;         ///< the variables' names up to the last `/`; of an activation on its own, where it stands
  double gradient = 0;       ///< of the loss, before penalties and clipping
  double weight = 0;         ///< before the step
  double update = 0;         ///< of the step itself
  double update_ratio = 0;   ///< update / weight: about 1e-3 where training goes well
  Dim units = 0;             ///< of its ReLUs: the last axis
  Dim dead = 0;              ///< units that no sample of the epoch woke
  bool vanishing = false;
  bool exploding = false;
};

/// Measures gradients, weights and their steps layer by layer, and counts ReLU units that are always 0. It adds a few
/// sums to each step, and changes nothing else. Errors, at the line that made it: vanishing not in [0, 1), exploding
/// not above 0; when fit begins: a graph without trainable variables behind its loss.
class THALWEG_API GradientStatistics : public Callback {
 public:
  explicit GradientStatistics(GradientStatisticsOptions options = {}, SourceLoc loc = SourceLoc::current());
  /// The last whole epoch's, in the order of the graph; empty before one.
  const std::vector<LayerStatistics>& layers() const { return last_; }
  /// The same as a table.
  std::string text() const;

  std::string name() const override { return "GradientStatistics"; }
  void on_build(Graph& graph) override;
  void on_epoch_begin(TrainingRun& run) override;
  void on_train_batch_end(TrainingRun& run) override;
  void on_epoch_end(TrainingRun& run) override;
  CallbackState save() const override;
  void load(const CallbackState& state) override;

 private:
  /// One variable, or one ReLU: the outputs that speak of it, and the layer it belongs to.
  struct Watched {
    std::size_t layer;
    std::string output;
    std::vector<float> most = {};  ///< of a ReLU's units
  };
  struct Sums {
    double gradient = 0, weight = 0, update = 0;
  };
  std::size_t layer_named(const std::string& name);
  void watch_variables(Graph& graph);
  void watch_relus(Graph& graph);
  GradientStatisticsOptions options_;
  SourceLoc loc_;
  std::vector<LayerStatistics> layers_;  ///< of the epoch at hand
  std::vector<LayerStatistics> last_;
  std::vector<Sums> step_;
  std::vector<Watched> variables_;
  std::vector<Watched> relus_;
  std::vector<bool> told_;
  Dim steps_ = 0;
};

}  // namespace thalweg
