// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/draws.h"

#include <array>
#include <cmath>
#include <numbers>

#include "thalweg/ops/init.h"

namespace thalweg {
namespace {

/// Last counter word of first values; a random op would have to reach step 2^62 to meet it.
constexpr std::uint64_t init_tag = std::uint64_t{0x494E4954} << 32;

/// The normal distribution function, exact in its lower tail.
double normal_below(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

/// The number in [low, high] below which this part of the probability between them lies, by bisection.
double inverted(double part, double low, double high) {
  const double target = normal_below(low) + part * (normal_below(high) - normal_below(low));
  while (true) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) return middle;
    (normal_below(middle) < target ? low : high) = middle;
  }
}

/// The elements that the bounds do not hold.
struct Outside {
  std::size_t count = 0;
  std::array<std::size_t, Draws::most> index;
  Outside(Draws::Block x, const Draws::Bounds& bounds) {
    const double* const from = x.data();
    for (std::size_t i = 0; i < x.size(); ++i) {
      index[count] = i;
      count += bounds.hold(from[i]) ? 0 : 1;
    }
  }
};

}  // namespace

double normal_within(double low, double high) {
  // In the upper tail by its mirror image: there the distribution function is too near to 1.
  return low > 0 ? normal_below(-low) - normal_below(-high) : normal_below(high) - normal_below(low);
}

Draws::Bounds::Bounds(double l, double h) : low(l), high(h), is_tail(normal_within(l, h) < 0.1) {}

void Draws::uniform(std::uint64_t first, Block out) const {
  const PhiloxBlock words = philox_block(first, init_tag, key_);
  double* const to = out.data();
  for (std::size_t i = 0; i < out.size(); ++i) to[i] = uniform53(words[0][i], words[1][i]);
}

void Draws::normal(std::uint64_t first, Block out) const {
  const PhiloxBlock words = philox_block(first, init_tag, key_);
  normals_of(words[0].data(), words[1].data(), out.data(), out.size());
}

void Draws::truncated(std::uint64_t first, const Bounds& bounds, Block out) const {
  if (bounds.is_tail) {
    uniform(first, out);
    const auto [low, high, is_tail] = bounds;
    for (double& x : out) x = low > 0 ? -inverted(x, -high, -low) : inverted(x, low, high);
    return;
  }
  const PhiloxBlock words = philox_block(first, init_tag, key_);
  normals_of(words[0].data(), words[1].data(), out.data(), out.size());
  const Outside outside(out, bounds);
  // The other two words of each, as many at a time.
  std::array<std::uint32_t, most> a{}, b{};
  for (std::size_t j = 0; j < outside.count; ++j) {
    a[j] = words[2][outside.index[j]];
    b[j] = words[3][outside.index[j]];
  }
  std::array<double, most> second;
  constexpr std::size_t lanes = 8;  // a few more than are read, and no loop over the rest
  normals_of(a.data(), b.data(), second.data(), (outside.count + lanes - 1) / lanes * lanes);
  for (std::size_t j = 0; j < outside.count; ++j)
    out[outside.index[j]] = bounds.hold(second[j]) ? second[j] : drawn_again(first + outside.index[j], bounds);
}

/// Element k, of whose first words neither number lies within the bounds.
double Draws::drawn_again(std::uint64_t k, const Bounds& bounds) const {
  for (std::uint64_t attempt = 1;; ++attempt) {
    const PhiloxCounter words = philox(philox_counter(k, init_tag | attempt), key_);
    if (const double x = normal_of(words[0], words[1]); bounds.hold(x)) return x;
    if (const double x = normal_of(words[2], words[3]); bounds.hold(x)) return x;
  }
}

void affine(Draws::Block x, double by, double scale) {
  for (double& z : x) z = by + scale * z;
}

void spread(Draws::Block x, double limit) {
  for (double& u : x) u = limit * (2 * u - 1);
}

}  // namespace thalweg
