// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/simd.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

// Two instruction sets that no kernel here gains from.
#define HWY_DISABLED_TARGETS (HWY_AVX3_DL | HWY_SSSE3)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "thalweg/lib/kernels/simd.cpp"
#include "hwy/foreach_target.h"
//
#include "hwy/highway.h"
#include "thalweg/lib/kernels/simd_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace thalweg {
namespace HWY_NAMESPACE {
namespace {

constexpr std::size_t most_lanes = HWY_MAX_BYTES / sizeof(float);

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

/// A function of x without numbers of its own.
#define THALWEG_FUNCTION(Name, expression)                 \
  struct Name {                                            \
    template <class D>                                     \
    HWY_INLINE Name(D, const double*) {}                   \
    template <class D, class V>                            \
    HWY_INLINE V operator()([[maybe_unused]] D d, V x) const { \
      return expression;                                   \
    }                                                      \
  };
THALWEG_FUNCTION(Negate, hn::Neg(x))
THALWEG_FUNCTION(Absolute, hn::Abs(x))
THALWEG_FUNCTION(Square, hn::Mul(x, x))
THALWEG_FUNCTION(Root, hn::Sqrt(x))
THALWEG_FUNCTION(InverseRoot, hn::Div(hn::Set(d, 1.0), hn::Sqrt(x)))
THALWEG_FUNCTION(Exponential, exp(d, x))
THALWEG_FUNCTION(ExponentialLess1, expm1(d, x))
THALWEG_FUNCTION(Logarithm, log(d, x))
THALWEG_FUNCTION(LogarithmOf1More, log1p(d, x))
THALWEG_FUNCTION(HyperbolicTangent, tanh(d, x))
THALWEG_FUNCTION(Sigmoid, sigmoid(d, x))
THALWEG_FUNCTION(ErrorFunction, erf(d, x))
THALWEG_FUNCTION(GeluExact, gelu_exact(d, x))
THALWEG_FUNCTION(GeluTanh, gelu_tanh(d, x))
THALWEG_FUNCTION(Silu, silu(d, x))
THALWEG_FUNCTION(Softplus, softplus(d, x))
// Written so that NaN comes through.
THALWEG_FUNCTION(Relu, hn::IfThenElse(hn::Le(x, hn::Zero(d)), hn::Zero(d), x))
THALWEG_FUNCTION(Sign, hn::IfThenElse(hn::Or(hn::Eq(x, hn::Zero(d)), hn::IsNaN(x)), x, hn::CopySign(hn::Set(d, 1.0f), x)))
#undef THALWEG_FUNCTION

struct LeakyRelu {
  V32 slope;
  HWY_INLINE LeakyRelu(D32 d, const double* p) : slope(hn::Set(d, static_cast<float>(p[0]))) {}
  HWY_INLINE V32 operator()(D32 d, V32 x) const {
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, hn::Mul(x, slope));
  }
};
struct Elu {
  V64 alpha;
  HWY_INLINE Elu(D64 d, const double* p) : alpha(hn::Set(d, p[0])) {}
  HWY_INLINE V64 operator()(D64 d, V64 x) const {
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, hn::Mul(alpha, expm1(d, x)));
  }
};
struct Clip {
  V32 low, high;
  HWY_INLINE Clip(D32 d, const double* p)
      : low(hn::Set(d, static_cast<float>(p[0]))), high(hn::Set(d, static_cast<float>(p[1]))) {}
  HWY_INLINE V32 operator()(D32, V32 x) const {
    const V32 raised = hn::IfThenElse(hn::Lt(x, low), low, x);
    return hn::IfThenElse(hn::Gt(raised, high), high, raised);
  }
};

#define THALWEG_FUNCTION(Name, expression)                      \
  struct Name {                                                 \
    template <class D, class V>                                 \
    HWY_INLINE V operator()([[maybe_unused]] D d, V a, V b) const { \
      return expression;                                        \
    }                                                           \
  };
THALWEG_FUNCTION(Sum, hn::Add(a, b))
THALWEG_FUNCTION(Difference, hn::Sub(a, b))
THALWEG_FUNCTION(Product, hn::Mul(a, b))
THALWEG_FUNCTION(Quotient, hn::Div(a, b))
// A NaN on either side is the result: a, if a is one; else b, to which no comparison is true.
THALWEG_FUNCTION(Larger, hn::IfThenElse(hn::Or(hn::Gt(a, b), hn::IsNaN(a)), a, b))
THALWEG_FUNCTION(Smaller, hn::IfThenElse(hn::Or(hn::Lt(a, b), hn::IsNaN(a)), a, b))
THALWEG_FUNCTION(Power, pow(d, a, b))
THALWEG_FUNCTION(ProductWithoutNaN, hn::IfThenZeroElse(hn::Eq(a, hn::Zero(d)), hn::Mul(a, b)))
#undef THALWEG_FUNCTION

constexpr NamedBlock blocks[] = {
    {"add", binary<Single, Sum>},
    {"sub", binary<Single, Difference>},
    {"mul", binary<Single, Product>},
    {"div", binary<Single, Quotient>},
    {"max", binary<Single, Larger>},
    {"min", binary<Single, Smaller>},
    {"pow", binary<Wide, Power>},
    {"mul_no_nan", binary<Single, ProductWithoutNaN>},
    {"neg", unary<Single, Negate>},
    {"abs", unary<Single, Absolute>},
    {"square", unary<Single, Square>},
    {"sqrt", unary<Single, Root>},
    {"rsqrt", unary<Wide, InverseRoot>},
    {"exp", unary<Wide, Exponential>},
    {"expm1", unary<Wide, ExponentialLess1>},
    {"log", unary<Wide, Logarithm>},
    {"log1p", unary<Wide, LogarithmOf1More>},
    {"tanh", unary<Wide, HyperbolicTangent>},
    {"sigmoid", unary<Wide, Sigmoid>},
    {"erf", unary<Wide, ErrorFunction>},
    {"gelu", unary<Wide, GeluExact>},
    {"gelu_tanh", unary<Wide, GeluTanh>},
    {"silu", unary<Wide, Silu>},
    {"softplus", unary<Wide, Softplus>},
    {"relu", unary<Single, Relu>},
    {"sign", unary<Single, Sign>},
    {"leaky_relu", unary<Single, LeakyRelu>},
    {"elu", unary<Wide, Elu>},
    {"clip", unary<Single, Clip>},
};

// ---------------------------------------------------------------- sums and maxima

constexpr std::size_t sum_lanes = 16;

HWY_INLINE double tree(double* lane) {
  for (std::size_t width = sum_lanes / 2; width > 0; width /= 2)
    for (std::size_t i = 0; i < width; ++i) lane[i] += lane[i + width];
  return lane[0];
}

/// Adds 16 floats to 16 doubles.
HWY_INLINE void add16(const float* x, double* lane) {
  const D64 d;
  for (std::size_t i = 0; i < sum_lanes; i += hn::Lanes(d))
    hn::StoreU(hn::Add(hn::LoadU(d, lane + i), Wide::load(x + i)), d, lane + i);
}

double sum_f32(const float* x, std::size_t n) {
  double lane[sum_lanes] = {};
  const std::size_t body = n - n % sum_lanes;
  for (std::size_t i = 0; i < body; i += sum_lanes) add16(x + i, lane);
  for (std::size_t i = body; i < n; ++i) lane[i - body] += static_cast<double>(x[i]);
  return tree(lane);
}

void add_f32(const float* x, double* total, std::size_t n) {
  const D64 d;
  std::size_t i = 0;
  for (; i + hn::Lanes(d) <= n; i += hn::Lanes(d))
    hn::StoreU(hn::Add(hn::LoadU(d, total + i), Wide::load(x + i)), d, total + i);
  for (; i < n; ++i) total[i] += static_cast<double>(x[i]);
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
      .sum_f32 = sum_f32, .add_f32 = add_f32, .max_f32 = max_f32, .exp_sum_f32 = exp_sum_f32};
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
HWY_EXPORT(table);

const SimdTable& simd() { return *HWY_DYNAMIC_DISPATCH(table)(); }

BlockFunction simd_block(std::string_view name) {
  for (const NamedBlock& block : simd().blocks)
    if (block.name == name) return block.function;
  return nullptr;
}

}  // namespace thalweg
#endif
