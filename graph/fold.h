// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/graph.h"

namespace thalweg {

/// Puts a constant where all operands are constants, by the op's own meaning in double, rounded once to the dtype;
/// and a simpler value where the op's `simplify` knows one. Results of more than 65,536 elements, or of more than four
/// times the operands' elements, stay computed, as do random ops, values that the dtype cannot hold, and `by_mode`,
/// whose meaning is not settled yet. Returns whether the text changed.
THALWEG_API bool fold(Graph& graph);

}  // namespace thalweg
