// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "thalweg/graph/graph.h"

namespace thalweg::tool {

/// The graph of a text file; `-` is standard input. Throws GraphError for a wrong text, RunError where it cannot be
/// read.
Graph graph_from(const std::string& path);

}  // namespace thalweg::tool
