// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/lib/compile/program.h"
#include "thalweg/lib/inspect/unfused.h"

namespace thalweg {

/// What became of one node of a training graph.
struct Explanation {
  std::string line = {};  ///< as the graph's text has it
  std::string place = {};  ///< file and line, scope, origin
  std::vector<std::string> reads = {}, read_by = {};
  /// What each rewrite did to it: `1 fold: became a constant`, `2 cse: merged into %7`.
  std::vector<std::string> passes = {};
  bool survives = false;  ///< whether the compiled graph still has it; the rest is empty if not
  std::string compiled_line = {};
  std::optional<std::size_t> kernel;  ///< nothing for sources and views
  std::string implementation = {};
  std::vector<std::string> group = {};     ///< the nodes of its kernel
  std::string layout = {};
  double flops = 0;                   ///< of the node itself
  std::size_t bytes_read = 0, bytes_written = 0;  ///< by its kernel
  std::vector<std::string> buffers = {};   ///< where its results lie, from when to when
  std::vector<std::string> kept_by = {};   ///< who keeps it alive: readers in other kernels, outputs, updates
  std::vector<std::string> unfused = {};   ///< edges at this node that go through memory, with their reason

  THALWEG_API std::string text() const;
  THALWEG_API std::string json() const;
};
/// `%12`, `12`, `@w`, the name of an input, variable or output. Throws GraphError with the nearest names.
THALWEG_API ValueId value_called(const Graph& graph, std::string_view name);
/// `portable`: without what differs between machines, as for dump().
THALWEG_API Explanation explain(const Graph& graph, ValueId value, const CompileOptions& options = {},
                                bool portable = false);

/// A line for each edge: producer, consumer, reason.
THALWEG_API std::string text_of(const std::vector<UnfusedEdge>& edges, const PlannedProgram& planned);
THALWEG_API std::string json_of(const std::vector<UnfusedEdge>& edges, const PlannedProgram& planned);

}  // namespace thalweg
