// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/whole_data.h"

#include <algorithm>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/train/with_batch.h"
#include "thalweg/ops/inference.h"

namespace thalweg {
namespace {

constexpr std::string_view average_prefix = "average/";

bool trains(const Graph& graph, std::string_view name) {
  if (name.starts_with(average_prefix)) name.remove_prefix(average_prefix.size());
  if (!graph.has(name)) return false;
  const Attrs& attrs = graph.find(name).node().attrs;
  return attrs.flag("trainable");
}

}  // namespace

std::vector<Weight> weights_of(const Graph& training, const Graph& predicting) {
  std::vector<Weight> weights;
  for (const NodeId id : predicting.variables()) {
    const Node& node = predicting.node(id);
    if (trains(training, node.name)) weights.push_back({node.name, node.types[0]});
  }
  if (weights.empty()) run_error("the loss of graph '{}' reads no variable that training moves", training.name());
  return weights;
}

Graph loss_graph(const Graph& training, Dim batch) {
  std::vector<std::string> names;
  for (const Graph::Output& output : training.outputs()) names.push_back(output.name);
  if (std::find(names.begin(), names.end(), "loss") == names.end())
    run_error("graph '{}' has no output 'loss': name the scalar that training minimizes so", training.name());
  Graph graph = inference(training, {"loss"});
  const TensorType type = graph.find("loss").type();
  if (!type.shape.vector().empty() || !is_float(type.dtype))
    run_error("the output 'loss' of graph '{}' is {}, no float scalar", training.name(), to_string(type));
  return batch == 0 || graph.inputs().empty() ? graph : with_batch(graph, batch);
}

Variables own_variables(const Graph& graph, const Variables& trained, std::string_view added) {
  Variables own;
  for (const NodeId id : graph.variables()) {
    const std::string& name = graph.node(id).name;
    const bool is_added = !added.empty() && name.starts_with(added);
    if (!is_added && !trained.has(name)) run_error("the variables given lack {}", name);
    own.ensure(graph, id);
    if (!is_added) own.set(name, trained.at(name));
  }
  return own;
}

WholeData::WholeData(const Graph& graph, const Variables& variables, const Dataset& data, const RunOptions& options)
    : data_(&data) {
  CompileOptions compiling = options.compile;
  compiling.variables = variables;
  if (graph.inputs().empty()) {
    program_.emplace(compile(graph, compiling));
  } else {
    if (data.size() == 0) run_error("graph '{}' has inputs, and there are no samples for them", graph.name());
    batches_.emplace(graph, data.size(), bind_inputs(graph, data, options.input, options.label), compiling);
  }
}

template <class Add>
void WholeData::each_batch(Add&& add) {
  if (program_) {
    program_->run();
    return add(*program_, 1.0);
  }
  const Samples samples{data_, 0, data_->size(), {}};
  for (Dim i = 0; i < batches_->count(); ++i)
    add(batches_->run(i, samples), static_cast<double>(batches_->size(i)) / static_cast<double>(data_->size()));
}

double WholeData::scalar(const std::string& output) {
  double sum = 0;
  each_batch([&](const Program& program, double share) { sum += share * program.scalar(output); });
  return sum;
}

void WholeData::mean(const std::vector<std::string>& outputs, std::span<double> into) {
  std::fill(into.begin(), into.end(), 0.0);
  std::vector<double> part;
  each_batch([&](const Program& program, double share) {
    std::size_t at = 0;
    for (const std::string& output : outputs) {
      const Tensor tensor = program.fetch(output);
      part.resize(static_cast<std::size_t>(tensor.type().elements()));
      load_numbers(tensor.type().dtype, tensor.data(), part);
      for (const double number : part) into[at++] += share * number;
    }
  });
}

}  // namespace thalweg
