// SPDX-License-Identifier: Apache-2.0
// Time of each op on the arguments that it is tested with: one row for each of tests/cases.cpp. And of each kernel that
// a product or a convolution may become, by itself: what the order in lib/compile/candidates.cpp stands on.
#include <benchmark/benchmark.h>

#include <fmt/format.h>

#include <array>
#include <exception>

#include "../tests/cases.h"
#include "counters.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/logical_threads.h"
#include "thalweg/lib/compile/program.h"
#include "thalweg/lib/compile/summary.h"
#include "thalweg/lib/kernels/conv_code.h"
#include "thalweg/lib/kernels/packed_product.h"
#include "thalweg/lib/kernels/product_code.h"
#include "thalweg/lib/kernels/tiled.h"
#include "thalweg/lib/kernels/wide_convolution.h"
#include "thalweg/lib/onednn/lower.h"
#include "thalweg/ops/conv.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/source.h"

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

using Make = std::unique_ptr<Kernel> (*)(const KernelRequest&);
struct Candidate {
  const char* name;
  Make make;
};
constexpr Candidate candidates[] = {
    {"written",
     [](const KernelRequest& r) { return r.node.op->name == "matmul" ? small_product(r) : small_convolution(r); }},
    {"packed", [](const KernelRequest& r) { return packed_product(r); }},
    {"wide", [](const KernelRequest& r) { return wide_convolution(r); }},
    {"tiled", [](const KernelRequest& r) { return tiled_convolution(r); }},
    {"onednn", [](const KernelRequest& r) { return onednn::kernel(r, {}); }},
};

/// A node alone in a graph, timed as one of its kernels.
void time_candidate(benchmark::State& state, const Candidate& candidate, const Graph& graph) {
  const Node& node = graph.node(graph.outputs()[0].value.node);
  std::vector<TensorType> in;
  for (const ValueId operand : graph.operands(graph.outputs()[0].value.node)) in.push_back(graph.type(operand));
  const LogicalThreads one(1);
  const auto kernel = candidate.make({node, in, node.types});
  if (!kernel) return state.SkipWithError("has no such kernel");
  std::vector<Tensor> tensors;
  std::vector<const void*> from;
  for (const TensorType& type : in) from.push_back(tensors.emplace_back(type).data());
  touch(tensors);
  Tensor result(node.types[0]), scratch(u8(static_cast<Dim>(kernel->scratch_bytes()) + 64));
  void* to = result.data();
  for (auto _ : state) kernel->run(from.data(), &to, scratch.data());
  const double steps = static_cast<double>(state.iterations());
  state.counters["GFLOP/s"] = benchmark::Counter(flops(graph) * steps / 1e9, benchmark::Counter::kIsRate);
  state.SetLabel(kernel->name());
}

void register_candidates(const std::string& name, const Graph& graph) {
  for (const Candidate& candidate : candidates)
    benchmark::RegisterBenchmark(("candidate/" + name + "/" + candidate.name).c_str(), [=](benchmark::State& state) {
      time_candidate(state, candidate, graph);
    })->UseRealTime();
}

/// The three products of a dense layer, and the three convolutions of a layer of its own.
void register_all_candidates() {
  const std::array<Dim, 3> products[] = {{15, 16, 4}, {16, 16, 16}, {32, 32, 32}, {48, 48, 48}, {64, 64, 64},
                                         {96, 96, 96}, {128, 128, 128}, {256, 256, 256}, {128, 512, 784}};
  for (const auto& [m, n, k] : products)
    for (const std::string_view which : {"forward", "to_data", "to_weights"}) {
      Graph g("product");
      const bool ta = which == "to_weights", tb = which == "to_data";
      const Value a = input(g, "a", ta ? f32(k, m) : f32(m, k)), b = input(g, "b", tb ? f32(n, k) : f32(k, n));
      g.output("y", matmul(a, b, {.ta = ta, .tb = tb}));
      register_candidates(fmt::format("{}x{}x{}/{}", m, n, k, which), g);
    }
  struct Layer {
    Dim size, channels, filters, taps;
  };
  const Layer layers[] = {{32, 16, 16, 3}, {16, 32, 32, 3}, {8, 64, 64, 3}, {14, 256, 256, 3}, {7, 512, 512, 3},
                          {56, 64, 256, 1}, {28, 512, 128, 1}, {14, 256, 1024, 1}, {7, 2048, 512, 1}};
  for (const Layer& l : layers)
    for (const std::string_view which : {"forward", "to_data", "to_weights"}) {
      Graph g("convolution");
      const Value x = input(g, "x", f32(8, l.size, l.size, l.channels));
      const Value w = input(g, "w", f32(l.taps, l.taps, l.channels, l.filters));
      const Value dy = input(g, "dy", f32(8, l.size, l.size, l.filters));
      const Conv2dOptions same{.padding = "same"};
      g.output("y", which == "to_weights" ? conv2d_backward_weights(x, dy, w.type(), same)
                    : which == "to_data"  ? conv2d_backward_data(dy, w, x.type(), same)
                                          : conv2d(x, w, same));
      register_candidates(fmt::format("{0}x{0}x{1}-{2}/{3}x{3}/{4}", l.size, l.channels, l.filters, l.taps, which), g);
    }
}

}  // namespace
}  // namespace thalweg::bench

int main(int argc, char** argv) {
  for (const auto& row : thalweg::testing::all_cases())
    benchmark::RegisterBenchmark(row.name.c_str(), [&row](benchmark::State& state) {
      thalweg::bench::time_op(state, row);
    })->UseRealTime();
  thalweg::bench::register_all_candidates();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  thalweg::bench::describe_machine();
  benchmark::RunSpecifiedBenchmarks();
}
