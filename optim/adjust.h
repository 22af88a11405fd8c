// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// Multiplies every rate of a training graph by an input f64[] of that name: 1 leaves all as it was. The rates are what
/// the schedules of its optimizers give; an output that shows one shows it multiplied. Returns the first of them, as
/// multiplied, an f64 scalar; an empty Value if the graph has none, which is then left alone.
THALWEG_API Value scale_rates(Graph& graph, const std::string& input);

}  // namespace thalweg
