// SPDX-License-Identifier: Apache-2.0
// Private: tables that are in memory already.
#pragma once

#include <string>
#include <string_view>

#include "thalweg/lib/data/readers.h"

namespace thalweg {

/// csv() of a text; `source` is what messages call it.
Dataset csv_text(std::string_view text, const std::string& source, const CsvOptions& options);
Dataset sklearn_csv_text(std::string_view text, const std::string& source);
/// A copy of the tensor with another shape of as many elements.
Tensor reshaped(const Tensor& tensor, const Shape& shape);

}  // namespace thalweg
