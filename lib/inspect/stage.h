// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "thalweg/graph/graph.h"
#include "thalweg/lib/compile/program.h"

namespace thalweg {

/// How far a training step has come on its way from a graph to memory.
enum class Stage : std::uint8_t {
  built,      ///< what the user wrote: the forward part
  autodiff,   ///< and penalties and gradients
  optim,      ///< and clipping, schedules and updates: the whole graph
  folded,     ///< after the rewrites
  fused,      ///< divided into kernels
  laid_out,   ///< each kernel with its layout changes
  scheduled,  ///< in the order in which they run
  planned     ///< with the place of every value in memory
};
THALWEG_API std::span<const Stage> stages();
/// `built`, `autodiff`, `optim`, `folded`, `fused`, `laid-out`, `scheduled`, `planned`.
THALWEG_API std::string_view to_string(Stage stage);
/// Throws RunError with the nearest names.
THALWEG_API Stage stage_named(std::string_view name);

/// A graph at a stage; from `fused` on with its plan, whose graph is `graph`.
struct Staged {
  Stage stage = Stage::optim;
  Graph graph;
  std::optional<PlannedProgram> plan = {};
};
/// `graph` is the whole training graph, as `optim` shows it. Plans as plan() does; takes no memory.
THALWEG_API Staged at_stage(const Graph& graph, Stage stage, const CompileOptions& options = {});

}  // namespace thalweg
