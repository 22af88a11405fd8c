// SPDX-License-Identifier: Apache-2.0
// Private: the inner loop of large matrix products, written for AVX-512.
#pragma once

#include "thalweg/lib/kernels/product_tiles.h"

namespace thalweg {

/// `loops`, which are those for AVX-512, with written tiles of more rows in the place of its own; unchanged where no
/// code may be written. The sums are the same to the last bit.
ProductTiles with_wide_tiles(const ProductTiles& loops);

}  // namespace thalweg
