// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// The canonical text of a graph: a line for each node in execution order, columns aligned, `%n` numbered in order,
/// `%name` for inputs, `@name` for what persists; attributes in the op's order where they differ from the default;
/// after `#` the user's line, the origin unless forward, and the scope. `parse` reads it back to an equal graph.
///
///     graph mlp {
///       %x  = input                      : f32[64,784]
///       @w1 = variable {init=he_normal}  : f32[784,128]
///       %0  = matmul %x, @w1             : f32[64,128]   # mlp.cpp:9 in block1
///       output y = %0
///     }
THALWEG_API std::string print(const Graph& graph);

/// The names of a graph's values in its text, all numbered at once (`label` numbers for one value only).
class THALWEG_API Labels {
 public:
  explicit Labels(const Graph& graph);
  std::string operator()(ValueId id) const;

 private:
  Graph graph_;
  std::vector<std::size_t> first_;
};

/// The line of one node, not aligned: `%0 = matmul %x, @w1 : f32[64,128]  # mlp.cpp:9 in block1`.
THALWEG_API std::string line_text(const Graph& graph, NodeId id, const Labels& labels);

/// The attributes of a node that are not as they are by default: ` {window=[2,2], strides=[1,1]}`, or nothing.
THALWEG_API std::string attributes_text(const Node& node);

/// A text attribute as the text form spells it: a plain word as it is, anything else quoted with escapes.
THALWEG_API std::string spelled(std::string_view text);

}  // namespace thalweg
