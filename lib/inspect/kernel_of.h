// SPDX-License-Identifier: Apache-2.0
// Private: which kernel of a plan computes what.
#pragma once

#include <optional>
#include <vector>

#include "thalweg/lib/compile/program.h"

namespace thalweg {

/// The kernels of nodes and values.
class KernelOf {
 public:
  explicit KernelOf(const PlannedProgram& planned);
  /// Nothing for inputs, variables, constants, and for what is only another view of its operand.
  std::optional<std::size_t> operator()(NodeId node) const;
  /// The value whose numbers `v` is a view of: itself, or what a reshape or a broadcast without a kernel reads.
  ValueId origin(ValueId v) const;
  /// The nodes of a kernel that are connected with one of them: one kernel may do the same for many tensors.
  std::vector<NodeId> connected(std::size_t kernel, NodeId node) const;

 private:
  const PlannedProgram& planned_;
  std::vector<std::size_t> kernel_;
};

}  // namespace thalweg
