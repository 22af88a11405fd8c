// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/philox.h"
#include "thalweg/lib/data/dataset.h"

namespace thalweg {
namespace {

constexpr std::uint64_t low32 = 0xFFFFFFFF;

}  // namespace

void permute(std::span<std::uint32_t> order, std::span<std::uint64_t> keys, std::uint64_t seed, std::uint64_t epoch) {
  if (order.size() != keys.size() || order.size() > std::numeric_limits<std::uint32_t>::max())
    run_error("a permutation of {} positions with {} keys", order.size(), keys.size());
  const PhiloxKey key = philox_key(seed, fnv1a("permutation"));
  // The upper half of a key is random, the lower half is the position: keys differ, so the order is unique.
  for (std::size_t i = 0; i < order.size(); ++i) {
    const PhiloxCounter random = philox(philox_counter(i, epoch), key);
    keys[i] = (std::uint64_t{random[0]} << 32) | i;
  }
  std::sort(keys.begin(), keys.end());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::uint32_t>(keys[i] & low32);
}

std::vector<std::uint32_t> permutation(Dim n, std::uint64_t seed, std::uint64_t epoch) {
  if (n < 0) run_error("a permutation of {} positions", n);
  std::vector<std::uint32_t> order(static_cast<std::size_t>(n));
  std::vector<std::uint64_t> keys(order.size());
  permute(order, keys, seed, epoch);
  return order;
}

}  // namespace thalweg
