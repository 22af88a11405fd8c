// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// A rewriting of graphs that keeps their meaning; `run` returns whether the text changed.
struct Pass {
  std::string_view name;
  bool (*run)(Graph&);
};

struct PipelineOptions {
  /// Rounds after which passes that still change something are a fault of the library (InternalError).
  int rounds = 64;
  /// Called with the text before the first pass (stage `input`), and after each pass that changed it (`2 cse`:
  /// round and name).
  std::function<void(std::string_view stage, const std::string& text)> dump = {};
  /// Compares the texts before and after each pass with what it returned. Costs two prints a pass: for tests.
  bool check_flags = false;
};

/// fold, cse, dce.
THALWEG_API std::span<const Pass> standard_passes();

/// Runs the passes in turn until none changes anything, and verifies after each that did. Returns whether the text
/// changed. Throws InternalError naming the pass that broke the graph, lied about its change, or never settles.
THALWEG_API bool run_pipeline(Graph& graph, std::span<const Pass> passes, const PipelineOptions& options = {});

}  // namespace thalweg
