// SPDX-License-Identifier: Apache-2.0
// What a row of a benchmark reports besides its time.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>

#include "thalweg/lib/compile/program.h"

namespace thalweg::bench {

/// The work of one iteration.
struct Cost {
  double operations = 0;  ///< floating-point
  std::size_t bytes = 0;  ///< that it must read and write at least
};

/// GFLOP/s, GB/s, and the percentage of the time that the machine's limits allow at that many threads (100 is the
/// limit): of the peak or of the bandwidth, whichever takes longer for this work.
void report(benchmark::State& state, const Cost& cost, int threads);
/// kernels, reorders and planned bytes of a program, and the heap allocations of one of its steps.
void report(benchmark::State& state, Program& program);

/// Every byte of inputs, outputs and variables of a graph once, and of the updated variables twice.
std::size_t compulsory_bytes(const Graph& graph);

/// Writes processor, versions and measured limits into the benchmark's context.
void describe_machine();

}  // namespace thalweg::bench
