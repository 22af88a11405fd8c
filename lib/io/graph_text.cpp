// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/io/graph_text.h"

#include "thalweg/graph/parse.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/base/bytes.h"
#include "thalweg/lib/base/file.h"

namespace thalweg {

void write_text(const Graph& graph, const std::string& path) { write_file(path, print(graph)); }

Graph read_text(const std::string& path) {
  return within_memory(path, [&] {
    const std::vector<std::byte> bytes = read_file(path, longest_text);
    return graph_of(text_of(bytes), path);
  });
}

}  // namespace thalweg
