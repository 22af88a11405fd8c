// SPDX-License-Identifier: Apache-2.0
// The ops against reference_vectors.json, in the double interpreter, at 1e-12.
#include "vectors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>

#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/interpret.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/philox.h"
#include "thalweg/ops/conv.h"
#include "thalweg/ops/index.h"
#include "thalweg/ops/inference.h"
#include "thalweg/ops/init.h"
#include "thalweg/ops/layers.h"
#include "thalweg/ops/loss.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/norm.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/pool.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/softmax.h"
#include "thalweg/ops/source.h"

namespace thalweg::testing {
namespace {

using nlohmann::json;

/// A graph whose inputs are numbers of the file.
class Bench {
 public:
  Value in(std::vector<double> numbers, const Shape& shape, DType dtype = DType::f64) {
    const std::string name = "v" + std::to_string(feeds_.size());
    feeds_[name] = Array<double>(shape, std::move(numbers));
    return input(graph, name, {dtype, shape});
  }
  Value in(const json& list, DType dtype = DType::f64) { return in(numbers(list), Shape(sizes(list)), dtype); }

  Interpreter run() const {
    Interpreter interpreter(graph);
    for (const auto& [name, numbers] : feeds_) interpreter.set(name, numbers);
    interpreter.evaluate();
    return interpreter;
  }
  std::vector<double> of(const Value& value) const { return run().at(value).data; }

  Graph graph;

 private:
  std::map<std::string, Array<double>> feeds_;
};

void expect(const std::vector<double>& got, const std::vector<double>& want, const std::string& what,
            double tolerance = 1e-12) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i)
    EXPECT_TRUE(near(got[i], want[i], tolerance)) << what << " element " << i << ": " << got[i] << ", not " << want[i];
}
void expect(const std::vector<double>& got, const json& want, const std::string& what) {
  expect(got, numbers(want), what);
}

// ---- activations

TEST(Vectors, Activations) {
  const json& section = vectors("activations");
  const std::map<std::string, std::function<Value(Value)>> known = {
      {"relu", [](Value x) { return relu(x); }},
      {"leaky_relu_0.01 (torch default)", [](Value x) { return leaky_relu(x, 0.01); }},
      {"leaky_relu_0.2 (keras fn default; keras LeakyReLU layer default 0.3)", [](Value x) { return leaky_relu(x, 0.2); }},
      {"gelu_exact", [](Value x) { return gelu(x); }},
      {"gelu_tanh", [](Value x) { return gelu(x, {.approximate = "tanh"}); }},
      {"elu_1", [](Value x) { return elu(x); }},
      {"silu", [](Value x) { return silu(x); }},
      {"softplus", [](Value x) { return softplus(x); }},
      {"sigmoid", [](Value x) { return sigmoid(x); }},
      {"tanh", [](Value x) { return tanh(x); }},
      {"relu6", [](Value x) { return relu6(x); }},
      {"selu", [](Value x) { return selu(x); }},
      {"mish", [](Value x) { return mish(x); }},
      {"softsign", [](Value x) { return softsign(x); }},
      {"log_sigmoid", [](Value x) { return log_sigmoid(x); }},
      {"squareplus_4", [](Value x) { return squareplus(x); }},
      {"hard_sigmoid (keras3==torch: relu6(x+3)/6; keras2 was 0.2x+0.5)", [](Value x) { return hard_sigmoid(x); }},
      {"hard_swish", [](Value x) { return hard_swish(x); }},
      {"hard_tanh", [](Value x) { return hard_tanh(x); }},
      {"hard_shrink_0.5", [](Value x) { return hard_shrink(x); }},
      {"soft_shrink_0.5", [](Value x) { return soft_shrink(x); }},
  };
  for (const auto& [name, want] : section.at("fns").items()) {
    ASSERT_TRUE(known.contains(name)) << name;
    Bench bench;
    const Value x = bench.in(section.at("x"));
    const Value y = known.at(name)(x);
    const Value dy = gradients(sum(y), {x})[0];
    const Interpreter run = bench.run();
    expect(run.at(y).data, want.at("y"), name);
    expect(run.at(dy).data, want.at("dy"), name + "'");
  }
}

TEST(Vectors, Subgradients) {
  const json& section = vectors("subgradients");
  const auto slope = [](const std::function<Value(Value)>& f, double at) {
    Bench bench;
    const Value x = bench.in({at}, Shape{});
    return bench.of(gradients(f(x), {x})[0])[0];
  };
  const auto torch = [&](const char* name) { return section.at(name)[0]; };
  EXPECT_EQ(slope([](Value x) { return relu(x); }, 0), torch("relu'(0)").get<double>());
  EXPECT_EQ(slope([](Value x) { return abs(x); }, 0), torch("abs'(0)").get<double>());
  EXPECT_EQ(slope([](Value x) { return elu(x); }, 0), torch("elu'(0), alpha=1").get<double>());
  EXPECT_EQ(torch("leaky_relu'(0), slope a").get<std::string>(), "a");
  EXPECT_EQ(slope([](Value x) { return leaky_relu(x, 0.3); }, 0), 0.3);
  EXPECT_EQ(slope([](Value x) { return clip(x, {.low = -1, .high = 1}); }, 1), torch("clamp'(at bounds)").get<double>());
  EXPECT_EQ(slope([](Value x) { return clip(x, {.low = -1, .high = 1}); }, -1), torch("clamp'(at bounds)").get<double>());
  EXPECT_EQ(slope([](Value x) { return square(x); }, 0), torch("x**2 at 0").get<double>());
  EXPECT_EQ(slope([](Value x) { return pow(x, 2.0); }, 0), torch("x**2 at 0").get<double>());
  EXPECT_EQ(torch("sqrt'(0)").get<std::string>(), "inf");
  EXPECT_EQ(slope([](Value x) { return sqrt(x); }, 0), std::numeric_limits<double>::infinity());
  expect({slope([](Value x) { return selu(x); }, 0)}, torch("selu'(0)"), "selu'(0)");
  EXPECT_EQ(slope([](Value x) { return relu6(x); }, 6), torch("relu6'(6)").get<double>());
  for (const double side : {-1.0, 1.0}) {
    EXPECT_EQ(slope([](Value x) { return hard_tanh(x); }, side), torch("hardtanh'(+-1)").get<double>());
    EXPECT_EQ(slope([](Value x) { return hard_sigmoid(x); }, 3 * side), torch("hardsigmoid'(+-3)").get<double>());
    expect({slope([](Value x) { return hard_swish(x); }, 3 * side)}, torch("hard_swish'(-3), (3)")[side > 0 ? 1 : 0],
           "hard_swish'");
  }
  for (const bool smaller : {false, true}) {
    Bench bench;
    const Value a = bench.in({2}, Shape{}), b = bench.in({2}, Shape{});
    const auto d = gradients(smaller ? min(a, b) : max(a, b), {a, b});
    expect({bench.of(d[0])[0], bench.of(d[1])[0]}, torch("maximum(a,b) a==b -> (da,db)"), "ties");
  }
  {
    Bench bench;
    const Value x = bench.in({1, 3, 3, 0}, Shape{4});
    expect(bench.of(gradients(max(x), {x})[0]), std::vector<double>{0, 0.5, 0.5, 0}, "max() shares ties evenly");
  }
  {
    Bench bench;
    const Value x = bench.in({1, 3, 3, 0}, Shape{1, 2, 2, 1});
    expect(bench.of(gradients(sum(max_pool(x, 2)), {x})[0]), std::vector<double>{0, 1, 0, 0}, "pooling: the first");
    EXPECT_EQ(torch("maxpool, ties").get<std::string>(), "first index");
  }
  EXPECT_EQ(torch("round'/sign'/floor'").get<double>(), 0);
  Bench bench;
  const Value x = bench.in({0.5}, Shape{});
  EXPECT_EQ(bench.of(gradients(sign(x), {x}, {.allow_unconnected = true})[0])[0], 0);
}

// ---- losses

TEST(Vectors, Softmax) {
  const json& section = vectors("losses");
  Bench bench;
  const Value logits = bench.in(section.at("logits"));
  expect(bench.of(softmax(logits)), section.at("softmax"), "softmax");
  expect(bench.of(log_softmax(logits)), section.at("log_softmax"), "log_softmax");
  const json& extreme = section.at("extreme_logits");
  const Value far = bench.in(extreme.at("logits"));
  expect(bench.of(softmax(far)), extreme.at("softmax"), "softmax of extreme logits");
  expect(bench.of(log_softmax(far)), extreme.at("log_softmax"), "log_softmax of extreme logits");
}

TEST(Vectors, SparseCrossEntropy) {
  const json& section = vectors("losses");
  for (const bool mean_of : {true, false}) {
    const json& want = section.at(mean_of ? "sparse_ce_mean" : "sparse_ce_sum");
    for (const bool dense : {false, true}) {
      Bench bench;
      const Value logits = bench.in(section.at("logits")), labels = bench.in(section.at("labels"), DType::i32);
      const Value each = dense ? cross_entropy(logits, one_hot(labels, 3, DType::f64)) : sparse_cross_entropy(logits, labels);
      const Value loss = mean_of ? mean(each) : sum(each);
      const Value d = gradients(loss, {logits})[0];
      const std::string what = std::string(dense ? "dense " : "sparse ") + (mean_of ? "mean" : "sum");
      expect(bench.of(each), want.at("per_sample"), what + " per sample");
      expect(bench.of(loss), want.at("loss"), what + " loss");
      expect(bench.of(d), want.at("grad_logits"), what + " gradient");
    }
  }
}

TEST(Vectors, LabelSmoothing) {
  const json& section = vectors("losses");
  const json& want = section.at("ce_label_smoothing_0.1");
  for (const bool dense : {false, true}) {
    Bench bench;
    const Value logits = bench.in(section.at("logits")), labels = bench.in(section.at("labels"), DType::i32);
    const CrossEntropyOptions options{.label_smoothing = 0.1};
    const Value each = dense ? cross_entropy(logits, one_hot(labels, 3, DType::f64), options)
                             : sparse_cross_entropy(logits, labels, options);
    expect(bench.of(each), want.at("per_sample"), "per sample");
    expect(bench.of(mean(each)), want.at("loss"), "loss");
    expect(bench.of(gradients(mean(each), {logits})[0]), want.at("grad_logits"), "gradient");
  }
}

TEST(Vectors, RegressionLosses) {
  const json& section = vectors("losses").at("regression");
  for (const std::string name : {"mse", "mae"}) {
    Bench bench;
    const Value y = bench.in(section.at("y_pred")), t = bench.in(section.at("y_true"));
    const Value loss = mean(name == "mse" ? mse(y, t) : mae(y, t));
    expect(bench.of(loss), section.at(name).at("loss"), name);
    expect(bench.of(gradients(loss, {y})[0]), section.at(name).at("grad"), name + " gradient");
  }
}

// ---- norms

TEST(Vectors, BatchNorm) {
  const json& section = vectors("batchnorm");
  for (const std::string convention : {"keras", "torch"}) {
    const json& want = section.at(convention);
    const double eps = want.at("eps").get<double>();
    Bench bench;
    const Value x = bench.in(section.at("x")), gamma = bench.in(section.at("gamma")), beta = bench.in(section.at("beta"));
    const Value dy = bench.in(section.at("dy"));
    const BatchNormed normed = batch_norm_training(x, gamma, beta, eps);
    const auto d = gradients(normed.y, {x, gamma, beta}, {.seed = dy});
    expect(bench.of(normed.y), want.at("y"), convention + " y");
    if (want.contains("mean")) expect(bench.of(normed.mean), want.at("mean"), convention + " mean");
    if (want.contains("biased_var")) expect(bench.of(normed.variance), want.at("biased_var"), convention + " variance");
    expect(bench.of(d[0]), want.at("dx"), convention + " dx");
    expect(bench.of(d[1]), want.at("dgamma"), convention + " dgamma");
    expect(bench.of(d[2]), want.at("dbeta"), convention + " dbeta");
    // By its own statistics, the inference form is the training form.
    expect(bench.of(batch_norm_inference(x, gamma, beta, normed.mean, normed.variance, eps)), want.at("y"),
           convention + " inference");
  }
}

TEST(Vectors, BatchNormRunningStatistics) {
  const json& section = vectors("batchnorm");
  for (const Convention convention : {Convention::keras, Convention::torch}) {
    const bool keras = convention == Convention::keras;
    const json& want = section.at(keras ? "keras" : "torch");
    Bench bench;
    const Value x = bench.in(section.at("x"));
    bench.graph.output("y", batch_norm(x, {.convention = convention, .name = "bn"}));
    Interpreter run = bench.run();
    run.set("bn/gamma", Array<double>(Shape{2}, numbers(section.at("gamma"))));
    run.set("bn/beta", Array<double>(Shape{2}, numbers(section.at("beta"))));
    run.step();
    expect(run.output("y").data, want.at("y"), "y");
    expect(run.variable("bn/mean").data, want.at(keras ? "moving_mean_after_1 (from 0)" : "running_mean_after_1"), "mean");
    expect(run.variable("bn/variance").data,
           want.at(keras ? "moving_var_after_1 (from 1, uses BIASED var)"
                         : "running_var_after_1 (uses UNBIASED var n/(n-1))"),
           "variance");
  }
}

TEST(Vectors, LayerNorm) {
  const json& section = vectors("layernorm");
  Bench bench;
  const Value x = bench.in(section.at("x")), gamma = bench.in(section.at("gamma")), beta = bench.in(section.at("beta"));
  expect(bench.of(layer_norm(x, gamma, beta, 1e-3)), section.at("keras_eps_1e-3"), "keras");
  expect(bench.of(layer_norm(x, gamma, beta, 1e-5)), section.at("torch_eps_1e-5"), "torch");
}

// ---- convolution and pooling, of height 1

/// [C][N] to [1,1,N,C].
std::vector<double> channels_last(const json& list) {
  std::vector<double> out;
  for (std::size_t n = 0; n < list[0].size(); ++n)
    for (const json& channel : list) out.push_back(channel[n].get<double>());
  return out;
}
/// [O][C][K] to [1,K,C,O].
std::vector<double> kernel_last(const json& list) {
  std::vector<double> out;
  for (std::size_t k = 0; k < list[0][0].size(); ++k)
    for (std::size_t c = 0; c < list[0].size(); ++c)
      for (const json& filter : list) out.push_back(filter[c][k].get<double>());
  return out;
}
Dim size_of_list(const json& list) { return static_cast<Dim>(list.size()); }

TEST(Vectors, Conv1d) {
  const json& section = vectors("conv1d");
  ASSERT_GE(section.at("cases").size(), 7U);
  for (const json& want : section.at("cases")) {
    const std::string name = want.at("name").get<std::string>();
    const json& xs = section.at("x[C][N]");
    const json& ws = want.contains("w") ? want.at("w") : section.at("w[O][C][K]");
    const Dim groups = size_of_list(xs) / size_of_list(ws[0]);
    Bench bench;
    const Value x = bench.in(channels_last(xs), Shape{1, 1, size_of_list(xs[0]), size_of_list(xs)});
    const Value w = bench.in(kernel_last(ws), Shape{1, size_of_list(ws[0][0]), size_of_list(ws[0]), size_of_list(ws)});
    const std::vector<double> bias = want.contains("b") ? numbers(want.at("b")) : numbers(section.at("b"));
    const Value b = bench.in(bias, Shape{static_cast<Dim>(bias.size())});
    Conv2dOptions options{.strides = {1, want.at("stride").get<Dim>()},
                          .dilation = {1, want.at("dilation").get<Dim>()},
                          .pads = {0, 0, want.at("pad_left").get<Dim>(), want.at("pad_right").get<Dim>()},
                          .groups = groups};
    const Value y = conv2d(x, w, options) + b;
    const Value dy = bench.in(channels_last(want.at("dy")), y.shape());
    const auto d = gradients(y, {x, w, b}, {.seed = dy});
    const Interpreter run = bench.run();
    expect(run.at(y).data, channels_last(want.at("y")), name + " y");
    expect(run.at(d[0]).data, channels_last(want.at("dx")), name + " dx");
    expect(run.at(d[1]).data, kernel_last(want.at("dw")), name + " dw");
    expect(run.at(d[2]).data, want.at("db"), name + " db");
    if (name.starts_with("keras_same")) {
      options.pads.clear();
      options.padding = "same";
      expect(bench.of(conv2d(x, w, options) + b), channels_last(want.at("y")), name + " by padding=same");
    }
  }
}

TEST(Vectors, SamePadding) {
  for (const json& want : vectors("conv1d").at("same_pad_table")) {
    Graph g;
    const Dim n = want.at("n").get<Dim>(), k = want.at("k").get<Dim>(), s = want.at("s").get<Dim>(),
              dilation = want.at("d").get<Dim>();
    const Value y = conv2d(input(g, "x", f64(1, 1, n, 1)), input(g, "w", f64(1, k, 1, 1)),
                           {.strides = {1, s}, .dilation = {1, dilation}, .padding = "same"});
    const ConvGeometry geometry = conv_geometry(y.node().attrs, Shape{1, 1, n, 1}, Shape{1, k, 1, 1});
    EXPECT_EQ(geometry.pad_low[1], want.at("pad_left").get<Dim>()) << want;
    EXPECT_EQ(geometry.pad_high[1], want.at("pad_right").get<Dim>()) << want;
    EXPECT_EQ(geometry.out[1], want.at("out").get<Dim>()) << want;
    EXPECT_EQ(y.shape()[2], want.at("out").get<Dim>()) << want;
  }
}

TEST(Vectors, Pool1d) {
  const json& section = vectors("pool1d");
  const std::vector<double> numbers_of_x = numbers(section.at("x"));
  const auto n = static_cast<Dim>(numbers_of_x.size());
  const auto maxima = [&](const char* name, Dim window, const PoolOptions& options) {
    const json& want = section.at(name);
    Bench bench;
    const Value x = bench.in(numbers_of_x, Shape{1, 1, n, 1});
    const Value y = max_pool(x, {1, window}, options);
    const Value dx = gradients(sum(y), {x})[0];
    std::vector<double> hits(numbers_of_x.size());
    for (const json& at : want.at("argmax")) hits[at.get<std::size_t>()] += 1;
    expect(bench.of(y), want.at("y"), name);
    expect(bench.of(dx), hits, std::string(name) + " gradient");
  };
  maxima("max_valid_k2s2", 2, {.strides = {1, 2}});
  maxima("max_same_k3s2 (pads 1,1)", 3, {.strides = {1, 2}, .padding = "same"});
  maxima("max_k2s1_ties (grad to FIRST max)", 2, {.strides = {1, 1}});
  const auto means = [&](const char* name, const PoolOptions& options) {
    Bench bench;
    const Value x = bench.in(numbers_of_x, Shape{1, 1, n, 1});
    expect(bench.of(avg_pool(x, {1, 3}, options)), section.at(name).at("y"), name);
  };
  means("avg_valid_k3s2", {.strides = {1, 2}});
  means("avg_keras_same_k3s2 (excludes padding)", {.strides = {1, 2}, .padding = "same"});
  means("avg_torch_pad1_k3s2 (count_include_pad=True)",
        {.strides = {1, 2}, .pads = {0, 0, 1, 1}, .count_include_pad = true});
}

// ---- autodiff

Value rosenbrock(const Value& x) {
  const Value head = slice(x, {0}, {2}), tail = slice(x, {1}, {3});
  return sum(square(tail - square(head)) * 100.0 + square(1.0 - head));
}

TEST(Vectors, Rosenbrock) {
  const json& want = vectors("autodiff").at("rosenbrock");
  Bench bench;
  const Value x = bench.in(want.at("x")), v = bench.in(want.at("v"));
  const Value f = rosenbrock(x);
  const Value g = gradients(f, {x})[0];
  const Value jvp = sum(g * v);
  const Value hvp = gradients(jvp, {x})[0];
  expect(bench.of(f), want.at("f"), "f");
  expect(bench.of(g), want.at("grad"), "gradient");
  expect(bench.of(jvp), want.at("jvp"), "jvp");
  expect(bench.of(hvp), want.at("hvp"), "hvp");
  std::vector<double> hessian;
  for (Dim i = 0; i < 3; ++i)
    for (const double h : bench.of(gradients(sum(slice(g, {i}, {i + 1})), {x})[0])) hessian.push_back(h);
  expect(hessian, want.at("hessian"), "hessian");

  const json& norm = vectors("autodiff").at("grad_of_grad_norm");
  const Value squared = sum(square(g));
  expect(bench.of(squared), norm.at("value ||grad||^2"), "squared norm of the gradient");
  expect(bench.of(gradients(squared, {x})[0]), norm.at("grad (2 H g)"), "gradient of the gradient's norm");
}

TEST(Vectors, SoftmaxJacobian) {
  const json& want = vectors("autodiff").at("softmax");
  Bench bench;
  const Value x = bench.in(want.at("x")), v = bench.in(want.at("v"));
  const Value y = softmax(x);
  expect(bench.of(y), want.at("y"), "y");
  expect(bench.of(gradients(y, {x}, {.seed = v})[0]), want.at("vjp"), "vjp");
  const Value seed = bench.in({0, 0, 0}, Shape{3});
  const Value pulled = gradients(y, {x}, {.seed = seed})[0];
  expect(bench.of(gradients(pulled, {seed}, {.seed = v})[0]), want.at("jvp"), "jvp by a double pull");
  std::vector<double> jacobian;
  for (Dim i = 0; i < 3; ++i)
    for (const double j : bench.of(gradients(sum(slice(y, {i}, {i + 1})), {x})[0])) jacobian.push_back(j);
  expect(jacobian, want.at("jacobian"), "jacobian");
}

TEST(Vectors, LogSumExp) {
  const json& want = vectors("autodiff").at("logsumexp");
  Bench bench;
  const Value x = bench.in(want.at("x"));
  const Value f = log(sum(exp(x)));
  const Value g = gradients(f, {x})[0];
  expect(bench.of(f), want.at("f"), "f");
  expect(bench.of(g), want.at("grad"), "gradient");
  std::vector<double> hessian;
  for (Dim i = 0; i < 3; ++i)
    for (const double h : bench.of(gradients(sum(slice(g, {i}, {i + 1})), {x})[0])) hessian.push_back(h);
  expect(hessian, want.at("hessian"), "hessian");
}

TEST(Vectors, HigherOrders) {
  const auto orders = [](const std::string& name, double at, const std::function<Value(Value)>& f) {
    const std::vector<double> want = numbers(vectors("autodiff").at(name));
    Bench bench;
    const Value x = bench.in({at}, Shape{});
    Value y = f(x);
    for (std::size_t order = 0; order < want.size(); ++order) {
      expect(bench.of(y), std::vector<double>{want[order]}, name + " order " + std::to_string(order));
      if (order + 1 < want.size()) y = gradients(y, {x}, {.allow_unconnected = true})[0];
    }
  };
  orders("tanh_to_order_4_at_0.3", 0.3, [](Value x) { return tanh(x); });
  orders("x_pow_5_orders_at_1.5", 1.5, [](Value x) { return x * x * x * x * x; });
  orders("x_pow_5_orders_at_1.5", 1.5, [](Value x) { return pow(x, 5.0); });
}

TEST(Vectors, StopGradient) {
  const json& want = vectors("autodiff").at("stop_gradient");
  Bench bench;
  const Value x = bench.in({want.at("x").get<double>()}, Shape{});
  const Value y = x * stop_gradient(square(x));
  expect(bench.of(y), want.at("value"), "value");
  expect(bench.of(gradients(y, {x})[0]), want.at("grad"), "gradient");
}

// ---- embedding, dropout

TEST(Vectors, Embedding) {
  const json& section = vectors("embedding");
  const std::vector<double> shape = numbers(section.at("table_shape"));
  const Shape table_shape{static_cast<Dim>(shape[0]), static_cast<Dim>(shape[1])};
  Bench bench;
  const Value table = bench.in({0, 1, 2, 3, 4, 5, 6, 7}, table_shape);
  const Value ids = bench.in(section.at("ids"), DType::i32), dy = bench.in(section.at("dy"));
  const Value rows = gather(table, ids);
  expect(bench.of(rows), std::vector<double>{4, 5, 0, 1, 4, 5, 6, 7}, "rows");
  expect(bench.of(gradients(rows, {table}, {.seed = dy})[0]), section.at("dtable"), "gradient");
  const Value zeros = bench.in(std::vector<double>(8), table_shape);
  expect(bench.of(scatter_add(zeros, ids, dy)), section.at("dtable"), "scatter_add");
}

/// Dropout as the vocabulary builds it must mean: kept elements times 1 / (1 - rate), the rest zero.
TEST(Vectors, DropoutIdentities) {
  const json& section = vectors("dropout");
  const double rate = section.at("rate").get<double>();
  // The uniform numbers of the file, kept where u < 1 - rate (Keras).
  Bench bench;
  const Value x = bench.in(section.at("x")), u = bench.in(section.at("uniform"));
  const Value y = select(less(u, 1.0 - rate), x * (1.0 / (1.0 - rate)), x * 0.0);
  expect(bench.of(y), section.at("keep_if_u_lt_keep_prob (keras numpy backend)"), "by the file's uniforms");

  Graph g;
  const Value big = input(g, "x", f64(20000));
  const Value dropped = dropout(big, rate);
  const Value d = gradients(sum(dropped), {big})[0];
  EXPECT_TRUE(dropout(big, 0) == big) << "rate 0 is the identity";
  Interpreter run(g);
  run.set("x", Array<double>(Shape{20000}, 3.0));
  run.evaluate();
  double kept = 0;
  for (std::size_t i = 0; i < 20000; ++i) {
    const double out = run.at(dropped)[i], slope = run.at(d)[i];
    EXPECT_TRUE(out == 0 || near(out, 3 / (1 - rate))) << out;
    EXPECT_TRUE(near(slope * 3, out)) << "the gradient has the same mask and scale";
    kept += out != 0;
  }
  EXPECT_NEAR(kept / 20000, 1 - rate, 4 * std::sqrt(rate * (1 - rate) / 20000));
  g.output("y", dropped);
  const Graph inferred = inference(g);
  Interpreter plain(inferred);  // at inference it is the identity
  plain.set("x", Array<double>(Shape{20000}, 3.0));
  plain.evaluate();
  for (const double out : plain.output("y").data) EXPECT_EQ(out, 3);
}

// ---- initializers

std::vector<double> first_values(const Shape& shape, const Init& init) {
  Graph g;
  const Value w = variable(g, "w", {DType::f64, shape}, init);
  return initial_values(w.node());
}

/// The same stream of uniform (or normal) numbers, scaled to the limit that the file names.
TEST(Vectors, Initializers) {
  const json& section = vectors("initializers");
  std::size_t checked = 0;
  for (const json& want : section.at("cases")) {
    const std::string layer = want.at("layer").get<std::string>();
    const Shape shape(want.at("keras_shape").get<std::vector<std::int64_t>>());
    const auto [fan_in, fan_out] = fans(shape);
    expect({static_cast<double>(fan_in), static_cast<double>(fan_out)}, want.at("keras_fans"), layer + " fans");
    // Of the layouts of torch, only a depthwise kernel's has other fans: they are ours, and Keras' are asked for.
    const bool depthwise = layer.starts_with("depthwise");
    const Fans torch{want.at("torch_fans")[0].get<Dim>(), want.at("torch_fans")[1].get<Dim>()};
    EXPECT_EQ(torch == (Fans{fan_in, fan_out}), !depthwise);
    EXPECT_EQ(fans(depthwise ? Shape{3, 3, 1, 16} : shape), torch);
    const auto limit = [&](const Init& init, const char* name) {
      const double a = want.at(name).get<double>();
      expect(first_values(shape, init), first_values(shape, random_uniform_init({.low = -a, .high = a})),
             layer + " " + name);
    };
    limit(glorot_uniform(), "glorot_uniform_limit");
    limit(glorot_uniform(), "torch_xavier_uniform_a");
    limit(he_uniform(), "he_uniform_limit");
    limit(he_uniform({.fans = torch}), "torch_kaiming_uniform_a0_fan_in");
    limit(lecun_uniform(), "lecun_uniform_limit");
    limit(lecun_uniform({.gain = 1 / std::sqrt(3.0), .fans = torch}),
          "torch_default_linear_conv_weight_bound (kaiming_uniform a=sqrt5)");
    const auto truncated_at = [&](const Init& init, const char* name) {
      expect(first_values(shape, init), first_values(shape, truncated_normal({.stddev = want.at(name).get<double>()})),
             layer + " " + name);
    };
    truncated_at(glorot_normal(), "glorot_normal_pretrunc_std");
    truncated_at(he_normal(), "he_normal_pretrunc_std");
    const auto plain = [&](const Init& init, const char* name) {
      expect(first_values(shape, init), first_values(shape, random_normal_init({.stddev = want.at(name).get<double>()})),
             layer + " " + name);
    };
    plain(glorot_normal({.truncate = false}), "glorot_normal_target_std");
    plain(he_normal({.truncate = false}), "he_normal_target_std");
    plain(he_normal({.truncate = false, .fans = torch}), "torch_kaiming_normal_std");
    plain(lecun_normal({.truncate = false}), "lecun_normal_target_std");
    ++checked;
  }
  EXPECT_EQ(checked, 7U);
}

TEST(Vectors, InitializersFillTheirRange) {
  const json& want = vectors("initializers").at("cases")[0];
  const Shape shape(want.at("keras_shape").get<std::vector<std::int64_t>>());
  const double limit = want.at("glorot_uniform_limit").get<double>();
  const std::vector<double> uniform = first_values(shape, glorot_uniform());
  const auto [low, high] = std::minmax_element(uniform.begin(), uniform.end());
  EXPECT_LT(*high, limit);
  EXPECT_GE(*low, -limit);
  EXPECT_GT(*high, 0.999 * limit);
  EXPECT_LT(*low, -0.999 * limit);
  const std::vector<double> normal = first_values(shape, he_normal());
  const double stddev = want.at("he_normal_target_std").get<double>();
  const double before = want.at("he_normal_pretrunc_std").get<double>();
  double squares = 0;
  for (const double x : normal) {
    EXPECT_LE(std::fabs(x), 2 * before * (1 + 1e-12));
    squares += x * x;
  }
  // The relative error of an estimated standard deviation is about 1 / sqrt(2 n).
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(normal.size())), stddev, 0.01 * stddev);
}

TEST(Vectors, TorchGains) {
  const json& gains = vectors("initializers").at("torch_gains");
  const Shape shape{7, 5};
  const double gain = gains.at("relu").get<double>();
  // He's limit is Glorot's formula over fan_in with the gain of relu.
  expect(first_values(shape, he_uniform()), first_values(shape, lecun_uniform({.gain = gain})), "relu");
}

// ---- random numbers

TEST(Vectors, Philox) {
  const json& section = vectors("rng_known_answers").at("philox4x32_10");
  const auto words = [](const json& list) {
    std::vector<std::uint32_t> all;
    for (const json& text : list) all.push_back(static_cast<std::uint32_t>(std::stoul(text.get<std::string>(), nullptr, 16)));
    return all;
  };
  ASSERT_GE(section.size(), 3U);
  for (const json& want : section) {
    const std::vector<std::uint32_t> counter = words(want.at("ctr")), key = words(want.at("key"));
    const PhiloxCounter out = philox({counter[0], counter[1], counter[2], counter[3]}, {key[0], key[1]});
    EXPECT_EQ(std::vector<std::uint32_t>(out.begin(), out.end()), words(want.at("out")));
  }
}

}  // namespace
}  // namespace thalweg::testing
