// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// A training graph cut in two, so that the gradients of a step can be summed up over micro-batches:
///
///     gather   forward and backward; a step ends with  sum_i += n·g_i,  samples += n
///     apply    clipping, update rules and the rest on  g_i = sum_i / samples;  a step ends with  sum_i = 0
///
/// n is how many samples a micro-batch holds: g_i is then the gradient of the mean over all of them, as one large
/// batch would give, whatever the micro-batches' sizes, up to the rounding of the sums. Random ops draw anew in each
/// micro-batch, in the first what the whole step would have drawn. Batch norm keeps its statistics in `gather`.
struct Accumulation {
  Graph gather;  ///< written for micro-batches of the size that the graph was written for; with_batch() changes it
  Graph apply;   ///< reads no samples; has those outputs that depend on the gradients
};

/// Refuses graphs for which micro-batches would give another result than the whole batch: the objective of minimize()
/// must be a mean over samples of what each gives alone (or their sum divided by how many they are). What is allowed on
/// the way: elementwise ops, products and convolutions with weights, pooling, softmax, reductions and norms over other
/// axes than the first, gather from a table. Throws GraphError that names the op that mixes samples (batch norm) or does
/// not average them (a sum).
THALWEG_API void check_separable(const Graph& graph);

/// Cuts the graph. The gradients are what nodes of clipping, schedules and optimizers (by their origin) read of the
/// others. Throws GraphError where something of a step reads both data and gradients, or nothing of it gradients.
THALWEG_API Accumulation accumulation(const Graph& graph);

}  // namespace thalweg
