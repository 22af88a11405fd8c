// SPDX-License-Identifier: Apache-2.0
// Random configurations of the activations, losses, layers and initializers that Thalweg and PyTorch both have, with
// results and gradients from the double interpreter, one line of JSON each: tests/oracle/torch_layers computes them
// again.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "cases.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/interpret.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/ops/conv.h"
#include "thalweg/ops/ctc.h"
#include "thalweg/ops/index.h"
#include "thalweg/ops/inference.h"
#include "thalweg/ops/init.h"
#include "thalweg/ops/layers.h"
#include "thalweg/ops/loss.h"
#include "thalweg/ops/norm.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/pool.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/softmax.h"
#include "thalweg/ops/source.h"

namespace thalweg::testing {
namespace {

using nlohmann::json;

/// One configuration: what it is called for torch, its options, its inputs, and the value that Thalweg makes of them.
class Config {
 public:
  Config(std::string what, Numbers& random, json options = json::object())
      : random_(random),
        line_{{"what", std::move(what)}, {"options", std::move(options)}, {"inputs", json::object()}} {}

  Value in(const std::string& name, const Shape& shape, double lo = -3, double hi = 3) {
    return given(name, random_.array(shape, lo, hi));
  }
  Value whole(const std::string& name, const Shape& shape, Dim lo, Dim hi) {
    Array<double> numbers(shape);
    for (double& x : numbers.data)
      x = static_cast<double>(lo) + static_cast<double>(random_.below(static_cast<std::size_t>(hi - lo + 1)));
    return given(name, std::move(numbers), DType::i32);
  }
  Value distribution(const std::string& name, const Shape& shape) {
    Array<double> numbers = random_.array(shape, 0.05, 1);
    const auto line = static_cast<std::size_t>(shape.back());
    for (std::size_t first = 0; first < numbers.size(); first += line) {
      double sum = 0;
      for (std::size_t k = first; k < first + line; ++k) sum += numbers[k];
      for (std::size_t k = first; k < first + line; ++k) numbers[k] /= sum;
    }
    return given(name, std::move(numbers));
  }

  /// The variables of the layers so far get random numbers, and count as inputs. Variances are positive.
  void draw_variables() {
    for (NodeId id = 0; id < graph.size(); ++id) {
      const Value v = graph.value({id, 0});
      if (v.node().op->name != "variable" || !is_float(v.dtype())) continue;
      const std::string& name = v.node().name;
      const bool positive = name.ends_with("variance");
      describe(name, v, random_.array(v.shape(), positive ? 0.5 : -1, positive ? 2 : 1));
    }
  }

  /// Prints the configuration with y and the gradients of sum(y * seed) with respect to its float inputs, and what the
  /// step makes of variables.
  void emit(const Value& y) {
    const Value seed = in("seed", y.shape(), -1, 1);
    std::vector<Value> wrt;
    std::vector<std::string> names;
    for (const auto& [name, value] : values_)
      if (is_float(value.dtype()) && name != "seed") {
        wrt.push_back(value);
        names.push_back(name);
      }
    const std::vector<Value> slopes = gradients(y, wrt, {.allow_unconnected = true, .seed = seed});
    Interpreter run(graph);
    for (const auto& [name, numbers] : feeds_) run.set(name, numbers);
    run.evaluate();
    line_["y"] = run.at(y).data;
    for (std::size_t k = 0; k < names.size(); ++k) line_["gradients"][names[k]] = run.at(slopes[k]).data;
    run.step();
    for (const Graph::Update& update : graph.updates()) {
      const std::string& name = graph.node(update.variable.node).name;
      line_["after"][name] = run.variable(name).data;
    }
    std::cout << line_.dump() << '\n';
  }

  Graph graph;

 private:
  Value given(const std::string& name, Array<double> numbers, DType dtype = DType::f64) {
    const Value value = input(graph, name, {dtype, numbers.shape});
    describe(name, value, std::move(numbers));
    return value;
  }
  void describe(const std::string& name, const Value& value, Array<double> numbers) {
    line_["inputs"][name] = {
        {"shape", numbers.shape.vector()}, {"data", numbers.data}, {"whole", value.dtype() == DType::i32}};
    values_.emplace_back(name, value);
    feeds_[name] = std::move(numbers);
  }

  Numbers& random_;
  json line_;
  std::vector<std::pair<std::string, Value>> values_;
  std::map<std::string, Array<double>> feeds_;
};

Dim size(Numbers& random, Dim least, Dim most) {
  return least + static_cast<Dim>(random.below(static_cast<std::size_t>(most - least + 1)));
}
bool coin(Numbers& random) { return random.below(2) == 1; }
Shape shape_of(Numbers& random, std::size_t least_rank = 1) {
  std::vector<Dim> dims;
  for (std::size_t k = least_rank + random.below(3); k > 0; --k) dims.push_back(size(random, 1, 5));
  return Shape(dims);
}

void activations(Numbers& random) {
  const std::map<std::string, Value (*)(Operand)> plain = {
      {"relu", relu}, {"selu", selu}, {"mish", mish}, {"silu", silu}, {"softplus", softplus}, {"sigmoid", sigmoid},
      {"tanh", tanh}, {"relu6", relu6}, {"hardsigmoid", hard_sigmoid}, {"hardswish", hard_swish},
      {"hardtanh", hard_tanh}, {"softsign", softsign}, {"logsigmoid", log_sigmoid}};
  for (const auto& [name, f] : plain) {
    Config c(name, random);
    c.emit(f(c.in("x", shape_of(random), -8, 8)));
  }
  const double a = random.uniform(0, 2);
  const auto with = [&](const std::string& name, const char* option, const std::function<Value(Value)>& f) {
    Config c(name, random, {{option, a}});
    c.emit(f(c.in("x", shape_of(random), -4, 4)));
  };
  with("leaky_relu", "negative_slope", [&](const Value& x) { return leaky_relu(x, a); });
  with("elu", "alpha", [&](const Value& x) { return elu(x, a); });
  with("hardshrink", "lambd", [&](const Value& x) { return hard_shrink(x, a); });
  with("softshrink", "lambd", [&](const Value& x) { return soft_shrink(x, a); });
  for (const char* approximate : {"none", "tanh"}) {
    Config c("gelu", random, {{"approximate", approximate}});
    c.emit(gelu(c.in("x", shape_of(random), -6, 6), {.approximate = approximate}));
  }
  for (const bool shared : {false, true}) {
    Config c("prelu", random);
    const Value x = c.in("x", shape_of(random, 2));
    const Value y = prelu(x, {.shared = shared, .name = "l"});
    c.draw_variables();
    c.emit(y);
  }
  for (const char* name : {"softmax", "log_softmax"}) {
    const Shape shape = shape_of(random);
    const Dim axis = size(random, 0, static_cast<Dim>(shape.rank()) - 1);
    Config c(name, random, {{"dim", axis}});
    const Value x = c.in("x", shape, -9, 9);
    c.emit(std::string_view(name) == "softmax" ? softmax(x, axis) : log_softmax(x, axis));
  }
}

void regressions(Numbers& random) {
  const Shape shape = shape_of(random);
  const double a = random.uniform(0.1, 2);
  const auto loss = [&](const std::string& name, json options, double low,
                        const std::function<Value(Value, Value)>& f) {
    Config c(name, random, std::move(options));
    c.emit(f(c.in("x", shape), c.in("t", shape, low, 3)));
  };
  loss("mse_loss", json::object(), -3, mse);
  loss("l1_loss", json::object(), -3, mae);
  loss("huber_loss", {{"delta", a}}, -3, [&](const Value& x, const Value& t) { return huber(x, t, a); });
  loss("smooth_l1_loss", {{"beta", a}}, -3, [&](const Value& x, const Value& t) { return smooth_l1(x, t, a); });
  loss("poisson_nll_loss", json::object(), 0,
       [](const Value& x, const Value& t) { return poisson(x, t, {.log_input = true}); });
  loss("cosine", json::object(), -3, cosine_loss);
  {
    // torch's name for the number that keeps the logarithm finite; Keras has it fixed, and so it is here.
    Config c("poisson_nll_loss", random, {{"log_input", false}, {"eps", 1e-7}});
    c.emit(poisson(c.in("x", shape, 0.01, 5), c.in("t", shape, 0, 5)));
  }
  {
    // Away from 0 and 1, where Keras clips probabilities and torch clips logarithms.
    Config c("binary_cross_entropy", random);
    c.emit(binary_cross_entropy(c.in("x", shape, 1e-6, 1 - 1e-6), c.in("t", shape, 0, 1), {.from_logits = false}));
  }
  Config c("weighted_mse", random);
  const Value x = c.in("x", Shape{3, 4}), t = c.in("t", Shape{3, 4}), weights = c.in("w", Shape{3}, 0.1, 2);
  c.emit(weighted_mean(mse(x, t), weights));
}

void classifications(Numbers& random) {
  const Dim n = size(random, 1, 6), classes = size(random, 2, 7);
  std::vector<double> weights;
  for (Dim k = 0; k < classes; ++k) weights.push_back(random.uniform(0.1, 2));
  const double smoothing = coin(random) ? 0 : random.uniform(0, 0.5);
  const bool weighted = coin(random), ignores = coin(random), whole = coin(random);
  const Dim ignored = coin(random) ? -1 : 1;
  json options = {{"label_smoothing", smoothing}, {"reduction", whole ? "mean" : "none"}};
  CrossEntropyOptions ours{.label_smoothing = smoothing};
  if (weighted) options["weight"] = ours.class_weights = weights;
  {
    Config c("cross_entropy", random, options);
    const Value x = c.in("x", Shape{n, classes}), t = c.distribution("t", Shape{n, classes});
    c.emit(whole ? mean(cross_entropy(x, t, ours)) : cross_entropy(x, t, ours));
  }
  if (ignores) {
    ours.ignore_label = ignored;
    options["ignore_index"] = ignored;
  }
  for (const bool positions : {false, true}) {
    Config c("cross_entropy", random, options);
    const Shape places = positions ? Shape{n, 3} : Shape{n};
    const Value x = c.in("x", positions ? Shape{n, 3, classes} : Shape{n, classes});
    const Value t = c.whole("t", places, ignores ? std::min<Dim>(ignored, 0) : 0, classes - 1);
    c.emit(whole ? mean_sparse_cross_entropy(x, t, ours) : sparse_cross_entropy(x, t, ours));
  }
  {
    const double positive = random.uniform(0.2, 5);
    Config c("binary_cross_entropy_with_logits", random, {{"pos_weight", positive}});
    const Shape shape = shape_of(random);
    c.emit(binary_cross_entropy(c.in("x", shape, -9, 9), c.in("t", shape, 0, 1), {.positive_weight = positive}));
  }
  {
    const bool logits = coin(random);
    Config c("kl_div", random, {{"logits", logits}});
    const Value x = logits ? c.in("x", Shape{n, classes}) : c.in("x", Shape{n, classes}, 0.01, 0.99);
    c.emit(kl_divergence(x, c.distribution("t", Shape{n, classes}), {.from_logits = logits}));
  }
  {
    const double gamma = random.uniform(1, 4), alpha = random.uniform(0, 1);
    Config c("sigmoid_focal", random, {{"gamma", gamma}, {"alpha", alpha}});
    const Shape shape = shape_of(random);
    c.emit(binary_focal_cross_entropy(c.in("x", shape), c.in("t", shape, 0, 1), {.gamma = gamma, .alpha = alpha}));
  }
  {
    const Dim labels = size(random, 1, 4), frames = size(random, 2 * labels, 12), blank = size(random, 0, classes - 1);
    Config c("ctc_loss", random, {{"blank", blank}});
    const Value x = c.in("x", Shape{n, frames, classes});
    // Any class but the blank.
    const Value t = c.whole("t", Shape{n, labels}, blank == 0 ? 1 : 0, blank == 0 ? classes - 1 : blank - 1);
    c.emit(ctc(x, t, {.blank = blank, .input_lengths = c.whole("frames", Shape{n}, 2 * labels, frames),
                      .label_lengths = c.whole("labels", Shape{n}, 0, labels)}));
  }
}

void norms(Numbers& random) {
  const double eps = coin(random) ? 1e-3 : 1e-5;
  {
    const Dim groups = size(random, 1, 3), channels = groups * size(random, 1, 3);
    Config c("group_norm", random, {{"groups", groups}, {"eps", eps}});
    c.emit(group_norm(c.in("x", Shape{size(random, 1, 3), size(random, 2, 4), size(random, 2, 4), channels}),
                      c.in("gamma", Shape{channels}), c.in("beta", Shape{channels}), groups, eps));
  }
  {
    Config c("group_norm", random, {{"groups", -1}, {"eps", eps}});
    const Value x = c.in("x", Shape{size(random, 1, 3), size(random, 2, 4), size(random, 2, 4), size(random, 1, 4)});
    const Value y = group_norm(x, {.groups = -1, .eps = eps, .name = "l"});
    c.draw_variables();
    c.emit(y);
  }
  const Dim axes = size(random, 1, 2);
  for (const bool centred : {true, false}) {
    Config c(centred ? "layer_norm" : "rms_norm", random, {{"eps", eps}});
    const Value x = c.in("x", Shape{size(random, 1, 4), size(random, 2, 4), size(random, 2, 6)});
    const Value y = centred ? layer_norm(x, {.eps = eps, .axes = axes, .name = "l"})
                            : rms_norm(x, {.eps = eps, .axes = axes, .name = "l"});
    c.draw_variables();
    c.emit(y);
  }
  for (const bool training : {true, false}) {
    const double rate = random.uniform(0, 1);
    Config c("batch_norm", random, {{"eps", eps}, {"training", training}, {"momentum", rate}});
    const Value x = c.in("x", Shape{size(random, 2, 4), size(random, 1, 3), size(random, 1, 3), size(random, 1, 4)});
    const Value y = batch_norm(
        x, {.convention = Convention::torch, .eps = eps, .running_update_rate = rate, .name = "l"});
    c.draw_variables();
    // What is learned, and what runs along, in both modes.
    c.emit(training ? y : batch_norm_inference(x, c.graph.find("l/gamma"), c.graph.find("l/beta"),
                                               c.graph.find("l/mean"), c.graph.find("l/variance"), eps));
  }
}

Extent extent(Numbers& random, Dim least, Dim most) { return {size(random, least, most), size(random, least, most)}; }
json pair(const Extent& e) { return json::array({e.height, e.width}); }

void convolutions(Numbers& random) {
  const Dim groups = size(random, 1, 3), in = groups * size(random, 1, 3), out = groups * size(random, 1, 3);
  const Extent strides = extent(random, 1, 3), dilation = extent(random, 1, 2), window = extent(random, 1, 3),
               pads = extent(random, 0, 2);
  const json options = {
      {"stride", pair(strides)}, {"dilation", pair(dilation)}, {"padding", pair(pads)}, {"groups", groups}};
  const std::vector<Dim> four = {pads.height, pads.height, pads.width, pads.width};
  {
    Config c("conv2d", random, options);
    const Value x = c.in("x", Shape{size(random, 1, 2), size(random, 5, 8), size(random, 5, 8), in});
    const Value w = c.in("w", Shape{window.height, window.width, in / groups, out});
    c.emit(conv2d(x, w, {.strides = strides, .dilation = dilation, .pads = four, .groups = groups}));
  }
  {
    Config c("conv1d", random,
             {{"stride", strides.width}, {"dilation", dilation.width}, {"padding", pads.width}, {"groups", groups}});
    const Value x = c.in("x", Shape{size(random, 1, 2), size(random, 5, 9), in});
    const Value w = c.in("w", Shape{window.width, in / groups, out});
    c.emit(conv1d(x, w, {.strides = strides, .dilation = dilation, .pads = {pads.width, pads.width},
                         .groups = groups}));
  }
  {
    // Pads that the window covers, and a step more of output than of stride at most.
    const Extent low = {std::min(pads.height, window.height - 1), std::min(pads.width, window.width - 1)};
    const Extent more = {size(random, 0, strides.height - 1), size(random, 0, strides.width - 1)};
    Config c("conv_transpose2d", random,
             {{"stride", pair(strides)}, {"dilation", pair(dilation)}, {"padding", pair(low)},
              {"output_padding", pair(more)}, {"groups", groups}});
    const Value x = c.in("x", Shape{size(random, 1, 2), size(random, 3, 5), size(random, 3, 5), in});
    const Value w = c.in("w", Shape{window.height, window.width, out / groups, in});
    c.emit(conv2d_transpose(x, w, {.strides = strides, .dilation = dilation,
                                   .pads = {low.height, low.height, low.width, low.width},
                                   .output_padding = more, .groups = groups}));
  }
  {
    const Dim multiplier = size(random, 1, 3);
    Config c("depthwise", random,
             {{"stride", pair(strides)}, {"dilation", pair(dilation)}, {"padding", pair(pads)}, {"groups", in}});
    const Value x = c.in("x", Shape{1, size(random, 5, 8), size(random, 5, 8), in});
    const Value w = c.in("w", Shape{window.height, window.width, 1, in * multiplier});
    c.emit(conv2d(x, w, {.strides = strides, .dilation = dilation, .pads = four, .groups = in}));
  }
  {
    // Symmetric or not, as many zeros as the window needs; torch has this for strides of 1 only.
    Config c("conv2d", random, {{"dilation", pair(dilation)}, {"padding", "same"}, {"groups", groups}});
    const Value x = c.in("x", Shape{1, size(random, 3, 6), size(random, 3, 6), in});
    const Value w = c.in("w", Shape{window.height, window.width, in / groups, out});
    c.emit(conv2d(x, w, {.dilation = dilation, .padding = "same", .groups = groups}));
  }
}

/// Layers with variables of their own.
void layers(Numbers& random) {
  {
    Config c("linear", random);
    const Value y = dense(c.in("x", shape_of(random, 2)), size(random, 1, 5), {.name = "l"});
    c.draw_variables();
    c.emit(y);
  }
  const Dim channels = size(random, 1, 3), filters = size(random, 1, 4);
  const Extent strides = extent(random, 1, 2);
  const auto image = [&](Config& c) { return c.in("x", Shape{2, size(random, 4, 6), size(random, 4, 6), channels}); };
  {
    Config c("conv_layer", random, {{"stride", pair(strides)}, {"padding", 1}});
    const Value y = conv(image(c), filters, 3, {.strides = strides, .pads = {1, 1, 1, 1}, .name = "l"});
    c.draw_variables();
    c.emit(y);
  }
  {
    const Dim multiplier = size(random, 1, 2);
    Config c("separable", random, {{"stride", pair(strides)}, {"multiplier", multiplier}});
    const Value y = separable_conv(image(c), filters, 3, {.strides = strides, .multiplier = multiplier, .name = "l"});
    c.draw_variables();
    c.emit(y);
  }
}

void pools(Numbers& random) {
  const Extent window = extent(random, 2, 3), strides = extent(random, 1, 3);
  const Extent pads = {size(random, 0, window.height / 2), size(random, 0, window.width / 2)};
  const std::vector<Dim> around = {pads.height, pads.height, pads.width, pads.width};
  const json options = {{"kernel_size", pair(window)}, {"stride", pair(strides)}, {"padding", pair(pads)}};
  const auto image = [&](Config& c) {
    return c.in("x", Shape{size(random, 1, 2), size(random, 4, 7), size(random, 4, 7), size(random, 1, 3)});
  };
  {
    Config c("max_pool2d", random, options);
    c.emit(max_pool(image(c), window, {.strides = strides, .pads = around}));
  }
  for (const bool whole : {true, false}) {
    json counted = options;
    counted["count_include_pad"] = whole;
    Config c("avg_pool2d", random, counted);
    c.emit(avg_pool(image(c), window, {.strides = strides, .pads = around, .count_include_pad = whole}));
  }
  for (const char* what : {"adaptive_max_pool2d", "adaptive_avg_pool2d"}) {
    Config c(what, random);
    const Value x = image(c);
    c.emit(std::string_view(what) == "adaptive_max_pool2d" ? global_max_pool(x) : global_avg_pool(x));
  }
  Config c("embedding", random);
  const Value table = c.in("table", Shape{size(random, 2, 6), size(random, 1, 4)});
  c.emit(gather(table, c.whole("ids", Shape{2, 3}, 0, table.shape()[0] - 1)));
}

/// Layers that draw numbers: what they make of x in one step, and in inference. torch draws other numbers, so that what
/// can be compared is which values an element may take, and how often.
void drawn(Numbers& random) {
  const double rate = random.uniform(0.05, 0.8);
  const Shape shape{size(random, 2, 4), size(random, 8, 16), size(random, 8, 16), size(random, 3, 8)};
  const std::map<std::string, Value (*)(Operand, double, const DropoutOptions&)> all = {
      {"dropout", dropout}, {"dropout2d", spatial_dropout}, {"alpha_dropout", alpha_dropout}};
  for (const auto& [name, layer] : all) {
    Graph g;
    const Value x = input(g, "x", {DType::f64, shape});
    g.output("y", layer(x, rate, {.seed = static_cast<std::int64_t>(random.below(1000))}));
    const Array<double> numbers = random.array(shape, 0.5, 3);
    Interpreter training(g), predicting(inference(g));
    training.set("x", numbers);
    training.evaluate();
    predicting.set("x", numbers);
    predicting.evaluate();
    std::cout << json{{"what", name}, {"options", {{"p", rate}}}, {"shape", shape.vector()}, {"x", numbers.data},
                      {"y", training.output("y").data}, {"inference", predicting.output("y").data}}
                     .dump()
              << '\n';
  }
}

/// First weights, by torch's names of how they are drawn.
void initializers(Numbers& random) {
  const bool convolution = coin(random);
  const Shape shape = convolution ? Shape{3, 3, size(random, 30, 40), size(random, 30, 40)}
                                  : Shape{size(random, 90, 120), size(random, 90, 120)};
  const double gain = random.uniform(0.5, 2), mean = random.uniform(-1, 1), stddev = random.uniform(0.1, 2);
  const double low = mean - stddev * random.uniform(0.5, 2), high = mean + stddev * random.uniform(0.5, 2);
  const auto seed = static_cast<std::int64_t>(random.below(1000));
  const auto first = [&](const std::string& name, const json& options, const Init& init, const Shape& of) {
    Graph g;
    const Value w = variable(g, "w", {DType::f64, of}, init);
    std::cout << json{{"what", "init." + name}, {"options", options}, {"shape", of.vector()},
                      {"values", initial_values(w.node())}}
                     .dump()
              << '\n';
  };
  first("xavier_uniform_", {{"gain", gain}}, glorot_uniform({.seed = seed, .gain = gain}), shape);
  first("xavier_normal_", {{"gain", gain}}, glorot_normal({.seed = seed, .gain = gain, .truncate = false}), shape);
  for (const FanMode mode : {FanMode::fan_in, FanMode::fan_out}) {
    const json options = {{"mode", mode == FanMode::fan_in ? "fan_in" : "fan_out"}, {"nonlinearity", "relu"}};
    first("kaiming_uniform_", options, variance_scaling({.scale = 2, .mode = mode, .distribution = Distribution::uniform,
                                                         .seed = seed}), shape);
    first("kaiming_normal_", options,
          variance_scaling({.scale = 2, .mode = mode, .distribution = Distribution::untruncated_normal, .seed = seed}),
          shape);
  }
  first("kaiming_uniform_", {{"a", 0}}, he_uniform({.seed = seed}), shape);
  first("kaiming_normal_", {{"a", 0}}, he_normal({.seed = seed, .truncate = false}), shape);
  // What Linear and Conv2d begin with.
  first("kaiming_uniform_", {{"a", std::sqrt(5.0)}}, lecun_uniform({.seed = seed, .gain = 1 / std::sqrt(3.0)}), shape);
  first("uniform_", {{"a", low}, {"b", high}}, random_uniform_init({.low = low, .high = high, .seed = seed}), shape);
  first("normal_", {{"mean", mean}, {"std", stddev}},
        random_normal_init({.mean = mean, .stddev = stddev, .seed = seed}), shape);
  first("trunc_normal_", {{"mean", mean}, {"std", stddev}, {"a", low}, {"b", high}},
        truncated_normal({.mean = mean, .stddev = stddev, .seed = seed, .bounds = {{low, high}}}), shape);
  first("orthogonal_", {{"gain", gain}}, orthogonal_init({.seed = seed, .gain = gain}), shape);
  first("eye_", json::object(), identity_init(), Shape{size(random, 2, 9), size(random, 2, 9)});
  first("constant_", {{"val", mean}}, filled(mean), Shape{3, 4});
  for (const char* name : {"linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"}) {
    const double slope = random.uniform(0.01, 2);
    std::cout << json{{"what", "calculate_gain"}, {"options", {{"nonlinearity", name}, {"param", slope}}},
                      {"gain", init_gain(name, slope)}}
                     .dump()
              << '\n';
  }
}

}  // namespace
}  // namespace thalweg::testing

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 50;
  thalweg::testing::Numbers random(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  for (int round = 0; round < rounds; ++round) {
    thalweg::testing::activations(random);
    thalweg::testing::regressions(random);
    thalweg::testing::classifications(random);
    thalweg::testing::norms(random);
    thalweg::testing::convolutions(random);
    thalweg::testing::layers(random);
    thalweg::testing::pools(random);
    thalweg::testing::drawn(random);
    thalweg::testing::initializers(random);
  }
}
