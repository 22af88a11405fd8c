// SPDX-License-Identifier: Apache-2.0
// Private: elementary functions for f32 results, evaluated in double. There a short series leaves the result right to
// little more than half an ulp of f32, tails and subnormals need no care of their own, and the instruction sets agree
// but for rare last bits.
// Included inside a namespace where `hn` has Highway's vector operations: Highway itself, once for each target, or the
// recorder of a VectorTape, which gives generated code the same operations in the same order.

/// c[0] + c[1] x + … by Horner's rule.
template <class D, class V, std::size_t n>
HWY_INLINE V series(D d, V x, const double (&c)[n]) {
  V y = hn::Set(d, c[n - 1]);
  for (std::size_t i = n - 1; i-- > 0;) y = hn::MulAdd(y, x, hn::Set(d, c[i]));
  return y;
}

/// A power of two and e^r - 1 of the rest: e^x = scale · (1 + rest). |x| is taken as at most 700, beyond which no f32
/// is left anyway.
template <class V>
struct ExpParts {
  V scale;
  V rest;
};
template <class D, class V>
HWY_INLINE ExpParts<V> exp_parts(D d, V x) {
  const hn::RebindToUnsigned<D> du;
  const V at = hn::Min(hn::Max(x, hn::Set(d, -700.0)), hn::Set(d, 700.0));
  // Adding 1.5 · 2^52 leaves the nearest integer in the low bits.
  const V magic = hn::Set(d, 0x1.8p52);
  const V shifted = hn::MulAdd(at, hn::Set(d, 1.4426950408889634), magic);
  const V n = hn::Sub(shifted, magic);
  V r = hn::NegMulAdd(n, hn::Set(d, 0x1.62e42fefa0000p-1), at);
  r = hn::NegMulAdd(n, hn::Set(d, 0x1.cf79abc9e3b3ap-40), r);
  static constexpr double c[] = {1.0,        1.0 / 2,     1.0 / 6,      1.0 / 24,     1.0 / 120,
                                 1.0 / 720,  1.0 / 5040,  1.0 / 40320,  1.0 / 362880};
  const auto bits = hn::Add(hn::ShiftLeft<52>(hn::BitCast(du, shifted)), hn::Set(du, std::uint64_t{1023} << 52));
  return {hn::BitCast(d, bits), hn::Mul(r, series(d, r, c))};
}

template <class D, class V>
HWY_INLINE V exp(D d, V x) {
  const auto parts = exp_parts(d, x);
  return hn::IfThenElse(hn::IsNaN(x), x, hn::MulAdd(parts.scale, parts.rest, parts.scale));
}

template <class D, class V>
HWY_INLINE V expm1(D d, V x) {
  const auto parts = exp_parts(d, x);
  const V y = hn::MulAdd(parts.scale, parts.rest, hn::Sub(parts.scale, hn::Set(d, 1.0)));
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

/// log(u), where `small` is u - 1 exactly (used where u is near 1, and u itself may have lost it).
template <class D, class V>
HWY_INLINE V log_near(D d, V u, V small) {
  const hn::RebindToUnsigned<D> du;
  const auto root_half = hn::Set(du, std::uint64_t{0x3fe6a09e00000000});
  const auto bits = hn::BitCast(du, u);
  const auto moved = hn::Add(bits, hn::Sub(hn::Set(du, std::uint64_t{0x3ff0000000000000}), root_half));
  // The biased exponent as a double: its bits under those of 2^52.
  const V biased = hn::BitCast(d, hn::Or(hn::ShiftRight<52>(moved), hn::Set(du, std::uint64_t{0x4330000000000000})));
  const V exponent = hn::Sub(biased, hn::Set(d, 0x1p52 + 1023.0));
  const V m = hn::BitCast(d, hn::Add(hn::And(moved, hn::Set(du, std::uint64_t{0x000fffffffffffff})), root_half));
  const V f = hn::IfThenElse(hn::Eq(exponent, hn::Zero(d)), small, hn::Sub(m, hn::Set(d, 1.0)));
  // log(1 + f) = 2 atanh(s), |s| < 0.172
  const V s = hn::Div(f, hn::Add(f, hn::Set(d, 2.0)));
  static constexpr double c[] = {2.0,      2.0 / 3,  2.0 / 5,  2.0 / 7, 2.0 / 9,
                                 2.0 / 11, 2.0 / 13, 2.0 / 15, 2.0 / 17};
  const V y = hn::MulAdd(exponent, hn::Set(d, 0.6931471805599453), hn::Mul(s, series(d, hn::Mul(s, s), c)));
  const V inf = hn::Set(d, std::numeric_limits<double>::infinity());
  const V nan = hn::Set(d, std::numeric_limits<double>::quiet_NaN());
  const V edge = hn::IfThenElse(hn::Eq(u, hn::Zero(d)), hn::Neg(inf), hn::IfThenElse(hn::Eq(u, inf), inf, nan));
  return hn::IfThenElse(hn::And(hn::Gt(u, hn::Zero(d)), hn::Lt(u, inf)), y, edge);
}

template <class D, class V>
HWY_INLINE V log(D d, V x) {
  return log_near(d, x, hn::Sub(x, hn::Set(d, 1.0)));
}
template <class D, class V>
HWY_INLINE V log1p(D d, V x) {
  return log_near(d, hn::Add(x, hn::Set(d, 1.0)), x);
}

template <class D, class V>
HWY_INLINE V tanh(D d, V x) {
  const V t = expm1(d, hn::Add(hn::Abs(x), hn::Abs(x)));
  // Beyond 20, where e^2x would overflow in the quotient for x = 700, the result is 1 in f32.
  const V y = hn::Div(t, hn::Add(t, hn::Set(d, 2.0)));
  return hn::CopySign(y, x);
}

template <class D, class V>
HWY_INLINE V sigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0);
  return hn::Div(one, hn::Add(one, exp(d, hn::Neg(x))));
}

/// erfc(t) · e^(t²) for t >= 0, to 1e-13 up to t = 12: a polynomial in (t - 2.5) / (t + 2.5), over (1 + 2t) as in
/// Shepherd and Laframboise, "Chebyshev approximation of (1 + 2x) exp(x²) erfc x", 1981. Fitted here.
template <class D, class V>
HWY_INLINE V scaled_erfc(D d, V t) {
  static constexpr double c[] = {
      1.264838184366794,      -0.12235676308392193,    -0.09902453955698029,   0.15762991913749277,
      -0.10296705665286529,   0.032760890620602126,    0.0009319010996006876,  -0.00438204945279165,
      0.0004918140952620186,  0.0006319512662157677,   -8.83244618074093e-05,  -0.00011292116707679343,
      6.104070920963994e-06,  2.1501463535550746e-05,  2.3925538093348506e-06, -2.9579056760893725e-06,
      -9.04686428116753e-07};
  const V k = hn::Set(d, 2.5);
  const V q = hn::Div(hn::Sub(t, k), hn::Add(t, k));
  return hn::Div(series(d, q, c), hn::MulAdd(hn::Set(d, 2.0), t, hn::Set(d, 1.0)));
}

/// erfc(t) for t >= 0; 0 beyond 12, where f32 has nothing left.
template <class D, class V>
HWY_INLINE V erfc_positive(D d, V t) {
  const V at = hn::Min(t, hn::Set(d, 12.0));
  const V y = hn::Mul(scaled_erfc(d, at), exp(d, hn::Neg(hn::Mul(at, at))));
  return hn::IfThenElse(hn::IsNaN(t), t, hn::IfThenElse(hn::Lt(t, hn::Set(d, 12.0)), y, hn::Zero(d)));
}

template <class D, class V>
HWY_INLINE V erf(D d, V x) {
  const V t = hn::Abs(x);
  // Near zero 1 - erfc would cancel: Maclaurin's series, 2/√π Σ (-1)^k x^(2k+1) / (k! (2k+1)).
  static constexpr double c[] = {1.1283791670955126,      -0.37612638903183754,    0.11283791670955126,
                                 -0.026866170645131252,   0.005223977625442188,    -0.0008548327023450852,
                                 0.00012055332981789664,  -1.492565035840625e-05,  1.6462114365889246e-06,
                                 -1.6365844691234924e-07, 1.4807192815879218e-08};
  const V near = hn::Mul(x, series(d, hn::Mul(x, x), c));
  const V far = hn::CopySign(hn::Sub(hn::Set(d, 1.0), erfc_positive(d, t)), x);
  return hn::IfThenElse(hn::IsNaN(x), x, hn::IfThenElse(hn::Lt(t, hn::Set(d, 0.75)), near, far));
}

/// x Φ(x), by erfc on the side where 1 + erf would cancel.
template <class D, class V>
HWY_INLINE V gelu_exact(D d, V x) {
  const V half_tail = hn::Mul(hn::Set(d, 0.5), erfc_positive(d, hn::Mul(hn::Abs(x), hn::Set(d, 0.7071067811865476))));
  const V phi = hn::IfThenElse(hn::Gt(x, hn::Zero(d)), hn::Sub(hn::Set(d, 1.0), half_tail), half_tail);
  // x is minus infinity: 0 · -inf would be NaN.
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, -17.0)), hn::Neg(hn::Zero(d)), hn::Mul(x, phi));
}

/// 0.5 x (1 + tanh u) = x / (1 + e^-2u), u = √(2/π) (x + 0.044715 x³): the right side does not cancel.
template <class D, class V>
HWY_INLINE V gelu_tanh(D d, V x) {
  const V cube = hn::Mul(x, hn::Mul(x, x));
  const V u = hn::Mul(hn::Set(d, 2 * 0.7978845608028654), hn::MulAdd(hn::Set(d, 0.044715), cube, x));
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, -17.0)), hn::Neg(hn::Zero(d)), hn::Mul(x, sigmoid(d, u)));
}

template <class D, class V>
HWY_INLINE V silu(D d, V x) {
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, -600.0)), hn::Neg(hn::Zero(d)), hn::Mul(x, sigmoid(d, x)));
}

template <class D, class V>
HWY_INLINE V softplus(D d, V x) {
  const V y = hn::Add(hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, hn::Zero(d)), log1p(d, exp(d, hn::Neg(hn::Abs(x)))));
  return hn::IfThenElse(hn::IsNaN(x), x, y);
}

/// C's pow, special cases included.
template <class D, class V>
HWY_INLINE V pow(D d, V x, V y) {
  const V one = hn::Set(d, 1.0), zero = hn::Zero(d);
  const V nan = hn::Set(d, std::numeric_limits<double>::quiet_NaN());
  const V inf = hn::Set(d, std::numeric_limits<double>::infinity());
  const V size = hn::Abs(x);
  V r = exp(d, hn::Mul(y, log(d, size)));
  // An exponent as large as 2^52 is an even integer, and so is infinity.
  const auto large = hn::Ge(hn::Abs(y), hn::Set(d, 0x1p52));
  const V half = hn::Mul(y, hn::Set(d, 0.5));
  const auto whole = hn::Or(large, hn::Eq(hn::Round(y), y));
  const auto even = hn::Or(large, hn::Eq(hn::Round(half), half));
  const auto negative = hn::Lt(hn::CopySign(one, x), zero);
  r = hn::IfThenElse(hn::And(negative, hn::AndNot(even, whole)), hn::Neg(r), r);
  r = hn::IfThenElse(hn::And(hn::And(hn::Lt(x, zero), hn::Lt(size, inf)), hn::Not(whole)), nan, r);
  r = hn::IfThenElse(hn::And(hn::Eq(size, one), hn::Eq(hn::Abs(y), inf)), one, r);
  r = hn::IfThenElse(hn::Or(hn::IsNaN(x), hn::IsNaN(y)), nan, r);
  return hn::IfThenElse(hn::Or(hn::Eq(x, one), hn::Eq(y, zero)), one, r);
}
