// SPDX-License-Identifier: Apache-2.0
// Private: logs that grow.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "thalweg/graph/export.h"

namespace thalweg {

/// Adds bytes to the end of a file, which is made if there is none: all of them, or, after a failed write, none.
/// Throws RunError with the path and the system's reason.
THALWEG_API void append_file(const std::string& path, std::span<const std::byte> bytes);

}  // namespace thalweg
