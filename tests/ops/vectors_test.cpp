// SPDX-License-Identifier: Apache-2.0
// The ops against reference_vectors.json: in the double interpreter at 1e-12, and compiled in f32 within derived bounds.
#include "vectors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <limits>
#include <map>
#include <regex>

#include "tests/compile/bounds.h"
#include "tests/compile/run.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/interpret.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/parse.h"
#include "thalweg/graph/philox.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/compile/program.h"
#include "thalweg/ops/conv.h"
#include "thalweg/ops/ctc.h"
#include "thalweg/ops/index.h"
#include "thalweg/ops/inference.h"
#include "thalweg/ops/init.h"
#include "thalweg/ops/layers.h"
#include "thalweg/ops/loss.h"
#include "thalweg/ops/matmul.h"
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

  /// The meaning of the graph in double. The same graph in f32 must then, compiled, be within its bounds of that.
  Interpreter run() const {
    Interpreter interpreter(graph);
    for (const auto& [name, numbers] : feeds_) interpreter.set(name, numbers);
    interpreter.evaluate();
    check_compiled();
    return interpreter;
  }
  std::vector<double> of(const Value& value) const { return run().at(value).data; }

  Graph graph;

 private:
  void check_compiled() const {
    Graph all = graph.clone();
    std::vector<bool> is_read(all.size());
    for (NodeId id = 0; id < all.size(); ++id)
      for (const ValueId operand : all.operands(id)) is_read[operand.node] = true;
    for (NodeId id = 0; id < all.size(); ++id)
      for (std::uint32_t r = 0; !is_read[id] && r < all.node(id).types.size(); ++r)
        all.output("out" + std::to_string(id) + "_" + std::to_string(r), all.value({id, r}));
    const Graph narrow = parse(std::regex_replace(print(all), std::regex("f64\\["), "f32["));
    Bounds::Feeds feeds = feeds_;
    for (auto& [name, numbers] : feeds)
      for (double& x : numbers.data) x = rounded_to(narrow.find(name).dtype(), x);
    CompileOptions options;
    options.variables = Variables();
    Program program = compile(narrow, options);
    set_all(program, feeds);
    program.run();
    EXPECT_EQ(departure(program, Bounds(narrow, feeds)), "") << print(narrow);
  }

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
  {
    // The length of a vector, written so that it has a slope at 0.
    Bench bench;
    const Value x = bench.in({0, 0}, Shape{2});
    const Value squared = sum(square(x));
    const Value length = select(greater(squared, 0.0), sqrt(squared), 0.0);
    expect(bench.of(gradients(length, {x})[0]), std::vector<double>(2, torch("norm2'(0)").get<double>()), "norm2'(0)");
    EXPECT_EQ(torch("prod with one zero").get<std::string>(), "product of the others");
    const Value factors = bench.in({2, 0, 5}, Shape{3});
    const Value product = slice(factors, {0}, {1}) * slice(factors, {1}, {2}) * slice(factors, {2}, {3});
    expect(bench.of(gradients(sum(product), {factors})[0]), std::vector<double>{0, 10, 0}, "prod with one zero");
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

TEST(Vectors, IgnoredLabelsAndClassWeights) {
  const json& section = vectors("losses");
  const auto compare = [&](const json& want, const std::vector<double>& labels, const CrossEntropyOptions& options) {
    Bench bench;
    const Value logits = bench.in(section.at("logits")), truth = bench.in(labels, Shape{3}, DType::i32);
    expect(bench.of(sparse_cross_entropy(logits, truth, options)), want.at("per_sample"), "per sample");
    const Value loss = mean_sparse_cross_entropy(logits, truth, options);
    expect(bench.of(loss), want.at("loss"), "loss");
    expect(bench.of(gradients(loss, {logits})[0]), want.at("grad_logits"), "gradient");
  };
  compare(section.at("ce_ignore_index (label[1] ignored; torch divides by #valid; keras ignore_class + sum_over_batch_size "
                     "also ends up /#valid via mask)"),
          {0, -100, 2}, {.ignore_label = -100});
  // The file's weights are those of its per-sample losses: 1 for class 0, 1/2 for class 2.
  compare(section.at("ce_class_weights_torch (mean divides by sum of weights)"), numbers(section.at("labels")),
          {.class_weights = {1, 2, 0.5}});
}

TEST(Vectors, BinaryCrossEntropy) {
  const json& want = vectors("losses").at("bce");
  Bench bench;
  const Shape each{4, 1};
  const Value p = bench.in(numbers(want.at("prob")), each), x = bench.in(numbers(want.at("logits")), each),
              t = bench.in(numbers(want.at("target")), each);
  expect(bench.of(binary_cross_entropy(p, t, {.from_logits = false})), want.at("per_elem"), "of probabilities");
  const Value loss = binary_cross_entropy(x, t);
  expect(bench.of(loss), want.at("per_elem"), "of logits");
  expect(bench.of(gradients(mean(loss), {x})[0]), want.at("grad_logits_mean"), "gradient");
  // What sigmoid made is taken back to its logits; smoothing moves the targets as the file says.
  expect(bench.of(binary_cross_entropy(sigmoid(x), t, {.from_logits = false})), bench.of(loss), "of a sigmoid");
  const Value smoothed = bench.in(numbers(want.at("keras_label_smoothing_0.1_targets")), each);
  expect(bench.of(binary_cross_entropy(x, t, {.label_smoothing = 0.1})), bench.of(binary_cross_entropy(x, smoothed)),
         "label smoothing");
}

TEST(Vectors, RegressionLosses) {
  const json& section = vectors("losses").at("regression");
  const std::map<std::string, std::function<Value(Value, Value)>> known = {
      {"mse", mse},
      {"mae", mae},
      {"huber_delta1", [](Value y, Value t) { return huber(y, t); }},
      {"smooth_l1_beta0.5 (torch: huber/beta)", [](Value y, Value t) { return smooth_l1(y, t, 0.5); }},
      {"log_cosh", log_cosh},
      {"cosine_similarity_keras (= -cos)", cosine_loss}};
  for (const auto& [name, want] : section.items()) {
    if (name.starts_with("y_")) continue;
    ASSERT_TRUE(known.contains(name)) << name;
    Bench bench;
    const Value y = bench.in(section.at("y_pred")), t = bench.in(section.at("y_true"));
    const Value loss = known.at(name)(y, t);
    expect(bench.of(loss), want.at("loss"), name);
    if (want.contains("grad")) expect(bench.of(gradients(loss, {y})[0]), want.at("grad"), name + " gradient");
  }
}

TEST(Vectors, DivergenceAndMargins) {
  const json& kl = vectors("losses").at("kld");
  Bench bench;
  const Value t = bench.in(kl.at("y_true")), p = bench.in(kl.at("y_pred"));
  expect(bench.of(kl_divergence(p, t, {.from_logits = false})), kl.at("value"), "KL of probabilities");
  expect(bench.of(kl_divergence(log(p), t)), kl.at("value"), "KL of logits");

  const json& margins = vectors("losses").at("hinge");
  const Value y = bench.in(margins.at("y_pred")), signs = bench.in(margins.at("y_true_pm1"));
  const Value loss = hinge(y, signs), half = bench.in({1, 0, 1}, Shape{3});
  expect(bench.of(loss), margins.at("hinge_mean"), "hinge");
  expect(bench.of(gradients(loss, {y})[0]), margins.at("grad_hinge"), "hinge gradient");
  expect(bench.of(squared_hinge(y, signs)), margins.at("squared_hinge_mean"), "squared hinge");
  expect(bench.of(hinge(y, half)), margins.at("hinge_mean"), "hinge of 0 and 1");
}

TEST(Vectors, Ctc) {
  const json& want = vectors("losses").at("ctc");
  for (const std::string repeat : {"", "_repeat"}) {
    Bench bench;
    const json& list = want.at("logits_TxK");
    const Value x = bench.in(numbers(list), Shape{1, static_cast<Dim>(list.size()), static_cast<Dim>(list[0].size())});
    const Value t = bench.in(numbers(want.at("labels" + repeat)), Shape{1, 2}, DType::i32);
    const Value loss = ctc(x, t, {.blank = want.at("blank").get<Dim>()});
    expect(bench.of(loss), want.at("nll" + repeat), "ctc" + repeat);
    // Longer by frames and labels that do not count, it is the same.
    std::vector<double> longer = numbers(list);
    longer.insert(longer.end(), list[0].size(), 7.0);
    const Value more = bench.in(longer, Shape{1, static_cast<Dim>(list.size()) + 1, static_cast<Dim>(list[0].size())});
    std::vector<double> labels = numbers(want.at("labels" + repeat));
    labels.push_back(-1);
    const Value padded = bench.in(labels, Shape{1, 3}, DType::i64);
    const Value given = ctc(more, padded, {.input_lengths = bench.in({4}, Shape{1}, DType::i64),
                                           .label_lengths = bench.in({2}, Shape{1}, DType::i32)});
    expect(bench.of(given), want.at("nll" + repeat), "ctc by lengths" + repeat);
    const std::vector<double> slopes = bench.of(gradients(sum(given), {more})[0]),
                              whole = bench.of(gradients(sum(loss), {x})[0]);
    expect({slopes.begin(), slopes.begin() + static_cast<std::ptrdiff_t>(whole.size())}, whole, "gradient");
    for (std::size_t k = whole.size(); k < slopes.size(); ++k) EXPECT_EQ(slopes[k], 0) << "a frame that does not count";
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

TEST(Vectors, RmsNorm) {
  const json& section = vectors("rmsnorm");
  Bench bench;
  const Value x = bench.in(section.at("x")), gamma = bench.in(section.at("scale"));
  expect(bench.of(rms_norm(x, gamma)), section.at("eps_1e-6 (keras)"), "keras");
  expect(bench.of(rms_norm(x, gamma, std::numeric_limits<double>::epsilon())),
         section.at("eps_2.22e-16 (torch default finfo.eps f64)"), "torch");
}

TEST(Vectors, GroupNorm) {
  const json& section = vectors("groupnorm_2groups_4ch");
  Bench bench;
  const Value x = bench.in(section.at("x")), gamma = bench.in(section.at("gamma")), beta = bench.in(section.at("beta"));
  expect(bench.of(group_norm(x, gamma, beta, 2, 1e-3)), section.at("keras_eps_1e-3"), "keras");
  expect(bench.of(group_norm(x, gamma, beta, 2, 1e-5)), section.at("torch_eps_1e-5"), "torch");
}

// ---- cells and attention, written in the ops

TEST(Vectors, Attention) {
  const json& section = vectors("attention");
  Bench bench;
  const Value q = bench.in(section.at("q")), k = bench.in(section.at("k")), v = bench.in(section.at("v"));
  const Value scores = matmul(q, k, {.tb = true}) * (1 / std::sqrt(2.0));
  const Value seen = bench.in({1, 0, 0, 1, 1, 0, 1, 1, 1}, Shape{3, 3}, DType::boolean);
  for (const bool causal : {false, true}) {
    const json& want = section.at(causal ? "causal" : "full");
    const Value probabilities =
        softmax(causal ? select(seen, scores, -std::numeric_limits<double>::infinity()) : scores);
    expect(bench.of(probabilities), want.at("probs"), "probabilities");
    expect(bench.of(matmul(probabilities, v)), want.at("out"), "attention");
  }
}

Value row_of(Bench& bench, const json& list) {
    return bench.in(numbers(list), Shape{1, static_cast<Dim>(list.size())}); }
Value columns(const Value& x, Dim first, Dim last) { return slice(x, {0, first}, {1, last}); }

TEST(Vectors, LstmCell) {
  const json& section = vectors("lstm_cell");
  Bench bench;
  const Value x = row_of(bench, section.at("x")), h = row_of(bench, section.at("h0")),
      c = row_of(bench, section.at("c0"));
  const Value z = matmul(x, bench.in(section.at("kernel"))) + matmul(h, bench.in(section.at("recurrent_kernel"))) +
                  bench.in(section.at("bias"));
  const Value next = sigmoid(columns(z, 2, 4)) * c + sigmoid(columns(z, 0, 2)) * tanh(columns(z, 4, 6));
  expect(bench.of(next), section.at("c1"), "cell state");
  expect(bench.of(sigmoid(columns(z, 6, 8)) * tanh(next)), section.at("h1"), "hidden state");
}

TEST(Vectors, GruCell) {
  const json& section = vectors("gru_cell");
  Bench bench;
  const Value x = row_of(bench, section.at("x")), h = row_of(bench, section.at("h0"));
  const Value kernel = bench.in(section.at("kernel")), recurrent = bench.in(section.at("recurrent_kernel"));
  const Value from_x = matmul(x, kernel) + bench.in(section.at("input_bias"));
  const auto blend = [&](const Value& z, const Value& candidate) { return z * h + (1.0 - z) * candidate; };
  {
    const Value from_h = matmul(h, recurrent) + bench.in(section.at("recurrent_bias"));
    const Value z = sigmoid(columns(from_x, 0, 2) + columns(from_h, 0, 2));
    const Value r = sigmoid(columns(from_x, 2, 4) + columns(from_h, 2, 4));
    expect(bench.of(blend(z, tanh(columns(from_x, 4, 6) + r * columns(from_h, 4, 6)))), section.at("h1_reset_after"),
           "reset after the product");
  }
  const Value from_h = matmul(h, recurrent);
  const Value z = sigmoid(columns(from_x, 0, 2) + columns(from_h, 0, 2));
  const Value r = sigmoid(columns(from_x, 2, 4) + columns(from_h, 2, 4));
  const Value last = matmul(r * h, slice(recurrent, {0, 4}, {2, 6}));
  expect(bench.of(blend(z, tanh(columns(from_x, 4, 6) + last))), section.at("h1_reset_before (recurrent bias unused)"),
         "reset before the product");
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

  // Alpha dropout's formula on the uniform numbers of the file, kept where u >= rate.
  {
    const json& want = section.at("alpha_dropout_rate_0.2");
    constexpr double floor = -1.6732632423543772 * 1.0507009873554805;
    const double a = 1 / std::sqrt((1 - rate) * (1 + rate * floor * floor));
    expect({a}, want.at("a"), "scale");
    expect({-a * floor * rate}, want.at("b"), "shift");
    expect(bench.of(select(greater_equal(u, rate), x, floor) * a - a * floor * rate), want.at("y"), "alpha dropout");
    // The layer, whose draws are its own: kept elements and dropped ones have these values.
    const Value y_of_layer = alpha_dropout(x, rate);
    const std::vector<double> got = bench.of(y_of_layer), given = numbers(section.at("x"));
    for (std::size_t k = 0; k < got.size(); ++k)
      EXPECT_TRUE(near(got[k], a * given[k] - a * floor * rate) || near(got[k], a * floor * (1 - rate))) << got[k];
  }

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

// ---- the whole file

/// Text of every test's source, by its path below tests/.
std::map<std::string, std::string> test_sources() {
  const char* root = std::getenv("THALWEG_SOURCE");
  const std::filesystem::path folder = std::filesystem::path(root ? root : ".") / "tests";
  std::map<std::string, std::string> all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".cpp" && entry.path().extension() != ".h") continue;
    std::ifstream file(entry.path());
    all[std::filesystem::relative(entry.path(), folder).string()] = {std::istreambuf_iterator<char>(file), {}};
  }
  return all;
}

/// Every section is read by the test of some room. The table that it prints says who reads what.
TEST(Vectors, EverySectionIsClaimed) {
  const std::map<std::string, std::string> sources = test_sources();
  ASSERT_GT(sources.size(), 20U) << "THALWEG_SOURCE does not name the source tree";
  for (const auto& [section, content] : vectors().items()) {
    std::string readers;
    for (const auto& [path, text] : sources)
      if (text.find("vectors(\"" + section + "\")") != text.npos ||
          text.find("vectors().at(\"" + section + "\")") != text.npos)
        readers += (readers.empty() ? "" : ", ") + path;
    std::cout << section << ": " << readers << '\n';
    EXPECT_NE(readers, "") << "no test reads the section " << section;
  }
}

}  // namespace
}  // namespace thalweg::testing
