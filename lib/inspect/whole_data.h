// SPDX-License-Identifier: Apache-2.0
// Private: what a net's outputs are over a whole data set, at whatever its variables hold.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "thalweg/lib/data/dataset.h"
#include "thalweg/lib/train/batches.h"
#include "thalweg/lib/train/fit.h"

namespace thalweg {

/// A variable that training moves, as a graph that predicts knows it.
struct Weight {
  std::string name;
  TensorType type;
};
/// Those of a training graph that its loss still reads in `predicting`; an average stands for its variable. In order of
/// creation. Throws RunError if there is none.
std::vector<Weight> weights_of(const Graph& training, const Graph& predicting);

/// What training minimizes, without its updates, dropout and the batch's statistics: inference(graph) with the output
/// `loss`, for the batch asked for. Throws RunError if there is no such output, or if it is no float scalar.
Graph loss_graph(const Graph& training, Dim batch);
/// The net's variables in a store of their own, as those of `graph`; throws RunError for one that is lacking. Variables
/// of the graph's that start with `added` begin as their initializers say.
Variables own_variables(const Graph& graph, const Variables& trained, std::string_view added = "");

/// A compiled graph without updates that is run over all samples; means weigh batches by their samples.
class WholeData {
 public:
  /// A graph without inputs runs once; `data` may then be empty. The data must outlive this.
  WholeData(const Graph& graph, const Variables& variables, const Dataset& data, const RunOptions& options);
  /// The mean of a scalar output.
  double scalar(const std::string& output);
  /// The means of outputs, one after another.
  void mean(const std::vector<std::string>& outputs, std::span<double> into);

 private:
  template <class Add>
  void each_batch(Add&& add);
  const Dataset* data_;
  std::optional<Batches> batches_;
  std::optional<Program> program_;
};

}  // namespace thalweg
