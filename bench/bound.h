// SPDX-License-Identifier: Apache-2.0
// What a step cannot be faster than, made of what its kernels cannot be faster than.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "serve.h"
#include "workloads.h"

namespace thalweg::bench {

/// The least time of one kernel of a program.
struct KernelBound {
  std::string what;       ///< its ops
  std::string by;         ///< the primitive that was timed, or `memory`
  double seconds = 0;
};

/// For each kernel of a program: for a matmul or convolution the time of the fastest raw primitive, which is oneDNN's
/// in the layout it likes best, with whatever is fused to it for free, or the program's own kernel alone; for every
/// other kernel its operands and results, once each, at the in-place bandwidth of a footprint of that size.
std::vector<KernelBound> kernel_bounds(const Program& program);

/// Prints `{"bound": {...}}`: the step's median time, the sum of the bounds, their ratio, and the kernels' bounds.
void print_bound(const Workload& workload, const ServeOptions& options, std::ostream& out);

}  // namespace thalweg::bench
