// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/graph.h"

namespace thalweg {

/// The batch size a graph was written for: the first size of its inputs. Throws GraphError if it has no input with
/// an axis, or if they differ.
THALWEG_API Dim batch_of(const Graph& graph);

/// The graph as it would have been written for another batch size: every type is derived anew from inputs whose first
/// size is `batch`. Sizes that were declared (broadcast, random numbers, uniform constants) follow if they held the
/// old batch size and the graph's types and updates come out right so; the divisor in the gradient of a mean follows
/// what it counts. Variables keep their types. A number that the user computed from the batch size (`sum(x) / 64`)
/// cannot be known as such, and stays. Throws GraphError naming the node where no reading fits.
THALWEG_API Graph with_batch(const Graph& graph, Dim batch);

}  // namespace thalweg
