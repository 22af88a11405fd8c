// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/graph.h"

namespace thalweg {

/// Merges nodes that compute the same: equal op, attributes, types and operands (of a commutative op, in any order).
/// The first stays, with its line. Named nodes (inputs, variables) are never merged; random ops only if everything,
/// the key included, is equal. Returns whether the text changed.
THALWEG_API bool cse(Graph& graph);

}  // namespace thalweg
