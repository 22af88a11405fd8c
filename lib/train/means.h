// SPDX-License-Identifier: Apache-2.0
// Private: what the scalar outputs of a graph are over many steps.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/lib/compile/program.h"

namespace thalweg {

/// Scalar outputs over samples. One that reads no `sample_mean` is averaged, each step weighing as many samples as it
/// holds; of the others the sample means are averaged, and what is computed from them is computed again, in double.
class Means {
 public:
  Means() = default;
  /// Gives the graph the outputs that are to be averaged: `<output>/mean0`, … Throws RunError for an output that is
  /// computed from sample means and from what a single step holds.
  explicit Means(Graph& graph);

  /// The scalar outputs, loss first.
  const std::vector<std::string>& names() const { return names_; }
  /// These and the outputs that were added: what a program must have.
  std::vector<std::string> read() const;
  void reset();
  void add(const Program& program, Dim samples);
  /// More outputs of samples that were added.
  void add_late(const Program& program, Dim samples);
  /// Begins what take_back() forgets.
  void mark();
  void take_back();
  const std::vector<double>& means();

  /// What was added up so far, and over how many samples: enough to go_on() from.
  std::vector<double> sums() const;
  Dim samples() const { return samples_; }
  /// Throws RunError for sums of other outputs.
  void go_on(const std::vector<double>& sums, Dim samples);

 private:
  /// A value that is averaged: an output of the graph, and an input of a tail.
  struct Part {
    std::string output;
    Shape shape;
    std::vector<double> sums;
    std::vector<double> marked = {};
  };
  /// What is computed from averages; its inputs are named as its parts.
  struct Tail {
    std::optional<Graph> graph;  ///< none: the part itself
    std::vector<Part> parts;
  };
  Tail tail_of(Graph& graph, const std::string& name) const;
  double value(const Tail& tail) const;

  std::vector<std::string> names_;
  std::vector<Tail> tails_;
  std::vector<double> means_;
  Dim samples_ = 0, marked_samples_ = 0;
};

}  // namespace thalweg
