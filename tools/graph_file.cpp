// SPDX-License-Identifier: Apache-2.0
#include "graph_file.h"

#include <iostream>
#include <iterator>

#include "thalweg/graph/parse.h"

namespace thalweg::tool {

Graph graph_from(const std::string& path) {
  if (path != "-") return read_text(path);
  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  return parse(text, "standard input");
}

}  // namespace thalweg::tool
