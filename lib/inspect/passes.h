// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "thalweg/graph/diff.h"
#include "thalweg/graph/graph.h"
#include "thalweg/lib/compile/program.h"
#include "thalweg/lib/inspect/made_up.h"

namespace thalweg {

/// A rewrite that changed a graph: what it took away, put in, and how long it took.
struct PassStep {
  std::size_t number = 0;  ///< as CompileOptions::pass_limit counts
  std::size_t round = 0;
  std::string name = {};
  double seconds = 0;
  Graph before, after;
  Difference difference;
};
/// Every rewrite that compile() makes of a graph.
THALWEG_API std::vector<PassStep> pass_steps(const Graph& graph, const CompileOptions& options = {});

/// The first place where a compiled graph no longer computes what the interpreter says.
struct Departure {
  enum class Where : std::uint8_t { pass, kernel };
  Where where = Where::pass;
  std::size_t number = 0;  ///< of the pass or the kernel
  std::string name = {};        ///< of the pass, or the kernel's implementation
  /// The first node that departs, its line in the graph after the pass or in the compiled graph.
  NodeId node = 0;
  std::string line = {};
  Dim element = 0;
  double expected = 0, got = 0, bound = 0;
  std::string text() const;
};

struct BisectOptions {
  CompileOptions compile = {};
  /// In place of compile()'s own: to search in passes of one's own.
  std::span<const Pass> passes = {};
  std::uint64_t seed = 1;  ///< of the made-up inputs
};
/// Runs the rewrites one more at a time, each time comparing what the graph means in double; then runs the kernels,
/// comparing each with the meaning of its nodes on the operands that it read. Nothing if nothing departs.
THALWEG_API std::optional<Departure> bisect(const Graph& graph, const BisectOptions& options = {});

}  // namespace thalweg
