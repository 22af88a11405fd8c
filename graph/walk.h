// SPDX-License-Identifier: Apache-2.0
// How the passes look around in a graph. None of these recurses.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// One operand of one node.
struct Reader {
  NodeId node = 0;
  std::uint32_t operand = 0;
  friend bool operator==(Reader, Reader) = default;
};

/// Who reads `value`, in execution order.
THALWEG_API std::vector<Reader> readers(const Graph& graph, ValueId value);

/// For each node, whether it is one of `from` or any of them depends on it.
THALWEG_API std::vector<bool> behind(const Graph& graph, std::span<const NodeId> from);
/// For each node, whether it is one of `from` or depends on any of them.
THALWEG_API std::vector<bool> ahead(const Graph& graph, std::span<const NodeId> from);
/// For each node, whether an output or an update needs it (updated variables included).
THALWEG_API std::vector<bool> needed(const Graph& graph);

/// Either an order in which each thing comes after all that it depends on, or a cycle that forbids one.
struct Order {
  std::vector<NodeId> order;  ///< empty if there is a cycle
  std::vector<NodeId> cycle;  ///< each depends on the one before, the first on the last; empty if there is none
};
/// Orders `count` things by `edges` (first is needed by second); linear in both.
THALWEG_API Order order_of(std::size_t count, std::span<const std::pair<NodeId, NodeId>> edges);
/// Orders the nodes of a graph by the edges of its storage.
THALWEG_API Order execution_order(const Graph& graph);

}  // namespace thalweg
