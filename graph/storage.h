// SPDX-License-Identifier: Apache-2.0
// Private: the only header that includes Boost.Graph (a file that does costs seconds to compile).
#pragma once

// GCC 12, with sanitizers, takes an empty boost::optional for uninitialized.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <boost/graph/adjacency_list.hpp>
#pragma GCC diagnostic pop
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "thalweg/graph/graph.h"

namespace thalweg::detail {

/// One use of a value: an edge from producer to consumer.
struct Use {
  std::uint32_t operand = 0;  ///< which operand of the consumer
  std::uint32_t result = 0;   ///< which result of the producer
};

using Adjacency = boost::adjacency_list<boost::vecS, boost::vecS, boost::bidirectionalS, Node, Use>;

/// What the handles share. Edges are only ever added, all in-edges of a node when it is made, so that vertex
/// descriptors stay valid and ascending ids are an execution order; removal is a copy (`Graph::replace_by`).
struct GraphState {
  std::string name;
  Adjacency nodes;
  std::vector<ValueId> operands;             ///< the operands of all nodes, node after node
  std::vector<std::size_t> first_operand{0};  ///< where those of node i begin; one more at the end
  std::unordered_map<std::string, NodeId> named;
  std::vector<Graph::Output> outputs;
  std::vector<Graph::Update> updates;
  std::unordered_map<std::string, std::size_t> output_named;  ///< where in `outputs`
  std::unordered_map<NodeId, std::size_t> update_of;          ///< by variable, where in `updates`
  std::vector<std::uint64_t> born;  ///< the generation in which node i was made: a Value of another one is stale
  std::uint64_t generation = 0;     ///< grows when ids change their meaning
  std::uint64_t renumbered = 0;     ///< the generation of the last renumbering by a pass
  std::int64_t keys = 0;  ///< how many keys next_key has given

  // What Frames have set for the nodes that are being added.
  SourceLoc loc;
  std::string scope;
  Origin origin = Origin::forward;
  /// From this node on, adding an equal node gives the one that is there: the gradient rules of one node often need
  /// the same subexpressions.
  std::optional<NodeId> share_from;
};

/// The storage behind a handle, for the algorithms in graph/.
struct Access {
  static GraphState& state(const Graph& graph);
};

/// Whether a graph, node, output or scope may be called so.
bool good_name(std::string_view name);

}  // namespace thalweg::detail
