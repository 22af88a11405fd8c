// SPDX-License-Identifier: Apache-2.0
// Private: copies between dense tensors whose axes lie differently.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "thalweg/graph/type.h"

namespace thalweg {

/// Copies elements of `bytes` (1, 2, 4 or 8) from base + sum(index * from stride) to base + sum(index * to stride), for
/// every index below the sizes. Prepared once; joins loops, and goes by tiles where the innermost axes differ.
class StridedCopy {
 public:
  struct Axis {
    std::size_t size;
    std::ptrdiff_t from, to;  ///< strides in elements
  };
  StridedCopy(const std::vector<Axis>& axes, std::size_t bytes, int threads);
  void run(const void* from, void* to) const;

 private:
  template <class T>
  void run_as(const T* from, T* to) const;
  template <class T>
  void copy_tile(const T* from, T* to, std::size_t tile) const;

  static constexpr std::size_t tile_size = 32;
  std::array<Axis, Shape::max_rank> outer_{};
  std::size_t outer_rank_ = 0;
  Axis inner_{1, 1, 1};   ///< the axis along which the result is dense
  Axis across_{1, 1, 1};  ///< the axis along which the source is dense, if that is another one
  std::size_t bytes_;
  std::size_t outer_count_ = 1;
  std::size_t tiles_ = 1;
  int threads_;
};

}  // namespace thalweg
