// SPDX-License-Identifier: Apache-2.0
// thalweg models, summary, memory, explain, passes and bisect: what the library says of a graph, printed.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"
#include "graph_file.h"
#include "thalweg/graph/error.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/compile/summary.h"
#include "thalweg/lib/inspect/explain.h"
#include "thalweg/lib/inspect/memory_map.h"
#include "thalweg/lib/inspect/passes.h"
#include "zoo/zoo.h"

namespace thalweg::tool {
namespace {

using Json = nlohmann::ordered_json;

std::string lines_of(const Json& json) { return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n"; }

Status models(const GraphRequest& request) {
  Json list = Json::array();
  std::string text;
  for (const zoo::Model& model : zoo::models()) {
    const Summary s = summary(model.build(model.batch));
    text += fmt::format("{:<12} {:>12} parameters, batch {:>3}: {}\n", model.name, with_commas(s.parameters),
                        model.batch, model.about);
    list.push_back(
        {{"name", model.name}, {"parameters", s.parameters}, {"batch", model.batch}, {"about", model.about}});
  }
  put(request.json ? lines_of(list) : text, request.out);
  return succeeded;
}

Json json_of(const Summary& s, const ProgramSummary& p, bool portable) {
  Json rows = Json::array();
  for (const Summary::Row& row : s.rows)
    rows.push_back({{"layer", row.layer}, {"output", to_string(row.output)}, {"parameters", row.parameters},
                    {"fixed_parameters", row.fixed_parameters}, {"flops", row.flops},
                    {"backward_flops", row.backward_flops}, {"activation_bytes", row.activation_bytes}});
  Json all = {{"layers", rows}, {"parameters", s.parameters}, {"fixed_parameters", s.fixed_parameters},
              {"flops", s.flops}, {"backward_flops", s.backward_flops}, {"update_flops", s.update_flops},
              {"activation_bytes", s.activation_bytes}};
  all["memory"] = {{"variables", p.memory.variables}, {"inputs", p.memory.inputs}};
  if (portable) return all;
  all["memory"].update({{"constants", p.memory.constants}, {"arena", p.memory.arena},
                        {"largest_live", p.memory.largest_live}, {"total", p.memory.total()}});
  all.update({{"kernels", p.kernels}, {"groups", p.groups}, {"grouped_nodes", p.grouped_nodes},
              {"implementations", p.implementations}, {"reorders", p.reorders},
              {"logical_threads", p.logical_threads}});
  return all;
}

Status summarize(const GraphRequest& request) {
  const Graph graph = request.graph();
  const Summary layers = summary(graph);
  const ProgramSummary compiled = summary(plan(graph, request.options()));
  put(request.json ? lines_of(json_of(layers, compiled, request.portable))
                   : layers.text() + "\n" + compiled.text(request.portable), request.out);
  return succeeded;
}

struct MemoryRequest : GraphRequest {
  std::size_t rows = 0;
  std::string svg;
};

Status show_memory(const MemoryRequest& request) {
  MemoryMap map = memory_map(plan(request.graph(), request.options()));
  if (!request.svg.empty()) write_file(request.svg, map.svg());
  if (request.portable) map = map.portable();
  put(request.json ? map.json() : map.text(request.rows), request.out);
  return succeeded;
}

struct ExplainRequest : GraphRequest {
  std::string node;
  bool unfused = false, reasons = false;
};

/// The reasons in yellow: the word after each `: `.
std::string painted_reasons(const std::string& text, bool colours) {
  std::string all;
  std::size_t from = 0;
  for (std::size_t at; (at = text.find(": ", from)) != std::string::npos;) {
    const std::size_t end = std::min(text.find_first_of(" ,\n", at + 2), text.size());
    all += text.substr(from, at + 2 - from) + painted(text.substr(at + 2, end - at - 2), "33", colours);
    from = end;
  }
  return all + text.substr(from);
}

Status explain_graph(const ExplainRequest& request) {
  if (request.reasons) {
    if (request.unfused || !request.source.empty())
      throw Stop(wrong_usage, "--reasons lists all reasons, and takes no graph (see thalweg explain --help)");
    std::string text;
    Json list = Json::array();
    for (const Unfused reason : unfused_reasons()) {
      text += painted(fmt::format("{:<20}", to_string(reason)), "33", request.colours());
      text += fmt::format(" {}\n", meaning_of(reason));
      list.push_back({{"reason", to_string(reason)}, {"meaning", meaning_of(reason)}});
    }
    put(request.json ? lines_of(list) : text, request.out);
    return succeeded;
  }
  if (request.source.empty()) throw Stop(wrong_usage, "explain needs a graph (see thalweg explain --help)");
  if (request.unfused && request.node.empty()) {
    const PlannedProgram planned = plan(request.graph(), request.options());
    const std::vector<UnfusedEdge> edges = unfused(planned, !request.no_fuse);
    put(request.json ? json_of(edges, planned) : painted_reasons(text_of(edges, planned), request.colours()),
        request.out);
    return succeeded;
  }
  if (request.node.empty())
    throw Stop(wrong_usage,
               "explain needs a value, as %12 or @dense/kernel, or --unfused (see thalweg explain --help)");
  const Graph graph = request.graph();
  const Explanation explanation = explain(graph, value_called(graph, request.node), request.options(),
                                          request.portable);
  if (request.unfused) {
    const std::vector<std::string>& edges = explanation.unfused;
    put(request.json ? lines_of(edges)
                     : painted_reasons(fmt::format("{}\n", fmt::join(edges, "\n")), request.colours()),
        request.out);
    return succeeded;
  }
  put(request.json ? explanation.json() : explanation.text(), request.out);
  return succeeded;
}

struct PassesRequest : GraphRequest {
  bool full = false;
};

Status show_passes(const PassesRequest& request) {
  Json list = Json::array();
  std::string text;
  for (const PassStep& step : pass_steps(request.graph(), request.options())) {
    const Difference& d = step.difference;
    text += fmt::format("{} {} (round {}): {} -> {} nodes; {} removed, {} added, {} changed", step.number, step.name,
                        step.round, step.before.size(), step.after.size(), d.removed.size(), d.added.size(),
                        d.changed.size());
    if (!request.portable) text += fmt::format("; {:.3f} ms", 1e3 * step.seconds);
    text += "\n";
    if (request.full) text += painted_difference(d.text(step.before, step.after), request.colours());
    list.push_back({{"number", step.number}, {"name", step.name}, {"round", step.round},
                    {"nodes_before", step.before.size()}, {"nodes_after", step.after.size()},
                    {"removed", d.removed.size()}, {"added", d.added.size()}, {"changed", d.changed.size()}});
    if (!request.portable) list.back()["seconds"] = step.seconds;
    if (request.full) list.back()["difference"] = d.text(step.before, step.after);
  }
  if (text.empty()) text = "no rewrite changes anything\n";
  put(request.json ? lines_of(list) : text, request.out);
  return succeeded;
}

Status search(const GraphRequest& request) {
  const std::optional<Departure> found = bisect(request.graph(), {.compile = request.options(), .passes = {}});
  Json json = {{"departs", found.has_value()}};
  if (found) {
    json["where"] = found->where == Departure::Where::pass ? "pass" : "kernel";
    json["number"] = found->number;
    json["name"] = found->name;
    json["node"] = found->line;
    json["element"] = found->element;
    json["expected"] = fmt::format("{}", found->expected);
    json["got"] = fmt::format("{}", found->got);
  }
  const std::string text = found ? painted(found->text(), "31", request.colours())
                                 : "every rewrite and every kernel agrees with the interpreter\n";
  put(request.json ? lines_of(json) : text, request.out);
  return found ? check_failed : succeeded;
}

void add_portable(CLI::App* command, GraphRequest& request) {
  command->add_flag("--portable", request.portable, "leave out what depends on the machine");
}

template <class R>
CLI::App* command_of(CLI::App& app, Action& action, const char* name, const char* help, std::shared_ptr<R> request,
                     Status (*run)(const R&)) {
  CLI::App* command = app.add_subcommand(name, help);
  add_result_options(command, *request);
  command->callback([request, run, &action] { action = [request, run] { return run(*request); }; });
  return command;
}

}  // namespace

void add_models(CLI::App& app, Action& action) {
  command_of(app, action, "models", "List the nets that are built in", std::make_shared<GraphRequest>(), models);
}

void add_summary(CLI::App& app, Action& action) {
  const auto request = std::make_shared<GraphRequest>();
  CLI::App* command =
      command_of(app, action, "summary", "Layers, shapes, parameters and operations; kernels and exact memory", request,
                 summarize);
  add_source(command, *request);
  add_compile_options(command, *request);
  add_portable(command, *request);
}

void add_memory(CLI::App& app, Action& action) {
  const auto request = std::make_shared<MemoryRequest>();
  CLI::App* command = command_of(app, action, "memory", "What lies where in memory, and when: a table and a picture",
                                 request, show_memory);
  add_source(command, *request);
  add_compile_options(command, *request);
  command->add_option("--top", request->rows, "only so many of the largest in the table")
      ->check(CLI::Range(1, 1'000'000'000));
  command->add_option("--svg", request->svg, "also draw offset against time into this file");
  add_portable(command, *request);
}

void add_explain(CLI::App& app, Action& action) {
  const auto request = std::make_shared<ExplainRequest>();
  CLI::App* command = command_of(app, action, "explain", "What became of a node, or why values go through memory",
                                 request, explain_graph);
  command->add_option("graph", request->source,
                      "a graph as text, - for standard input, or a net that `thalweg models` lists");
  command->add_option("value", request->node,
                      "%12, @dense/kernel, or the name of an input or output: of the graph as it is written");
  command->add_option("--batch", request->batch, "samples a step")->check(CLI::Range(1, 1'000'000));
  command->add_flag("--unfused", request->unfused,
                    "each producer and consumer that were not fused, with the reason; of one value if one is given");
  command->add_flag("--reasons", request->reasons, "list the reasons and what they mean");
  add_portable(command, *request);
  add_compile_options(command, *request);
}

void add_passes(CLI::App& app, Action& action) {
  const auto request = std::make_shared<PassesRequest>();
  CLI::App* command =
      command_of(app, action, "passes", "Each rewrite: what it changed, and its time", request, show_passes);
  add_source(command, *request);
  add_compile_options(command, *request);
  command->add_flag("--full", request->full, "every node that was removed, added or changed");
  add_portable(command, *request);
}

void add_bisect(CLI::App& app, Action& action) {
  const auto request = std::make_shared<GraphRequest>();
  CLI::App* command =
      command_of(app, action, "bisect",
                 "Find the first rewrite or kernel whose result is not what the interpreter says", request, search);
  add_source(command, *request);
  add_compile_options(command, *request);
}

}  // namespace thalweg::tool
