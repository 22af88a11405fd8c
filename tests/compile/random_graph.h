// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "thalweg/graph/graph.h"
#include "thalweg/graph/interpret.h"

namespace thalweg::testing {

/// A valid training graph drawn from a seed: inputs, variables, 4 to 40 ops of many kinds, a scalar loss, its gradients
/// and an update of every variable. Values stay of order one.
Graph random_graph(std::uint64_t seed);
/// Values for all inputs and variables, each exactly a float.
std::map<std::string, Array<double>> random_feeds(const Graph& graph, std::uint64_t seed);

}  // namespace thalweg::testing
