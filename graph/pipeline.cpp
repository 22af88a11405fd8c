// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/pipeline.h"

#include <array>
#include <chrono>
#include <optional>

#include "thalweg/graph/cse.h"
#include "thalweg/graph/dce.h"
#include "thalweg/graph/fail.h"
#include "thalweg/graph/fold.h"
#include "thalweg/graph/print.h"
#include "thalweg/graph/verify.h"

namespace thalweg {
namespace {

void verify_after(const Pass& pass, const Graph& graph) {
  try {
    verify(graph);
  } catch (const GraphError& error) {
    throw InternalError(fmt::format("after the pass {}: {}", pass.name, error.what()));
  }
}

bool run_checked(const Pass& pass, Graph& graph, bool check_flag) {
  if (!check_flag) return pass.run(graph);
  const std::string before = print(graph);
  const bool said = pass.run(graph);
  const bool changed = print(graph) != before;
  if (said != changed)
    throw InternalError(fmt::format("the pass {} said that it {} graph '{}', and it {}", pass.name,
                                    said ? "changed" : "did not change", graph.name(), changed ? "did" : "did not"));
  return said;
}

}  // namespace

std::span<const Pass> standard_passes() {
  static constexpr std::array<Pass, 3> passes = {{{"fold", fold}, {"cse", cse}, {"dce", dce}}};
  return passes;
}

bool run_pipeline(Graph& graph, std::span<const Pass> passes, const PipelineOptions& options) {
  if (options.dump) options.dump("input", print(graph));
  bool changed_ever = false;
  std::string_view last;
  std::size_t changes = 0;
  const std::size_t rounds = options.rounds + graph.size();
  for (std::size_t round = 1; round <= rounds; ++round) {
    bool changed = false;
    for (const Pass& pass : passes) {
      if (changes == options.limit) return changed_ever;
      const std::optional<Graph> before = options.trace ? std::optional(graph.clone()) : std::nullopt;
      const auto start = std::chrono::steady_clock::now();
      if (!run_checked(pass, graph, options.check_flags)) continue;
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
      changed = changed_ever = true;
      last = pass.name;
      ++changes;
      verify_after(pass, graph);
      if (options.trace) options.trace({changes, round, pass.name, time.count(), *before, graph});
      if (options.dump) options.dump(fmt::format("{} {}", round, pass.name), print(graph));
    }
    if (!changed) return changed_ever;
  }
  throw InternalError(fmt::format("the passes do not settle on graph '{}': after {} rounds, {} still changes it",
                                  graph.name(), rounds, last));
}

}  // namespace thalweg
