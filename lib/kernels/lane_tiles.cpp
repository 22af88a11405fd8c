// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/lane_tiles.h"

#include <utility>

// Few channels fill narrower vectors well enough: on lenet AVX2 lost by this. AVX3_DL has nothing for these loops.
#define HWY_DISABLED_TARGETS (HWY_AVX3_DL | HWY_AVX2 | HWY_SSSE3 | HWY_SSE4)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "thalweg/lib/kernels/lane_tiles.cpp"
#include "hwy/foreach_target.h"
//
#include "hwy/highway.h"
#include "thalweg/lib/kernels/target.h"

HWY_BEFORE_NAMESPACE();
namespace thalweg {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET <= HWY_AVX3
namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr std::size_t lanes = HWY_LANES(float);
constexpr std::size_t groups = 4;  // of four samples that are woven together first
static_assert(lanes == groups * 4);

template <class T>
HWY_INLINE T* at(T* first, std::size_t index, std::ptrdiff_t distance) {
  return first + static_cast<std::ptrdiff_t>(index) * distance;
}

template <class F>
HWY_INLINE void blocks_of(std::size_t n, F block) {
  std::size_t e = 0;
  for (; e + lanes <= n; e += lanes) block(e);
  if (e < n) block(n - lanes);  // some of them again
}

/// Weaves the groups: woven[k * groups + g] = part[g][k].
HWY_INLINE void weave(const float (&part)[groups][4 * lanes], float* woven) {
  const D d;
  for (std::size_t k = 0; k < 4 * lanes; k += lanes)
    hn::StoreInterleaved4(hn::Load(d, part[0] + k), hn::Load(d, part[1] + k), hn::Load(d, part[2] + k),
                          hn::Load(d, part[3] + k), d, woven + k * groups);
}

HWY_INLINE void unweave(const float* woven, float (&part)[groups][4 * lanes]) {
  const D d;
  for (std::size_t k = 0; k < 4 * lanes; k += lanes) {
    V v[groups];
    hn::LoadInterleaved4(d, woven + k * groups, v[0], v[1], v[2], v[3]);
    for (std::size_t g = 0; g < groups; ++g) hn::Store(v[g], d, part[g] + k);
  }
}

void to_lanes(const float* from, std::ptrdiff_t sample, std::size_t samples, std::size_t n, float* to) {
  const D d;
  if (n < lanes) {
    for (std::size_t e = 0; e < n; ++e)
      for (std::size_t s = 0; s < lanes; ++s)
        to[e * lanes + s] = s < samples ? at(from, s, sample)[e] : 0;
    return;
  }
  blocks_of(n, [&](std::size_t e) HWY_ATTR {
    HWY_ALIGN float part[groups][4 * lanes];
    for (std::size_t g = 0; g < groups; ++g) {
      V v[4];
      for (std::size_t j = 0; j < 4; ++j) {
        const std::size_t s = g + groups * j;
        v[j] = s < samples ? hn::LoadU(d, at(from, s, sample) + e) : hn::Zero(d);
      }
      hn::StoreInterleaved4(v[0], v[1], v[2], v[3], d, part[g]);
    }
    weave(part, to + e * lanes);
  });
}

void from_lanes(const float* from, std::size_t n, float* to, std::ptrdiff_t sample, std::size_t samples) {
  const D d;
  if (n < lanes) {
    for (std::size_t e = 0; e < n; ++e)
      for (std::size_t s = 0; s < samples; ++s)
        at(to, s, sample)[e] = from[e * lanes + s];
    return;
  }
  blocks_of(n, [&](std::size_t e) HWY_ATTR {
    HWY_ALIGN float part[groups][4 * lanes];
    unweave(from + e * lanes, part);
    for (std::size_t g = 0; g < groups; ++g) {
      V v[4];
      hn::LoadInterleaved4(d, part[g], v[0], v[1], v[2], v[3]);
      for (std::size_t j = 0; j < 4; ++j)
        if (const std::size_t s = g + groups * j; s < samples)
          hn::StoreU(v[j], d, at(to, s, sample) + e);
    }
  });
}

void add_lanes(const float* lots, std::size_t n, float* to) {
  const D d;
  for (std::size_t i = 0; i < n; ++i) to[i] = hn::GetLane(hn::SumOfLanes(d, hn::Load(d, lots + i * lanes)));
}

template <std::size_t rows, std::size_t outputs>
HWY_NOINLINE void pixels(const LanePixels& t) {
  const D d;
  V total[rows][outputs];
  for (std::size_t o = 0; o < outputs; ++o) {
    total[0][o] = t.bias != nullptr ? hn::Set(d, t.bias[o]) : hn::Zero(d);
    for (std::size_t r = 1; r < rows; ++r) total[r][o] = total[0][o];
  }
  for (std::size_t i = 0; i < t.lines; ++i) {
    const float* x = at(t.source, i, t.line);
    const float* w = at(t.weights, i, t.weight_line);
    for (std::size_t k = 0; k < t.run; ++k, x += lanes, w += t.weight_row) {
      V row[rows];
      for (std::size_t r = 0; r < rows; ++r) row[r] = hn::Load(d, at(x, r, t.pixel));
      for (std::size_t o = 0; o < outputs; ++o) {
        const V weight = hn::Set(d, w[o]);
        for (std::size_t r = 0; r < rows; ++r) total[r][o] = hn::MulAdd(row[r], weight, total[r][o]);
      }
    }
  }
  const V zero = hn::Zero(d);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t o = 0; o < outputs; ++o) {
      V y = total[r][o];
      if (t.slope != nullptr) {
        const V low = *t.slope == 0 ? zero : hn::Mul(y, hn::Set(d, *t.slope));
        y = hn::IfThenElse(hn::Le(y, zero), low, y);
      }
      hn::Store(y, d, at(t.result, r, t.result_pixel) + o * lanes);
    }
}

template <std::size_t rows, std::size_t outputs>
HWY_NOINLINE void weights(const LaneWeights& t) {
  const D d;
  V total[rows][outputs];
  for (std::size_t k = 0; k < rows; ++k)
    for (std::size_t o = 0; o < outputs; ++o)
      total[k][o] = hn::Load(d, at(t.total, k, t.total_row) + o * lanes);
  for (std::size_t line = 0; line < t.lines; ++line) {
    const float* x = at(t.x, line, t.x_line);
    const float* dy = at(t.dy, line, t.dy_line);
    for (std::size_t p = 0; p < t.pixels; ++p, x += t.x_pixel, dy += t.dy_pixel) {
      V row[rows];
      for (std::size_t k = 0; k < rows; ++k) row[k] = hn::Load(d, x + k * lanes);
      for (std::size_t o = 0; o < outputs; ++o) {
        const V gradient = hn::Load(d, dy + o * lanes);
        for (std::size_t k = 0; k < rows; ++k) total[k][o] = hn::MulAdd(row[k], gradient, total[k][o]);
      }
    }
  }
  for (std::size_t k = 0; k < rows; ++k)
    for (std::size_t o = 0; o < outputs; ++o)
      hn::Store(total[k][o], d, at(t.total, k, t.total_row) + o * lanes);
}

// As many sums as hide the latency of two multiplications a cycle, beside what they are made of, in 32 registers.
constexpr std::size_t sums = 24, outputs = 8;

template <std::size_t o>
void add_tiles(LaneTiles& all) {
  const auto set = [&]<std::size_t... r>(std::index_sequence<r...>) {
    (..., (all.pixels[r][o - 1] = pixels<r + 1, o>));
    (..., (all.weights[r][o - 1] = weights<r + 1, o>));
  };
  set(std::make_index_sequence<LaneTiles{.sums = sums}.rows(o)>());
}

const LaneTiles* lane_table() {
  static const LaneTiles table = [] {
    LaneTiles all{.lanes = lanes, .outputs = outputs, .sums = sums, .to_lanes = to_lanes, .from_lanes = from_lanes,
                  .add_lanes = add_lanes};
    [&]<std::size_t... o>(std::index_sequence<o...>) { (..., add_tiles<o + 1>(all)); }
    (std::make_index_sequence<outputs>());
    return all;
  }();
  return &table;
}
#else
const LaneTiles* lane_table() {
  static const LaneTiles none;
  return &none;
}
#endif

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace thalweg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thalweg {
THALWEG_VARIANTS(lane_table);

const LaneTiles& lane_tiles() { return *THALWEG_CHOSEN(lane_table)(); }

}  // namespace thalweg
#endif
