// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "thalweg/graph/export.h"

namespace thalweg {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

constexpr int philox_rounds = 10;
constexpr PhiloxCounter philox_round(PhiloxCounter c, PhiloxKey k) {
  const std::uint64_t a = std::uint64_t{0xD2511F53} * c[0], b = std::uint64_t{0xCD9E8D57} * c[2];
  return {static_cast<std::uint32_t>(b >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(b),
          static_cast<std::uint32_t>(a >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(a)};
}
constexpr PhiloxKey next_key(PhiloxKey k) { return {k[0] + 0x9E3779B9, k[1] + 0xBB67AE85}; }

/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011): four random
/// words from a counter and a key. A pure function: nothing to store, nothing to order.
constexpr PhiloxCounter philox(PhiloxCounter c, PhiloxKey k) {
  for (int round = 0; round < philox_rounds; ++round, k = next_key(k)) c = philox_round(c, k);
  return c;
}

/// The counter whose low half is `low` and whose high half is `high`, low words first.
constexpr PhiloxCounter philox_counter(std::uint64_t low, std::uint64_t high) {
  return {static_cast<std::uint32_t>(low), static_cast<std::uint32_t>(low >> 32), static_cast<std::uint32_t>(high),
          static_cast<std::uint32_t>(high >> 32)};
}

/// Word j of counter (low + i, high) at [j][i]: the same numbers, in a quarter of the time.
using PhiloxBlock = std::array<std::array<std::uint32_t, 256>, 4>;
THALWEG_API PhiloxBlock philox_block(std::uint64_t low, std::uint64_t high, PhiloxKey key);

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection that spreads every bit over all bits.
constexpr std::uint64_t mix_bits(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

/// The key of stream number `stream` under a user's seed: low and high half of
/// mix_bits(mix_bits(seed + 0x9E3779B97F4A7C15) + stream), so that neighbouring seeds and streams share nothing.
constexpr PhiloxKey philox_key(std::uint64_t seed, std::uint64_t stream) {
  const std::uint64_t mixed = mix_bits(mix_bits(seed + 0x9E3779B97F4A7C15) + stream);
  return {static_cast<std::uint32_t>(mixed), static_cast<std::uint32_t>(mixed >> 32)};
}

/// FNV-1a, 64 bits, of the bytes of a name: the stream of a variable's first values.
constexpr std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return hash;
}

/// (word >> 8) * 2^-24: uniform in [0, 1), exact in f32.
constexpr double uniform24(std::uint32_t word) { return static_cast<double>(word >> 8) * 0x1p-24; }
/// 53 bits of two words: uniform in [0, 1), for results in double.
constexpr double uniform53(std::uint32_t high, std::uint32_t low) {
  return static_cast<double>((std::uint64_t{high >> 5} << 26) | (low >> 6)) * 0x1p-53;
}
/// A standard normal number by Box and Muller, in double: sqrt(-2 ln u) cos(2 pi w) with u = (a + 1) * 2^-32 in (0, 1]
/// and w = b * 2^-32 in [0, 1).
THALWEG_API double normal_of(std::uint32_t a, std::uint32_t b);
/// out[i] = normal_of(a[i], b[i]), the same to the last bit.
THALWEG_API void normals_of(const std::uint32_t* a, const std::uint32_t* b, double* out, std::size_t count);

}  // namespace thalweg
