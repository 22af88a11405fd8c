// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// A graph of its own that predicts as `training` has learned: no updates, every by_mode replaced by what it means
/// outside training (dropout does nothing, batch norm uses its running statistics), every variable `w` of which the
/// graph keeps an average, the variable `average/w`, replaced by that, and only the nodes, inputs and variables that
/// the outputs read. `outputs` names those to keep, all where it is empty: keeping only the logits
/// leaves an input of labels out. Throws GraphError for an unknown output or where there is none to keep.
THALWEG_API Graph inference(const Graph& training, const std::vector<std::string>& outputs = {});

}  // namespace thalweg
