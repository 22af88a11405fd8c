// SPDX-License-Identifier: Apache-2.0
// Private: the inner loop of max pooling over channels, one version for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace thalweg {

/// For each of n channels: where x is larger than the largest so far, or the first NaN, it becomes the largest, and
/// `here` its pixel.
using TakeLargest = void (*)(const float* x, std::uint32_t here, std::size_t n, float* largest, std::uint32_t* pixel);
/// Of the best instruction set that this machine has.
TakeLargest take_largest();

}  // namespace thalweg
