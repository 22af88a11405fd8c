// SPDX-License-Identifier: Apache-2.0
#include "counters.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <string>

#include "roofline.h"
#include "tests/allocations.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/threads.h"

namespace thalweg::bench {
namespace {

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

}  // namespace

double time_program(benchmark::State& state, Program& program, const Cost& cost) {
  const Roofline& limits = roofline(program.logical_threads());
  program.run();
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  for (auto _ : state) program.run();
  const std::chrono::duration<double> elapsed = Clock::now() - begin;
  // Plain numbers: a rate of Google Benchmark's would be printed as so much per second.
  const auto steps = std::max<benchmark::IterationCount>(1, state.iterations());
  const double seconds = elapsed.count() / static_cast<double>(steps);
  if (cost.operations > 0) state.counters["GFLOP/s"] = cost.operations / 1e9 / seconds;
  if (cost.bytes > 0) state.counters["GB/s"] = static_cast<double>(cost.bytes) / 1e9 / seconds;
  state.counters["%roofline"] = 100 * limits.bound(cost.operations, cost.bytes) / seconds;
  state.counters["kernels"] = static_cast<double>(program.kernels());
  state.counters["reorders"] = static_cast<double>(program.reorders());
  state.counters["planned"] = benchmark::Counter(static_cast<double>(program.memory().total()),
                                                 benchmark::Counter::kDefaults, benchmark::Counter::kIs1024);
  if (const auto count = testing::allocations_of([&] { program.run(); })) state.counters["allocs"] = static_cast<double>(*count);
  return seconds;
}

std::size_t compulsory_bytes(const Graph& graph) {
  std::size_t bytes = 0;
  for (const NodeId id : graph.inputs()) bytes += graph.node(id).types[0].bytes();
  for (const NodeId id : graph.variables()) bytes += graph.node(id).types[0].bytes();
  for (const Graph::Output& output : graph.outputs()) bytes += graph.type(output.value).bytes();
  for (const Graph::Update& update : graph.updates()) bytes += graph.type(update.variable).bytes();
  return bytes;
}

void touch(std::span<Tensor> tensors) {
  for (Tensor& tensor : tensors) std::memset(tensor.data(), 0, tensor.bytes());
}

void describe_machine() {
  benchmark::AddCustomContext("processor", processor());
  benchmark::AddCustomContext("thalweg", THALWEG_VERSION);
  for (int threads = 1; threads <= hardware_threads(); threads *= 2) {
    const Roofline& r = roofline(threads);
    std::string text = fmt::format("{:.1f} GFLOP/s ({})", r.flops / 1e9, r.instructions);
    for (const auto& [bytes, rate] : r.in_place)
      text += fmt::format(", {} KiB {:.1f} GB/s", bytes / 1024, rate / 1e9);
    benchmark::AddCustomContext(fmt::format("limits, {} thread{}", threads, threads > 1 ? "s" : ""), text);
  }
}

}  // namespace thalweg::bench
