// SPDX-License-Identifier: Apache-2.0
// Private: inner loops of convolutions over channels-last tensors with plain weights, one version for each instruction
// set. A tile holds its sums in registers and streams both operands; nothing is laid out anew for it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace thalweg {

/// No tile of any instruction set has more pixels (or channels, for the gradient of weights).
inline constexpr std::size_t most_conv_rows = 16;

/// Adjacent numbers of the source that meet adjacent rows of the weights.
struct TapRun {
  std::int32_t row;    ///< the first of its rows of weights
  std::int32_t depth;  ///< how many
};

/// result[to[r] + o] = f(bias[o] + sum over runs t and c < depth of source[from[t][r] + c] * weights[row_t + c, o]).
struct PixelTile {
  const float* source;
  const float* zeros;         ///< what a negative `from` reads
  const std::int32_t* from;   ///< [runs][rows]
  const std::int32_t* to;     ///< [rows]
  const TapRun* taps;
  std::size_t runs;
  const float* weights;
  std::ptrdiff_t weight_row;  ///< elements from one row of weights to the next
  float* result;
  const float* bias;          ///< null for none
  const float* slope;         ///< what a negative sum is multiplied by; null for 1. NaN stays NaN
};
using PixelTileFunction = void (*)(const PixelTile&);

/// dw[i, o] (+)= sum over images, lines and pixels of x[.. + i] * dy[.. + o].
struct WeightTile {
  const float* x;
  const float* dy;
  std::ptrdiff_t x_image, x_line, x_pixel;
  std::ptrdiff_t dy_image, dy_line, dy_pixel;
  std::size_t images, lines, pixels;
  float* dw;
  std::ptrdiff_t dw_row;
  bool add;
};
using WeightTileFunction = void (*)(const WeightTile&);

/// The tiles that are `width` output channels wide.
struct ConvTiles {
  std::size_t width;
  std::size_t channels;                       ///< most input channels of a tile of a gradient of weights
  PixelTileFunction pixels[most_conv_rows];   ///< of 1 to ConvTileTable::pixels pixels
  WeightTileFunction weights[most_conv_rows]; ///< of 1 to `channels` input channels
};
/// Of the best instruction set that this machine has: widest first, the narrowest is 8 or less. `count` of them.
struct ConvTileTable {
  const ConvTiles* widths;
  std::size_t count;
  std::size_t pixels;  ///< most pixels of a tile
};
ConvTileTable conv_tiles();

}  // namespace thalweg
