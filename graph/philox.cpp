// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/philox.h"

#include <cmath>
#include <numbers>

namespace thalweg {

double normal_of(std::uint32_t a, std::uint32_t b) {
  const double u = (static_cast<double>(a) + 1) * 0x1p-32;
  const double w = static_cast<double>(b) * 0x1p-32;
  return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * w);
}

}  // namespace thalweg
