// SPDX-License-Identifier: Apache-2.0
// Time of one training step: forward, backward and update, on made-up samples.
#include <benchmark/benchmark.h>

#include "../tools/models.h"
#include "thalweg/thalweg.h"

namespace {

using namespace thalweg;

/// What is timed: the types of a batch, the net and its optimizer.
struct Task {
  TensorType x;
  Dim classes;
  Value (*net)(const Value& x);
  Optimizer optimizer;
};

Graph training_graph(const Task& task) {
  Graph g("step");
  const Value x = input(g, "x", task.x);
  const Value t = input(g, "label", i32(task.x.shape[0]));
  const Value y = task.net(x);
  const Value loss = mean(sparse_cross_entropy(y, t));
  minimize(loss, task.optimizer);
  g.output("loss", loss);
  return g;
}

/// Numbers in [0, 1) and labels in turn: what they are does not change the work.
void fill(Program& program, Dim classes) {
  std::uint32_t state = 1;
  for (float& value : program.input<float>("x")) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8) * 0x1p-24F;
  }
  std::int32_t label = 0;
  for (std::int32_t& value : program.input<std::int32_t>("label")) value = label++ % static_cast<std::int32_t>(classes);
}

void time_steps(benchmark::State& state, const Task& task) {
  const Graph graph = training_graph(task);
  Program program = compile(graph);
  fill(program, task.classes);
  for (int warm = 0; warm < 3; ++warm) program.run();
  for (auto _ : state) program.run();
  const auto samples = static_cast<double>(task.x.shape[0]);
  state.counters["kernels"] = static_cast<double>(program.kernels());
  state.counters["planned_bytes"] = static_cast<double>(program.memory().total());
  state.counters["samples/s"] = benchmark::Counter(samples, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["FLOP/s"] = benchmark::Counter(flops(graph), benchmark::Counter::kIsIterationInvariantRate);
}

void digits_cnn(benchmark::State& state) {
  time_steps(state, {f32(32, 8, 8, 1), 10, [](const Value& x) { return tool::convolutional_net(x, 10); }, Adam{}});
}
void iris_mlp(benchmark::State& state) {
  const auto net = [](const Value& x) { return dense(dense(x, 16, {.activation = relu}), 3); };
  time_steps(state, {f32(15, 4), 3, net, Sgd{.rate = 0.1, .momentum = 0.9}});
}
void mnist_mlp(benchmark::State& state) {
  time_steps(state, {f32(64, 784), 10, [](const Value& x) { return tool::dense_net(x, 10, 512, 0); }, Adam{}});
}
void compile_digits_cnn(benchmark::State& state) {
  const Graph graph = training_graph(
      {f32(32, 8, 8, 1), 10, [](const Value& x) { return tool::convolutional_net(x, 10); }, Adam{}});
  for (auto _ : state) benchmark::DoNotOptimize(compile(graph).kernels());
}

BENCHMARK(iris_mlp)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK(mnist_mlp)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK(digits_cnn)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK(compile_digits_cnn)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
