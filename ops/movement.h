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
/// Axes in another order: axis i of the result is axis perm[i] of x. Without `perm` the order is reversed. Any dtype.
THALWEG_API Value transpose(Operand x, std::vector<Dim> perm = {});
/// The parts one after another along `axis`; all other sizes and the dtypes are equal.
THALWEG_API Value concat(std::vector<Operand> parts, Dim axis);
THALWEG_API Value concat(std::span<const Value> parts, Dim axis, SourceLoc loc = SourceLoc::current());
/// Elements starts, starts + strides, … below ends, on every axis; each list has an entry for each axis (strides: or
/// none, for 1). Negative starts and ends count from the end. Any dtype. Errors: an empty result, an end beyond x.
THALWEG_API Value slice(Operand x, std::vector<Dim> starts, std::vector<Dim> ends, std::vector<Dim> strides = {});

/// x with low[i] elements before and high[i] behind it on axis i, and interior[i] between each two (the inverse of a slice
/// with strides); an empty list adds none. They are `value`, which must be one of x's dtype. Any dtype.
THALWEG_API Value pad(Operand x, std::vector<Dim> low, std::vector<Dim> high, double value = 0,
                      std::vector<Dim> interior = {});

}  // namespace thalweg
