// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/philox.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>
#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>
#endif

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
  // b = quarter * 2^30 + offset, |offset| <= 2^29: an angle of at most pi/4.
  const std::uint32_t quarter = (b + 0x20000000) >> 30;
  const auto offset = static_cast<std::int32_t>(b - (quarter << 30));
  const double angle = static_cast<double>(offset) * (0x1p-31 * std::numbers::pi), square = angle * angle;
  // Either series by itself: a step multiplies by the square and, in turn, by 1/2, 1/12 and so on or by 1/6, 1/20, ...
  const std::uint64_t odd = -static_cast<std::uint64_t>(quarter & 1);
  const auto either = [odd](double even_one, double odd_one) {
    return std::bit_cast<double>((std::bit_cast<std::uint64_t>(odd_one) & odd) |
                                 (std::bit_cast<std::uint64_t>(even_one) & ~odd));
  };
  double rest = 0;  // 1 - cos, or 1 - sin / angle
  for (int k = 9; k >= 1; --k)
    rest = (1 - rest) * (square * either(1.0 / ((2 * k - 1) * (2 * k)), 1.0 / ((2 * k) * (2 * k + 1))));
  const double size = either(1, angle) * (1 - rest);
  const std::uint64_t sign = static_cast<std::uint64_t>((quarter + 1) & 2) << 62;
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(size) ^ sign);
}

inline double square_of_radius(std::uint32_t a) {
  // From a signed number, which processors convert several at a time.
  return -2 * log_of_share(static_cast<double>(static_cast<std::int32_t>(a ^ 0x80000000)) + 0x80000001);
}

// What is slow without them is compiled for AVX2 and AVX-512 too, and called where the processor has those: more
// numbers at a time, and the same bits, since multiplications and additions are not joined.
#if !defined(THALWEG_ALSO_WIDER) && defined(__GNUC__) && defined(__x86_64__)
#define THALWEG_ALSO_WIDER 1
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

void fill(PhiloxBlock& w, std::uint64_t low, std::uint64_t high, PhiloxKey key) {
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

/// The two loops, as compiled for one instruction set.
struct Loops {
  void (*normals)(const std::uint32_t* a, const std::uint32_t* b, double* out, std::size_t count);
  void (*fill)(PhiloxBlock& w, std::uint64_t low, std::uint64_t high, PhiloxKey key);
};

#if THALWEG_ALSO_WIDER
// Clang has no word for vectors of 512 bits: its loops are of 256.
#if defined(__clang__)
#define THALWEG_WIDEST [[gnu::target("avx2")]]
#else
#define THALWEG_WIDEST \
  [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"), gnu::optimize("fp-contract=off")]]
#endif
[[gnu::target("avx2")]] void normals_avx2(const std::uint32_t* a, const std::uint32_t* b, double* out,
                                          std::size_t count) {
  normals(a, b, out, count);
}
THALWEG_WIDEST void normals_widest(const std::uint32_t* a, const std::uint32_t* b, double* out, std::size_t count) {
  normals(a, b, out, count);
}
/// Each word in 64 bits: products read the low halves, and what has come to lie above them is cut off at the end. A
/// compiler's loop would bring every word into place for each product.
[[gnu::target("avx512f")]] void fill_avx512(PhiloxBlock& w, std::uint64_t low, std::uint64_t high, PhiloxKey key) {
  using Words [[gnu::vector_size(64)]] = std::uint64_t;
  using Halves [[gnu::vector_size(32)]] = std::uint32_t;
  constexpr std::size_t lanes = sizeof(Words) / sizeof(std::uint64_t);
  constexpr Words none{}, lane{0, 1, 2, 3, 4, 5, 6, 7};
  // A factor is the low word of its product with 1.
  const auto first = reinterpret_cast<__m512i>(none + std::uint64_t{philox_round({1, 0, 0, 0}, {})[3]});
  const auto second = reinterpret_cast<__m512i>(none + std::uint64_t{philox_round({0, 0, 1, 0}, {})[1]});
  for (std::size_t i = 0; i < w[0].size(); i += lanes) {
    Words c0 = lane + (low + i), c1 = c0 >> 32, c2 = none + high, c3 = c2 >> 32;
    PhiloxKey k = key;
    for (int round = 0; round < philox_rounds; ++round, k = next_key(k)) {
      const auto a = reinterpret_cast<Words>(_mm512_maskz_mul_epu32(0xff, first, reinterpret_cast<__m512i>(c0)));
      const auto b = reinterpret_cast<Words>(_mm512_maskz_mul_epu32(0xff, second, reinterpret_cast<__m512i>(c2)));
      c0 = (b >> 32) ^ c1 ^ std::uint64_t{k[0]};
      c2 = (a >> 32) ^ c3 ^ std::uint64_t{k[1]};
      c1 = b;
      c3 = a;
    }
    const Halves words[] = {__builtin_convertvector(c0, Halves), __builtin_convertvector(c1, Halves),
                            __builtin_convertvector(c2, Halves), __builtin_convertvector(c3, Halves)};
    for (std::size_t j = 0; j < w.size(); ++j) std::memcpy(w[j].data() + i, &words[j], sizeof(Halves));
  }
}

Loops chosen_loops() {
  const auto has = [](auto... known) { return (... && (known != 0)); };
  if (has(__builtin_cpu_supports("avx512f"), __builtin_cpu_supports("avx512bw"), __builtin_cpu_supports("avx512dq"),
          __builtin_cpu_supports("avx512vl")))
    return {normals_widest, fill_avx512};
  if (has(__builtin_cpu_supports("avx2"))) return {normals_avx2, fill};
  return {normals, fill};
}
#else
Loops chosen_loops() { return {normals, fill}; }
#endif

const Loops& loops() {
  static const Loops chosen = chosen_loops();
  return chosen;
}

}  // namespace

void normals_of(const std::uint32_t* a, const std::uint32_t* b, double* out, std::size_t count) {
  loops().normals(a, b, out, count);
}

double normal_of(std::uint32_t a, std::uint32_t b) {
  double x = 0;
  normals_of(&a, &b, &x, 1);
  return x;
}

PhiloxBlock philox_block(std::uint64_t low, std::uint64_t high, PhiloxKey key) {
  PhiloxBlock w;
  loops().fill(w, low, high, key);
  return w;
}

}  // namespace thalweg
