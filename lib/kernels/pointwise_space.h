// SPDX-License-Identifier: Apache-2.0
// Private: the iteration space of a pointwise group.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "thalweg/graph/type.h"

namespace thalweg {

/// A shape as few loops as its operands allow, outermost first; at least one.
struct PointwiseSpace {
  using Extents = std::array<std::size_t, Shape::max_rank>;
  std::size_t rank = 0;
  Extents size{};
  std::vector<Extents> stride;  ///< of each operand along each loop, in elements; 0 repeats
  std::size_t inner() const { return size[rank - 1]; }
  /// Runs of the innermost loop.
  std::size_t rows() const;
};

/// Axes of one element vanish; neighbours join where every operand goes on without a step.
PointwiseSpace pointwise_space(const Shape& space, std::span<const TensorType> operands);

}  // namespace thalweg
