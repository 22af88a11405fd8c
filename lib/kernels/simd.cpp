// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/simd.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "thalweg/graph/philox.h"

// Two instruction sets that no kernel here gains from.
#define HWY_DISABLED_TARGETS (HWY_AVX3_DL | HWY_SSSE3)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "thalweg/lib/kernels/simd.cpp"
#include "hwy/foreach_target.h"
//
#include "hwy/highway.h"
#include "thalweg/lib/kernels/target.h"
#include "thalweg/lib/kernels/simd_functions.h"

HWY_BEFORE_NAMESPACE();
namespace thalweg {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
#include "thalweg/lib/kernels/simd_math-inl.h"

constexpr std::size_t most_lanes = HWY_MAX_BYTES / sizeof(float), wide_lanes = HWY_MAX_BYTES / sizeof(double);

// ---------------------------------------------------------------- f32 functions

using D32 = hn::ScalableTag<float>;
using V32 = hn::Vec<D32>;
using D64 = hn::ScalableTag<double>;
using V64 = hn::Vec<D64>;
using Half32 = hn::Rebind<float, D64>;

/// Computes on f32 vectors as they are.
struct Single {
  using Tag = D32;
  static HWY_INLINE V32 load(const float* p) { return hn::LoadU(D32(), p); }
  static HWY_INLINE void store(V32 v, float* p) { hn::StoreU(v, D32(), p); }
};
/// Computes in double between f32 in memory.
struct Wide {
  using Tag = D64;
  static HWY_INLINE V64 load(const float* p) { return hn::PromoteTo(D64(), hn::LoadU(Half32(), p)); }
  static HWY_INLINE void store(V64 v, float* p) {
#if HWY_TARGET == HWY_SCALAR
    // Highway's own conversion turns infinities into the largest float here.
    *p = static_cast<float>(hn::GetLane(v));
#else
    hn::StoreU(hn::DemoteTo(Half32(), v), Half32(), p);
#endif
  }
};

/// Whole vectors only: `n` is a multiple of the lanes. Not inlined, so that rest and body run the same instructions.
template <class Lane, class F>
HWY_NOINLINE void unary_vectors(const float* a, float* out, std::size_t n, const double* p) {
  const typename Lane::Tag d;
  const F f(d, p);
  for (std::size_t i = 0; i < n; i += hn::Lanes(d)) Lane::store(f(d, Lane::load(a + i)), out + i);
}
template <class Lane, class F>
HWY_NOINLINE void binary_vectors(const float* a, const float* b, float* out, std::size_t n) {
  const typename Lane::Tag d;
  const F f;
  for (std::size_t i = 0; i < n; i += hn::Lanes(d)) Lane::store(f(d, Lane::load(a + i), Lane::load(b + i)), out + i);
}

template <class Lane, class F>
void unary(const BlockCall& call) {
  const auto* a = static_cast<const float*>(call.a);
  auto* out = static_cast<float*>(call.out);
  const std::size_t rest = call.n % hn::Lanes(typename Lane::Tag()), body = call.n - rest;
  if (body > 0) unary_vectors<Lane, F>(a, out, body, call.parameters);
  if (rest == 0) return;
  float in[most_lanes] = {}, result[most_lanes];
  std::copy_n(a + body, rest, in);
  unary_vectors<Lane, F>(in, result, hn::Lanes(typename Lane::Tag()), call.parameters);
  std::copy_n(result, rest, out + body);
}
template <class Lane, class F>
void binary(const BlockCall& call) {
  const auto* a = static_cast<const float*>(call.a);
  const auto* b = static_cast<const float*>(call.b);
  auto* out = static_cast<float*>(call.out);
  const std::size_t rest = call.n % hn::Lanes(typename Lane::Tag()), body = call.n - rest;
  if (body > 0) binary_vectors<Lane, F>(a, b, out, body);
  if (rest == 0) return;
  float in_a[most_lanes] = {}, in_b[most_lanes] = {}, result[most_lanes];
  std::copy_n(a + body, rest, in_a);
  std::copy_n(b + body, rest, in_b);
  binary_vectors<Lane, F>(in_a, in_b, result, hn::Lanes(typename Lane::Tag()));
  std::copy_n(result, rest, out + body);
}

#include "thalweg/lib/kernels/simd_functions-inl.h"

constexpr NamedBlock blocks[] = {
#define THALWEG_BLOCK(name, lane, function) {name, unary<lane, function>},
    THALWEG_UNARY_FUNCTIONS(THALWEG_BLOCK)
#undef THALWEG_BLOCK
#define THALWEG_BLOCK(name, lane, function) {name, binary<lane, function>},
    THALWEG_BINARY_FUNCTIONS(THALWEG_BLOCK)
#undef THALWEG_BLOCK
};

// ---------------------------------------------------------------- sums and maxima

constexpr std::size_t sum_lanes = 16;

HWY_INLINE double tree(double* lane) {
  const D64 d;
  std::size_t width = sum_lanes / 2;
  for (; width >= hn::Lanes(d); width /= 2)
    for (std::size_t i = 0; i < width; i += hn::Lanes(d))
      hn::StoreU(hn::Add(hn::LoadU(d, lane + i), hn::LoadU(d, lane + i + width)), d, lane + i);
  for (; width > 0; width /= 2)
    for (std::size_t i = 0; i < width; ++i) lane[i] += lane[i + width];
  return lane[0];
}

/// Adds 16 floats to 16 doubles.
HWY_INLINE void add16(const float* x, double* lane) {
  const D64 d;
  for (std::size_t i = 0; i < sum_lanes; i += hn::Lanes(d))
    hn::StoreU(hn::Add(hn::LoadU(d, lane + i), Wide::load(x + i)), d, lane + i);
}

/// Fewer than sum_lanes of them.
HWY_INLINE void add_rest(const float* x, std::size_t n, double* lane) {
#if HWY_TARGET <= HWY_AVX2  // masks leave what is beyond them unread; sums of single lanes would be waited for
  const D64 d;
  const Half32 half;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t i = 0; i < n; i += lanes) {
    const auto these = hn::MaskedLoad(hn::FirstN(half, std::min(lanes, n - i)), half, x + i);
    hn::StoreU(hn::Add(hn::LoadU(d, lane + i), hn::PromoteTo(d, these)), d, lane + i);
  }
#else
  for (std::size_t i = 0; i < n; ++i) lane[i] += static_cast<double>(x[i]);
#endif
}

double sum_f32(const float* x, std::size_t n) {
  double lane[sum_lanes] = {};
  const std::size_t body = n - n % sum_lanes;
  for (std::size_t i = 0; i < body; i += sum_lanes) add16(x + i, lane);
  add_rest(x + body, n - body, lane);
  return tree(lane);
}

double sum_f64(const double* x, std::size_t n) {
  const D64 d;
  double lane[sum_lanes] = {};
  const std::size_t body = n - n % sum_lanes;
  for (std::size_t i = 0; i < body; i += sum_lanes)
    for (std::size_t k = 0; k < sum_lanes; k += hn::Lanes(d))
      hn::StoreU(hn::Add(hn::LoadU(d, lane + k), hn::LoadU(d, x + i + k)), d, lane + k);
  for (std::size_t i = body; i < n; ++i) lane[i - body] += x[i];
  return tree(lane);
}

void add_f32(const float* x, double* total, std::size_t n) {
  const D64 d;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d))
    hn::StoreU(hn::Add(hn::LoadU(d, total + i), Wide::load(x + i)), d, total + i);
  for (; i < n; ++i) total[i] += static_cast<double>(x[i]);
}

/// `vectors` vectors of totals kept in registers over all rows.
template <std::size_t vectors>
HWY_INLINE void add_columns(const float* x, std::size_t rows, std::size_t step, double* total) {
  const D64 d;
  const std::size_t lanes = hn::Lanes(d);
  V64 sum[vectors];
  for (std::size_t v = 0; v < vectors; ++v) sum[v] = hn::Zero(d);
  for (std::size_t r = 0; r < rows; ++r, x += step)
    for (std::size_t v = 0; v < vectors; ++v) sum[v] = hn::Add(sum[v], Wide::load(x + v * lanes));
  for (std::size_t v = 0; v < vectors; ++v) hn::StoreU(sum[v], d, total + v * lanes);
}

/// Rows as short as a few vectors, one behind the other: elements are added to lanes that repeat after a whole number
/// of rows and of eights, and then the lanes of a column in ascending order.
constexpr std::size_t narrow = 32;
void add_narrow_rows(const float* x, std::size_t rows, double* total, std::size_t n) {
  const D64 d;
  double lane[8 * narrow] = {};
  const std::size_t period = std::lcm(n, std::size_t{8}), all = rows * n, body = all - all % period;
  for (std::size_t i = 0; i < body; i += period)
    for (std::size_t k = 0; k < period; k += hn::Lanes(d))
      hn::StoreU(hn::Add(hn::LoadU(d, lane + k), Wide::load(x + i + k)), d, lane + k);
  for (std::size_t i = body; i < all; ++i) lane[i - body] += static_cast<double>(x[i]);
  for (std::size_t i = 0; i < n; ++i) {
    total[i] = lane[i];
    for (std::size_t k = i + n; k < period; k += n) total[i] += lane[k];
  }
}

void add_rows_f32(const float* x, std::size_t rows, std::size_t step, double* total, std::size_t n) {
  if (step == n && n <= narrow && rows >= narrow) return add_narrow_rows(x, rows, total, n);
  // Columns of a matrix that the first-level cache does not hold are walked row by row: the same sums, in order.
  constexpr std::size_t in_cache = 8192;
  if (rows * step > in_cache) {
    std::fill_n(total, n, 0.0);
    for (std::size_t r = 0; r < rows; ++r) add_f32(x + r * step, total, n);
    return;
  }
  const std::size_t lanes = hn::Lanes(D64());
  std::size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) add_columns<4>(x + i, rows, step, total + i);
  for (; i + lanes <= n; i += lanes) add_columns<1>(x + i, rows, step, total + i);
  if (i == n) return;
  // A whole vector is read while the matrix goes on behind it, a copy with zeros at the end.
  const D64 d;
  V64 sum = hn::Zero(d);
  std::size_t r = 0;
  for (; r < rows && (rows - 1 - r) * step + n >= i + lanes; ++r) sum = hn::Add(sum, Wide::load(x + r * step + i));
  for (; r < rows; ++r) {
    float last[wide_lanes] = {};
    std::copy_n(x + r * step + i, n - i, last);
    sum = hn::Add(sum, Wide::load(last));
  }
  double lane[wide_lanes];
  hn::StoreU(sum, d, lane);
  std::copy_n(lane, n - i, total + i);
}

float max_f32(const float* x, std::size_t n) {
  const D32 d;
  const std::size_t lanes = hn::Lanes(d);
  const Larger larger;
  float best = x[0];
  std::size_t i = 0;
  if (n >= lanes) {
    V32 most = hn::LoadU(d, x);
    for (i = lanes; i + lanes <= n; i += lanes) most = larger(d, most, hn::LoadU(d, x + i));
    float lane[most_lanes];
    hn::StoreU(most, d, lane);
    best = lane[0];
    for (std::size_t k = 1; k < lanes; ++k)
      if (lane[k] > best || std::isnan(lane[k])) best = lane[k];
  }
  for (; i < n; ++i)
    if (x[i] > best || std::isnan(x[i])) best = x[i];
  return best;
}

/// 16 elements: out = exp(x - shift), added up.
HWY_NOINLINE void exp_sum16(const float* x, float shift, float* out, double* lane) {
  const D64 d;
  const V64 from = hn::Set(d, static_cast<double>(shift));
  for (std::size_t i = 0; i < sum_lanes; i += hn::Lanes(d)) {
    const V64 e = exp(d, hn::Sub(Wide::load(x + i), from));
    if (out != nullptr) Wide::store(e, out + i);
    hn::StoreU(hn::Add(hn::LoadU(d, lane + i), e), d, lane + i);
  }
}

double exp_sum_f32(const float* x, float shift, float* out, std::size_t n) {
  double lane[sum_lanes] = {};
  const std::size_t body = n - n % sum_lanes;
  for (std::size_t i = 0; i < body; i += sum_lanes) exp_sum16(x + i, shift, out == nullptr ? nullptr : out + i, lane);
  if (body < n) {
    float in[sum_lanes], result[sum_lanes];
    // exp of minus infinity: adds less than any f32 has bits for.
    std::fill(in, in + sum_lanes, -std::numeric_limits<float>::infinity());
    std::copy_n(x + body, n - body, in);
    exp_sum16(in, shift, result, lane);
    if (out != nullptr) std::copy_n(result, n - body, out + body);
  }
  return tree(lane);
}

// ---------------------------------------------------------------- random numbers

using D64u = hn::ScalableTag<std::uint64_t>;
using V64u = hn::Vec<D64u>;

#if HWY_TARGET != HWY_SCALAR
/// One word in the low half of each lane; what is in the high half does not matter.
HWY_INLINE V64u low_product(V64u x, std::uint64_t factor) {
  const hn::Repartition<std::uint32_t, D64u> halves;
  return hn::MulEven(hn::BitCast(halves, x), hn::BitCast(halves, hn::Set(D64u(), factor)));
}
#endif

void philox_first(std::uint64_t first, std::uint64_t step, const std::uint32_t* key, std::uint32_t* words,
                  std::size_t n) {
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t i = 0; i < n; ++i) words[i] = philox(philox_counter(first + i, step), {key[0], key[1]})[0];
#else
  const D64u d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t i = 0; i < n; i += lanes) {
    const V64u number = hn::Add(hn::Set(d, first + i), hn::Iota(d, 0));
    V64u c0 = number, c1 = hn::ShiftRight<32>(number), c2 = hn::Set(d, step), c3 = hn::Set(d, step >> 32);
    std::uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; ++round) {
      const V64u a = low_product(c0, 0xD2511F53), b = low_product(c2, 0xCD9E8D57);
      c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(b), c1), hn::Set(d, std::uint64_t{k0}));
      c1 = b;
      c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(a), c3), hn::Set(d, std::uint64_t{k1}));
      c3 = a;
      k0 += 0x9E3779B9;
      k1 += 0xBB67AE85;
    }
    std::uint64_t lane[HWY_MAX_BYTES / sizeof(std::uint64_t)];
    hn::StoreU(c0, d, lane);
    for (std::size_t k = 0; k < lanes && i + k < n; ++k) words[i + k] = static_cast<std::uint32_t>(lane[k]);
  }
#endif
}

// ---------------------------------------------------------------- pooling by twos

using D8 = hn::CappedTag<float, 8>;
using V8 = hn::Vec<D8>;
constexpr std::size_t lanes_of_8 = 8;

/// The four pixels of one window, for one vector of channels.
struct Pixels {
  V8 at[4];
  HWY_INLINE Pixels(const float* top, const float* bottom, std::size_t channels) {
    const D8 d;
    at[0] = hn::LoadU(d, top);
    at[1] = hn::LoadU(d, top + channels);
    at[2] = hn::LoadU(d, bottom);
    at[3] = hn::LoadU(d, bottom + channels);
  }
  HWY_INLINE V8 largest() const {
    const D8 d;
    const Larger larger;
    return larger(d, larger(d, at[0], at[1]), larger(d, at[2], at[3]));
  }
  /// Where the largest is positive, and none is NaN.
  HWY_INLINE hn::Mask<D8> has_positive() const { return hn::Gt(largest(), hn::Zero(D8())); }
  /// Gives dy to the first of the largest (or the first NaN), and zero to the others.
  HWY_INLINE void give(V8 dy, float* top, float* bottom, std::size_t channels) const {
    const D8 d;
    V8 share[4];
    // NaN, or infinities of both signs, are in one of them: rare, and told by a sum.
    const auto unclear = hn::IsNaN(hn::Add(hn::Add(at[0], at[1]), hn::Add(at[2], at[3])));
    if (HWY_LIKELY(hn::AllFalse(d, unclear))) share_out(dy, share);
    else share_in_turn(dy, share);
    hn::StoreU(share[0], d, top);
    hn::StoreU(share[1], d, top + channels);
    hn::StoreU(share[2], d, bottom);
    hn::StoreU(share[3], d, bottom + channels);
  }

 private:
  HWY_INLINE void share_out(V8 dy, V8* share) const {
    const V8 most = hn::Max(hn::Max(at[0], at[1]), hn::Max(at[2], at[3]));
    for (std::size_t k = 0; k < 3; ++k) {
      const auto wins = hn::Eq(at[k], most);
      share[k] = hn::IfThenElseZero(wins, dy);
      dy = hn::IfThenZeroElse(wins, dy);
    }
    share[3] = dy;
  }
  HWY_INLINE void share_in_turn(V8 dy, V8* share) const {
    const D8 d;
    V8 best = at[0];
    share[0] = dy;
    for (std::size_t k = 1; k < 4; ++k) {
      const auto wins = hn::Or(hn::Gt(at[k], best), hn::AndNot(hn::IsNaN(best), hn::IsNaN(at[k])));
      best = hn::IfThenElse(wins, at[k], best);
      for (std::size_t before = 0; before < k; ++before) share[before] = hn::IfThenZeroElse(wins, share[before]);
      share[k] = hn::IfThenElse(wins, dy, hn::Zero(d));
    }
  }
};

/// How many windows of a row may read and write past their channels: what lies there is of the same row, and written
/// after. None where the last vector of one pixel would overwrite the first of the next.
std::size_t reaching(std::size_t windows, std::size_t channels) {
  const std::size_t lanes = hn::Lanes(D8()), over = (lanes - channels % lanes) % lanes;
  if (over != 0 && channels > lanes) return 0;
  const std::size_t kept_back = (over + channels - 1) / channels;
  return windows > kept_back ? windows - kept_back : 0;
}
/// The pixels of one window, with room behind.
struct Corner {
  float rows[2][2 * pooled_channels + lanes_of_8];
  Corner(const float* top, const float* bottom, std::size_t channels) {
    take(top, 2 * channels, rows[0]);
    take(bottom, 2 * channels, rows[1]);
  }
  static void take(const float* from, std::size_t n, float* to) {
    std::copy_n(from, n, to);
    std::fill_n(to + n, lanes_of_8, 0.0f);
  }
};

void max_pool_2x2(const float* top, const float* bottom, float* y, std::size_t windows, std::size_t channels) {
  const D8 d;
  const std::size_t lanes = hn::Lanes(d), free = reaching(windows, channels);
  for (std::size_t w = 0; w < free; ++w, top += 2 * channels, bottom += 2 * channels, y += channels)
    for (std::size_t c = 0; c < channels; c += lanes)
      hn::StoreU(Pixels(top + c, bottom + c, channels).largest(), d, y + c);
  for (std::size_t w = free; w < windows; ++w, top += 2 * channels, bottom += 2 * channels, y += channels) {
    const Corner in(top, bottom, channels);
    float result[pooled_channels + lanes_of_8];
    for (std::size_t c = 0; c < channels; c += lanes)
      hn::StoreU(Pixels(in.rows[0] + c, in.rows[1] + c, channels).largest(), d, result + c);
    std::copy_n(result, channels, y);
  }
}

/// What a window gives: dy, or where only positive numbers let it through what they do; that is then stored too.
HWY_INLINE V8 let_through(const Pixels& pixels, const float* dy, float* gated) {
  const D8 d;
  if (gated == nullptr) return hn::LoadU(d, dy);
  const V8 given = hn::IfThenElseZero(pixels.has_positive(), hn::LoadU(d, dy));
  hn::StoreU(given, d, gated);
  return given;
}

/// One window whose vectors would reach into memory of others: in copies.
void give_in_copies(const float* top, const float* bottom, const float* dy, float* dtop, float* dbottom,
                    std::size_t channels, float* gated) {
  constexpr std::size_t room = pooled_channels + lanes_of_8;
  const Corner in(top, bottom, channels);
  float slope[room], passed[room], out[4][room];
  Corner::take(dy, channels, slope);
  for (std::size_t c = 0; c < channels; c += hn::Lanes(D8())) {
    const Pixels pixels(in.rows[0] + c, in.rows[1] + c, channels);
    pixels.give(let_through(pixels, slope + c, gated == nullptr ? nullptr : passed + c), out[0] + c, out[2] + c, room);
  }
  if (gated != nullptr) std::copy_n(passed, channels, gated);
  std::copy_n(out[0], channels, dtop);
  std::copy_n(out[1], channels, dtop + channels);
  std::copy_n(out[2], channels, dbottom);
  std::copy_n(out[3], channels, dbottom + channels);
}

void max_pool_2x2_backward(const float* top, const float* bottom, const float* dy, float* dtop, float* dbottom,
                           std::size_t windows, std::size_t channels, float* gated) {
  const std::size_t lanes = hn::Lanes(D8()), free = reaching(windows, channels);
  for (std::size_t w = 0; w < windows; ++w) {
    if (w >= free) {
      give_in_copies(top, bottom, dy, dtop, dbottom, channels, gated);
    } else {
      for (std::size_t c = 0; c < channels; c += lanes) {
        const Pixels pixels(top + c, bottom + c, channels);
        const V8 given = let_through(pixels, dy + c, gated == nullptr ? nullptr : gated + c);
        pixels.give(given, dtop + c, dbottom + c, channels);
      }
    }
    top += 2 * channels;
    bottom += 2 * channels;
    dy += channels;
    dtop += 2 * channels;
    dbottom += 2 * channels;
    if (gated != nullptr) gated += channels;
  }
}

// ---------------------------------------------------------------- cross entropy

using VHalf = hn::Vec<Half32>;
/// A whole vector of rows of a few classes, and a vector for each class; false for other numbers of classes.
HWY_INLINE bool load_rows(const float* from, std::size_t classes, VHalf* to) {
  const Half32 half;
  switch (classes) {
    case 2: hn::LoadInterleaved2(half, from, to[0], to[1]); return true;
    case 3: hn::LoadInterleaved3(half, from, to[0], to[1], to[2]); return true;
    case 4: hn::LoadInterleaved4(half, from, to[0], to[1], to[2], to[3]); return true;
    default: return false;
  }
}
HWY_INLINE void store_rows(const VHalf* from, std::size_t classes, float* to) {
  const Half32 half;
  switch (classes) {
    case 2: return hn::StoreInterleaved2(from[0], from[1], half, to);
    case 3: return hn::StoreInterleaved3(from[0], from[1], from[2], half, to);
    default: return hn::StoreInterleaved4(from[0], from[1], from[2], from[3], half, to);
  }
}

/// Up to a vector of rows; lanes without a row repeat the last one.
HWY_NOINLINE void cross_entropy_rows(const CrossEntropyRows& c, std::size_t first, std::size_t rows) {
  const D64 d;
  const Half32 half;
  const hn::RebindToSigned<Half32> indices;
  const hn::RebindToSigned<D64> whole;
  const std::size_t lanes = hn::Lanes(d), classes = c.classes;
  HWY_ALIGN double logit[cross_entropy_classes * wide_lanes], exponential[cross_entropy_classes * wide_lanes];
  const auto number = [](std::size_t n) { return static_cast<std::int32_t>(n); };
  const auto row = hn::Min(hn::Iota(indices, 0), hn::Set(indices, number(rows - 1)));
  const auto place = hn::Mul(row, hn::Set(indices, number(classes)));
  const V64 zero = hn::Zero(d), one = hn::Set(d, 1.0);
  const auto x = [&](std::size_t k) HWY_ATTR { return hn::LoadU(d, logit + k * lanes); };
  const auto e = [&](std::size_t k) HWY_ATTR { return hn::LoadU(d, exponential + k * lanes); };
  const Larger larger;
  VHalf few[4];
  const float* const from = c.x + first * classes;
  const bool whole_rows = rows == lanes && load_rows(from, classes, few);
  const auto loaded = [&](std::size_t k) HWY_ATTR {
    return hn::PromoteTo(d, whole_rows ? few[k] : hn::GatherIndex(half, from + k, place));
  };
  V64 largest = loaded(0);
  hn::StoreU(largest, d, logit);
  for (std::size_t k = 1; k < classes; ++k) {
    const V64 other = loaded(k);
    hn::StoreU(other, d, logit + k * lanes);
    largest = larger(d, largest, other);
  }
  for (std::size_t k = 0; k < classes; ++k)
    hn::StoreU(exp(d, hn::Sub(x(k), largest)), d, exponential + k * lanes);
  // The first largest logit's own term is exactly 1, and keeping it apart keeps a loss near zero exact. (Infinity less
  // infinity is not 0: no term is then 1.)
  // One by one, as they were written just before: a vector of them would have to wait for all these writes.
  const auto labels =
      hn::GatherIndex(whole, c.labels + first, hn::Min(hn::Iota(whole, 0), hn::Set(whole, number(rows - 1))));
  const auto is_label = [&](std::size_t k) HWY_ATTR {
    return hn::RebindMask(d, hn::Eq(labels, hn::Set(whole, static_cast<std::int64_t>(k))));
  };
  V64 others = hn::Sub(largest, largest), at = hn::Set(d, -1.0), at_label = zero;
  for (std::size_t k = 0; k < classes; ++k) {
    const auto is_first = hn::And(hn::Eq(x(k), largest), hn::Lt(at, zero));
    at = hn::IfThenElse(is_first, hn::Set(d, static_cast<double>(k)), at);
    at_label = hn::IfThenElse(is_label(k), x(k), at_label);
    others = hn::Add(others, hn::IfThenZeroElse(is_first, e(k)));
  }
  if (c.dx != nullptr) {
    const V64 part = hn::Div(one, hn::Add(others, one));
    const V64 slope = c.dy_step == 0 ? hn::Set(d, static_cast<double>(*c.dy))
                                     : hn::PromoteTo(d, hn::GatherIndex(half, c.dy + first, row));
    for (std::size_t k = 0; k < classes; ++k) {
      const V64 share = hn::Mul(e(k), part);
      // Softmax less one at the label; where that is the largest, without the cancellation.
      const auto is_largest = hn::Eq(at, hn::Set(d, static_cast<double>(k)));
      const V64 less_one = hn::IfThenElse(is_largest, hn::Neg(hn::Mul(others, part)), hn::Sub(share, one));
      const auto slope_here = hn::DemoteTo(half, hn::Mul(hn::IfThenElse(is_label(k), less_one, share), slope));
      if (whole_rows) few[k] = slope_here;
      else hn::ScatterIndex(slope_here, half, c.dx + first * classes + k, place);
    }
    if (whole_rows) store_rows(few, classes, c.dx + first * classes);
  }
  if (c.loss == nullptr) return;
  HWY_ALIGN float result[wide_lanes];
  float* const to = rows == lanes ? c.loss + first : result;
  Wide::store(hn::Add(log1p(d, others), hn::Sub(largest, at_label)), to);
  if (rows < lanes) std::copy_n(result, rows, c.loss + first);
}

void cross_entropy_f32(const CrossEntropyRows& c) {
  const std::size_t lanes = hn::Lanes(D64());
  if (c.rows < lanes) return cross_entropy_rows(c, 0, c.rows);
  // The last rows are a whole vector too, some of them for the second time.
  for (std::size_t row = 0; row < c.rows; row += lanes) cross_entropy_rows(c, std::min(row, c.rows - lanes), lanes);
}

// ---------------------------------------------------------------- small matrix products

/// `rows` rows of a times a panel of b that is `vectors` vectors wide, stored or added to c.
template <class T, std::size_t rows, std::size_t vectors>
HWY_NOINLINE void tile(std::size_t depth, Panel<const T> a, const T* b, std::ptrdiff_t b_row, bool add, T* c,
                       std::ptrdiff_t c_row) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<hn::ScalableTag<T>>;
  const std::size_t lanes = hn::Lanes(d);
  V total[rows][vectors];
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < vectors; ++j)
      total[i][j] = add ? hn::LoadU(d, c + static_cast<std::ptrdiff_t>(i) * c_row + j * lanes) : hn::Zero(d);
  for (std::size_t k = 0; k < depth; ++k) {
    V row[vectors];
    for (std::size_t j = 0; j < vectors; ++j) row[j] = hn::LoadU(d, b + j * lanes);
    const T* column = a.data + static_cast<std::ptrdiff_t>(k) * a.column;
    for (std::size_t i = 0; i < rows; ++i) {
      const V x = hn::Set(d, column[static_cast<std::ptrdiff_t>(i) * a.row]);
      for (std::size_t j = 0; j < vectors; ++j) total[i][j] = hn::MulAdd(x, row[j], total[i][j]);
    }
    b += b_row;
  }
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < vectors; ++j)
      hn::StoreU(total[i][j], d, c + static_cast<std::ptrdiff_t>(i) * c_row + j * lanes);
}

template <class T>
using Tile = void (*)(std::size_t, Panel<const T>, const T*, std::ptrdiff_t, bool, T*, std::ptrdiff_t);
constexpr std::size_t tile_rows = 4;
template <class T, std::size_t vectors>
constexpr Tile<T> tiles[tile_rows] = {tile<T, 1, vectors>, tile<T, 2, vectors>, tile<T, 3, vectors>,
                                      tile<T, 4, vectors>};

template <class T, std::size_t vectors>
void columns(std::size_t m, std::size_t n, std::size_t k, Panel<const T> a, Panel<const T> b, T* c,
             std::ptrdiff_t c_row, T* room) {
  const std::size_t width = vectors * hn::Lanes(hn::ScalableTag<T>());
  T edge[tile_rows * 2 * HWY_MAX_BYTES / sizeof(T)];
  for (std::size_t from = 0; from < k; from += matmul_depth) {
    const std::size_t depth = std::min(matmul_depth, k - from);
    const bool add = from > 0;
    const T* panel = b.data + static_cast<std::ptrdiff_t>(from) * b.row;
    std::ptrdiff_t panel_row = b.row;
    if (n < width || b.column != 1) {
      for (std::size_t r = 0; r < depth; ++r)
        for (std::size_t j = 0; j < width; ++j)
          room[r * width + j] =
              j < n ? panel[static_cast<std::ptrdiff_t>(r) * b.row + static_cast<std::ptrdiff_t>(j) * b.column] : T{0};
      panel = room;
      panel_row = static_cast<std::ptrdiff_t>(width);
    }
    for (std::size_t i = 0; i < m; i += tile_rows) {
      const std::size_t rows = std::min(tile_rows, m - i);
      const Panel<const T> part{a.data + static_cast<std::ptrdiff_t>(i) * a.row +
                                    static_cast<std::ptrdiff_t>(from) * a.column, a.row, a.column};
      T* to = c + static_cast<std::ptrdiff_t>(i) * c_row;
      // Always the four-row tile where there are four rows, and the same arithmetic for each row in all of them.
      if (n >= width) {
        tiles<T, vectors>[rows - 1](depth, part, panel, panel_row, add, to, c_row);
        continue;
      }
      for (std::size_t r = 0; add && r < rows; ++r)
        std::copy_n(to + static_cast<std::ptrdiff_t>(r) * c_row, n, edge + r * width);
      for (std::size_t r = 0; add && r < rows; ++r) std::fill(edge + r * width + n, edge + (r + 1) * width, T{0});
      tiles<T, vectors>[rows - 1](depth, part, panel, panel_row, add, edge, static_cast<std::ptrdiff_t>(width));
      for (std::size_t r = 0; r < rows; ++r)
        std::copy_n(edge + r * width, n, to + static_cast<std::ptrdiff_t>(r) * c_row);
    }
  }
}

template <class T>
void matmul(std::size_t m, std::size_t n, std::size_t k, Panel<const T> a, Panel<const T> b, T* c,
            std::ptrdiff_t c_row, T* room) {
  const std::size_t lanes = hn::Lanes(hn::ScalableTag<T>());
  std::size_t j = 0;
  while (j < n) {
    const Panel<const T> part{b.data + static_cast<std::ptrdiff_t>(j) * b.column, b.row, b.column};
    const std::size_t left = n - j;
    if (left > lanes) {
      columns<T, 2>(m, std::min(left, 2 * lanes), k, a, part, c + j, c_row, room);
      j += 2 * lanes;
    } else {
      columns<T, 1>(m, left, k, a, part, c + j, c_row, room);
      j += lanes;
    }
  }
}

const SimdTable* table() {
  static constexpr SimdTable here{
      .target = "", .blocks = blocks, .matmul_f32 = matmul<float>, .matmul_f64 = matmul<double>,
      .sum_f32 = sum_f32, .sum_f64 = sum_f64, .add_f32 = add_f32, .add_rows_f32 = add_rows_f32, .max_f32 = max_f32,
      .exp_sum_f32 = exp_sum_f32, .cross_entropy_f32 = cross_entropy_f32, .philox_first = philox_first,
      .max_pool_2x2 = max_pool_2x2, .max_pool_2x2_backward = max_pool_2x2_backward};
  static const SimdTable named = [] {
    SimdTable t = here;
    t.target = hwy::TargetName(HWY_TARGET);
    return t;
  }();
  return &named;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace thalweg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thalweg {
THALWEG_VARIANTS(table);

const SimdTable& simd() { return *THALWEG_CHOSEN(table)(); }

BlockFunction simd_block(std::string_view name) {
  for (const NamedBlock& block : simd().blocks)
    if (block.name == name) return block.function;
  return nullptr;
}

}  // namespace thalweg
#endif
