// SPDX-License-Identifier: Apache-2.0
// Private: the inner loop of large matrix products, one version for each instruction set.
#pragma once

#include <cstddef>

namespace thalweg {

/// The largest number of rows of a tile.
inline constexpr std::size_t product_rows = 6;

/// c[i, j] (+)= sum over k of a[i, k] * b[k, j] for a few rows i and one panel of columns j, in ascending k and rounded
/// once a term.
struct ProductTile {
  const float* a;
  std::ptrdiff_t a_row;  ///< elements from one row of a to the next; its columns are adjacent
  const float* b;        ///< a panel: rows of ProductTiles::width numbers
  std::size_t depth;
  float* c;
  std::ptrdiff_t c_row;
  bool adds;             ///< to what c holds
  const float* bias;     ///< of the panel's columns; null for none
  const float* slope;    ///< what a negative sum is multiplied by; null for 1. NaN stays NaN
};
struct ProductTiles {
  std::size_t width;  ///< of a panel
  std::size_t lanes;  ///< of a vector
  void (*rows[product_rows])(const ProductTile&);  ///< of 1 to product_rows rows
  /// Copies `depth` rows of whole panels, row by row: a row's neighbours are in the same page.
  void (*pack)(const float* b, std::ptrdiff_t b_row, std::size_t depth, std::size_t panels, std::size_t panel_size,
               float* to);
};
/// Of the best instruction set that this machine has.
const ProductTiles& product_tiles();

}  // namespace thalweg
