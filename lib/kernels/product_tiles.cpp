// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/product_tiles.h"

#include <utility>

#include "thalweg/lib/kernels/wide_tiles.h"

// Two instruction sets that no kernel here gains from.
#define HWY_DISABLED_TARGETS (HWY_AVX3_DL | HWY_SSSE3)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "thalweg/lib/kernels/product_tiles.cpp"
#include "hwy/foreach_target.h"
//
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "thalweg/lib/kernels/target.h"

HWY_BEFORE_NAMESPACE();
namespace thalweg {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// What follows the sums, on the stored tile: beside them it would keep registers from the inner loop.
HWY_NOINLINE void finish(const ProductTile& t, std::size_t rows) {
  const hn::ScalableTag<float> d;
  const auto zero = hn::Zero(d);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t column = 0; column < 2 * hn::Lanes(d); column += hn::Lanes(d)) {
      float* c = t.c + static_cast<std::ptrdiff_t>(r) * t.c_row + column;
      auto y = hn::LoadU(d, c);
      if (t.bias != nullptr) y = hn::Add(y, hn::LoadU(d, t.bias + column));
      if (t.slope != nullptr) {
        const auto less = *t.slope == 0 ? zero : hn::Mul(y, hn::Set(d, *t.slope));
        y = hn::IfThenElse(hn::Le(y, zero), less, y);
      }
      hn::StoreU(y, d, c);
    }
}

/// Written out row by row: sums that a loop indexes would go by way of the stack.
template <std::size_t... r>
HWY_INLINE void tile_of_rows(const ProductTile& t, std::index_sequence<r...>) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const std::size_t lanes = hn::Lanes(d);
  // Zeros are read too: a choice between them and c would be a branch.
  static const float zeros[2 * HWY_MAX_BYTES / sizeof(float)] = {};
  const float* const start = t.adds ? t.c : zeros;
  const std::ptrdiff_t start_row = t.adds ? t.c_row : 0;
  const auto row = [](std::size_t i) { return static_cast<std::ptrdiff_t>(i); };
  V low[] = {hn::LoadU(d, start + row(r) * start_row)...};
  V high[] = {hn::LoadU(d, start + row(r) * start_row + lanes)...};
  const float* const a[] = {t.a + row(r) * t.a_step...};
  // The lines that the sums will go to are asked for before the sums are made.
  if (!t.adds) (hwy::Prefetch(t.c + row(r) * t.c_row), ...);
  const float* b = t.b;
  const std::size_t depth = t.depth;
  for (std::size_t k = 0; k < depth; ++k, b += 2 * lanes) {
    const V left = hn::LoadU(d, b), right = hn::LoadU(d, b + lanes);
    ((low[r] = hn::MulAdd(hn::Set(d, a[r][k]), left, low[r]),
      high[r] = hn::MulAdd(hn::Set(d, a[r][k]), right, high[r])),
     ...);
  }
  ((hn::StoreU(low[r], d, t.c + row(r) * t.c_row), hn::StoreU(high[r], d, t.c + row(r) * t.c_row + lanes)), ...);
}

template <std::size_t rows>
HWY_NOINLINE void product_tile(const ProductTile& t) {
  tile_of_rows(t, std::make_index_sequence<rows>());
  if (t.bias != nullptr || t.slope != nullptr) finish(t, rows);
}

void pack_panels(const float* b, std::ptrdiff_t b_row, std::size_t depth, std::size_t panels, std::size_t panel_size,
                 float* to) {
  const hn::ScalableTag<float> d;
  const std::size_t width = 2 * hn::Lanes(d);
  // Rows are far apart: the processor does not fetch them ahead by itself.
  constexpr std::size_t ahead = 16;
  for (std::size_t k = 0; k < depth; ++k, b += b_row)
    for (std::size_t p = 0; p < panels; ++p) {
      if (k + ahead < depth) hwy::Prefetch(b + static_cast<std::ptrdiff_t>(ahead) * b_row + p * width);
      float* row = to + p * panel_size + k * width;
      hn::StoreU(hn::LoadU(d, b + p * width), d, row);
      hn::StoreU(hn::LoadU(d, b + p * width + width / 2), d, row + width / 2);
    }
}

const ProductTiles* product_table() {
  const std::size_t lanes = hn::Lanes(hn::ScalableTag<float>());
  static const ProductTiles tiles{2 * lanes,
                                  lanes,
                                  6,
                                  200,
                                  160 << 10,
                                  false,
                                  {product_tile<1>, product_tile<2>, product_tile<3>, product_tile<4>,
                                   product_tile<5>, product_tile<6>},
                                  {},
                                  pack_panels,
                                  nullptr};
  return &tiles;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace thalweg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thalweg {
THALWEG_VARIANTS(product_table);

const ProductTiles& product_tiles(bool generate) {
  const ProductTiles& loops = *THALWEG_CHOSEN(product_table)();
  if (!generate || loops.lanes != 16) return loops;
  static const ProductTiles wide = with_wide_tiles(loops);
  return wide;
}

}  // namespace thalweg
#endif
