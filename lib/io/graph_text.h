// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// Writes print(graph) to a file, completely or not at all; throws RunError.
THALWEG_API void write_text(const Graph& graph, const std::string& path);
/// The graph that a text holds: in the form of print(), by parse(); or, where it begins with `{`, as the JSON that dump()
/// and `thalweg dump --format json` write at any stage (what these say of kernels and buffers is passed over). JSON
/// passes the same rules, and errors name the node: `net.json:340:3: node 12: …`. Throws GraphError, and RunError for
/// what is no JSON.
THALWEG_API Graph graph_of(std::string_view text, const std::string& file = "text");
/// graph_of() a file's content; throws RunError if it cannot be read.
THALWEG_API Graph read_text(const std::string& path);

}  // namespace thalweg
