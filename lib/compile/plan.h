// SPDX-License-Identifier: Apache-2.0
// Private: what is decided between a graph and a program.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/lib/compile/program.h"
#include "thalweg/lib/kernels/own.h"

namespace thalweg {

/// A dense number for each value of a graph.
class ValueIndex {
 public:
  explicit ValueIndex(const Graph& graph);
  std::size_t operator()(ValueId id) const { return first_[id.node] + id.result; }
  std::size_t size() const { return first_.back(); }

 private:
  std::vector<std::size_t> first_;
};

/// One kernel of a program before it has memory: what it computes, reads and writes.
struct Work {
  std::vector<NodeId> members;  ///< the nodes inside, in order; for a copy the variable
  std::vector<ValueId> in;      ///< in the order the kernel takes them
  std::vector<ValueId> out;
  std::unique_ptr<Kernel> kernel;
  bool pointwise = false;  ///< groups of pointwise ops
  std::vector<PointwiseGroup> groups = {};  ///< then, their steps; in and out are those of the groups in order
  bool sums = false;      ///< of the groups' results their sums are written, and nothing else
  std::size_t stage = 0;  ///< later than that of every work it waits for
  /// It only feeds updates: it runs after everything else and writes variables, and it cannot fail. So a step that
  /// throws has changed no variable.
  bool late = false;
  /// A copy into a variable, made at the end where a value could not be computed in its final place.
  bool to_variable = false;
};

/// All kernels in execution order, and which values share a buffer by definition.
struct Plan {
  std::vector<Work> works;
  /// For each value (by ValueIndex) the value whose buffer it is: itself, or the operand of a reshape.
  std::vector<ValueId> root;
  /// Values (by ValueIndex of their root) that their work writes straight into a variable, and which.
  std::unordered_map<std::size_t, ValueId> direct;
};

/// Gives every update a next value, and every output a value, of its own that no update overwrites: where one is a
/// variable, input or constant itself, a copy (a cast to its own dtype) is put between.
void separate_results(Graph& graph);

/// Divides a graph into kernels and orders them.
Plan plan_kernels(const Graph& graph, const ValueIndex& index, const CompileOptions& options, int threads);

struct Buffer {
  Region region = Region::arena;
  std::size_t bytes = 0;
  std::size_t offset = 0;        ///< in the arena or the constants
  NodeId node = 0;               ///< the variable, input or constant
  std::size_t first = 0;         ///< work that writes it
  std::size_t last = 0;          ///< last work that touches it; works.size() if it outlives the step
};

/// Buffers of every work's operands, results and scratch.
struct Placement {
  struct Places {
    std::vector<std::uint32_t> in, out;  ///< indices of buffers
    std::uint32_t scratch = none;
  };
  static constexpr std::uint32_t none = ~std::uint32_t{0};
  std::vector<Buffer> buffers;
  std::vector<Places> works;
  std::vector<std::uint32_t> outputs;  ///< of the graph's outputs
  std::size_t arena = 0;
  std::size_t constants = 0;
  std::size_t largest_live = 0;
};

/// Gives every value a place: results in dying operands' buffers where the kernel allows it, the rest by lifetime.
Placement place(const Graph& graph, const ValueIndex& index, const Plan& plan, const CompileOptions& options);

/// Offsets for buffers with lifetimes such that none that live together overlap; returns the total. The better of
/// largest-first and first-come placement.
std::size_t assign_offsets(std::span<Buffer> buffers);
/// The largest sum of bytes alive at one time: a lower bound of every placement.
std::size_t largest_live(std::span<const Buffer> buffers, std::size_t works);

/// Re-derives from kernels and offsets alone that every read finds the value it means, and every write destroys none
/// that is still needed. Throws InternalError. Shares nothing with place().
void check_placement(const Graph& graph, const ValueIndex& index, const Plan& plan,
                     const Placement& placement);

}  // namespace thalweg
