// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// Where a buffer lies.
enum class Region : std::uint8_t { arena, variable, input, constant };
THALWEG_API std::string_view to_string(Region region);

/// A stretch of memory that values and scratch of a step share, one after another.
struct PlannedBuffer {
  Region region = Region::arena;
  std::size_t bytes = 0;
  std::size_t offset = 0;  ///< in the arena or among the constants; 0 in a variable or input
  NodeId node = 0;         ///< the variable, input or constant; in the arena the node whose result it holds first
  std::size_t first = 0;   ///< arena: the kernel that writes it first
  std::size_t last = 0;    ///< arena: the last kernel that touches it; the number of kernels if it outlives the step
};

/// One kernel of a compiled program.
struct PlannedKernel {
  std::vector<NodeId> members = {};  ///< the nodes inside, in order; for a copy the variable that it writes
  std::vector<ValueId> in = {};      ///< in the order the kernel takes them
  std::vector<ValueId> out = {};
  std::vector<std::uint32_t> in_buffers = {}, out_buffers = {};  ///< of `in` and `out`, among the plan's buffers
  std::optional<std::uint32_t> scratch = {};           ///< the buffer that it works in
  std::string implementation = {};  ///< `own:pointwise(add,relu)`, `onednn:brg:avx512_core`
  std::size_t reorders = 0;    ///< layout changes that it makes
  bool copies_to_variable = false;  ///< the next value of a variable could not be computed in its place
};

/// What a compilation decided, kernel by kernel in execution order, and buffer by buffer. Nodes and values are those
/// of Program::graph().
struct PlanReport {
  /// More steps than this in one pointwise kernel would not leave their blocks in the first-level cache.
  static constexpr std::size_t longest_group = 48;
  std::vector<PlannedKernel> kernels = {};
  std::vector<PlannedBuffer> buffers = {};
  std::vector<std::uint32_t> outputs = {};  ///< the buffer of each of the graph's outputs
};

/// Sees an observed step while it runs: `run(observer)`. The addresses are those of the kernel's operands and results,
/// in the order of PlannedKernel; they are good during the call.
class THALWEG_API StepObserver {
 public:
  virtual ~StepObserver() = default;
  virtual void before(std::size_t kernel, std::span<const void* const> in) = 0;
  virtual void after(std::size_t kernel, std::span<void* const> out) = 0;
};

}  // namespace thalweg
