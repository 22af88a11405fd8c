// SPDX-License-Identifier: Apache-2.0
// Private: pointwise groups as generated loops.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "thalweg/lib/kernels/own.h"
#include "thalweg/lib/kernels/pointwise_space.h"
#include "thalweg/lib/kernels/vector_code.h"

namespace thalweg {

/// A kernel that runs the groups, all of the same steps, one after the other: in[] are the inputs of the first group,
/// then those of the second and so on, and so is out[]. Null where there is no generated code for them.
std::unique_ptr<Kernel> generated_pointwise(std::span<const PointwiseGroup> groups, int threads);

/// One group's share of a generated kernel.
struct PointwisePart {
  std::size_t first_in = 0, first_out = 0;  ///< of its operands and results among the kernel's
  PointwiseSpace space;
  std::size_t elements = 0;
  std::size_t begin = 0;  ///< among the elements of all parts
};
/// The loop that runs groups of the same steps: all over single rows with the same operands repeated, or only one.
struct PointwiseLoop {
  std::vector<PointwisePart> parts;
  VectorLoop loop;
  std::unique_ptr<LoopCode> code;
};
/// Whether every step of a group has vector code on this machine.
bool has_vector_code(const PointwiseGroup& group);
std::optional<PointwiseLoop> pointwise_loop(std::span<const PointwiseGroup> groups);

}  // namespace thalweg
