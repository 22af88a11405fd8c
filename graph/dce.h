// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/graph.h"

namespace thalweg {

/// Removes what no output and no update needs. Inputs stay even if nothing reads them: a program must accept its
/// feeds. Returns whether the text changed.
THALWEG_API bool dce(Graph& graph);

}  // namespace thalweg
