// SPDX-License-Identifier: Apache-2.0
// Private: the inner loop of large matrix products, one version for each instruction set.
#pragma once

#include <cstddef>

namespace thalweg {

/// No tile of any instruction set has more rows.
inline constexpr std::size_t most_product_rows = 14;

/// c[i, j] (+)= sum over k of a[i, k] * b[k, j] for a few rows i and one panel of columns j, in ascending k and rounded
/// once a term.
struct ProductTile {
  const float* a;
  std::ptrdiff_t a_step;  ///< elements from one row of a to the next; if it is turned, from one column to the next
  float* b;              ///< a panel: rows of ProductTiles::width numbers
  const float* source;   ///< null; or where b lies as a matrix, to be packed into the panel if ProductTiles::packs
  std::ptrdiff_t source_row;
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
  std::size_t most_rows;
  std::size_t most_depth;   ///< that a tile is summed over at once: a panel of it stays in a near cache
  std::size_t block_bytes;  ///< rows of a that stay in the second-level cache
  bool packs;               ///< whether tiles take b from ProductTile::source
  void (*rows[most_product_rows])(const ProductTile&);         ///< of 1 to most_rows rows; a's columns are adjacent
  void (*turned_rows[most_product_rows])(const ProductTile&);  ///< a's rows are adjacent; null for none
  /// Copies `depth` rows of whole panels, row by row: a row's neighbours are in the same page.
  void (*pack)(const float* b, std::ptrdiff_t b_row, std::size_t depth, std::size_t panels, std::size_t panel_size,
               float* to);
  /// to[j * to_row + i] = from[i * from_row + j] for i < lanes, j < blocks * lanes; null for none.
  void (*turn)(const float* from, std::size_t from_row, std::size_t blocks, float* to, std::size_t to_row);
};
/// Of the best instruction set that this machine has; machine code is written for it if it may be.
const ProductTiles& product_tiles(bool generate);

}  // namespace thalweg
