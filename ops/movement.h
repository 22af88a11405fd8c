// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// x repeated to `shape` by numpy's rule: axes of size 1 grow, and axes are added in front. Any dtype.
THALWEG_API Value broadcast(Operand x, const Shape& shape);
/// The same elements in row-major order under other sizes; one size may be -1, and follows from the others. Any dtype.
THALWEG_API Value reshape(Operand x, const std::vector<Dim>& sizes);
/// The same, to a shape that is known.
THALWEG_API Value reshape_to(Operand x, const Shape& shape);

}  // namespace thalweg
