// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/graph.h"

namespace thalweg {

/// Whether the last two axes of a or b are swapped before the product.
struct MatmulOptions {
  bool ta = false;
  bool tb = false;
};

/// The matrix product over the last two axes: [..,m,k] x [..,k,n] gives [..,m,n]. Axes before them broadcast as numpy's
/// do, so that a batch meets one matrix. Errors: fewer than two axes, dtypes not float or not equal, inner dimensions
/// or batch axes that differ.
THALWEG_API Value matmul(Operand a, Operand b, MatmulOptions options = {});

}  // namespace thalweg
