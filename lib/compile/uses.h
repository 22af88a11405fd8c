// SPDX-License-Identifier: Apache-2.0
// Private: who reads what in a graph, as planning sees it.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/compile/plan.h"

namespace thalweg {

inline bool is(const Node& node, std::string_view op) { return node.op->name == op; }
inline bool is_source(const Node& node) { return node.op->fusion == Fusion::source; }
/// Ops whose result is their operand's buffer read as another type.
bool is_alias(const Node& node);

/// The types of values, in order.
std::vector<TensorType> types_of(const Graph& graph, std::span<const ValueId> values);

/// Who reads each value of a graph, looking through aliases and through the broadcasts that pointwise kernels take.
class Uses {
 public:
  Uses(const Graph& graph, const ValueIndex& index, bool fuse);
  /// For each value (by ValueIndex) the value whose buffer it is.
  const std::vector<ValueId>& roots() const { return roots_; }
  ValueId root(ValueId v) const { return roots_[index_(v)]; }
  /// The value a pointwise kernel reads in the place of `v`: a broadcast is read through, not made.
  ValueId read_through(ValueId v) const;
  /// The nodes that read a node's values.
  const std::vector<NodeId>& readers(NodeId id) const { return readers_[id]; }
  /// Whether the node's value is an output of the graph or an update's next value.
  bool kept(NodeId id) const { return kept_[id]; }
  /// The only user of a node's value if that is an `op`, else the node itself.
  NodeId only_user(NodeId id, std::string_view op) const;

 private:
  void find_roots();
  void count_users();
  void find_readers();
  void note_reader(ValueId v, NodeId reader);

  const Graph& graph_;
  const ValueIndex& index_;
  bool fuse_;
  std::vector<ValueId> roots_;
  std::vector<std::vector<NodeId>> readers_;
  std::vector<bool> kept_;
  std::vector<std::uint32_t> users_;  ///< of each value; an output or update counts as two
};

}  // namespace thalweg
