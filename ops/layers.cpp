// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/layers.h"

#include "thalweg/graph/fail.h"
#include "thalweg/ops/conv.h"
#include "thalweg/ops/index.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/norm.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/random.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

void need_value(const Operand& x, std::string_view what) {
  if (x.is_number()) graph_error(x.loc, "{}: the input must be a value of a graph, is a number", what);
}

void need_axes(const Operand& x, std::size_t least, std::string_view what) {
  need_value(x, what);
  if (x.value.rank() < least)
    graph_error(x.loc, "{}: the input must have at least {} {}\n    a  {}", what, least, least == 1 ? "axis" : "axes",
                describe(x.value));
}

void need_positive(Dim value, std::string_view what, std::string_view option, SourceLoc loc) {
  if (value < 1) graph_error(loc, "{}: {} is {}, must be at least 1", what, option, value);
}

/// The name given, or the first of kind, kind_1, kind_2, … under which `variable_name` is free.
std::string layer_name(const Graph& graph, const std::string& given, std::string_view kind,
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

Value finished(Layer& layer, Value y, bool bias, const Init& bias_init, const Activation& activation) {
  if (bias) y = y + layer.make_variable("bias", {y.dtype(), Shape{y.shape().back()}}, bias_init);
  return activation ? activation(y) : y;
}

}  // namespace

Value dense(Operand x, Dim units, const DenseOptions& options) {
  need_axes(x, 2, "dense");
  need_positive(units, "dense", "units", x.loc);
  Layer layer(x, layer_name(x.value.graph(), options.name, "dense", "kernel"));
  const Value kernel =
      layer.make_variable("kernel", {x.value.dtype(), Shape{x.value.shape().back(), units}}, options.init);
  return finished(layer, matmul(x, kernel), options.bias, options.bias_init, options.activation);
}

Value conv(Operand x, Dim filters, Extent window, const ConvOptions& options) {
  need_value(x, "conv");
  if (x.value.rank() != 4)
    graph_error(x.loc, "conv: the input must have 4 axes [N,H,W,C]\n    a  {}", describe(x.value));
  need_positive(filters, "conv", "filters", x.loc);
  need_positive(window.height, "conv", "the window's height", x.loc);
  need_positive(window.width, "conv", "the window's width", x.loc);
  need_positive(options.groups, "conv", "groups", x.loc);
  const Dim channels = x.value.shape().back();
  if (channels % options.groups != 0)
    graph_error(x.loc, "conv: groups={} does not divide the {} channels of the input\n    a  {}", options.groups,
                channels, describe(x.value));
  Layer layer(x, layer_name(x.value.graph(), options.name, "conv", "kernel"));
  const Value kernel = layer.make_variable(
      "kernel", {x.value.dtype(), Shape{window.height, window.width, channels / options.groups, filters}},
      options.init);
  const Value y = conv2d(x, kernel, {.strides = options.strides, .dilation = options.dilation,
                                     .padding = options.padding, .pads = options.pads, .groups = options.groups});
  return finished(layer, y, options.bias, options.bias_init, options.activation);
}

Value dropout(Operand x, double rate, const DropoutOptions& options) {
  need_value(x, "dropout");
  if (!(rate >= 0 && rate < 1)) graph_error(x.loc, "dropout: rate is {}, must be in [0, 1)", rate);
  if (rate == 0) return x.value;
  const Frame frame(x.value.graph(), {.loc = x.loc, .scope = "dropout"});
  const Value mask = bernoulli(x.value.graph(), x.value.type(), 1 - rate, {.seed = options.seed});
  return by_mode(x.value * mask * (1 / (1 - rate)), x.value);
}

namespace {

struct BatchNormNumbers {
  double eps, rate;
};

BatchNormNumbers numbers_of(const BatchNormOptions& options, SourceLoc loc) {
  if (options.convention == Convention::optax)
    graph_error(loc, "batch_norm: the conventions are keras and torch; optax has no batch norm");
  const bool keras = options.convention == Convention::keras;
  const double rate = options.running_update_rate.value_or(keras ? 0.01 : 0.1);
  if (!(rate >= 0 && rate <= 1)) graph_error(loc, "batch_norm: running_update_rate is {}, must be in [0, 1]", rate);
  return {options.eps.value_or(keras ? 1e-3 : 1e-5), rate};
}

}  // namespace

Value batch_norm(Operand x, const BatchNormOptions& options) {
  need_axes(x, 2, "batch_norm");
  const BatchNormNumbers numbers = numbers_of(options, x.loc);
  Layer layer(x, layer_name(x.value.graph(), options.name, "batch_norm", "gamma"));
  const TensorType per_channel{x.value.dtype(), Shape{x.value.shape().back()}};
  const Value gamma = layer.make_variable("gamma", per_channel, ones());
  const Value beta = layer.make_variable("beta", per_channel, zeros());
  const Value mean = layer.make_variable("mean", per_channel, zeros(), false);
  const Value variance = layer.make_variable("variance", per_channel, ones(), false);

  const BatchNormed batch = batch_norm_training(x, gamma, beta, numbers.eps);
  Value batch_variance = batch.variance;
  const auto count = static_cast<double>(x.value.type().elements() / per_channel.elements());
  if (options.convention == Convention::torch && count > 1) batch_variance = batch_variance * (count / (count - 1));
  layer.graph().update(mean, mean * (1 - numbers.rate) + batch.mean * numbers.rate);
  layer.graph().update(variance, variance * (1 - numbers.rate) + batch_variance * numbers.rate);
  return by_mode(batch.y, batch_norm_inference(x, gamma, beta, mean, variance, numbers.eps));
}

Value layer_norm(Operand x, const LayerNormOptions& options) {
  need_axes(x, 1, "layer_norm");
  const Shape shape = x.value.shape();
  if (options.axes < 1 || options.axes > static_cast<Dim>(shape.rank()))
    graph_error(x.loc, "layer_norm: axes is {}, must be in [1, {}]\n    a  {}", options.axes, shape.rank(),
                describe(x.value));
  Layer layer(x, layer_name(x.value.graph(), options.name, "layer_norm", "gamma"));
  const TensorType type{x.value.dtype(), Shape(std::span(shape.end() - options.axes, shape.end()))};
  const Value gamma = layer.make_variable("gamma", type, ones());
  return layer_norm(x, gamma, layer.make_variable("beta", type, zeros()), options.eps);
}

Value flatten(Operand x) {
  need_axes(x, 1, "flatten");
  const Frame frame(x.value.graph(), {.loc = x.loc});
  const Dim samples = x.value.shape()[0];
  return reshape_to(x, Shape{samples, x.value.type().elements() / samples});
}

Value residual(Operand x, const std::function<Value(Value)>& branch) {
  need_value(x, "residual");
  const Frame all_or_nothing(x.value.graph(), {});
  const Value y = branch(x.value);
  if (!y) graph_error(x.loc, "residual: the branch returned an empty Value");
  if (y.type() != x.value.type())
    graph_error(x.loc, "residual: the branch changes {} to {}\n    a  {}\n    b  {}", to_string(x.value.type()),
                to_string(y.type()), describe(x.value), describe(y));
  const Frame frame(x.value.graph(), {.loc = x.loc});
  return x.value + y;
}

namespace {

void need_samples(const Operand& a, const Operand& b, const Shape& wanted, std::string_view what) {
  need_value(b, what);
  if (b.value.shape() != wanted)
    graph_error(a.loc, "{}: shapes do not match: {} needs {}, got {}\n    a  {}\n    b  {}", what,
                to_string(a.value.shape()), to_string(wanted), to_string(b.value.shape()), describe(a.value),
                describe(b.value));
}

Value share_of(const Value& truths) {
  const Value hits = cast(truths, DType::f32);
  return hits.rank() == 0 ? hits : mean(hits);
}

}  // namespace

Value accuracy(Operand scores, Operand labels) {
  need_axes(scores, 1, "accuracy");
  const Shape shape = scores.value.shape();
  need_samples(scores, labels, Shape(std::span(shape.begin(), shape.rank() - 1)), "accuracy");
  if (!is_integer(labels.value.dtype()))
    graph_error(scores.loc, "accuracy: labels must be i32, i64 or u8, are {}\n    b  {}",
                to_string(labels.value.type()), describe(labels.value));
  const Frame frame(scores.value.graph(), {.loc = scores.loc, .scope = "accuracy"});
  return share_of(equal(argmax(scores), cast(labels, DType::i64)));
}

Value binary_accuracy(Operand scores, Operand target, double threshold) {
  need_value(scores, "binary_accuracy");
  need_samples(scores, target, scores.value.shape(), "binary_accuracy");
  const Frame frame(scores.value.graph(), {.loc = scores.loc, .scope = "binary_accuracy"});
  const Value truth = cast(target, DType::f32);
  return share_of(equal(cast(greater(scores, threshold), DType::i32), cast(greater(truth, 0.5), DType::i32)));
}

}  // namespace thalweg
