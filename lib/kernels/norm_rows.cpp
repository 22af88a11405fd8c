// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/norm_rows.h"

#include <type_traits>

// Two instruction sets that no kernel here gains from.
#define HWY_DISABLED_TARGETS (HWY_AVX3_DL | HWY_SSSE3)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "thalweg/lib/kernels/norm_rows.cpp"
#include "hwy/foreach_target.h"
//
#include "hwy/highway.h"
#include "thalweg/lib/kernels/target.h"

HWY_BEFORE_NAMESPACE();
namespace thalweg {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D64 = hn::ScalableTag<double>;
using Half32 = hn::Rebind<float, D64>;

/// A vector of channels.
struct Vector {
  using V = hn::Vec<D64>;
  static HWY_INLINE std::size_t lanes() { return hn::Lanes(D64()); }
  static HWY_INLINE V read(const float* p) { return hn::PromoteTo(D64(), hn::LoadU(Half32(), p)); }
  static HWY_INLINE V read(const double* p) { return hn::LoadU(D64(), p); }
  static HWY_INLINE void write(V v, double* p) { hn::StoreU(v, D64(), p); }
  static HWY_INLINE void write(V v, float* p) {
#if HWY_TARGET == HWY_SCALAR
    // Highway's own conversion turns infinities into the largest float here.
    *p = static_cast<float>(hn::GetLane(v));
#else
    hn::StoreU(hn::DemoteTo(Half32(), v), Half32(), p);
#endif
  }
  static HWY_INLINE V zero() { return hn::Zero(D64()); }
  static HWY_INLINE V add(V a, V b) { return hn::Add(a, b); }
  static HWY_INLINE V sub(V a, V b) { return hn::Sub(a, b); }
  static HWY_INLINE V mul(V a, V b) { return hn::Mul(a, b); }
  static HWY_INLINE V mul_add(V a, V b, V c) { return hn::MulAdd(a, b, c); }
  static HWY_INLINE V number(double x) { return hn::Set(D64(), x); }
  static HWY_INLINE V relu(V v) { return hn::IfThenZeroElse(hn::Le(v, zero()), v); }
  static HWY_INLINE V where_positive(V gate, V v) { return hn::IfThenElseZero(hn::Gt(gate, zero()), v); }
  template <class T>
  static HWY_INLINE V rounded(V v) {
    if constexpr (std::is_same_v<T, double>) return v;
#if HWY_TARGET == HWY_SCALAR
    else return hn::Set(D64(), static_cast<double>(static_cast<float>(hn::GetLane(v))));
#else
    else return hn::PromoteTo(D64(), hn::DemoteTo(Half32(), v));
#endif
  }
};
/// One channel: what is left of a row behind its vectors.
struct One {
  using V = double;
  static constexpr std::size_t lanes() { return 1; }
  static HWY_INLINE V read(const float* p) { return static_cast<double>(*p); }
  static HWY_INLINE V read(const double* p) { return *p; }
  static HWY_INLINE void write(V v, double* p) { *p = v; }
  static HWY_INLINE void write(V v, float* p) { *p = static_cast<float>(v); }
  static HWY_INLINE V zero() { return 0; }
  static HWY_INLINE V add(V a, V b) { return a + b; }
  static HWY_INLINE V sub(V a, V b) { return a - b; }
  static HWY_INLINE V mul(V a, V b) { return a * b; }
  static HWY_INLINE V mul_add(V a, V b, V c) { return a * b + c; }
  static HWY_INLINE V number(double x) { return x; }
  static HWY_INLINE V relu(V v) { return v <= 0 ? 0 : v; }
  static HWY_INLINE V where_positive(V gate, V v) { return gate > 0 ? v : 0; }
  template <class T>
  static HWY_INLINE V rounded(V v) {
    return static_cast<V>(static_cast<T>(v));
  }
};

/// Calls f.of<Lane, vectors>(k) for the channels from k on, as many vectors at once as the registers hold.
template <class F>
HWY_INLINE void each_channels(std::size_t channels, const F& f) {
  const std::size_t lanes = Vector::lanes();
  std::size_t k = 0;
  for (; k + 4 * lanes <= channels; k += 4 * lanes) f.template of<Vector, 4>(k);
  for (; k + 2 * lanes <= channels; k += 2 * lanes) f.template of<Vector, 2>(k);
  for (; k + lanes <= channels; k += lanes) f.template of<Vector, 1>(k);
  for (; k < channels; ++k) f.template of<One, 1>(k);
}

template <class Lane, std::size_t n>
struct Columns {
  typename Lane::V v[n];
  static HWY_INLINE Columns read(const double* p) {
    Columns c;
    for (std::size_t i = 0; i < n; ++i) c.v[i] = Lane::read(p + i * Lane::lanes());
    return c;
  }
  static HWY_INLINE Columns zero() {
    Columns c;
    for (std::size_t i = 0; i < n; ++i) c.v[i] = Lane::zero();
    return c;
  }
  HWY_INLINE void write(double* p) const {
    for (std::size_t i = 0; i < n; ++i) Lane::write(v[i], p + i * Lane::lanes());
  }
};

template <class T>
struct Moments {
  const NormRows<T>& in;
  double *mean, *squares;
  template <class Lane, std::size_t n>
  HWY_INLINE void of(std::size_t k) const {
    auto sum = Columns<Lane, n>::zero();
    const T* x = in.x + k;
    for (std::size_t r = 0; r < in.rows; ++r, x += in.channels)
      for (std::size_t i = 0; i < n; ++i) sum.v[i] = Lane::add(sum.v[i], Lane::read(x + i * Lane::lanes()));
    const auto share = Lane::number(1.0 / static_cast<double>(in.rows));
    for (std::size_t i = 0; i < n; ++i) sum.v[i] = Lane::mul(sum.v[i], share);
    sum.write(mean + k);
    auto total = Columns<Lane, n>::zero();
    x = in.x + k;
    for (std::size_t r = 0; r < in.rows; ++r, x += in.channels)
      for (std::size_t i = 0; i < n; ++i) {
        const auto distance = Lane::sub(Lane::read(x + i * Lane::lanes()), sum.v[i]);
        total.v[i] = Lane::mul_add(distance, distance, total.v[i]);
      }
    total.write(squares + k);
  }
};

template <class T, bool adds, bool relu>
struct Normalize {
  const NormRows<T>& in;
  const double *mean, *scale, *shift;
  const T* added;
  T* y;
  template <class Lane, std::size_t n>
  HWY_INLINE void of(std::size_t k) const {
    using C = Columns<Lane, n>;
    const C m = C::read(mean + k), a = C::read(scale + k), b = C::read(shift + k);
    for (std::size_t at = k, r = 0; r < in.rows; ++r, at += in.channels)
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t j = at + i * Lane::lanes();
        auto v = Lane::mul_add(Lane::sub(Lane::read(in.x + j), m.v[i]), a.v[i], b.v[i]);
        // The sum of two rounded numbers in double, rounded when it is stored, is their sum in T.
        if constexpr (adds) v = Lane::add(Lane::template rounded<T>(v), Lane::read(added + j));
        if constexpr (relu) v = Lane::relu(v);
        Lane::write(v, y + j);
      }
  }
};

/// How the gradient is read.
enum class Reads { plain, gated, gated_sum };
template <class Lane, Reads reads, class T>
HWY_INLINE typename Lane::V slope_at(const NormSlope<T>& slope, std::size_t j) {
  auto g = Lane::read(slope.dy + j);
  if constexpr (reads == Reads::gated_sum) g = Lane::template rounded<T>(Lane::add(g, Lane::read(slope.more + j)));
  if constexpr (reads != Reads::plain) g = Lane::where_positive(Lane::read(slope.gate + j), g);
  return g;
}

template <class T, Reads reads, bool stores>
struct Sums {
  const NormRows<T>& in;
  const NormSlope<T>& slope;
  const double* mean;
  T* gated;
  double *products, *sums;
  template <class Lane, std::size_t n>
  HWY_INLINE void of(std::size_t k) const {
    using C = Columns<Lane, n>;
    const C m = C::read(mean + k);
    C product = C::zero(), sum = C::zero();
    for (std::size_t at = k, r = 0; r < in.rows; ++r, at += in.channels)
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t j = at + i * Lane::lanes();
        const auto g = slope_at<Lane, reads>(slope, j);
        if constexpr (stores) Lane::write(g, gated + j);
        product.v[i] = Lane::mul_add(g, Lane::sub(Lane::read(in.x + j), m.v[i]), product.v[i]);
        sum.v[i] = Lane::add(sum.v[i], g);
      }
    product.write(products + k);
    sum.write(sums + k);
  }
};

template <class T, Reads reads>
struct Backward {
  const NormRows<T>& in;
  const NormSlope<T>& from;
  const double *mean, *scale, *slope, *shift;
  T* dx;
  template <class Lane, std::size_t n>
  HWY_INLINE void of(std::size_t k) const {
    using C = Columns<Lane, n>;
    const C m = C::read(mean + k), a = C::read(scale + k), b = C::read(slope + k), c = C::read(shift + k);
    for (std::size_t at = k, r = 0; r < in.rows; ++r, at += in.channels)
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t j = at + i * Lane::lanes();
        const auto u = Lane::mul_add(Lane::sub(Lane::read(in.x + j), m.v[i]), b.v[i], c.v[i]);
        Lane::write(Lane::mul_add(slope_at<Lane, reads>(from, j), a.v[i], u), dx + j);
      }
  }
};

template <class T>
void moments(const NormRows<T>& in, double* mean, double* squares) {
  each_channels(in.channels, Moments<T>{in, mean, squares});
}
template <class T>
void normalize(const NormRows<T>& in, const double* mean, const double* scale, const double* shift,
               const NormEnd<T>& end, T* y) {
  const auto run = [&](auto adds, auto relu) HWY_ATTR {
    each_channels(in.channels, Normalize<T, adds.value, relu.value>{in, mean, scale, shift, end.added, y});
  };
  using std::false_type, std::true_type;
  if (end.added != nullptr && end.relu) return run(true_type(), true_type());
  if (end.added != nullptr) return run(true_type(), false_type());
  if (end.relu) return run(false_type(), true_type());
  run(false_type(), false_type());
}

/// Calls f with how the slope is read, as a constant.
template <class T, class F>
HWY_INLINE void with_reads(const NormSlope<T>& slope, F f) {
  if (slope.more != nullptr) return f(std::integral_constant<Reads, Reads::gated_sum>());
  if (slope.gate != nullptr) return f(std::integral_constant<Reads, Reads::gated>());
  f(std::integral_constant<Reads, Reads::plain>());
}
template <class T>
void sums(const NormRows<T>& in, const NormSlope<T>& slope, const double* mean, T* gated, double* products,
          double* totals) {
  with_reads(slope, [&](auto reads) HWY_ATTR {
    using Plain = Sums<T, reads.value, false>;
    using Storing = Sums<T, reads.value, true>;
    if (gated == nullptr) each_channels(in.channels, Plain{in, slope, mean, gated, products, totals});
    else each_channels(in.channels, Storing{in, slope, mean, gated, products, totals});
  });
}
template <class T>
void backward(const NormRows<T>& in, const NormSlope<T>& from, const double* mean, const double* scale,
              const double* slope, const double* shift, T* dx) {
  with_reads(from, [&](auto reads) HWY_ATTR {
    each_channels(in.channels, Backward<T, reads.value>{in, from, mean, scale, slope, shift, dx});
  });
}

template <class T>
const NormTable<T>* table_of() {
  static constexpr NormTable<T> table{moments<T>, normalize<T>, sums<T>, backward<T>};
  return &table;
}
const NormTable<float>* table_f32() { return table_of<float>(); }
const NormTable<double>* table_f64() { return table_of<double>(); }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace thalweg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thalweg {
THALWEG_VARIANTS(table_f32);
THALWEG_VARIANTS(table_f64);

template <>
const NormTable<float>& norm_rows<float>() { return *THALWEG_CHOSEN(table_f32)(); }
template <>
const NormTable<double>& norm_rows<double>() { return *THALWEG_CHOSEN(table_f64)(); }

}  // namespace thalweg
#endif
