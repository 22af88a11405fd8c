// SPDX-License-Identifier: Apache-2.0
#include "graph_file.h"

#include <cstdio>
#include <filesystem>
#include <vector>

#include "command.h"
#include "thalweg/graph/error.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/io/graph_text.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/train/with_batch.h"
#include "zoo/zoo.h"

namespace thalweg::tool {
namespace {

constexpr std::size_t longest_text = std::size_t{256} << 20;  // parse() takes no more

std::string standard_input() {
  std::string text;
  std::vector<char> block(std::size_t{1} << 16);
  for (std::size_t n; (n = std::fread(block.data(), 1, block.size(), stdin)) > 0;) {
    text.append(block.data(), n);
    if (text.size() > longest_text) throw RunError("standard input: more than 256 MiB, the longest text of a graph");
  }
  if (std::ferror(stdin) != 0) throw RunError("standard input: cannot be read");
  return text;
}

/// A word without a dot or a slash may have been meant as a net of the zoo.
std::string close_models(const std::string& source) {
  if (source.find_first_of("./") != std::string::npos) return "";
  std::vector<std::string> names;
  for (const zoo::Model& model : zoo::models()) names.emplace_back(model.name);
  const std::string close = suggestion(source, names);
  return close.empty() ? "; `thalweg models` lists the nets that are built in" : close;
}

}  // namespace

Graph graph_from(const std::string& source, Dim batch) {
  std::error_code error;
  const bool is_file = source == "-" || std::filesystem::exists(source, error);
  if (!is_file) {
    if (const zoo::Model* model = zoo::find(source)) return model->build(batch > 0 ? batch : model->batch);
    try {
      return read_text(source);
    } catch (const RunError& problem) {
      throw RunError(problem.what() + close_models(source));
    }
  }
  Graph graph = source == "-" ? graph_of(standard_input(), "standard input") : read_text(source);
  return batch > 0 ? with_batch(graph, batch) : graph;
}

CompileOptions GraphRequest::options() const {
  CompileOptions options = compile;
  options.fold = !no_fold;
  options.cse = !no_cse;
  options.dce = !no_dce;
  options.fuse = !no_fuse;
  options.in_place = !no_in_place;
  return options;
}

void add_source(CLI::App* command, GraphRequest& request) {
  command
      ->add_option("graph", request.source,
                   "a graph as text, - for standard input, or a net that `thalweg models` lists")
      ->required();
  command->add_option("--batch", request.batch, "samples a step, in the place of those that the graph was written for")
      ->check(CLI::Range(1, 1'000'000));
}

void add_compile_options(CLI::App* command, GraphRequest& request) {
  command->add_option("--threads", request.compile.logical_threads,
                      "threads that the work is cut for; 0 lets the compiler choose")->check(CLI::Range(0, 256));
  command->add_flag("--no-fold", request.no_fold, "without folding constants and algebra");
  command->add_flag("--no-cse", request.no_cse, "without merging equal nodes");
  command->add_flag("--no-dce", request.no_dce, "without removing what nothing needs");
  command->add_flag("--no-fuse", request.no_fuse, "a kernel for each node");
  command->add_flag("--no-in-place", request.no_in_place, "no result in a dying operand's place");
  command->add_flag("--winograd", request.compile.winograd,
                    "3x3 convolutions by Winograd's algorithm, where the processor has AVX-512");
  command->add_option("--pass-limit", request.compile.pass_limit, "only the first N rewrites that change something")
      ->check(CLI::Range(0, 1'000'000'000));
}

void add_result_options(CLI::App* command, GraphRequest& request) {
  command->add_flag("--json", request.json, "the result as JSON");
  command->add_option("-o,--out", request.out, "write the result to this file instead of standard output");
  add_colour(command, request.colour);
}

void put(const std::string& text, const std::string& out) {
  if (out.empty()) std::fputs(text.c_str(), stdout);
  else write_file(out, text);
}

}  // namespace thalweg::tool
