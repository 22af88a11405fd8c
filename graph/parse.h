// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// Bytes of the longest text that is read.
inline constexpr std::size_t longest_text = std::size_t{256} << 20;

/// Reads the text form: `print(parse(t)) == t` for every t that `print` wrote. Types, names and attributes pass the
/// same rules as those of a graph built in C++. Numbers of values need not be consecutive; lines that start with `#`
/// are comments. Throws GraphError `file:line:column: what was expected, and what was read`; a value that is used
/// before it is defined, and a cycle of lines, are named as such.
/// Limits: a text of 256 MiB, a line of 1 MiB, a list of 2^24 values.
THALWEG_API Graph parse(std::string_view text, std::string_view file = "text");

}  // namespace thalweg
