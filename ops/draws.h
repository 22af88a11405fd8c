// SPDX-License-Identifier: Apache-2.0
// Private: the random numbers of variables' first values.
#pragma once

#include <span>
#include <string_view>
#include <tuple>

#include "thalweg/graph/philox.h"

namespace thalweg {

/// The random numbers of one variable, a block of elements at a time: those from element `first` on.
class Draws {
 public:
  using Block = std::span<double>;
  static constexpr std::size_t most = std::tuple_size_v<PhiloxBlock::value_type>;
  Draws(std::int64_t seed, std::string_view name) : key_(philox_key(static_cast<std::uint64_t>(seed), fnv1a(name))) {}

  void uniform(std::uint64_t first, Block out) const;
  void normal(std::uint64_t first, Block out) const;
  /// Where a standard normal number has to lie.
  struct Bounds {
    double low, high;
    /// Drawing again is for bounds that most numbers keep; in a tail the distribution function is inverted.
    bool is_tail;
    Bounds(double low, double high);
    bool hold(double x) const { return x >= low && x <= high; }
  };
  void truncated(std::uint64_t first, const Bounds& bounds, Block out) const;

 private:
  double drawn_again(std::uint64_t k, const Bounds& bounds) const;
  PhiloxKey key_;
};

/// x = by + scale * x.
void affine(Draws::Block x, double by, double scale);
/// From [0, 1) to [-limit, limit).
void spread(Draws::Block x, double limit);

}  // namespace thalweg
