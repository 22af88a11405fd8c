// SPDX-License-Identifier: Apache-2.0
// Time of compile(): the nets of the zoo, and graphs that grow, with a fit of how the time grows with their nodes.
#include <benchmark/benchmark.h>

#include <string>

#include "../tools/zoo/zoo.h"
#include "counters.h"
#include "thalweg/graph/error.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/thalweg.h"

namespace thalweg::bench {
namespace {

void report_program(benchmark::State& state, const Graph& graph, const Program& program) {
  state.counters["nodes"] = static_cast<double>(graph.size());
  state.counters["kernels"] = static_cast<double>(program.kernels());
  state.counters["planned"] = benchmark::Counter(static_cast<double>(program.memory().total()),
                                                 benchmark::Counter::kDefaults, benchmark::Counter::kIs1024);
}

/// From the training graph to a program that can run.
void compile_net(benchmark::State& state, const zoo::Model& model) {
  const Graph graph = model.build(model.batch);
  for (auto _ : state) {
    Program program = compile(graph, {.variables = Variables()});
    state.PauseTiming();
    report_program(state, graph, program);
    state.ResumeTiming();
  }
}

/// From nothing to the training graph: forward, gradients and updates.
void build_net(benchmark::State& state, const zoo::Model& model) {
  std::size_t nodes = 0;
  for (auto _ : state) nodes = model.build(model.batch).size();
  state.counters["nodes"] = static_cast<double>(nodes);
}

/// A chain whose every tenth value is used again later: about `nodes` nodes that no rewrite removes.
Graph chain(std::int64_t nodes) {
  Graph g("chain");
  const Value x = input(g, "x", f32(64));
  std::vector<Value> values{x};
  while (static_cast<std::int64_t>(values.size()) < nodes) {
    const Value& last = values.back();
    const Value& earlier = values[values.size() / 2];
    values.push_back(values.size() % 10 == 0 ? last + earlier : values.size() % 2 == 0 ? tanh(last) : sigmoid(last));
  }
  g.output("y", values.back());
  return g;
}

void compile_chain(benchmark::State& state) {
  const Graph graph = chain(state.range(0));
  std::size_t kernels = 0;
  for (auto _ : state) kernels = compile(graph, {.logical_threads = 1, .variables = Variables()}).kernels();
  state.counters["nodes"] = static_cast<double>(graph.size());
  state.counters["kernels"] = static_cast<double>(kernels);
  state.SetComplexityN(state.range(0));
}

BENCHMARK(compile_chain)->Arg(1000)->Arg(10'000)->Arg(100'000)->Unit(benchmark::kMillisecond)->UseRealTime()
    ->Complexity(benchmark::oAuto);

}  // namespace
}  // namespace thalweg::bench

int main(int argc, char** argv) {
  using namespace thalweg;
  for (const zoo::Model& model : zoo::models()) {
    const std::string name(model.name);
    benchmark::RegisterBenchmark(("build/" + name).c_str(), [&model](benchmark::State& s) {
      bench::build_net(s, model);
    })->Unit(benchmark::kMillisecond)->UseRealTime();
    benchmark::RegisterBenchmark(("compile/" + name).c_str(), [&model](benchmark::State& s) {
      bench::compile_net(s, model);
    })->Unit(benchmark::kMillisecond)->UseRealTime();
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
