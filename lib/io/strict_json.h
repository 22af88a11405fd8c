// SPDX-License-Identifier: Apache-2.0
// Private: JSON of a stranger's. (nlohmann/json costs seconds to compile: include it only where JSON is read.)
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace thalweg {

/// Parses JSON in which no object has a key twice and nothing is nested deeper than `most_depth` (0: the outermost
/// alone). Throws RunError `place(byte): what …`, where the byte is the last one that was read.
nlohmann::json strict_json(std::string_view text, int most_depth, std::string_view what,
                           const std::function<std::string(std::size_t)>& place);

/// Line and column of a byte, from 1, as `12:5`.
std::string line_and_column(std::string_view text, std::size_t byte);
/// Where in JSON that could be parsed element `index` begins, of the list that the outermost object has under a key; 0
/// where there is none.
std::size_t element_in(std::string_view text, std::string_view key, std::size_t index);

}  // namespace thalweg
