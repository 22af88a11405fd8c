// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// Which axes a reduction goes over. `sum(x, {.axes = {0, -1}, .keep_dims = true})`.
struct Axes {
  std::vector<Dim> axes = {};  ///< from -rank to rank-1, each once; empty: all
  bool keep_dims = false;      ///< a reduced axis stays, with size 1
};

/// Sum over axes; numeric (integers wrap around).
THALWEG_API Value sum(Operand x, Axes over = {});
/// Sum over axes, divided by the number of elements summed; float.
THALWEG_API Value mean(Operand x, Axes over = {});
/// Largest element over axes (op `reduce_max`); numeric. NaN wins. The gradient is split evenly among equal largest
/// elements, as torch's amax does.
THALWEG_API Value max(Operand x, Axes over = {});
/// Smallest element over axes: -max(-x). Float, or signed integers.
THALWEG_API Value min(Operand x, Axes over = {});
/// Position of the largest element along one axis, which goes away: i64. The first of equal ones; NaN counts as the
/// largest, as in numpy. Numeric. There is no gradient.
THALWEG_API Value argmax(Operand x, Dim axis = -1);
/// The inverse of broadcast: x summed down to `shape`, which must broadcast to x's.
THALWEG_API Value sum_to(Operand x, const Shape& shape);

/// The axes that the attribute `axes` of a reduction names for an operand of that rank: ascending; all where it is
/// empty. Throws RuleError for an axis out of range or named twice.
THALWEG_API std::vector<std::size_t> reduced_axes(const Attrs& attrs, std::size_t rank);

}  // namespace thalweg
