// SPDX-License-Identifier: Apache-2.0
// Private: a net at pictures that the interpreter can take.
#pragma once

#include <optional>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// What the output computes, of inputs [N,H,W,C] whose H and W are `divisor` times smaller, rounded up; every type is
/// derived anew. A pool over a whole picture stays one. Nothing if no input is a picture or the pictures' size cannot
/// be another: a dense layer on flattened ones has a weight for each place.
std::optional<Graph> at_smaller_pictures(const Graph& forward, const Graph::Output& output, Dim divisor);

}  // namespace thalweg
