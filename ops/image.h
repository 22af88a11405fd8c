// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/graph.h"

namespace thalweg {

/// What an image [B,H,W,C] is beyond its edges, in Keras' words (scipy.ndimage's in brackets): the fill value
/// (grid-constant); the pixel at the edge; mirrored at the edge, `d c b a | a b c d | d c b a`; repeated (grid-wrap).
enum class FillMode { constant, nearest, reflect, wrap };

struct AffineOptions {
  FillMode mode = FillMode::constant;
  double fill = 0;  ///< the fill value of `constant`
};
/// Each image moved by its own affine map, bilinearly: the pixel at (row, col) of the result is read at
/// (m0 row + m1 col + m2, m3 row + m4 col + m5) of the image, where pixels lie at whole numbers from 0; so
/// scipy.ndimage.affine_transform with order 1. `image` is float [B,H,W,C], `map` f64 [B,6]; the map has no gradient. A
/// weight of 0 reads nothing, so that whole moves are exact. A map that is not finite gives nan.
THALWEG_API Value affine_transform(Operand image, Operand map, AffineOptions options = {});

/// (cos 2 pi t, sin 2 pi t) on a new last axis; float. Exact at multiples of a quarter.
THALWEG_API Value unit_vector(Operand turns);
/// Rows 2k and 2k + 1 of the first axis exchanged; the last of an odd number stays. Any dtype.
THALWEG_API Value swap_pairs(Operand x);

}  // namespace thalweg
