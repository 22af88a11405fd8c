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

/// Ways to keep less between the forward and the backward part, from the least extra work to the most: the fewest bytes
/// from which all else can be made again without repeating a product, found as a minimum cut, and with ever more of the
/// products repeated that make many bytes with little work; then whole segments between cuts that few bytes cross
/// (Chen et al. 2016), in more and more parts. Each copy is made just before its first use; copies are
/// of the same ops with the same attributes, so their bits are those of the originals. Empty for graphs without a
/// backward part.
std::vector<Recomputed> recompute_choices(const Graph& graph);

/// Which nodes' results to keep, so that their bytes, and `price` bytes for each operation of a product (matmul,
/// convolution) that is repeated, are fewest; without limit none is. Other ops cost a thousandth of a byte an operation.
/// True for what cannot be made again, and for what is too small to be worth it.
std::vector<bool> fewest_bytes_kept(const Graph& graph, double price);

}  // namespace thalweg
