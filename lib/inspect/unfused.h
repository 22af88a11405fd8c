// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "thalweg/lib/compile/program.h"

namespace thalweg {

/// Why a value goes from one kernel to another through memory. In this order: of several the first that holds.
enum class Unfused : std::uint8_t {
  fusion_off,
  variable_copy,
  heavy_consumer,
  reduction_consumer,
  movement_consumer,
  opaque_consumer,
  own_kernel,
  reduction_producer,
  movement_producer,
  opaque_producer,
  many_results,
  other_readers,
  no_epilogue,
  shape,
  cycle,
  later_operand,
  group_limit,
  missed
};
/// `fusion-off`, `variable-copy`, …
THALWEG_API std::string_view to_string(Unfused reason);
/// One sentence on what the code means.
THALWEG_API std::string_view meaning_of(Unfused reason);
THALWEG_API std::span<const Unfused> unfused_reasons();

/// A producer and a consumer in two kernels. Reshapes, and broadcasts that are read through, are no nodes of their own
/// here: the edge goes from the node that computes to the node that reads.
struct UnfusedEdge {
  ValueId value;        ///< the producer's result
  NodeId consumer = 0;  ///< for variable_copy the variable
  std::size_t producer_kernel = 0, consumer_kernel = 0;
  Unfused reason = Unfused::missed;
  std::size_t bytes = 0;  ///< of the value: what is written and read again
};
/// Every such edge of a plan, in the order of consumers, with its one reason; `fuse` is what it was compiled with.
THALWEG_API std::vector<UnfusedEdge> unfused(const PlannedProgram& planned, bool fuse = true);

}  // namespace thalweg
