// SPDX-License-Identifier: Apache-2.0
// Private: whether numbers are finite.
#pragma once

#include <cstddef>

#include "thalweg/graph/type.h"

namespace thalweg {

/// Whether none of n elements is nan or infinite; integers never are. As fast as they can be read.
bool all_finite(DType dtype, const void* elements, std::size_t n);

}  // namespace thalweg
