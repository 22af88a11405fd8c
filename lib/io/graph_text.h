// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// Writes print(graph) to a file, completely or not at all; throws RunError.
THALWEG_API void write_text(const Graph& graph, const std::string& path);
/// parse() of a file's content; throws RunError if it cannot be read.
THALWEG_API Graph read_text(const std::string& path);

}  // namespace thalweg
