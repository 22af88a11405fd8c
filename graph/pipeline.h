// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "thalweg/graph/function.h"
#include "thalweg/graph/graph.h"

namespace thalweg {

/// A rewriting of graphs that keeps their meaning; `run` returns whether the text changed.
struct Pass {
  std::string_view name;
  bool (*run)(Graph&);
};

/// One pass that changed a graph.
struct PassRun {
  std::size_t number = 0;  ///< of the passes that changed something, from 1
  std::size_t round = 0;
  std::string_view name;
  double seconds = 0;
  const Graph& before;
  const Graph& after;
};

struct PipelineOptions {
  /// Passes that still change something after so many rounds and one more for each node are a fault of the library
  /// (InternalError). A merge of two nodes may be found only when those before them have been merged: one level of
  /// the graph a round.
  std::size_t rounds = 64;
  /// Called with the text before the first pass (stage `input`), and after each pass that changed it (`2 cse`:
  /// round and name).
  Function<void(std::string_view stage, const std::string& text)> dump = {};
  /// Called after each pass that changed the graph. Costs a copy of the graph a pass.
  Function<void(const PassRun&)> trace = {};
  /// Stops when so many passes have changed the graph: to find the first that is wrong.
  std::size_t limit = unlimited;
  static constexpr std::size_t unlimited = static_cast<std::size_t>(-1);
  /// Compares the texts before and after each pass with what it returned. Costs two prints a pass: for tests.
  bool check_flags = false;
};

/// fold, cse, dce.
THALWEG_API std::span<const Pass> standard_passes();

/// Runs the passes in turn until none changes anything, and verifies after each that did. Returns whether the text
/// changed. Throws InternalError naming the pass that broke the graph, lied about its change, or never settles.
THALWEG_API bool run_pipeline(Graph& graph, std::span<const Pass> passes, const PipelineOptions& options = {});

}  // namespace thalweg
