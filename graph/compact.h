// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// Keeps the nodes that `keep` says, in their order; linear. What a kept node, an output or an update needs must be
/// kept (InternalError otherwise). Returns whether a node went; if none did, every Value stays good.
THALWEG_API bool compact(Graph& graph, const std::vector<bool>& keep);

}  // namespace thalweg
