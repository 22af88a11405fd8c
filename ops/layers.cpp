// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/layers.h"

#include <algorithm>
#include <cmath>

#include "thalweg/graph/fail.h"
#include "thalweg/ops/conv.h"
#include "thalweg/ops/index.h"
#include "thalweg/ops/layer.h"
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

void need_image(const Operand& x, std::string_view what) {
  need_value(x, what);
  if (x.value.rank() != 4)
    graph_error(x.loc, "{}: the input must have 4 axes [N,H,W,C]\n    a  {}", what, describe(x.value));
}

void need_window(Extent window, std::string_view what, SourceLoc loc) {
  need_positive(window.height, what, "the window's height", loc);
  need_positive(window.width, what, "the window's width", loc);
}

/// The channels of x, which the groups divide.
Dim need_groups(const Operand& x, Dim groups, std::string_view what) {
  need_positive(groups, what, "groups", x.loc);
  const Dim channels = x.value.shape().back();
  if (channels % groups != 0)
    graph_error(x.loc, "{}: groups={} does not divide the {} channels of the input\n    a  {}", what, groups, channels,
                describe(x.value));
  return channels;
}

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
  need_image(x, "conv");
  need_positive(filters, "conv", "filters", x.loc);
  need_window(window, "conv", x.loc);
  const Dim channels = need_groups(x, options.groups, "conv");
  Layer layer(x, layer_name(x.value.graph(), options.name, "conv", "kernel"));
  const Value kernel = layer.make_variable(
      "kernel", {x.value.dtype(), Shape{window.height, window.width, channels / options.groups, filters}},
      options.init);
  const Value y = conv2d(x, kernel, {.strides = options.strides, .dilation = options.dilation,
                                     .padding = options.padding, .pads = options.pads, .groups = options.groups});
  return finished(layer, y, options.bias, options.bias_init, options.activation);
}

Value conv1d(Operand x, Dim filters, Dim window, const ConvOptions& options) {
  need_value(x, "conv1d");
  if (x.value.rank() != 3)
      graph_error(x.loc, "conv1d: the input must have 3 axes [N,L,C]\n    a  {}", describe(x.value));
  need_positive(filters, "conv1d", "filters", x.loc);
  need_positive(window, "conv1d", "the window", x.loc);
  const Dim channels = need_groups(x, options.groups, "conv1d");
  Layer layer(x, layer_name(x.value.graph(), options.name, "conv1d", "kernel"));
  const Value kernel = layer.make_variable(
      "kernel", {x.value.dtype(), Shape{window, channels / options.groups, filters}}, options.init);
  const Value y = conv1d(x, kernel, {.strides = options.strides, .dilation = options.dilation,
                                     .padding = options.padding, .pads = options.pads, .groups = options.groups});
  return finished(layer, y, options.bias, options.bias_init, options.activation);
}

namespace {

/// The depthwise part of a layer, its kernel under that name.
Value depthwise(Layer& layer, const Operand& x, Extent window, const DepthwiseConvOptions& options,
                std::string_view kernel_name) {
  const Dim channels = x.value.shape().back(), taps = window.height * window.width;
  Init init = options.init;
  if (options.convention == Convention::keras)
    init = with_fans(std::move(init), {taps * channels, taps * options.multiplier});
  const Value kernel = layer.make_variable(
      kernel_name, {x.value.dtype(), Shape{window.height, window.width, 1, channels * options.multiplier}}, init);
  return conv2d(x, kernel, {.strides = options.strides, .dilation = options.dilation, .padding = options.padding,
                            .pads = options.pads, .groups = channels});
}

void check_depthwise(const Operand& x, Extent window, const DepthwiseConvOptions& options, std::string_view what) {
  need_image(x, what);
  need_window(window, what, x.loc);
  need_positive(options.multiplier, what, "multiplier", x.loc);
  if (options.convention == Convention::optax)
    graph_error(x.loc, "{}: the conventions are keras and torch; optax has no layers", what);
}

}  // namespace

Value depthwise_conv(Operand x, Extent window, const DepthwiseConvOptions& options) {
  check_depthwise(x, window, options, "depthwise_conv");
  Layer layer(x, layer_name(x.value.graph(), options.name, "depthwise_conv", "kernel"));
  const Value y = depthwise(layer, x, window, options, "kernel");
  return finished(layer, y, options.bias, options.bias_init, options.activation);
}

Value separable_conv(Operand x, Dim filters, Extent window, const DepthwiseConvOptions& options) {
  check_depthwise(x, window, options, "separable_conv");
  need_positive(filters, "separable_conv", "filters", x.loc);
  Layer layer(x, layer_name(x.value.graph(), options.name, "separable_conv", "kernel"));
  const Value each = depthwise(layer, x, window, options, "depthwise_kernel");
  const Value kernel =
      layer.make_variable("kernel", {x.value.dtype(), Shape{1, 1, each.shape().back(), filters}}, options.init);
  return finished(layer, conv2d(each, kernel), options.bias, options.bias_init, options.activation);
}

Value conv_transpose(Operand x, Dim filters, Extent window, const ConvTransposeOptions& options) {
  need_image(x, "conv_transpose");
  need_positive(filters, "conv_transpose", "filters", x.loc);
  need_window(window, "conv_transpose", x.loc);
  const Dim channels = need_groups(x, options.groups, "conv_transpose");
  if (filters % options.groups != 0)
    graph_error(x.loc, "conv_transpose: groups={} does not divide the {} filters", options.groups, filters);
  Layer layer(x, layer_name(x.value.graph(), options.name, "conv_transpose", "kernel"));
  const Value kernel = layer.make_variable(
      "kernel", {x.value.dtype(), Shape{window.height, window.width, filters / options.groups, channels}},
      options.init);
  const Value y =
      conv2d_transpose(x, kernel, {.strides = options.strides, .dilation = options.dilation, .padding = options.padding,
                                   .pads = options.pads, .output_padding = options.output_padding,
                                   .groups = options.groups});
  return finished(layer, y, options.bias, options.bias_init, options.activation);
}

Value prelu(Operand x, const PreluOptions& options) {
  need_axes(x, 2, "prelu");
  Layer layer(x, layer_name(x.value.graph(), options.name, "prelu", "slope"));
  const Dim slopes = options.shared ? 1 : x.value.shape().back();
  return prelu(x, layer.make_variable("slope", {x.value.dtype(), Shape{slopes}}, options.init));
}

namespace {

void check_rate(const Operand& x, double rate, std::string_view what) {
  need_value(x, what);
  if (!(rate >= 0 && rate < 1)) graph_error(x.loc, "{}: rate is {}, must be in [0, 1)", what, rate);
}

/// x times 0 or 1 / (1 - rate), drawn for a tensor of that shape.
Value dropped(const Value& x, const Shape& drawn, double rate, const DropoutOptions& options) {
  const Value mask = bernoulli(x.graph(), {x.dtype(), drawn}, 1 - rate, {.seed = options.seed});
  return by_mode(x * mask * (1 / (1 - rate)), x);
}

}  // namespace

Value dropout(Operand x, double rate, const DropoutOptions& options) {
  check_rate(x, rate, "dropout");
  if (rate == 0) return x.value;
  const Frame frame(x.value.graph(), {.loc = x.loc, .scope = "dropout"});
  return dropped(x.value, x.value.shape(), rate, options);
}

Value spatial_dropout(Operand x, double rate, const DropoutOptions& options) {
  check_rate(x, rate, "spatial_dropout");
  need_axes(x, 3, "spatial_dropout");
  if (rate == 0) return x.value;
  const Frame frame(x.value.graph(), {.loc = x.loc, .scope = "spatial_dropout"});
  std::vector<Dim> dims = x.value.shape().vector();
  std::fill(dims.begin() + 1, dims.end() - 1, 1);
  return dropped(x.value, Shape(dims), rate, options);
}

Value alpha_dropout(Operand x, double rate, const DropoutOptions& options) {
  check_rate(x, rate, "alpha_dropout");
  if (rate == 0) return x.value;
  const Frame frame(x.value.graph(), {.loc = x.loc, .scope = "alpha_dropout"});
  const Value kept = bernoulli(x.value.graph(), {DType::boolean, x.value.shape()}, 1 - rate, {.seed = options.seed});
  // Of variables of mean 0 and variance 1, those that are kept or become `floor` have this scale and mean.
  constexpr double floor = -1.6732632423543772 * 1.0507009873554805;
  const double scale = 1 / std::sqrt((1 - rate) * (1 + rate * floor * floor));
  return by_mode(select(kept, x, floor) * scale - scale * floor * rate, x.value);
}

Value gaussian_dropout(Operand x, double rate, const DropoutOptions& options) {
  check_rate(x, rate, "gaussian_dropout");
  if (rate == 0) return x.value;
  const Frame frame(x.value.graph(), {.loc = x.loc, .scope = "gaussian_dropout"});
  const NormalOptions draw{.mean = 1, .stddev = std::sqrt(rate / (1 - rate)), .draw = {.seed = options.seed}};
  return by_mode(x.value * random_normal(x.value.graph(), x.value.type(), draw), x.value);
}

Value gaussian_noise(Operand x, double stddev, const DropoutOptions& options) {
  need_value(x, "gaussian_noise");
  if (!(stddev >= 0) || std::isinf(stddev))
    graph_error(x.loc, "gaussian_noise: stddev is {}, must be finite and at least 0", stddev);
  if (stddev == 0) return x.value;
  const Frame frame(x.value.graph(), {.loc = x.loc, .scope = "gaussian_noise"});
  const NormalOptions draw{.mean = 0, .stddev = stddev, .draw = {.seed = options.seed}};
  return by_mode(x.value + random_normal(x.value.graph(), x.value.type(), draw), x.value);
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
  // One after the other: compilers make operands in orders of their own, and the graph must be the same with each.
  const auto moved = [&](const Value& average, const Value& now) {
    const Value added = now * numbers.rate, kept = average * (1 - numbers.rate);
    layer.graph().update(average, kept + added);
  };
  moved(mean, batch.mean);
  moved(variance, batch_variance);
  return by_mode(batch.y, batch_norm_inference(x, gamma, beta, mean, variance, numbers.eps));
}

namespace {

/// The type of a parameter over the last `axes` axes of x.
TensorType last_axes(const Operand& x, Dim axes, std::string_view what) {
  need_axes(x, 1, what);
  const Shape shape = x.value.shape();
  if (axes < 1 || axes > static_cast<Dim>(shape.rank()))
    graph_error(x.loc, "{}: axes is {}, must be in [1, {}]\n    a  {}", what, axes, shape.rank(), describe(x.value));
  return {x.value.dtype(), Shape(std::span(shape.end() - axes, shape.end()))};
}

}  // namespace

Value layer_norm(Operand x, const LayerNormOptions& options) {
  const TensorType type = last_axes(x, options.axes, "layer_norm");
  Layer layer(x, layer_name(x.value.graph(), options.name, "layer_norm", "gamma"));
  const Value gamma = layer.make_variable("gamma", type, ones());
  return layer_norm(x, gamma, layer.make_variable("beta", type, zeros()), options.eps);
}

Value rms_norm(Operand x, const RmsNormOptions& options) {
  const TensorType type = last_axes(x, options.axes, "rms_norm");
  Layer layer(x, layer_name(x.value.graph(), options.name, "rms_norm", "gamma"));
  return rms_norm(x, layer.make_variable("gamma", type, ones()), options.eps);
}

Value group_norm(Operand x, const GroupNormOptions& options) {
  need_axes(x, 2, "group_norm");
  const Dim channels = x.value.shape().back(), groups = options.groups == -1 ? channels : options.groups;
  need_groups(x, groups, "group_norm");
  Layer layer(x, layer_name(x.value.graph(), options.name, "group_norm", "gamma"));
  const TensorType type{x.value.dtype(), Shape{channels}};
  const Value gamma = layer.make_variable("gamma", type, ones());
  return group_norm(x, gamma, layer.make_variable("beta", type, zeros()), groups, options.eps);
}

Value flatten(Operand x) {
  need_axes(x, 1, "flatten");
  const Frame frame(x.value.graph(), {.loc = x.loc});
  const Dim samples = x.value.shape()[0];
  return reshape_to(x, Shape{samples, x.value.type().elements() / samples});
}

namespace {

Value sum_of_paths(const Operand& x, const Value& straight, const Value& y) {
  if (!y || !straight) graph_error(x.loc, "residual: the {} returned an empty Value", y ? "shortcut" : "branch");
  if (y.type() != straight.type())
    graph_error(x.loc, "residual: the branch changes {} to {}\n    a  {}\n    b  {}", to_string(straight.type()),
                to_string(y.type()), describe(straight), describe(y));
  const Frame frame(x.value.graph(), {.loc = x.loc});
  return straight + y;
}

}  // namespace

Value residual(Operand x, const Function<Value(Value)>& branch) {
  need_value(x, "residual");
  const Frame all_or_nothing(x.value.graph(), {});
  return sum_of_paths(x, x.value, branch(x.value));
}

Value residual(Operand x, const Function<Value(Value)>& branch, const Function<Value(Value)>& shortcut) {
  need_value(x, "residual");
  const Frame all_or_nothing(x.value.graph(), {});
  const Value straight = shortcut(x.value);
  return sum_of_paths(x, straight, branch(x.value));
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
  // One after the other: compilers make arguments in orders of their own, and the graph must be the same with each.
  const Value truth = cast(labels, DType::i64), guess = argmax(scores);
  return share_of(equal(guess, truth));
}

Value binary_accuracy(Operand scores, Operand target, double threshold) {
  need_value(scores, "binary_accuracy");
  need_samples(scores, target, scores.value.shape(), "binary_accuracy");
  if (!std::isfinite(threshold))
    graph_error(scores.loc, "binary_accuracy: threshold is {}, must be finite", threshold);
  const Frame frame(scores.value.graph(), {.loc = scores.loc, .scope = "binary_accuracy"});
  const Value truth = cast(target, DType::f32);
  return share_of(equal(cast(greater(scores, threshold), DType::i32), cast(greater(truth, 0.5), DType::i32)));
}

}  // namespace thalweg
