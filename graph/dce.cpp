// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/dce.h"

#include "thalweg/graph/compact.h"
#include "thalweg/graph/walk.h"

namespace thalweg {

bool dce(Graph& graph) {
  std::vector<bool> keep = needed(graph);
  for (const NodeId input : graph.inputs()) keep[input] = true;
  return compact(graph, keep);
}

}  // namespace thalweg
