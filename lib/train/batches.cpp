// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/batches.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/train/with_batch.h"

namespace thalweg {
namespace {

Dim sample_elements(const TensorType& type) { return type.elements() / type.shape[0]; }

/// Whether rows of `data` are rows of an input: the axes inside a row may differ ([28,28,1] feeds [784]), its elements
/// lie in the same order.
bool fits(const TensorType& input, const Tensor& data) {
  return data && input.shape.rank() > 0 && input.dtype == data.type().dtype &&
         sample_elements(input) == sample_elements(data.type());
}

std::string listed(const Graph& graph, const Dataset& data) {
  std::string text = fmt::format("\n    samples  {}", to_string(data.inputs.type()));
  if (data.labels) text += fmt::format("\n    labels   {}", to_string(data.labels.type()));
  for (const NodeId id : graph.inputs())
    text += fmt::format("\n    input '{}'  {}", graph.node(id).name, to_string(graph.node(id).types[0]));
  return text;
}

NodeId input_named(const Graph& graph, const std::string& name, SourceLoc loc) {
  std::vector<std::string> known;
  for (const NodeId id : graph.inputs()) {
    if (graph.node(id).name == name) return id;
    known.push_back(graph.node(id).name);
  }
  throw RunError(fmt::format("graph '{}' has no input '{}'{}", graph.name(), shown(name), suggestion(name, known)),
                 loc);
}

void check_named(const Graph& graph, const Dataset& data, const std::string& name, const Tensor& rows,
                 std::string_view what, SourceLoc loc) {
  if (name.empty()) return;
  const TensorType& type = graph.node(input_named(graph, name, loc)).types[0];
  if (!rows) run_error("input '{}' asks for {}, and the dataset has none{}", name, what, listed(graph, data));
  if (!fits(type, rows))
    run_error("input '{}' is {}, and the {} are {}: a row must have its dtype and as many elements", name,
              to_string(type), what, to_string(rows.type()));
}

/// Throws RunError for weights that are not one for each sample, finite and at least 0.
void check_weights(const Dataset& data) {
  if (!data.weights) return;
  if (data.weights.type() != f32(data.size()))
    run_error("the dataset has {} samples and weights {}, must be {}", data.size(), to_string(data.weights.type()),
              to_string(f32(data.size())));
  const std::span<const float> weights = data.weights.as<float>();
  const auto wrong = std::find_if(weights.begin(), weights.end(), [](float w) { return !std::isfinite(w) || w < 0; });
  if (wrong != weights.end())
    run_error("the weight of sample {} is {}, must be finite and at least 0", wrong - weights.begin(), *wrong);
}

/// The numbers of the samples from the `begin`-th on.
void fill_ids(std::span<std::int64_t> ids, Dim begin, const Samples& samples) {
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = samples.number(begin + static_cast<Dim>(i));
}

void fill_weights(std::span<float> weights, Dim begin, const Samples& samples) {
  const Tensor& all = samples.data->weights;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const auto number = static_cast<std::size_t>(samples.number(begin + static_cast<Dim>(i)));
    weights[i] = all ? all.as<float>()[number] : 1.0F;
  }
}

std::byte* input_bytes(Program& program, const std::string& name) {
  switch (program.input_type(name).dtype) {
    case DType::f32: return reinterpret_cast<std::byte*>(program.input<float>(name).data());
    case DType::bf16: return reinterpret_cast<std::byte*>(program.input<std::uint16_t>(name).data());
    case DType::f64: return reinterpret_cast<std::byte*>(program.input<double>(name).data());
    case DType::i32: return reinterpret_cast<std::byte*>(program.input<std::int32_t>(name).data());
    case DType::i64: return reinterpret_cast<std::byte*>(program.input<std::int64_t>(name).data());
    case DType::u8: return reinterpret_cast<std::byte*>(program.input<std::uint8_t>(name).data());
    case DType::boolean: return reinterpret_cast<std::byte*>(program.input<bool>(name).data());
  }
  return nullptr;
}

}  // namespace

bool is_fed(const Node& input) {
  const TensorType& type = input.types[0];
  return (input.name == Feeds::rate_scale_name && type == f64()) ||
         (input.name == Feeds::epoch_name && type == i64()) ||
         (input.name == Feeds::sample_id_name && type.dtype == DType::i64 && type.shape.rank() == 1) ||
         (input.name == Feeds::weight_name && type.dtype == DType::f32 && type.shape.rank() == 1);
}

Binding bind_inputs(const Graph& graph, const Dataset& data, const std::string& input, const std::string& label,
                    SourceLoc loc) {
  if (!data.inputs || data.inputs.shape().rank() == 0) throw RunError("the dataset has no samples");
  if (data.labels && (data.labels.shape().rank() == 0 || data.labels.shape()[0] != data.size()))
    run_error("the dataset has {} samples and labels {}", data.size(), to_string(data.labels.type()));
  check_weights(data);
  check_named(graph, data, input, data.inputs, "samples", loc);
  check_named(graph, data, label, data.labels, "labels", loc);
  std::vector<NodeId> ids = graph.inputs();
  std::erase_if(ids, [&](NodeId id) { return is_fed(graph.node(id)); });
  if (ids.empty() || ids.size() > 2)
    run_error("graph '{}' has {} inputs, and samples and labels feed one or two{}", graph.name(), ids.size(),
              listed(graph, data));
  std::vector<Binding> readings;
  for (const NodeId id : ids) {
    const Node& node = graph.node(id);
    if (!fits(node.types[0], data.inputs) || (!input.empty() && node.name != input)) continue;
    if (ids.size() == 1) {
      if (label.empty()) readings.push_back({node.name, {}});
      continue;
    }
    const Node& other = graph.node(ids[0] == id ? ids[1] : ids[0]);
    if (!fits(other.types[0], data.labels) || (!label.empty() && other.name != label)) continue;
    readings.push_back({node.name, other.name});
  }
  if (readings.size() == 1) return readings[0];
  run_error("{} of the inputs of graph '{}' {} the data{}", readings.empty() ? "no reading" : "more than one reading",
            graph.name(), readings.empty() ? "fits" : "fit", listed(graph, data));
}

std::vector<std::string> scalar_outputs(const Graph& graph) {
  std::vector<std::string> names;
  for (const Graph::Output& output : graph.outputs())
    if (graph.type(output.value).elements() == 1 && graph.type(output.value).shape.rank() == 0)
      names.push_back(output.name);
  std::stable_partition(names.begin(), names.end(), [](const std::string& name) { return name == "loss"; });
  return names;
}

Batches::Batches(const Graph& graph, Dim samples, const Binding& binding, const CompileOptions& options,
                 Threads threads)
    : samples_(samples) {
  const auto for_threads = [&](int count) {
    CompileOptions with = options;
    if (count > 0) with.logical_threads = count;
    return with;
  };
  batch_ = batch_of(graph);
  if (samples_ >= batch_) {
    whole_graph_ = graph;
    whole_.emplace(compile(*whole_graph_, for_threads(threads.whole)));
  }
  if (const Dim rest = samples_ % batch_; rest != 0) {
    rest_graph_ = with_batch(graph, rest);
    rest_.emplace(compile(*rest_graph_, for_threads(threads.rest)));
  }
  for (const NodeId id : graph.inputs()) {
    const std::string& name = graph.node(id).name;
    if (name == binding.input) input_ = name;
    else if (name == binding.label) label_ = name;
    else if (!is_fed(graph.node(id)))
      run_error("input '{}' of graph '{}' gets neither samples nor labels", name, graph.name());
    else if (name == Feeds::rate_scale_name) feeds_rate_scale_ = true;
    else if (name == Feeds::epoch_name) feeds_epoch_ = true;
    else if (name == Feeds::sample_id_name) feeds_ids_ = true;
    else feeds_weights_ = true;
  }
}

Threads Batches::threads() const {
  return {whole_ ? whole_->logical_threads() : 0, rest_ ? rest_->logical_threads() : 0};
}

Program& Batches::run(Dim index, const Samples& samples, const Feeds& feeds) {
  const Dim begin = first(index), rows = size(index);
  Program& program = rows == batch_ ? *whole_ : *rest_;
  if (!input_.empty()) gather(input_bytes(program, input_), samples.data->inputs, begin, rows, samples);
  if (!label_.empty()) gather(input_bytes(program, label_), samples.data->labels, begin, rows, samples);
  if (feeds_rate_scale_) program.input<double>(Feeds::rate_scale_name)[0] = feeds.rate_scale;
  if (feeds_epoch_) program.input<std::int64_t>(Feeds::epoch_name)[0] = feeds.epoch;
  if (feeds_ids_) fill_ids(program.input<std::int64_t>(Feeds::sample_id_name), begin, samples);
  if (feeds_weights_) fill_weights(program.input<float>(Feeds::weight_name), begin, samples);
  program.run();
  return program;
}

std::map<std::string, Tensor> Batches::inputs(Dim index, const Samples& samples, const Feeds& feeds) const {
  const Program& program = size(index) == batch_ ? *whole_ : *rest_;
  std::map<std::string, Tensor> given;
  for (const std::string& name : {input_, label_}) {
    if (name.empty()) continue;
    Tensor tensor(program.input_type(name));
    gather(static_cast<std::byte*>(tensor.data()), name == input_ ? samples.data->inputs : samples.data->labels,
           first(index), size(index), samples);
    given.emplace(name, std::move(tensor));
  }
  if (feeds_rate_scale_) given.emplace(Feeds::rate_scale_name, Tensor(f64(), std::array{feeds.rate_scale}));
  if (feeds_epoch_) given.emplace(Feeds::epoch_name, Tensor(i64(), std::array{static_cast<double>(feeds.epoch)}));
  if (feeds_ids_) {
    Tensor ids(program.input_type(Feeds::sample_id_name));
    fill_ids(ids.as<std::int64_t>(), first(index), samples);
    given.emplace(Feeds::sample_id_name, std::move(ids));
  }
  if (feeds_weights_) {
    Tensor weights(program.input_type(Feeds::weight_name));
    fill_weights(weights.as<float>(), first(index), samples);
    given.emplace(Feeds::weight_name, std::move(weights));
  }
  return given;
}

const Graph& Batches::graph(Dim index) const { return size(index) == batch_ ? *whole_graph_ : *rest_graph_; }

void Batches::gather(std::byte* to, const Tensor& from, Dim begin, Dim size, const Samples& samples) const {
  const auto* rows = static_cast<const std::byte*>(from.data());
  const std::size_t bytes = from.bytes() / static_cast<std::size_t>(from.shape()[0]);
  if (samples.order.empty()) {
    std::memcpy(to, rows + static_cast<std::size_t>(samples.begin + begin) * bytes,
                static_cast<std::size_t>(size) * bytes);
    return;
  }
  for (Dim i = 0; i < size; ++i)
    std::memcpy(to + static_cast<std::size_t>(i) * bytes,
                rows + static_cast<std::size_t>(samples.number(begin + i)) * bytes, bytes);
}

}  // namespace thalweg
