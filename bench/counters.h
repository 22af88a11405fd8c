// SPDX-License-Identifier: Apache-2.0
// What a row of a benchmark reports besides its time.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <span>

#include "thalweg/lib/compile/program.h"

namespace thalweg::bench {

/// The work of one iteration.
struct Cost {
  double operations = 0;  ///< floating-point
  std::size_t bytes = 0;  ///< that it must read and write at least
};

/// Steps a program for every iteration, and reports GFLOP/s, GB/s, and how much of the time the machine's limits allow
/// at the program's threads (`%roofline`, 100 is the limit: the peak or the bandwidth, whichever takes longer for this
/// work); kernels, reorders and planned bytes of the program, and the heap allocations of one of its steps. Returns the
/// seconds of a step.
double time_program(benchmark::State& state, Program& program, const Cost& cost);

/// Every byte of inputs, outputs and variables of a graph once, and of the updated variables twice.
std::size_t compulsory_bytes(const Graph& graph);

/// Writes every byte of new tensors: until something is written, all their pages are the same one, which stays in the
/// caches.
void touch(std::span<Tensor> tensors);

/// Writes processor, versions and measured limits into the benchmark's context.
void describe_machine();

}  // namespace thalweg::bench
