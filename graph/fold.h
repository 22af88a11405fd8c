// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/graph.h"

namespace thalweg {

/// Puts a constant where all operands are constants, by the op's own meaning in double, rounded once to the dtype;
/// and a simpler value where the op's `simplify` knows one. Results of more than 65,536 elements, or of more than four
/// times the operands' elements, stay computed, as do random ops and values that the dtype cannot hold. A `by_mode`
/// becomes its training side: take `inference(g)` before. Returns whether the text changed.
THALWEG_API bool fold(Graph& graph);

}  // namespace thalweg
