// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/lib/compile/program.h"

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
    std::string layer = {};
    TensorType output;                ///< of the last op of the row
    std::int64_t parameters = 0;      ///< elements of trainable variables
    std::int64_t fixed_parameters = 0;  ///< elements of the others, such as running statistics
    double flops = 0;
    double backward_flops = 0;          ///< of the gradients that flow through the row
    std::size_t activation_bytes = 0;   ///< of what its ops compute; views count nothing
  };
  std::vector<Row> rows = {};
  std::int64_t parameters = 0;
  std::int64_t fixed_parameters = 0;
  double flops = 0;
  double backward_flops = 0;  ///< of all gradients
  double update_flops = 0;    ///< of schedules, clipping, penalties and updates
  std::size_t activation_bytes = 0;

  /// An aligned table with a line of totals.
  std::string text() const;
};

/// The layers of a graph in order of execution; gradients are counted with the layer that they are of, schedules and
/// updates apart. Inputs have no row.
THALWEG_API Summary summary(const Graph& graph);
/// A compiled step in numbers.
struct ProgramSummary {
  std::size_t kernels = 0;
  std::size_t groups = 0;        ///< kernels of more than one node
  std::size_t grouped_nodes = 0;  ///< the nodes in them
  std::map<std::string, std::size_t> implementations = {};  ///< how many kernels of each
  MemoryReport memory;
  std::size_t reorders = 0;  ///< layout changes a step
  int logical_threads = 1;

  /// `portable` leaves out what depends on the machine.
  std::string text(bool portable = false) const;
};
THALWEG_API ProgramSummary summary(const PlannedProgram& planned);
/// `1234567` as `1,234,567`.
THALWEG_API std::string with_commas(std::int64_t number);

}  // namespace thalweg
