// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "thalweg/graph/graph.h"
#include "thalweg/graph/interpret.h"
#include "thalweg/lib/base/tensor.h"
#include "thalweg/lib/compile/program.h"

namespace thalweg {

/// Values for tools to run a graph on.
using Feeds = std::map<std::string, Tensor>;
/// Made-up numbers for every input of a graph: floats in [0, 1), integers from 0 up to what their readers allow (the
/// classes of a loss, the rows of a table; without such a reader 0 and 1). The same for one seed everywhere.
THALWEG_API Feeds made_up_feeds(const Graph& graph, std::uint64_t seed = 1);
THALWEG_API void feed(Program& program, const Feeds& feeds);
/// The tensor as the interpreter takes it.
THALWEG_API Array<double> array_of(const Tensor& tensor);

}  // namespace thalweg
