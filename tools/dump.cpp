// SPDX-License-Identifier: Apache-2.0
// thalweg dump: a graph at a stage of its compilation, in a format; thalweg html: one of these formats by its own name.
#include <fmt/format.h>

#include <memory>

#include "command.h"
#include "graph_file.h"
#include "thalweg/graph/error.h"
#include "thalweg/lib/inspect/dump.h"

namespace thalweg::tool {
namespace {

struct Request : GraphRequest {
  std::string command = "dump";
  std::string stage = "optim";
  std::string format;  ///< empty: text
  bool no_dot = false;
};

[[noreturn]] void stop(const Request& request, std::string_view wrong) {
  throw Stop(wrong_usage, fmt::format("{} (see thalweg {} --help)", wrong, request.command));
}

/// A wrong word is wrong usage, found before the graph is read.
template <class F>
auto named(const Request& request, F&& find) {
  try {
    return find();
  } catch (const RunError& error) {
    stop(request, error.what());
  }
}

/// An option that would do nothing is not what was meant.
[[noreturn]] void misused(const Request& request, std::string_view option, std::string_view format) {
  stop(request, fmt::format("{} does not go with the format {}", option, format));
}

Status dump_graph(const Request& request) {
  DumpOptions options{.compile = request.options(), .portable = request.portable,
                      .use_dot = !request.no_dot};
  options.stage = named(request, [&] { return stage_named(request.stage); });
  const std::string format = request.format.empty() ? request.json ? "json" : "text" : request.format;
  options.format = named(request, [&] { return dump_format_named(format); });
  if (request.json && options.format != DumpFormat::json) misused(request, "--json", format);
  if (request.no_dot && options.format != DumpFormat::html) misused(request, "--no-dot", format);
  if (request.portable && options.format == DumpFormat::html) misused(request, "--portable", format);
  put(dump(request.graph(), options), request.out);
  return succeeded;
}

void add_stage(CLI::App* command, Request& request) {
  command->add_option("--stage", request.stage,
                      "built, autodiff, optim, folded, fused, laid-out, scheduled or planned")->capture_default_str();
}

void add_rest(CLI::App* command, const std::shared_ptr<Request>& request, Action& action) {
  add_compile_options(command, *request);
  add_result_options(command, *request);
  command->callback([request, &action] { action = [request] { return dump_graph(*request); }; });
}

}  // namespace

void add_dump(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("dump", "Print a graph: its text, a picture, JSON for Netron, or a page for the browser");
  const auto request = std::make_shared<Request>();
  add_source(command, *request);
  add_stage(command, *request);
  command->add_option("--format", request->format, "text, dot, svg, json or html")->default_str("text");
  command->add_flag("--portable", request->portable, "leave out what depends on the machine");
  command->add_flag("--no-dot", request->no_dot,
                    "html: without Graphviz's dot, which lays it out where it is installed");
  add_rest(command, request, action);
}

void add_html(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "html", "Make a page for the browser: the graph at each stage, memory, what did not fuse (dump --format html)");
  const auto request = std::make_shared<Request>();
  request->command = "html";
  request->format = "html";
  request->stage = "planned";
  add_source(command, *request);
  add_stage(command, *request);
  command->add_flag("--no-dot", request->no_dot, "without Graphviz's dot, which lays it out where it is installed");
  add_rest(command, request, action);
}

}  // namespace thalweg::tool
