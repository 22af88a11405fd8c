// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/check_finite.h"

#include <vector>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/io/graph_text.h"
#include "thalweg/lib/io/safetensors.h"
#include "thalweg/lib/kernels/finite.h"

namespace thalweg {
namespace {

constexpr std::string_view input_mark = "input:";

std::string output_name(ValueId v) { return fmt::format("value{}.{}", v.node, v.result); }

bool is_kept(const Graph& graph, ValueId v) { return is_float(graph.type(v).dtype); }

/// The graph with every float value as an output, and without updates.
Graph with_all_values(const Graph& graph) {
  Graph all = graph.clone();
  all.drop_outputs();
  all.drop_updates();
  for (NodeId id = 0; id < all.size(); ++id)
    for (std::uint32_t r = 0; r < all.node(id).types.size(); ++r)
      if (const ValueId v{id, r}; is_kept(all, v)) all.output(output_name(v), all.value(v));
  return all;
}

NotFinite found(const Graph& graph, const Program& program, ValueId v, std::size_t index, double number) {
  const Node& node = graph.node(v.node);
  const Labels labels(graph);
  NotFinite result{v.node, labels(v), node.loc, index, number, {}};
  const bool source = graph.operands(v.node).empty();
  result.text = fmt::format("{}{}, {}, is {} at element {}{}", node.loc.known() ? to_string(node.loc) + ": " : "",
                            result.value, source ? fmt::format("the {}", node.op->name) : fmt::format("the result of {}", node.op->name),
                            number_text(number), index, source ? "" : ", and all that it reads is finite");
  for (const ValueId operand : graph.operands(v.node)) {
    result.text += "\n    " + describe(graph.value(operand));
    const TensorType& type = graph.type(operand);
    if (!is_kept(graph, operand)) continue;
    const Tensor value = program.fetch(output_name(operand));
    if (type == node.types[v.result]) result.text += fmt::format("   there {}", number_text(value.number(index)));
    else if (type.elements() == 1) result.text += fmt::format("   {}", number_text(value.number(0)));
  }
  return result;
}

}  // namespace

std::optional<NotFinite> check_finite(const Graph& graph, const Variables& variables,
                                      const std::map<std::string, Tensor>& inputs, int logical_threads) {
  const Graph all = with_all_values(graph);
  // Nothing is rewritten or joined, so that each value is what its own op makes of its operands.
  Program program = compile(all, {.logical_threads = logical_threads, .fold = false, .cse = false, .dce = false,
                                  .fuse = false, .in_place = false, .variables = variables.clone()});
  for (const std::string& name : program.input_names()) {
    const auto given = inputs.find(name);
    if (given == inputs.end()) run_error("input '{}' of graph '{}' is not given", name, graph.name());
    program.feed(name, given->second);
  }
  program.run();
  for (NodeId id = 0; id < graph.size(); ++id)
    for (std::uint32_t r = 0; r < graph.node(id).types.size(); ++r) {
      const ValueId v{id, r};
      if (!is_kept(graph, v)) continue;
      const Tensor value = program.fetch(output_name(v));
      if (const auto index = first_not_finite(value)) return found(graph, program, v, *index, value.number(*index));
    }
  return {};
}

void write_replay(const Graph& graph, const Variables& variables, const std::map<std::string, Tensor>& inputs,
                  const std::string& folder) {
  make_folder(folder);
  Safetensors state;
  for (const NodeId id : graph.variables()) state.tensors.emplace(graph.node(id).name, variables.at(graph.node(id).name));
  for (const auto& [name, tensor] : inputs) state.tensors.emplace(std::string(input_mark) + name, tensor);
  write_safetensors(state, folder + "/step.safetensors");
  write_text(graph, folder + "/step.txt");
}

std::optional<NotFinite> replay(const std::string& folder, int logical_threads) {
  const Graph graph = read_text(folder + "/step.txt");
  const Safetensors state = read_safetensors(folder + "/step.safetensors");
  Variables variables;
  std::map<std::string, Tensor> inputs;
  for (const NodeId id : graph.variables()) {
    const std::string& name = graph.node(id).name;
    const auto saved = state.tensors.find(name);
    if (saved == state.tensors.end()) run_error("{}/step.safetensors: lacks variable '{}'", shown(folder), name);
    variables.ensure(graph, id);
    variables.set(name, saved->second);
  }
  for (const auto& [name, tensor] : state.tensors)
    if (name.starts_with(input_mark)) inputs.emplace(name.substr(input_mark.size()), tensor);
  return check_finite(graph, variables, inputs, logical_threads);
}

}  // namespace thalweg
