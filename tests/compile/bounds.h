// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <random>
#include <string>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/graph/interpret.h"

namespace thalweg::testing {

/// What a graph means, and how far a run in f32 may be from it.
struct Expected {
  Array<double> value;
  std::vector<double> bound;
};

/// A sampled bound: the graph is evaluated in double a few times with every operand and every result of every node
/// moved by a random part of itself, as large as rounding to its dtype may move it (2^-23 in f32) at each step, and the farthest
/// departure times a safety factor is allowed. So a sum that cancels, a division by a small number or a comparison
/// that is nearly equal gets the room that its own numbers ask for, and a smooth graph gets almost none.
class Bounds {
 public:
  using Feeds = std::map<std::string, Array<double>>;
  /// `feeds` gives inputs and variables.
  Bounds(const Graph& graph, const Feeds& feeds, std::uint64_t seed = 1);
  /// One of the graph's outputs, or the next value of one of its variables (`@w`).
  const Expected& at(const std::string& name) const { return expected_.at(name); }
  const std::map<std::string, Expected>& all() const { return expected_; }

 private:
  std::map<std::string, Expected> expected_;
};

}  // namespace thalweg::testing
