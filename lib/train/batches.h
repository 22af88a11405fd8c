// SPDX-License-Identifier: Apache-2.0
// Private: programs that run over samples, batch by batch.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "thalweg/lib/compile/program.h"
#include "thalweg/lib/data/dataset.h"

namespace thalweg {

/// Which input of a graph gets the samples, and which the labels (empty: no input asks for them).
struct Binding {
  std::string input;
  std::string label;
};
/// Finds the inputs: those named, else those whose dtype and size of a sample fit the data, if only one reading does.
/// Throws RunError listing what there is otherwise, for data that does not fit, and at `loc` for names that are no
/// inputs.
Binding bind_inputs(const Graph& graph, const Dataset& data, const std::string& input, const std::string& label,
                    SourceLoc loc = {});

/// The names of the outputs of one element, `loss` first.
std::vector<std::string> scalar_outputs(const Graph& graph);

/// Some samples of a dataset: all of them in order, or those that `order` lists. It refers to both.
struct Samples {
  const Dataset* data;
  Dim begin = 0;
  Dim end = 0;
  std::span<const std::uint32_t> order = {};

  /// Which sample of the dataset comes as the `place`-th.
  Dim number(Dim place) const {
    return begin + (order.empty() ? place : static_cast<Dim>(order[static_cast<std::size_t>(place)]));
  }
};

/// What steps are fed besides samples and labels, if the graph has inputs of these names and types.
struct Feeds {
  static constexpr const char* rate_scale_name = "learning_rate_scale";
  static constexpr const char* epoch_name = "epoch";
  static constexpr const char* sample_id_name = "sample_id";
  static constexpr const char* weight_name = "sample_weight";
  double rate_scale = 1;   ///< f64[]
  std::int64_t epoch = 0;  ///< i64[]
};
/// Whether an input is one of those: `sample_id` is i64[batch], the samples' numbers in their data set, and
/// `sample_weight` f32[batch], their weights.
bool is_fed(const Node& input);

/// How many logical threads the program for whole batches and the one for the rest are cut for; 0: none, or chosen.
struct Threads {
  int whole = 0;
  int rest = 0;
};

/// A graph compiled for running over N samples: a program for whole batches and one for what is left at the end, on
/// the same variables.
class Batches {
 public:
  /// `threads` stand in the place of `options.logical_threads` where they are not 0.
  Batches(const Graph& graph, Dim samples, const Binding& binding, const CompileOptions& options, Threads threads = {});

  Threads threads() const;

  Dim count() const { return (samples_ + batch_ - 1) / batch_; }
  Dim first(Dim index) const { return index * batch_; }
  Dim size(Dim index) const { return std::min(batch_, samples_ - index * batch_); }
  /// Copies the samples of batch `index` into its program and runs it. Allocates nothing.
  Program& run(Dim index, const Samples& samples, const Feeds& feeds = {});
  /// What run() gives the inputs of batch `index`, by their names.
  std::map<std::string, Tensor> inputs(Dim index, const Samples& samples, const Feeds& feeds) const;
  /// The graph that batch `index` runs.
  const Graph& graph(Dim index) const;

 private:
  void gather(std::byte* to, const Tensor& from, Dim begin, Dim size, const Samples& samples) const;
  Dim batch_ = 1;
  Dim samples_;
  std::optional<Program> whole_;
  std::optional<Program> rest_;
  std::optional<Graph> whole_graph_, rest_graph_;
  std::string input_;
  std::string label_;
  bool feeds_rate_scale_ = false;
  bool feeds_epoch_ = false;
  bool feeds_ids_ = false;
  bool feeds_weights_ = false;
};

}  // namespace thalweg
