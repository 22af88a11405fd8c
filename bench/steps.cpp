// SPDX-License-Identifier: Apache-2.0
// Time of whole training steps: forward, backward and update. With --serve and its siblings, one workload for another
// program to drive (bench/compare).
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "bound.h"
#include "counters.h"
#include "serve.h"
#include "thalweg/graph/error.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/compile/summary.h"
#include "thalweg/thalweg.h"
#include "workloads.h"

namespace thalweg::bench {
namespace {

void time_steps(benchmark::State& state, const Workload& workload) {
  const int threads = static_cast<int>(state.range(0));
  Program program = compiled(workload, {.threads = threads});
  fill_inputs(program, workload);
  time_program(state, program, {flops(program.graph()), compulsory_bytes(program.graph())});
}

/// What a program costs beside its kernels: a chain of kernels of one number each.
void time_executor(benchmark::State& state) {
  Graph g("executor");
  Value x = input(g, "x", f32(1));
  for (int k = 0; k < state.range(0); ++k) x = neg(x);
  g.output("y", x);
  Program program = compile(g, {.logical_threads = 1, .fold = false, .cse = false, .fuse = false,
                                .variables = Variables()});
  time_program(state, program, {});
}

int run_suite(int argc, char** argv) {
  for (const int kernels : {1, 33}) {
    auto* row = benchmark::RegisterBenchmark("executor", time_executor);
    row->ArgName("kernels")->Arg(kernels)->Unit(benchmark::kNanosecond)->UseRealTime();
  }
  for (const Workload& workload : workloads()) {
    auto* row = benchmark::RegisterBenchmark(std::string(workload.name).c_str(), [&workload](benchmark::State& state) {
      time_steps(state, workload);
    });
    row->ArgName("threads")->Unit(benchmark::kMicrosecond)->UseRealTime();
    for (int threads = 1; threads <= hardware_threads(); threads *= 2) row->Arg(threads);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  describe_machine();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

int run(int argc, char** argv) {
  CLI::App app("Times whole training steps; without one of these, as Google Benchmark (--benchmark_help).", "steps");
  std::string serve_name, once, losses, exported, bound, folder;
  bool judged = false;
  ServeOptions options;
  auto* mode = app.add_option_group("one workload");
  mode->add_option("--serve", serve_name, "run as many steps as each line read says, and print their times");
  mode->add_option("--once", once, "run one step");
  mode->add_option("--losses", losses, "print the losses of the first 20 steps");
  mode->add_option("--export", exported, "write first weights, inputs and reference losses into --folder");
  mode->add_option("--bound", bound, "print each kernel's least time, and the step's time against their sum");
  mode->add_flag("--judge", judged, "compare the losses on standard input with those in --folder");
  mode->require_option(0, 1);
  app.add_option("--threads", options.threads, "logical threads")->check(CLI::Range(1, 256))->capture_default_str();
  app.add_option("--precision", options.precision, "f32 or bf16")->capture_default_str();
  app.add_flag("--winograd", options.winograd, "3x3 convolutions by Winograd's algorithm (AVX-512)");
  app.add_flag("--tune", options.tune, "choose matmuls and convolutions by their times");
  app.add_option("--budget", options.budget, "the share of its memory that it may have, for less of it and more time")
      ->check(CLI::Range(0.01, 1.0));
  app.add_option("--folder", folder, "of --export and --judge");
  app.allow_extras();
  try {
    app.parse(argc, argv);
    if ((judged || !exported.empty()) && folder.empty()) throw CLI::RequiredError("--folder");
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    std::cerr << "steps: " << error.what() << " (see steps --help)\n";
    return 2;
  }
  if (serve_name.empty() && once.empty() && losses.empty() && exported.empty() && bound.empty() && !judged)
    return run_suite(argc, argv);
  if (!app.remaining().empty()) {
    std::cerr << "steps: unknown option '" << app.remaining().front() << "' (see steps --help)\n";
    return 2;
  }
  if (!serve_name.empty()) serve(workload(serve_name), options, std::cin, std::cout);
  if (!once.empty()) run_once(workload(once), options, std::cout);
  if (!losses.empty()) print_losses(workload(losses), options, std::cout);
  if (!exported.empty()) export_start(workload(exported), folder);
  if (!bound.empty()) print_bound(workload(bound), options, std::cout);
  return judged && !judge(folder, options.precision, std::cin, std::cout) ? 1 : 0;
}

}  // namespace
}  // namespace thalweg::bench

int main(int argc, char** argv) {
  try {
    return thalweg::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "steps: " << error.what() << '\n';
    return 3;
  }
}
