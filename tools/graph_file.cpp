// SPDX-License-Identifier: Apache-2.0
#include "graph_file.h"

#include <cstdio>
#include <vector>

#include "thalweg/graph/error.h"
#include "thalweg/graph/parse.h"
#include "thalweg/lib/io/graph_text.h"

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

}  // namespace

Graph graph_from(const std::string& path) {
  if (path != "-") return read_text(path);
  return parse(standard_input(), "standard input");
}

}  // namespace thalweg::tool
