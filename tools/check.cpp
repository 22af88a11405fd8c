// SPDX-License-Identifier: Apache-2.0
// thalweg check: whether a text file is a valid graph.
#include <fmt/format.h>

#include <memory>

#include "command.h"
#include "graph_file.h"
#include "thalweg/graph/error.h"
#include "thalweg/graph/verify.h"

namespace thalweg::tool {
namespace {

Status check(const std::string& path) {
  try {
    const Graph graph = graph_from(path);
    verify(graph);
    fmt::print("{}: valid: {} nodes, {} inputs, {} variables, {} outputs, {} updates\n", graph.name(), graph.size(),
               graph.inputs().size(), graph.variables().size(), graph.outputs().size(), graph.updates().size());
    return succeeded;
  } catch (const GraphError& error) {
    throw Stop(check_failed, error.what());
  }
}

}  // namespace

void add_check(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("check", "Verify a graph's text file: status 0 if it is valid, 1 if not");
  const auto path = std::make_shared<std::string>();
  command->add_option("file", *path, "a graph as text; - reads standard input")->required();
  command->callback([path, &action] { action = [path] { return check(*path); }; });
}

}  // namespace thalweg::tool
