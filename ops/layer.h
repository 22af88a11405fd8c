// SPDX-License-Identifier: Apache-2.0
// Private: how a composite names its variables.
#pragma once

#include <string>
#include <string_view>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/graph.h"
#include "thalweg/ops/source.h"

namespace thalweg {

/// The name given, or the first of kind, kind_1, kind_2, … under which `variable_name` is free.
inline std::string layer_name(const Graph& graph, const std::string& given, std::string_view kind,
                       std::string_view variable_name) {
  if (!given.empty()) return given;
  std::string name(kind);
  for (int k = 1; graph.has(fmt::format("{}/{}", name, variable_name)); ++k) name = fmt::format("{}_{}", kind, k);
  return name;
}

/// While it lives, nodes belong to the layer: its line, its scope, its variables' names.
class Layer {
 public:
  Layer(const Operand& x, const std::string& name)
      : graph_(x.value.graph()), name_(name), frame_(graph_, {.loc = x.loc, .scope = name_}) {}

  Value make_variable(std::string_view part, const TensorType& type, const Init& init, bool trainable = true) {
    return variable(graph_, fmt::format("{}/{}", name_, part), type, init, {.trainable = trainable});
  }
  Graph& graph() { return graph_; }

 private:
  Graph graph_;
  std::string name_;
  Frame frame_;
};

}  // namespace thalweg
