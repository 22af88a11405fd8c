// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// How one graph differs from another by meaning: numbers, lines, scopes and the order of nodes do not count.
struct Difference {
  /// Two nodes that stand for each other and are not equal.
  struct Change {
    NodeId before = 0, after = 0;
    std::vector<std::string> what = {};  ///< `rate 0.1 -> 0.2`, `type f32[64,10] -> f32[32,10]`, `operand 1 %3 -> %7`
  };
  std::vector<NodeId> removed = {};   ///< of the first graph
  std::vector<NodeId> added = {};     ///< of the second
  std::vector<Change> changed = {};   ///< not those that merely read something that changed
  std::vector<std::string> results = {};  ///< `+ output accuracy`, `- update @w`, `~ output loss = %3 -> %8`
  /// For each node of the first graph its counterpart in the second, equal or changed.
  std::vector<std::optional<NodeId>> counterpart = {};

  bool empty() const { return removed.empty() && added.empty() && changed.empty() && results.empty(); }
  /// A line for each: `- ` removed, `+ ` added, `~ ` changed; then a line of totals.
  THALWEG_API std::string text(const Graph& before, const Graph& after) const;
};

/// Pairs equal nodes (same op, attributes, types, and equal operands, of a commutative op in any order), then those of
/// one name, then those that stand in the same place under outputs and updates of one name, then those made by one
/// line; what is left was removed or added. Linear in the graphs.
THALWEG_API Difference diff(const Graph& before, const Graph& after);

}  // namespace thalweg
