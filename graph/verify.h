// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/graph.h"

namespace thalweg {

/// Checks everything that a graph promises: operands earlier and in range, attributes valid, every type equal to what
/// its op's rule says, names good and unique, outputs and updates legal, the storage's edges in step with the
/// operands. Throws one GraphError that lists up to 20 problems.
THALWEG_API void verify(const Graph& graph);

}  // namespace thalweg
