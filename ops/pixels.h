// SPDX-License-Identifier: Apache-2.0
// Private: how both the meaning and the kernel read an image: positions along one axis.
#pragma once

#include <array>
#include <cmath>
#include <string>

#include "thalweg/ops/image.h"

namespace thalweg {

/// The two pixels that a position lies between, and the weight of the second; -1 is a pixel of the fill value.
struct Neighbours {
  Dim first;
  Dim second;
  double share;
};
/// Where pixel `at` of an axis of `size` lies; `at` is whole, of any magnitude.
inline Dim pixel_at(double at, Dim size, FillMode mode) {
  const auto n = static_cast<double>(size);
  if (at >= 0 && at < n) return static_cast<Dim>(at);
  switch (mode) {
    case FillMode::constant: return -1;
    case FillMode::nearest: return at < 0 ? 0 : size - 1;
    case FillMode::reflect: {
      double place = std::fmod(at, 2 * n);
      if (place < 0) place += 2 * n;
      return static_cast<Dim>(place < n ? place : 2 * n - 1 - place);
    }
    case FillMode::wrap: {
      const double place = std::fmod(at, n);
      return static_cast<Dim>(place < 0 ? place + n : place);
    }
  }
  return -1;
}
inline Neighbours neighbours(double position, Dim size, FillMode mode) {
  const double low = std::floor(position);
  return {pixel_at(low, size, mode), pixel_at(low + 1, size, mode), position - low};
}
/// cos and sin of t turns.
inline std::array<double, 2> turned(double t) {
  constexpr double two_pi = 6.283185307179586476925;
  const double quarters = 4 * (t - std::floor(t));
  if (quarters == std::floor(quarters)) {
    constexpr double cosines[] = {1, 0, -1, 0};
    const auto q = static_cast<std::size_t>(quarters) % 4;
    return {cosines[q], cosines[(q + 3) % 4]};
  }
  return {std::cos(two_pi * t), std::sin(two_pi * t)};
}
FillMode fill_mode_of(const std::string& word);

}  // namespace thalweg
