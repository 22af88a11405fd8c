// SPDX-License-Identifier: Apache-2.0
// Private: whether numbers are finite.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "thalweg/graph/type.h"
#include "thalweg/lib/base/tensor.h"

namespace thalweg {

/// Whether none of n elements is nan or infinite; integers never are. As fast as they can be read.
bool all_finite(DType dtype, const void* elements, std::size_t n);
/// Where the first element that is nan or infinite lies.
std::optional<std::size_t> first_not_finite(const Tensor& tensor);
/// `nan` without the sign that the processor happens to give it; else six digits.
std::string number_text(double x);

}  // namespace thalweg
