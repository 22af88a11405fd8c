// SPDX-License-Identifier: Apache-2.0
// Where a command's graph comes from, and where its result goes.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "command.h"
#include "thalweg/graph/graph.h"
#include "thalweg/lib/compile/program.h"

namespace thalweg::tool {

/// The graph of a text file; `-` is standard input, and the name of a net of the zoo is that net unless there is a file
/// of that name. A batch above 0 is in the place of the one it was written for. Throws GraphError for a wrong text,
/// RunError where it cannot be read.
Graph graph_from(const std::string& source, Dim batch = 0);

/// What the commands that look into one graph read from the command line.
struct GraphRequest {
  std::string source;
  Dim batch = 0;
  CompileOptions compile;
  bool no_fold = false, no_cse = false, no_dce = false, no_fuse = false, no_in_place = false;
  bool json = false;
  bool portable = false;
  std::string out;  ///< a file in the place of standard output
  Colour colour = Colour::automatic;

  Graph graph() const { return graph_from(source, batch); }
  CompileOptions options() const;
  bool colours() const { return out.empty() && !json && coloured(colour); }
};
/// FILE and --batch.
void add_source(CLI::App* command, GraphRequest& request);
/// --threads, --no-fold, …, --pass-limit.
void add_compile_options(CLI::App* command, GraphRequest& request);
/// --json, --out and --color.
void add_result_options(CLI::App* command, GraphRequest& request);
/// Writes a result to standard output, or whole to a file.
void put(const std::string& text, const std::string& out);

}  // namespace thalweg::tool
