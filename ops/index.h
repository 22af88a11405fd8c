// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/graph.h"

namespace thalweg {

// Indices are i32, i64 or u8. One below 0 or not below the size that it points into is a RunError that names its
// position, its value and the bound.

/// table[…, indices[j…], …] along `axis`: the shape is table's with that axis replaced by the axes of `indices` (numpy's
/// take). Any dtype. The gradient of rows that are taken more than once adds up.
THALWEG_API Value gather(Operand table, Operand indices, Dim axis = 0);
/// base with updates[…, j…, …] added to base[…, indices[j…], …] along `axis`; what is added to one place is added in the
/// order of j. The inverse of gather: `updates` has the shape of gather(base, indices). Numeric.
THALWEG_API Value scatter_add(Operand base, Operand indices, Operand updates, Dim axis = 0);
/// One axis more, of size `classes`: 1 at the label, else 0. There is no gradient through labels.
THALWEG_API Value one_hot(Operand labels, Dim classes, DType dtype = DType::f32);

}  // namespace thalweg
