// SPDX-License-Identifier: Apache-2.0
// Time of each optimizer's update alone, over its memory traffic: weights and slots read and written, gradients read.
#include <benchmark/benchmark.h>

#include <cmath>
#include <string>
#include <vector>

#include "counters.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/thalweg.h"

namespace thalweg::bench {
namespace {

struct Rule {
  const char* name;
  Optimizer optimizer;
  bool matrices = false;  ///< the rule is about matrices: its variables are square, and not the largest
};

const std::vector<Rule>& rules() {
  static const std::vector<Rule> list = {
      {"sgd", Sgd{}},
      {"momentum", Sgd{.momentum = 0.9}},
      {"nesterov", Sgd{.momentum = 0.9, .nesterov = true}},
      {"adagrad", Adagrad{}},
      {"adadelta", Adadelta{}},
      {"rmsprop", RmsProp{}},
      {"rmsprop_centered_momentum", RmsProp{.momentum = 0.9, .centered = true}},
      {"adam", Adam{}},
      {"amsgrad", Adam{.amsgrad = true}},
      {"adamw", AdamW{}},
      {"adamax", Adamax{}},
      {"nadam", Nadam{}},
      {"radam", RAdam{}},
      {"ftrl", Ftrl{}},
      {"lion", Lion{}},
      {"rprop", Rprop{}},
      {"lamb", Lamb{}},
      {"lars", Lars{}},
      {"schedule_free_adamw", ScheduleFreeAdamW{}},
      {"schedule_free_sgd", ScheduleFreeSgd{}},
      {"adafactor", Adafactor{}, true},
      {"muon", Muon{}, true},
  };
  return list;
}

TensorType weight_of(const Rule& rule, Dim n) {
  const auto side = static_cast<Dim>(std::lround(std::sqrt(static_cast<double>(n))));
  return rule.matrices ? f32(side, side) : f32(n);
}

/// A net's weights: so many variables of n / variables elements, updated in one step.
Graph updates(const Rule& rule, Dim n, Dim variables) {
  Graph g("updates");
  Slots slots(g, std::string(rule.optimizer.name()), SourceLoc::current());
  for (Dim i = 0; i < variables; ++i) {
    const std::string number = std::to_string(i);
    const TensorType type = weight_of(rule, n / variables);
    const Value w = variable(g, "w" + number, type, random_uniform_init({.low = -1, .high = 1}));
    g.update(w, slots.next(rule.optimizer, w, input(g, "dw" + number, type)));
  }
  slots.count();
  return g;
}

void time_update(benchmark::State& state, const Graph& graph, Dim n, int threads) {
  Program program = compile(graph, {.logical_threads = threads, .variables = Variables()});
  for (const std::string& name : program.input_names()) {
    float x = -1;
    for (float& value : program.input<float>(name)) {
      value = x;
      x = x > 1 ? -1 : x + 0.001F;
    }
  }
  const double seconds = time_program(state, program, {0, compulsory_bytes(program.graph())});
  state.counters["ns/param"] = seconds * 1e9 / static_cast<double>(n);
}

void add_row(const Rule& rule, Dim n, Dim variables, int threads) {
  const std::string name = std::string(rule.name) + "/" + std::to_string(n) + "/variables:" +
                           std::to_string(variables) + "/threads:" + std::to_string(threads);
  benchmark::RegisterBenchmark(name.c_str(), [&rule, n, variables, threads](benchmark::State& state) {
    time_update(state, updates(rule, n, variables), n, threads);
  })->Unit(benchmark::kMicrosecond)->UseRealTime();
}

}  // namespace
}  // namespace thalweg::bench

int main(int argc, char** argv) {
  using namespace thalweg;
  for (const auto& rule : bench::rules()) {
    bench::add_row(rule, 1024, 1, 1);
    bench::add_row(rule, 640'000, 64, 1);
    for (int threads = 1; threads <= hardware_threads() && !rule.matrices; threads *= 2)
      bench::add_row(rule, 10'000'000, 1, threads);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  bench::describe_machine();
  benchmark::RunSpecifiedBenchmarks();
}
