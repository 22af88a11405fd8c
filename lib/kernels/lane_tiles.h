// SPDX-License-Identifier: Apache-2.0
// Private: inner loops of convolutions that compute several samples at a time, one in each lane of a vector, so that
// few channels fill it too. A number of each sample, side by side, is called a lot here.
#pragma once

#include <cstddef>

namespace thalweg {

/// The lots of n numbers that lie `sample` elements apart from sample to sample; lanes beyond `samples` are zero.
using ToLanesFunction = void (*)(const float* from, std::ptrdiff_t sample, std::size_t samples, std::size_t n,
                                 float* to);
/// The other way: writes `samples` of them.
using FromLanesFunction = void (*)(const float* from, std::size_t n, float* to, std::ptrdiff_t sample,
                                   std::size_t samples);

/// result[p, o] = f(bias[o] + sum over lines i and k < run of source[i * line + p * pixel + k] * weights[i, k, o]), each
/// a lot but for weights and bias. All distances are in floats.
struct LanePixels {
  const float* source;
  std::ptrdiff_t line, pixel;
  std::size_t lines, run;
  const float* weights;
  std::ptrdiff_t weight_line, weight_row;  ///< from one i and one k to the next
  float* result;
  std::ptrdiff_t result_pixel;
  const float* bias;   ///< null for none
  const float* slope;  ///< what a negative sum is multiplied by; null for 1. NaN stays NaN
};
using LanePixelsFunction = void (*)(const LanePixels&);

/// total[k, o] += sum over lines and pixels of x[.. + k] * dy[.. + o], all of them lots.
struct LaneWeights {
  const float* x;
  const float* dy;
  std::ptrdiff_t x_line, x_pixel, dy_line, dy_pixel;
  std::size_t lines, pixels;
  float* total;
  std::ptrdiff_t total_row;  ///< from one k to the next
};
using LaneWeightsFunction = void (*)(const LaneWeights&);

/// Of the best instruction set that this machine has.
struct LaneTiles {
  static constexpr std::size_t most_outputs = 8, most_rows = 4;
  std::size_t lanes = 0;        ///< 0: there are none
  std::size_t outputs = 0;      ///< most of one tile
  std::size_t sums = 0;         ///< rows times outputs of a tile that fills the registers
  /// Most rows of a tile of so many outputs.
  constexpr std::size_t rows(std::size_t of) const { return sums / of < most_rows ? sums / of : most_rows; }
  ToLanesFunction to_lanes = nullptr;
  FromLanesFunction from_lanes = nullptr;
  void (*add_lanes)(const float* lots, std::size_t n, float* to) = nullptr;  ///< the sum of each lot
  LanePixelsFunction pixels[most_rows][most_outputs] = {};   ///< of so many pixels and outputs
  LaneWeightsFunction weights[most_rows][most_outputs] = {};  ///< of so many k and outputs
};
const LaneTiles& lane_tiles();

}  // namespace thalweg
