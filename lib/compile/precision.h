// SPDX-License-Identifier: Apache-2.0
// Private: in which precision products are computed.
#pragma once

#include "thalweg/graph/graph.h"

namespace thalweg {

/// Computes f32 matrix products and convolutions, and their gradients, from operands rounded to bf16, with a result
/// rounded to bf16, but for those with an axis or channels below 16. Everything else stays in f32: variables, updates,
/// sums, norms and losses. Returns whether the text changed.
bool use_bf16_products(Graph& graph);

}  // namespace thalweg
