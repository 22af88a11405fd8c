// SPDX-License-Identifier: Apache-2.0
// Private: what a backward pass computes again instead of keeping it.
#pragma once

#include <vector>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// A graph that computes the same, and how much more it computes.
struct Recomputed {
  Graph graph;
  double extra_flops;
};

/// Ways to keep less between the forward and the backward part, from the least extra work to the most: values that are
/// cheap to make again from the results of heavy ops (pointwise, norms, pooling), then whole segments between cuts that
/// few bytes cross (Chen et al. 2016), in more and more parts. Each copy is made just before its first use; copies are
/// of the same ops with the same attributes, so their bits are those of the originals. Empty for graphs without a
/// backward part.
std::vector<Recomputed> recompute_choices(const Graph& graph);

}  // namespace thalweg
