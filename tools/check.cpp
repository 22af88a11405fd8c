// SPDX-License-Identifier: Apache-2.0
// thalweg check: everything about a graph that can be proved without data.
#include <fmt/format.h>

#include <algorithm>
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
  Colour colour = Colour::automatic;
};

std::string text_of(const Graph& graph, const std::vector<Verdict>& verdicts, bool colours) {
  std::string text = fmt::format("{}: valid: {} nodes, {} inputs, {} variables, {} outputs, {} updates\n", graph.name(),
                                 graph.size(), graph.inputs().size(), graph.variables().size(), graph.outputs().size(),
                                 graph.updates().size());
  for (const Verdict& v : verdicts) {
    const std::string_view code = v.is == Verdict::Is::ok ? "32" : v.is == Verdict::Is::failed ? "31" : "33";
    text += fmt::format("{} {:<22} {}\n", painted(fmt::format("{:<8}", to_string(v.is)), code, colours), v.name, v.detail);
  }
  return text;
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
  const std::vector<Verdict> verdicts =
      check(graph, {.compile = request.options(), .steps = request.steps, .seed = request.seed});
  put(request.json ? json_of(graph, verdicts)
                   : text_of(graph, verdicts, request.out.empty() && coloured(request.colour)), request.out);
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
      "check", "Check gradients, kernels, numbers, bits and memory of a graph: status 0 if all is right, 1 if not, 4 for "
               "numbers that are not finite");
  const auto request = std::make_shared<Request>();
  add_source(command, *request);
  command->add_option("--steps", request->steps, "steps that are run")->check(CLI::Range(1, 100'000))->capture_default_str();
  command->add_option("--seed", request->seed, "of the made-up inputs")->capture_default_str();
  add_compile_options(command, *request);
  add_result_options(command, *request);
  add_colour(command, request->colour);
  command->callback([request, &action] { action = [request] { return check_graph(*request); }; });
}

}  // namespace thalweg::tool
