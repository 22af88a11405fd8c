// SPDX-License-Identifier: Apache-2.0
// Time of each op on the arguments that it is tested with: one row for each of tests/cases.cpp.
#include <benchmark/benchmark.h>

#include <exception>

#include "../tests/cases.h"
#include "counters.h"
#include "thalweg/lib/compile/program.h"
#include "thalweg/lib/compile/summary.h"

namespace thalweg::bench {
namespace {

void time_op(benchmark::State& state, const testing::OpCase& row) {
  try {
    testing::BuiltCase built = testing::built(row);
    Program program = compile(built.graph, {.logical_threads = 1, .variables = Variables()});
    const std::vector<Array<double>> arguments = testing::draw(row);
    for (std::size_t i = 0; i < arguments.size(); ++i)
      program.feed("a" + std::to_string(i), Tensor(row.args[i], arguments[i].data));
    time_program(state, program, {flops(built.graph), compulsory_bytes(built.graph)});
    if (program.kernels() > 0) state.SetLabel(program.implementations().front());
  } catch (const std::exception& error) {
    state.SkipWithError(error.what());
  }
}

}  // namespace
}  // namespace thalweg::bench

int main(int argc, char** argv) {
  for (const auto& row : thalweg::testing::all_cases())
    benchmark::RegisterBenchmark(row.name.c_str(), [&row](benchmark::State& state) {
      thalweg::bench::time_op(state, row);
    })->UseRealTime();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  thalweg::bench::describe_machine();
  benchmark::RunSpecifiedBenchmarks();
}
