// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/philox.h"

#include <bit>
#include <cmath>
#include <numbers>

namespace thalweg {
namespace {

// Logarithm and cosine by series, inline and without a branch, so that loops over them compute several at a time; with
// the same operations in the same order, so that one at a time gives the same bits. Normal numbers are off by at most
// three units of a double's last place.

/// ln(x * 2^-32) for x in [1, 2^32].
inline double log_of_share(double x) {
  // x = m * 2^e with m from sqrt(1/2) to sqrt(2).
  const std::uint64_t bits = std::bit_cast<std::uint64_t>(x);
  const std::uint64_t e = (bits - std::bit_cast<std::uint64_t>(std::numbers::sqrt2 / 2)) >> 52;
  const double m = std::bit_cast<double>(bits - (e << 52));
  // Below 2^52 a whole number stands in a double's last bits.
  const double exponent = std::bit_cast<double>(e | std::bit_cast<std::uint64_t>(0x1p52)) - (0x1p52 + 32);
  // ln m = 2 artanh s = 2 (s + s^3/3 + s^5/5 + ...), s^2 < 0.03.
  const double s = (m - 1) / (m + 1), square = s * s;
  double sum = 0;
  for (int k = 10; k >= 1; --k) sum = (sum + 1.0 / (2 * k + 1)) * square;
  return exponent * std::numbers::ln2 + (2 * s + 2 * s * sum);
}

/// cos(2 pi b * 2^-32).
inline double cos_of_turns(std::uint32_t b) {
  // b = quarter * 2^30 + rest, |rest| <= 2^29: an angle of at most pi/4.
  const std::uint32_t quarter = (b + 0x20000000) >> 30;
  const auto rest = static_cast<std::int32_t>(b - (quarter << 30));
  const double angle = static_cast<double>(rest) * (0x1p-31 * std::numbers::pi), square = angle * angle;
  double c = 0, s = 0;  // 1 - cos, 1 - sin / angle
  for (int k = 9; k >= 1; --k) c = (1 - c) * (square * (1.0 / ((2 * k - 1) * (2 * k))));
  for (int k = 9; k >= 1; --k) s = (1 - s) * (square * (1.0 / ((2 * k) * (2 * k + 1))));
  const double odd = static_cast<std::int32_t>(quarter & 1), minus = static_cast<std::int32_t>((quarter + 1) & 2);
  return (1 - minus) * (odd * (angle * (1 - s)) + (1 - odd) * (1 - c));
}

inline double square_of_radius(std::uint32_t a) {
  // From a signed number, which processors convert several at a time.
  return -2 * log_of_share(static_cast<double>(static_cast<std::int32_t>(a ^ 0x80000000)) + 0x80000001);
}

// Loops are compiled for AVX2 too, and that is called where the processor has it: twice as many at a time, and the same
// bits, since joined multiplications and additions are another instruction set's (FMA).
#if !defined(THALWEG_ALSO_AVX2) && defined(__GNUC__) && defined(__x86_64__)
#define THALWEG_ALSO_AVX2 1
#endif
#if defined(__GNUC__)
#define THALWEG_INLINED [[gnu::always_inline]] inline
#else
#define THALWEG_INLINED inline
#endif

THALWEG_INLINED void normals(const std::uint32_t* a, const std::uint32_t* b, double* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) out[i] = square_of_radius(a[i]);
  for (std::size_t i = 0; i < count; ++i) out[i] = std::sqrt(out[i]);
  for (std::size_t i = 0; i < count; ++i) out[i] *= cos_of_turns(b[i]);
}

THALWEG_INLINED void fill(PhiloxBlock& w, std::uint64_t low, std::uint64_t high, PhiloxKey key) {
  for (std::size_t i = 0; i < w[0].size(); ++i) {
    const PhiloxCounter c = philox_counter(low + i, high);
    for (std::size_t j = 0; j < w.size(); ++j) w[j][i] = c[j];
  }
  for (int round = 0; round < philox_rounds; ++round, key = next_key(key))
    for (std::size_t i = 0; i < w[0].size(); ++i) {
      const PhiloxCounter c = philox_round({w[0][i], w[1][i], w[2][i], w[3][i]}, key);
      for (std::size_t j = 0; j < w.size(); ++j) w[j][i] = c[j];
    }
}

#if THALWEG_ALSO_AVX2
[[gnu::target("avx2")]] void normals_avx2(const std::uint32_t* a, const std::uint32_t* b, double* out,
                                          std::size_t count) {
  normals(a, b, out, count);
}
[[gnu::target("avx2")]] void fill_avx2(PhiloxBlock& w, std::uint64_t low, std::uint64_t high, PhiloxKey key) {
  fill(w, low, high, key);
}
bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2") != 0;
  return has;
}
#endif

}  // namespace

void normals_of(const std::uint32_t* a, const std::uint32_t* b, double* out, std::size_t count) {
#if THALWEG_ALSO_AVX2
  if (has_avx2()) return normals_avx2(a, b, out, count);
#endif
  normals(a, b, out, count);
}

double normal_of(std::uint32_t a, std::uint32_t b) {
  double x = 0;
  normals_of(&a, &b, &x, 1);
  return x;
}

PhiloxBlock philox_block(std::uint64_t low, std::uint64_t high, PhiloxKey key) {
  PhiloxBlock w;
#if THALWEG_ALSO_AVX2
  if (has_avx2()) {
    fill_avx2(w, low, high, key);
    return w;
  }
#endif
  fill(w, low, high, key);
  return w;
}

}  // namespace thalweg
