// SPDX-License-Identifier: Apache-2.0
// What is timed: whole training steps of the model zoo, and updates alone.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/lib/compile/program.h"

namespace thalweg::bench {

struct Workload {
  std::string_view name;
  std::string_view about;  ///< one line
  Graph (*build)();
  /// Whether it is updates alone: it has no loss, and its input is a gradient.
  bool update_only = false;
};

/// Every workload, from small to large.
std::span<const Workload> workloads();
/// The workload of that name; throws RunError with the names there are.
const Workload& workload(std::string_view name);

/// Numbers for every input of a program: floats in [0, 1) (gradients in [-1, 1)), labels in turn. The same every time.
void fill_inputs(Program& program, const Workload& workload);
/// What runs of one workload are compared by: its loss; for updates alone, the mean square of the weights.
double measure(const Program& program, const Workload& workload);

}  // namespace thalweg::bench
