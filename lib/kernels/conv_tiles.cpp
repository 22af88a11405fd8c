// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/conv_tiles.h"

#include <utility>

// Two instruction sets that no kernel here gains from.
#define HWY_DISABLED_TARGETS (HWY_AVX3_DL | HWY_SSSE3)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "thalweg/lib/kernels/conv_tiles.cpp"
#include "hwy/foreach_target.h"
//
#include "hwy/highway.h"
#include "thalweg/lib/kernels/target.h"

HWY_BEFORE_NAMESPACE();
namespace thalweg {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// As many sums as hide the latency of two multiplications a cycle, and no more than the registers hold beside rows of
// weights: 16 registers up to AVX2, 32 in AVX-512.
#if HWY_TARGET <= HWY_AVX3
constexpr std::size_t pixel_rows = 12, pixel_steps = 4;
constexpr std::size_t channel_rows(std::size_t vectors) { return vectors == 1 ? 16 : 12; }
#else
constexpr std::size_t pixel_rows = 6, pixel_steps = 1;
constexpr std::size_t channel_rows(std::size_t) { return 6; }
#endif

/// `steps` steps of the sums at once, each `rows` numbers times one row of weights: what at(r, step) needs for a row of the
/// tile, as a pointer to its pixel, is fetched once for all of them.
template <std::size_t steps, class D, std::size_t rows, std::size_t vectors, class At>
HWY_INLINE void multiply(D d, const float* weights, std::ptrdiff_t weight_row, const At& at,
                         hn::Vec<D> (&total)[rows][vectors]) {
  hn::Vec<D> row[steps][vectors];
  for (std::size_t s = 0; s < steps; ++s)
    for (std::size_t j = 0; j < vectors; ++j)
      row[s][j] = hn::LoadU(d, weights + static_cast<std::ptrdiff_t>(s) * weight_row + j * hn::Lanes(d));
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t s = 0; s < steps; ++s) {
      const hn::Vec<D> x = hn::Set(d, at(r, s));
      for (std::size_t j = 0; j < vectors; ++j) total[r][j] = hn::MulAdd(x, row[s][j], total[r][j]);
    }
}

template <class D, std::size_t rows, std::size_t vectors>
HWY_INLINE void clear(D d, hn::Vec<D> (&total)[rows][vectors]) {
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t j = 0; j < vectors; ++j) total[r][j] = hn::Zero(d);
}

template <class D, std::size_t rows, std::size_t vectors>
HWY_NOINLINE void pixel_tile(const PixelTile& t) {
  const D d;
  using V = hn::Vec<D>;
  V total[rows][vectors];
  clear(d, total);
  const std::int32_t* from = t.from;
  const TapRun* const end = t.taps + t.runs;
  for (const TapRun* tap = t.taps; tap != end; ++tap, from += rows) {
    const float* p[rows];
    for (std::size_t r = 0; r < rows; ++r) p[r] = from[r] < 0 ? t.zeros : t.source + from[r];
    const float* w = t.weights + tap->row * t.weight_row;
    const auto depth = static_cast<std::size_t>(tap->depth);
    constexpr std::size_t steps = pixel_steps > vectors ? pixel_steps / vectors : 1;
    std::size_t c = 0;
    const auto at = [&](std::size_t r, std::size_t step) HWY_ATTR { return p[r][c + step]; };
    for (; c + steps <= depth; c += steps, w += static_cast<std::ptrdiff_t>(steps) * t.weight_row)
      multiply<steps>(d, w, t.weight_row, at, total);
    for (; c < depth; ++c, w += t.weight_row) multiply<1>(d, w, t.weight_row, at, total);
  }
  const V zero = hn::Zero(d);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t j = 0; j < vectors; ++j) {
      V y = total[r][j];
      if (t.bias != nullptr) y = hn::Add(y, hn::LoadU(d, t.bias + j * hn::Lanes(d)));
      if (t.slope != nullptr) {
        const V low = *t.slope == 0 ? zero : hn::Mul(y, hn::Set(d, *t.slope));
        y = hn::IfThenElse(hn::Le(y, zero), low, y);
      }
      hn::StoreU(y, d, t.result + t.to[r] + j * hn::Lanes(d));
    }
}

template <class D, std::size_t rows, std::size_t vectors>
HWY_NOINLINE void weight_tile(const WeightTile& t) {
  const D d;
  using V = hn::Vec<D>;
  V total[rows][vectors];
  clear(d, total);
  for (std::size_t image = 0; image < t.images; ++image)
    for (std::size_t line = 0; line < t.lines; ++line) {
      const auto n = static_cast<std::ptrdiff_t>(image), l = static_cast<std::ptrdiff_t>(line);
      const float* x = t.x + n * t.x_image + l * t.x_line;
      const float* dy = t.dy + n * t.dy_image + l * t.dy_line;
      for (std::size_t p = 0; p < t.pixels; ++p, x += t.x_pixel, dy += t.dy_pixel)
        multiply<1>(d, dy, 0, [&](std::size_t r, std::size_t) HWY_ATTR { return x[r]; }, total);
    }
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t j = 0; j < vectors; ++j) {
      float* to = t.dw + static_cast<std::ptrdiff_t>(r) * t.dw_row + j * hn::Lanes(d);
      // Each part is summed by itself first, which keeps the rounding of long sums small.
      hn::StoreU(t.add ? hn::Add(hn::LoadU(d, to), total[r][j]) : total[r][j], d, to);
    }
}

template <class D, std::size_t vectors, std::size_t... p, std::size_t... c>
ConvTiles tiles_of(std::index_sequence<p...>, std::index_sequence<c...>) {
  return {vectors * hn::Lanes(D()), sizeof...(c), {pixel_tile<D, p + 1, vectors>...},
          {weight_tile<D, c + 1, vectors>...}};
}
template <class D, std::size_t vectors>
ConvTiles tiles_of() {
  return tiles_of<D, vectors>(std::make_index_sequence<pixel_rows>(),
                              std::make_index_sequence<channel_rows(vectors)>());
}

const ConvTileTable* conv_table() {
  using Full = hn::ScalableTag<float>;
#if HWY_MAX_BYTES >= 64
  static const ConvTiles widths[] = {tiles_of<Full, 2>(), tiles_of<Full, 1>(), tiles_of<hn::CappedTag<float, 8>, 1>()};
#else
  static const ConvTiles widths[] = {tiles_of<Full, 2>(), tiles_of<Full, 1>()};
#endif
  static const ConvTileTable table{widths, sizeof(widths) / sizeof(widths[0]), pixel_rows};
  return &table;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace thalweg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thalweg {
THALWEG_VARIANTS(conv_table);

ConvTileTable conv_tiles() { return *THALWEG_CHOSEN(conv_table)(); }

}  // namespace thalweg
#endif
