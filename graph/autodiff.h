// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "thalweg/graph/graph.h"

namespace thalweg {

struct GradientOptions {
  /// Zeros instead of an error where `of` does not depend on a value of `wrt`.
  bool allow_unconnected = false;
  /// The cotangent of `of`; needed unless `of` is a scalar, whose own is 1.
  Value seed = {};
};

/// d of / d wrt[i] for each i, as nodes appended to the graph. Of any order: the results can be differentiated again.
/// Reverse mode; contributions are added in a fixed order (users of a value from the last to the first).
/// Errors: `of` not a float scalar without a seed; an op on the path without a gradient, or no path at all (the first
/// op that blocks it is named).
THALWEG_API std::vector<Value> gradients(Operand of, std::span<const Value> wrt, const GradientOptions& options = {});
inline std::vector<Value> gradients(Operand of, std::initializer_list<Value> wrt, const GradientOptions& options = {}) {
  return gradients(std::move(of), std::span<const Value>(wrt.begin(), wrt.size()), options);
}

}  // namespace thalweg
