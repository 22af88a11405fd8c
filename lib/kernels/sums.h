// SPDX-License-Identifier: Apache-2.0
// Private: sums in an order that depends on shapes alone.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "thalweg/lib/base/threads.h"

namespace thalweg {

/// The sum of term(i) for i in [0, n), in eight lanes and a fixed tree over them.
template <class F>
double sum_of(std::size_t n, F term) {
  std::array<double, 8> lane{};
  const std::size_t body = n - n % lane.size();
  for (std::size_t i = 0; i < body; i += lane.size())
    for (std::size_t k = 0; k < lane.size(); ++k) lane[k] += term(i + k);
  for (std::size_t i = body; i < n; ++i) lane[i - body] += term(i);
  return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

/// Rows cut into chunks whose number depends on the sizes only; each chunk adds up by itself, and the chunks are added
/// in order.
struct RowChunks {
  std::size_t rows, chunks;
  RowChunks(std::size_t row_count, std::size_t row_length)
      : rows(row_count),
        chunks(std::clamp<std::size_t>(row_count * row_length / 16384, 1, std::min<std::size_t>(row_count, 64))) {}

  std::size_t first(std::size_t chunk) const { return rows * chunk / chunks; }
  /// Calls f(first row, last row, totals) for each chunk, totals being its `width` doubles in `room`.
  template <class F>
  void each(int threads, std::size_t width, double* room, F f) const {
    parallel_for(threads, chunks, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t chunk = begin; chunk < end; ++chunk) f(first(chunk), first(chunk + 1), room + chunk * width);
    });
  }
  /// As each(); f adds to zeros, and the sums over all chunks are then in the first `width` doubles of `room`.
  template <class F>
  void add_up(int threads, std::size_t width, double* room, F f) const {
    each(threads, width, room, [&](std::size_t begin, std::size_t end, double* totals) {
      std::fill_n(totals, width, 0.0);
      f(begin, end, totals);
    });
    for (std::size_t chunk = 1; chunk < chunks; ++chunk)
      for (std::size_t i = 0; i < width; ++i) room[i] += room[chunk * width + i];
  }
  std::size_t room_bytes(std::size_t width) const { return chunks * width * sizeof(double); }
};

}  // namespace thalweg
