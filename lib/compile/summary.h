// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// Floating-point operations of one node, a multiplication and an addition counted as two: 2·m·n·k for a matrix
/// product, 2·kh·kw·(C/groups) for each output element of a convolution (and as much for each of its gradients), one
/// for each element that a window, a reduction or any other arithmetic op reads or writes, whichever are more;
/// nothing for sources and for ops that only move data.
THALWEG_API double flops(const Graph& graph, NodeId node);
/// Of all nodes: for a training graph, forward, backward and the updates.
THALWEG_API double flops(const Graph& graph);

/// A graph's forward part, layer by layer.
struct Summary {
  /// A name scope, or one op outside of any.
  struct Row {
    std::string layer;
    TensorType output;                ///< of the last op of the row
    std::int64_t parameters = 0;      ///< elements of trainable variables
    std::int64_t fixed_parameters = 0;  ///< elements of the others, such as running statistics
    double flops = 0;
  };
  std::vector<Row> rows;
  std::int64_t parameters = 0;
  std::int64_t fixed_parameters = 0;
  double flops = 0;

  /// An aligned table with a line of totals.
  std::string text() const;
};

/// The layers of a graph in order of execution; gradients, schedules and updates are left out. Inputs have no row.
THALWEG_API Summary summary(const Graph& graph);
/// `1234567` as `1,234,567`.
THALWEG_API std::string with_commas(std::int64_t number);

}  // namespace thalweg
