// SPDX-License-Identifier: Apache-2.0
// thalweg dump: the canonical text of a graph.
#include <cstdio>
#include <memory>

#include "command.h"
#include "graph_file.h"
#include "thalweg/graph/print.h"

namespace thalweg::tool {

void add_dump(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("dump", "Print the canonical text of a graph's text file");
  const auto path = std::make_shared<std::string>();
  command->add_option("file", *path, "a graph as text; - reads standard input")->required();
  command->callback([path, &action] {
    action = [path] {
      std::fputs(print(graph_from(*path)).c_str(), stdout);
      return succeeded;
    };
  });
}

}  // namespace thalweg::tool
