// SPDX-License-Identifier: Apache-2.0
// Private: where Graphviz's dot puts what the page draws.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// The middle of a box in its group, in pixels from the group's upper left.
struct BoxPlace {
  NodeId node = 0;
  std::string child = {};  ///< a group within the group by the last part of its key; empty for a node
  int x = 0, y = 0;
};
/// By a group's key, as the page makes it: `/forward/block1/dense`, and `/\x01` and a number for a kernel of several
/// nodes.
using GroupPlaces = std::map<std::string, std::vector<BoxPlace>>;

/// For each of some graphs what dot makes of each of its groups (by origin, then scope, then kernel) with all groups
/// inside closed. `kernel_of` says for each node in which kernel of several nodes it is; empty: no kernels yet. One run
/// of dot for all; nothing where it is missing or slow. Groups that are too large for it to be quick are left out.
struct GroupedGraph {
  const Graph* graph;
  std::vector<std::optional<std::size_t>> kernel_of = {};
};
std::vector<GroupPlaces> places_by_dot(const std::vector<GroupedGraph>& graphs, std::chrono::milliseconds limit);

}  // namespace thalweg
