// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/strided_copy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "thalweg/lib/kernels/makers.h"

namespace thalweg {

StridedCopy::StridedCopy(const std::vector<Axis>& axes, std::size_t bytes, int threads)
    : bytes_(bytes), threads_(threads) {
  std::vector<Axis> loops;
  for (const Axis& axis : axes) {
    if (axis.size == 1) continue;
    const auto size = static_cast<std::ptrdiff_t>(axis.size);
    if (!loops.empty() && loops.back().from == axis.from * size && loops.back().to == axis.to * size) {
      loops.back() = {loops.back().size * axis.size, axis.from, axis.to};
    } else {
      loops.push_back(axis);
    }
  }
  if (loops.empty()) loops.push_back({1, 1, 1});
  inner_ = loops.back();
  loops.pop_back();
  if (inner_.from != 1) {
    const auto dense = std::find_if(loops.begin(), loops.end(), [](const Axis& a) { return a.from == 1; });
    if (dense != loops.end()) {
      across_ = *dense;
      loops.erase(dense);
    }
  }
  for (const Axis& loop : loops) {
    outer_[outer_rank_++] = loop;
    outer_count_ *= loop.size;
  }
  tiles_ = (across_.size + tile_size - 1) / tile_size;
}

template <class T>
void StridedCopy::copy_tile(const T* from, T* to, std::size_t tile) const {
  const std::size_t first = tile * tile_size, last = std::min(across_.size, first + tile_size);
  if (across_.size == 1 && inner_.from == 1 && inner_.to == 1) {
    std::memcpy(to, from, inner_.size * sizeof(T));
    return;
  }
  for (std::size_t block = 0; block < inner_.size; block += tile_size) {
    const std::size_t end = std::min(inner_.size, block + tile_size);
    for (std::size_t a = first; a < last; ++a) {
      const T* source = from + static_cast<std::ptrdiff_t>(a) * across_.from;
      T* target = to + static_cast<std::ptrdiff_t>(a) * across_.to;
      for (std::size_t i = block; i < end; ++i)
        target[static_cast<std::ptrdiff_t>(i) * inner_.to] = source[static_cast<std::ptrdiff_t>(i) * inner_.from];
    }
  }
}

template <class T>
void StridedCopy::run_as(const T* from, T* to) const {
  const std::size_t each = inner_.size * std::min(across_.size, tile_size);
  parallel_for(threads_, outer_count_ * tiles_, grain_of(each), [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t task = begin; task < end; ++task) {
      std::ptrdiff_t source = 0, target = 0;
      std::size_t rest = task / tiles_;
      for (std::size_t i = outer_rank_; i-- > 0;) {
        const auto at = static_cast<std::ptrdiff_t>(rest % outer_[i].size);
        rest /= outer_[i].size;
        source += at * outer_[i].from;
        target += at * outer_[i].to;
      }
      copy_tile(from + source, to + target, task % tiles_);
    }
  });
}

void StridedCopy::run(const void* from, void* to) const {
  switch (bytes_) {
    case 1: return run_as(static_cast<const std::uint8_t*>(from), static_cast<std::uint8_t*>(to));
    case 2: return run_as(static_cast<const std::uint16_t*>(from), static_cast<std::uint16_t*>(to));
    case 4: return run_as(static_cast<const std::uint32_t*>(from), static_cast<std::uint32_t*>(to));
    default: return run_as(static_cast<const std::uint64_t*>(from), static_cast<std::uint64_t*>(to));
  }
}

}  // namespace thalweg
