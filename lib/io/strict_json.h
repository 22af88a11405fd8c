// SPDX-License-Identifier: Apache-2.0
// Private: JSON of a stranger's. (nlohmann/json costs seconds to compile: include it only where JSON is read.)
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace thalweg {

/// Parses JSON in which no object has a key twice and nothing is nested deeper than `most_depth` (0: the outermost
/// alone). Throws RunError `path: what …`.
nlohmann::json strict_json(std::string_view text, int most_depth, const std::string& path, std::string_view what);

}  // namespace thalweg
