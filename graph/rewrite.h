// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// What a rewriting rule sees of one node, in execution order.
struct Site {
  const Graph& from;  ///< the graph as it was
  NodeId id;          ///< the node there
  Graph& to;          ///< the graph that is being made: new nodes go here
  std::span<const ValueId> x;  ///< the node's operands, in `to`

  const Node& node() const { return from.node(id); }
  /// The values that stand for the node's results, if it is copied as it is.
  std::vector<ValueId> copy() const;
};

/// What stands in `to` for each result of the node; nothing: a copy of the node. Nodes that the rule adds take the
/// line, the scope and the origin of the node.
using Rule = std::function<std::vector<ValueId>(const Site&)>;

/// The one way in which passes change a graph: makes it anew, node by node, asking `rule` at each; outputs and
/// updates follow. Linear in the graph's size. Returns whether the printed text changed; if not, the graph and every
/// Value of it stay as they are.
THALWEG_API bool rewrite(Graph& graph, const Rule& rule);

/// Whether print() says the same of both, without printing.
THALWEG_API bool same_text(const Graph& a, const Graph& b);

}  // namespace thalweg
