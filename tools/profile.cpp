// SPDX-License-Identifier: Apache-2.0
// thalweg profile: where the time of a step goes.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "command.h"
#include "graph_file.h"
#include "thalweg/graph/error.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/compile/summary.h"
#include "thalweg/lib/inspect/made_up.h"
#include "thalweg/lib/inspect/profile.h"
#include "thalweg/lib/io/npy.h"
#include "thalweg/lib/io/safetensors.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"

namespace thalweg::tool {
namespace {

struct Request : GraphRequest {
  int steps = 20;
  std::size_t top = 20;
  std::string trace, feeds;
  bool no_limits = false;
};

/// The shortest of some steps.
double shortest_step(const Graph& graph, int threads) {
  Program program = compile(graph, {.logical_threads = threads});
  feed(program, made_up_feeds(program.graph()));
  double best = std::numeric_limits<double>::infinity();
  constexpr int steps = 8;
  for (int step = 0; step < steps; ++step) {
    const auto begin = std::chrono::steady_clock::now();
    program.run();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}

/// What this machine does at most, measured through the library itself: a large matrix product, and one pass over more
/// memory than caches hold.
MachineLimits measured_limits(int threads) {
  constexpr Dim n = 1024, elements = Dim{24} << 20;
  Graph product("product");
  const Value a = input(product, "a", f32(n, n)), b = input(product, "b", f32(n, n));
  product.output("c", matmul(a, b));
  Graph pass("pass");
  pass.output("y", input(pass, "x", f32(elements)) * 0.999 + 0.001);
  const double passed = 2.0 * sizeof(float) * static_cast<double>(elements);
  return {.flops = flops(product) / shortest_step(product, threads),
          .bandwidth = passed / shortest_step(pass, threads)};
}

/// Made-up inputs, and in their place those that a file has.
Feeds feeds_of(const Graph& graph, const std::string& file) {
  Feeds feeds = made_up_feeds(graph);
  if (file.empty()) return feeds;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : feeds) names.push_back(name);
  for (auto& [name, tensor] : file.ends_with(".npz") ? read_npz(file) : read_safetensors(file).tensors) {
    const auto input = feeds.find(name);
    if (input == feeds.end())
      throw RunError(fmt::format("{}: the graph has no input '{}'{}", file, name, suggestion(name, names)));
    input->second = tensor;
  }
  return feeds;
}

Status profile_graph(const Request& request) {
  Program program = compile(request.graph(), request.options());
  feed(program, feeds_of(program.graph(), request.feeds));
  const Profile result = profile(program, {.steps = request.steps});
  const MachineLimits limits = request.no_limits ? MachineLimits{} : measured_limits(program.logical_threads());
  if (!request.trace.empty()) write_file(request.trace, result.trace());
  put(request.json ? result.json(limits) : result.text(request.top, limits), request.out);
  return succeeded;
}

}  // namespace

void add_profile(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("profile", "Time each kernel of a step, on made-up inputs or on given ones");
  const auto request = std::make_shared<Request>();
  add_source(command, *request);
  command->add_option("--steps", request->steps, "steps that are timed")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  command->add_option("--top", request->top, "how many of the slowest kernels are shown")
      ->check(CLI::Range(1, 1'000'000))->capture_default_str();
  command->add_option("--feeds", request->feeds,
                      "a .npz or .safetensors file with inputs by name; the others are made up");
  command->add_option("--trace", request->trace, "write a trace for chrome://tracing or Perfetto into this file");
  command->add_flag("--no-limits", request->no_limits, "do not measure what this machine can do at most");
  add_compile_options(command, *request);
  add_result_options(command, *request);
  command->callback([request, &action] { action = [request] { return profile_graph(*request); }; });
}

}  // namespace thalweg::tool
