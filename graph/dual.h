// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <numbers>

namespace thalweg {

/// A number and its derivative along one direction: exact forward-mode differentiation of the meaning of an op.
/// Comparisons look at the value only.
struct Dual {
  double v = 0;
  double d = 0;

  constexpr Dual() = default;
  constexpr Dual(double value) : v(value) {}  // NOLINT: literals mix freely with duals in a meaning
  constexpr Dual(double value, double tangent) : v(value), d(tangent) {}

  Dual& operator+=(Dual o) { return *this = {v + o.v, d + o.d}; }
  Dual& operator-=(Dual o) { return *this = {v - o.v, d - o.d}; }
  Dual& operator*=(Dual o) { return *this = {v * o.v, d * o.v + v * o.d}; }
  Dual& operator/=(Dual o) { return *this = {v / o.v, (d - v / o.v * o.d) / o.v}; }
  friend Dual operator+(Dual a, Dual b) { return a += b; }
  friend Dual operator-(Dual a, Dual b) { return a -= b; }
  friend Dual operator*(Dual a, Dual b) { return a *= b; }
  friend Dual operator/(Dual a, Dual b) { return a /= b; }
  friend Dual operator-(Dual a) { return {-a.v, -a.d}; }
  friend bool operator<(Dual a, Dual b) { return a.v < b.v; }
  friend bool operator>(Dual a, Dual b) { return a.v > b.v; }
  friend bool operator<=(Dual a, Dual b) { return a.v <= b.v; }
  friend bool operator>=(Dual a, Dual b) { return a.v >= b.v; }
  friend bool operator==(Dual a, Dual b) { return a.v == b.v; }
  friend bool operator!=(Dual a, Dual b) { return a.v != b.v; }
};

inline double value_of(double x) { return x; }
inline double value_of(Dual x) { return x.v; }

inline Dual sqrt(Dual a) { const double r = std::sqrt(a.v); return {r, a.d == 0 ? 0 : a.d / (2 * r)}; }
inline Dual exp(Dual a) { const double r = std::exp(a.v); return {r, a.d * r}; }
inline Dual expm1(Dual a) { return {std::expm1(a.v), a.d * std::exp(a.v)}; }
inline Dual log(Dual a) { return {std::log(a.v), a.d / a.v}; }
inline Dual log1p(Dual a) { return {std::log1p(a.v), a.d / (1 + a.v)}; }
inline Dual tanh(Dual a) { const double r = std::tanh(a.v); return {r, a.d * (1 - r * r)}; }
inline Dual sin(Dual a) { return {std::sin(a.v), a.d * std::cos(a.v)}; }
inline Dual cos(Dual a) { return {std::cos(a.v), -a.d * std::sin(a.v)}; }
inline Dual erf(Dual a) {
  return {std::erf(a.v), a.d * 2 * std::numbers::inv_sqrtpi * std::exp(-a.v * a.v)};
}
inline Dual pow(Dual a, Dual b) {
  const double r = std::pow(a.v, b.v);
  double d = 0;
  if (a.d != 0 && b.v != 0) d += a.d * b.v * std::pow(a.v, b.v - 1);
  if (b.d != 0) d += b.d * (a.v == 0 ? 0 : r * std::log(a.v));
  return {r, d};
}
inline Dual abs(Dual a) { return {std::fabs(a.v), a.v > 0 ? a.d : a.v < 0 ? -a.d : 0}; }
inline Dual floor(Dual a) { return {std::floor(a.v), 0}; }
inline Dual trunc(Dual a) { return {std::trunc(a.v), 0}; }
inline bool isnan(Dual a) { return std::isnan(a.v); }
inline bool isfinite(Dual a) { return std::isfinite(a.v); }

}  // namespace thalweg
