// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/gradient_statistics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/walk.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"

namespace thalweg {
namespace {

Value loss_of(const Graph& graph) {
  if (graph.has("loss")) return graph.find("loss");
  for (const Graph::Output& output : graph.outputs())
    if (graph.type(output.value).shape.rank() == 0 && is_float(graph.type(output.value).dtype))
      return graph.value(output.value);
  run_error("graph '{}' has no scalar output whose gradient GradientStatistics could measure", graph.name());
}

Value squares_of(const Value& x) { return sum(square(x)); }

std::string layer_of(const std::string& variable) {
  const auto slash = variable.find_last_of('/');
  return slash == variable.npos ? variable : variable.substr(0, slash);
}

/// What is measured of each layer, one after another; its name and size follow from the graph.
std::vector<double> packed(const std::vector<LayerStatistics>& layers) {
  std::vector<double> numbers;
  for (const LayerStatistics& l : layers)
    numbers.insert(numbers.end(), {l.gradient, l.weight, l.update, l.update_ratio, static_cast<double>(l.dead),
                                   l.vanishing ? 1.0 : 0.0, l.exploding ? 1.0 : 0.0});
  return numbers;
}
void unpack(const std::vector<double>& numbers, std::vector<LayerStatistics>& layers) {
  auto from = numbers.begin();
  for (LayerStatistics& l : layers) {
    l.gradient = *from++;
    l.weight = *from++;
    l.update = *from++;
    l.update_ratio = *from++;
    l.dead = static_cast<Dim>(*from++);
    l.vanishing = *from++ != 0;
    l.exploding = *from++ != 0;
  }
}

}  // namespace

GradientStatistics::GradientStatistics(GradientStatisticsOptions options, SourceLoc loc)
    : options_(options), loc_(loc) {
  if (!(options.vanishing >= 0 && options.vanishing < 1))
    throw RunError(fmt::format("GradientStatistics: vanishing is {}, must be in [0, 1)", options.vanishing), loc);
  if (!(options.exploding > 0))
    throw RunError(fmt::format("GradientStatistics: exploding is {}, must be above 0", options.exploding), loc);
}

std::size_t GradientStatistics::layer_named(const std::string& name) {
  const auto known = std::find_if(layers_.begin(), layers_.end(), [&](const auto& l) { return l.layer == name; });
  if (known != layers_.end()) return static_cast<std::size_t>(known - layers_.begin());
  layers_.push_back({.layer = name});
  return layers_.size() - 1;
}

void GradientStatistics::on_build(Graph& graph) {
  layers_.clear();
  last_.clear();
  variables_.clear();
  relus_.clear();
  watch_variables(graph);
  watch_relus(graph);
  step_.resize(layers_.size());
  told_.assign(layers_.size(), false);
}

void GradientStatistics::watch_variables(Graph& graph) {
  const Value loss = loss_of(graph);
  const std::array<NodeId, 1> from{loss.id().node};
  const std::vector<bool> reached = behind(graph, from);
  std::vector<Value> variables, next;
  for (const Graph::Update& update : graph.updates()) {
    const Node& node = graph.node(update.variable.node);
    if (!reached[update.variable.node] || !node.attrs.flag("trainable") || !is_float(node.types[0].dtype)) continue;
    variables.push_back(graph.value(update.variable));
    next.push_back(graph.value(update.next));
  }
  if (variables.empty())
    throw RunError(fmt::format("GradientStatistics: no variable behind the loss of graph '{}' is trained",
                               graph.name()), loc_);
  const std::vector<Value> slopes = gradients(loss, variables);
  for (std::size_t i = 0; i < variables.size(); ++i) {
    const std::string& name = variables[i].node().name;
    const std::string output = "statistics/" + name;
    variables_.push_back({.layer = layer_named(layer_of(name)), .output = output});
    graph.output(output + "/gradient", squares_of(slopes[i]));
    graph.output(output + "/weight", squares_of(variables[i]));
    graph.output(output + "/update", squares_of(next[i] - variables[i]));
  }
}

void GradientStatistics::watch_relus(Graph& graph) {
  const auto nodes = static_cast<NodeId>(graph.size());
  for (NodeId id = 0; id < nodes; ++id) {
    const Node node = graph.node(id);
    if (node.op->name != "relu" || node.origin != Origin::forward || node.types[0].shape.rank() < 2) continue;
    const std::string output = fmt::format("statistics/relu/{}", relus_.size());
    const std::string where = node.scope.empty() ? "relu at " + to_string(node.loc) : node.scope;
    std::vector<Dim> axes(node.types[0].shape.rank() - 1);
    std::iota(axes.begin(), axes.end(), Dim{0});
    graph.output(output, max(graph.value({id, 0}), {.axes = axes}));
    const auto units = static_cast<std::size_t>(node.types[0].shape.back());
    relus_.push_back({.layer = layer_named(where), .output = output, .most = std::vector<float>(units)});
    layers_[relus_.back().layer].units += static_cast<Dim>(units);
  }
}

void GradientStatistics::on_epoch_begin(TrainingRun&) {
  steps_ = 0;
  for (LayerStatistics& layer : layers_) layer = {.layer = layer.layer, .units = layer.units};
  for (Watched& relu : relus_) std::fill(relu.most.begin(), relu.most.end(), 0.0f);
}

void GradientStatistics::on_train_batch_end(TrainingRun& run) {
  const Program& program = run.program();
  ++steps_;
  std::fill(step_.begin(), step_.end(), Sums{});
  for (const Watched& variable : variables_) {
    Sums& sums = step_[variable.layer];
    sums.gradient += program.scalar(variable.output + "/gradient");
    sums.weight += program.scalar(variable.output + "/weight");
    sums.update += program.scalar(variable.output + "/update");
  }
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].gradient += std::sqrt(step_[i].gradient);
    layers_[i].weight += std::sqrt(step_[i].weight);
    layers_[i].update += std::sqrt(step_[i].update);
  }
  for (Watched& relu : relus_) {
    const Tensor most = program.fetch(relu.output);
    for (std::size_t k = 0; k < relu.most.size(); ++k)
      relu.most[k] = std::max(relu.most[k], static_cast<float>(most.number(k)));
  }
}

void GradientStatistics::on_epoch_end(TrainingRun& run) {
  if (steps_ == 0) return;
  double largest = 0;
  for (LayerStatistics& layer : layers_) {
    const auto steps = static_cast<double>(steps_);
    layer.gradient /= steps;
    layer.weight /= steps;
    layer.update /= steps;
    layer.update_ratio = layer.weight > 0 ? layer.update / layer.weight : 0;
    if (std::isfinite(layer.gradient)) largest = std::max(largest, layer.gradient);
  }
  for (const Watched& relu : relus_)
    layers_[relu.layer].dead += std::count(relu.most.begin(), relu.most.end(), 0.0f);
  std::vector<bool> learns(layers_.size(), false);
  for (const Watched& variable : variables_) learns[variable.layer] = true;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    LayerStatistics& layer = layers_[i];
    layer.vanishing = learns[i] && layer.gradient < options_.vanishing * largest;
    layer.exploding = learns[i] && !(layer.gradient <= options_.exploding);
    if (!options_.warn || told_[i] || !(layer.vanishing || layer.exploding)) continue;
    told_[i] = true;
    run.say(fmt::format("Epoch {}: the gradient of layer '{}' {}: its norm is {:.3g}{}", run.epoch(), layer.layer,
                        layer.vanishing ? "vanishes" : "explodes", layer.gradient,
                        layer.vanishing ? fmt::format(", the largest layer's {:.3g}", largest) : ""));
  }
  last_ = layers_;
}

CallbackState GradientStatistics::save() const {
  CallbackState state;
  const auto keep = [&](const std::string& name, const std::vector<double>& numbers) {
    if (!numbers.empty()) state.tensors.insert_or_assign(name, Tensor(f64(static_cast<Dim>(numbers.size())), numbers));
  };
  state.set("steps", static_cast<double>(steps_));
  keep("layers", packed(layers_));
  keep("last", packed(last_));
  keep("told", std::vector<double>(told_.begin(), told_.end()));
  for (std::size_t i = 0; i < relus_.size(); ++i)
    keep(fmt::format("relu{}", i), std::vector<double>(relus_[i].most.begin(), relus_[i].most.end()));
  return state;
}

void GradientStatistics::load(const CallbackState& state) {
  const auto numbers = [&](const std::string& name, std::size_t count) {
    const auto found = state.tensors.find(name);
    const auto most = found == state.tensors.end() ? std::vector<double>() : found->second.numbers();
    if (most.size() != count)
      run_error("the saved state of GradientStatistics has {} numbers in '{}', and {} are expected", most.size(), name,
                count);
    return most;
  };
  steps_ = state.whole("steps");
  unpack(numbers("layers", packed(layers_).size()), layers_);
  last_.clear();
  if (state.tensors.contains("last")) {
    last_ = layers_;
    unpack(numbers("last", packed(layers_).size()), last_);
  }
  const std::vector<double> told = numbers("told", told_.size());
  std::transform(told.begin(), told.end(), told_.begin(), [](double x) { return x != 0; });
  for (std::size_t i = 0; i < relus_.size(); ++i) {
    const std::vector<double> most = numbers(fmt::format("relu{}", i), relus_[i].most.size());
    std::transform(most.begin(), most.end(), relus_[i].most.begin(), [](double x) { return static_cast<float>(x); });
  }
}

std::string GradientStatistics::text() const {
  std::size_t width = 5;
  for (const LayerStatistics& layer : last_) width = std::max(width, layer.layer.size());
  std::string table = fmt::format("{:<{}}  {:>9}  {:>9}  {:>9}  {:>9}\n", "layer", width, "gradient", "weight",
                                  "update/w", "dead");
  for (const LayerStatistics& layer : last_) {
    table += fmt::format("{:<{}}  {:>9.3g}  {:>9.3g}  {:>9.3g}  {:>9}{}{}\n", layer.layer, width, layer.gradient,
                         layer.weight, layer.update_ratio,
                         layer.units > 0 ? fmt::format("{}/{}", layer.dead, layer.units) : "-",
                         layer.vanishing ? "  vanishing" : "", layer.exploding ? "  exploding" : "");
  }
  return table;
}

}  // namespace thalweg
