// SPDX-License-Identifier: Apache-2.0
// Private: how an op `check` looks at numbers, for its meaning and its kernel.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>

#include "thalweg/graph/attrs.h"
#include "thalweg/ops/check.h"

namespace thalweg {

/// How far from 1 the sum of a distribution may be: twice what rounding each number to bf16 can do to it.
inline constexpr double distribution_tolerance = 0x1p-8;

/// The rule of an op `check` on a tensor of that shape, for its meaning and its kernel: they call `line` on each line
/// of the last axis.
class THALWEG_API Checker {
 public:
  Checker(const Attrs& attrs, const Shape& shape);
  std::size_t lines() const { return lines_; }
  std::size_t length() const { return length_; }

  /// Throws RunError for the first number that breaks the rule; `get(k)` is number k of the line.
  template <class Get>
  void line(std::size_t at, Get get) const {
    double sum = 0;
    for (std::size_t k = 0; k < length_; ++k) {
      const double x = get(k);
      if (!(x >= low_ && x <= high_) || (rule_ == CheckRule::signs && x != -1 && x != 0 && x != 1)) bad(at, k, x);
      sum += x;
    }
    if (rule_ == CheckRule::distribution && !(std::fabs(sum - 1) <= distribution_tolerance)) bad_sum(at, sum);
  }
  /// Whether a 0 next to a -1 would be wrong.
  bool mixes_signs() const { return rule_ == CheckRule::signs; }
  /// Throws what is said of a 0 at element `zero` next to a -1 at element `minus`.
  [[noreturn]] void mixed(std::size_t zero, std::size_t minus) const;

 private:
  [[noreturn]] void bad(std::size_t at, std::size_t k, double x) const;
  [[noreturn]] void bad_sum(std::size_t at, double sum) const;
  std::string place(std::size_t element) const;

  CheckRule rule_;
  std::string what_;
  Shape shape_;
  std::size_t lines_, length_;
  double low_, high_;
};

/// Checks a whole tensor: `get(i)` is element i.
template <class Get>
void check_all(const Checker& checker, Get get) {
  constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  std::size_t zero = none, minus = none;
  for (std::size_t at = 0; at < checker.lines(); ++at) {
    const std::size_t first = at * checker.length();
    checker.line(at, [&](std::size_t k) { return get(first + k); });
    for (std::size_t k = first; checker.mixes_signs() && k < first + checker.length(); ++k) {
      if (get(k) == 0 && zero == none) zero = k;
      if (get(k) == -1 && minus == none) minus = k;
    }
  }
  if (zero != none && minus != none) checker.mixed(zero, minus);
}

}  // namespace thalweg
