// SPDX-License-Identifier: Apache-2.0
// thalweg check: everything about a graph that can be proved without data.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"
#include "graph_file.h"
#include "thalweg/graph/error.h"
#include "thalweg/lib/inspect/check.h"

namespace thalweg::tool {
namespace {

struct Request : GraphRequest {
  int steps = 3;
  std::uint64_t seed = 1;
  double most_flops = CheckOptions{}.most_flops;
};

std::string title_of(const Graph& graph) {
  return fmt::format("{}: valid: {} nodes, {} inputs, {} variables, {} outputs, {} updates\n", graph.name(),
                     graph.size(), graph.inputs().size(), graph.variables().size(), graph.outputs().size(),
                     graph.updates().size());
}

std::string line_of(const Verdict& v, bool colours) {
  const std::string_view code = v.is == Verdict::Is::ok ? "32" : v.is == Verdict::Is::failed ? "31" : "33";
  return fmt::format("{} {:<22} {}\n", painted(fmt::format("{:<8}", to_string(v.is)), code, colours), v.name, v.detail);
}

std::string json_of(const Graph& graph, const std::vector<Verdict>& verdicts) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Verdict& v : verdicts)
    list.push_back({{"name", v.name}, {"verdict", to_string(v.is)}, {"detail", v.detail}});
  const nlohmann::ordered_json all = {{"graph", graph.name()}, {"nodes", graph.size()}, {"verdicts", list}};
  return all.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

Status check_graph(const Request& request) {
  const Graph graph = request.graph();
  CheckOptions options{.compile = request.options(), .steps = request.steps, .seed = request.seed,
                       .most_flops = request.most_flops};
  std::string text = title_of(graph);
  const bool at_once = !request.json && request.out.empty();  // what a check finds is seen while the next one runs
  if (at_once) put(text, "");
  options.each = [&](const Verdict& v) {
    text += line_of(v, request.colours());
    if (!at_once) return;
    put(line_of(v, request.colours()), "");
    std::fflush(stdout);
  };
  const std::vector<Verdict> verdicts = check(graph, options);
  if (!at_once) put(request.json ? json_of(graph, verdicts) : text, request.out);
  const auto failed = [&](std::string_view name) {
    return std::any_of(verdicts.begin(), verdicts.end(), [&](const Verdict& v) {
      return v.is == Verdict::Is::failed && (name.empty() || v.name == name);
    });
  };
  if (failed("finite")) return numeric_failure;
  return failed("") ? check_failed : succeeded;
}

}  // namespace

void add_check(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "check",
      "Check gradients, kernels, numbers, bits and memory of a graph: status 0 if all is right, 1 if not, 4 for "
      "numbers that are not finite");
  const auto request = std::make_shared<Request>();
  add_source(command, *request);
  command->add_option("--steps", request->steps, "steps that are run")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  command->add_option("--seed", request->seed, "of the made-up inputs")->capture_default_str();
  command
      ->add_option("--most-flops", request->most_flops,
                   "what the interpreter may take, at some 1e9 a second: of what takes more, less is checked")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_compile_options(command, *request);
  add_result_options(command, *request);
  command->callback([request, &action] { action = [request] { return check_graph(*request); }; });
}

}  // namespace thalweg::tool
