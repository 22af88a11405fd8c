// SPDX-License-Identifier: Apache-2.0
// Private: the writer of the inner loop of convolutions, for AVX-512. Xbyak stays behind this header.
#pragma once

#include <optional>

#include "thalweg/lib/kernels/vector_writer.h"

namespace thalweg {

/// A tile of pixels, rows x columns, by `vectors` vectors of outputs. Distances are in floats.
struct WidePixels {
  int rows = 1, columns = 1, vectors = 1;
  int run = 1;             ///< numbers that a pixel reads of a line
  int line = 0;            ///< from a line to the next
  int row = 0, pixel = 0;  ///< from a pixel to the next below and at the right, in the source
  int result_row = 0, result_pixel = 0;
  bool bias = false;
  std::optional<double> slope = {};  ///< what a negative sum is multiplied by. NaN stays NaN

  int pixels() const { return rows * columns; }
};
/// result[p, o] = f(bias[o] + sum over i < lines and k < run of source[i * line + p + k] * weights[i, k, o]).
using WidePixelsFunction = void (*)(const float* source, const float* weights, const float* bias, float* result,
                                    std::size_t lines);

inline constexpr int wide_lanes = 16;
/// Whether the registers hold a tile of rows x vectors and a row of weights, or two registers at its end.
constexpr bool fits_wide_tile(std::size_t rows, std::size_t vectors) {
  return rows * vectors + (vectors > 2 ? vectors : 2) <= 32;
}

class WidePixelsWriter : public VectorWriter {
 public:
  explicit WidePixelsWriter(const WidePixels& tile);
  WidePixelsFunction entry() const { return getCode<WidePixelsFunction>(); }

 private:
  void write();
  void step(int at);
  void finish();
  WidePixels t_;
};

}  // namespace thalweg
