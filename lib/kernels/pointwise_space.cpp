// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/pointwise_space.h"

#include <algorithm>

namespace thalweg {

std::size_t PointwiseSpace::rows() const {
  std::size_t rows = 1;
  for (std::size_t axis = 0; axis + 1 < rank; ++axis) rows *= size[axis];
  return rows;
}

PointwiseSpace pointwise_space(const Shape& space, std::span<const TensorType> operands) {
  PointwiseSpace s;
  for (const TensorType& type : operands) {
    PointwiseSpace::Extents strides{};
    const std::size_t lead = space.rank() - type.shape.rank();
    std::size_t stride = 1;
    for (std::size_t axis = space.rank(); axis-- > lead;) {
      const auto size = static_cast<std::size_t>(type.shape[axis - lead]);
      strides[axis] = size == 1 ? 0 : stride;
      stride *= size;
    }
    s.stride.push_back(strides);
  }
  for (std::size_t axis = 0; axis < space.rank(); ++axis) {
    const auto size = static_cast<std::size_t>(space[axis]);
    if (size == 1) continue;
    const bool joins = s.rank > 0 && std::all_of(s.stride.begin(), s.stride.end(), [&](const auto& stride) {
      return stride[s.rank - 1] == stride[axis] * size;
    });
    const std::size_t to = joins ? s.rank - 1 : s.rank++;
    s.size[to] = joins ? s.size[to] * size : size;
    for (auto& stride : s.stride) stride[to] = stride[axis];
  }
  if (s.rank == 0) {
    s.rank = 1;
    s.size[0] = 1;
    for (auto& stride : s.stride) stride[0] = 0;
  }
  return s;
}

}  // namespace thalweg
