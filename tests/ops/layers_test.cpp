// SPDX-License-Identifier: Apache-2.0
// Layers: their variables and names, lines and scopes, running statistics, dropout, accuracy, and inference graphs.
#include <cmath>

#include "run.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/print.h"
#include "thalweg/ops/conv.h"
#include "thalweg/ops/inference.h"
#include "thalweg/ops/layers.h"
#include "thalweg/ops/index.h"
#include "thalweg/ops/loss.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/metric.h"
#include "thalweg/ops/norm.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/pool.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/softmax.h"
#include "thalweg/ops/source.h"

namespace thalweg::testing {
namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::vector<std::string> variable_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const NodeId id : graph.variables()) names.push_back(graph.node(id).name);
  return names;
}

bool has_op(const Graph& graph, std::string_view op) {
  for (NodeId id = 0; id < graph.size(); ++id)
    if (graph.node(id).op->name == op) return true;
  return false;
}

TEST(Dense, MakesItsVariables) {
  Graph g;
  const Value x = input(g, "x", f64(2, 3));
  const Value y = dense(x, 2, {.init = values({1, 2, 3, 4, 5, 6}), .bias_init = values({10, 20}), .activation = relu});
  EXPECT_EQ(y.type(), f64(2, 2));
  EXPECT_EQ(g.find("dense/kernel").type(), f64(3, 2));
  EXPECT_EQ(g.find("dense/bias").type(), f64(2));
  const auto run = evaluated(g, {{"x", {1, 1, 1, -9, 0, 0}}});
  EXPECT_EQ(run.at(y).data, (std::vector<double>{19, 32, 1, 2}));
  EXPECT_EQ(g.find("dense/kernel").node().attrs.text("init"), "values");
}

TEST(Dense, NamesAreTheFirstThatAreFree) {
  Graph g;
  const Value x = input(g, "x", f32(2, 3));
  dense(dense(dense(x, 4), 4, {.name = "head"}), 4, {.bias = false});
  dense(x, 1);
  EXPECT_EQ(variable_names(g), (std::vector<std::string>{"dense/kernel", "dense/bias", "head/kernel", "head/bias",
                                                         "dense_1/kernel", "dense_2/kernel", "dense_2/bias"}));
  EXPECT_NE(thrown<GraphError>([&] { dense(x, 2, {.name = "head"}); }).find("the name 'head/kernel' is taken"),
            std::string::npos);
}

TEST(Dense, ActsOnTheLastAxis) {
  Graph g;
  const Value y = dense(input(g, "x", f32(5, 4, 3)), 7);
  EXPECT_EQ(y.type(), f32(5, 4, 7));
  EXPECT_EQ(g.find("dense/kernel").type(), f32(3, 7));
}

TEST(Conv, MakesItsVariables) {
  Graph g;
  const Value y = conv(input(g, "x", f32(2, 8, 8, 4)), 6, 3, {.strides = 2, .padding = "same", .groups = 2});
  EXPECT_EQ(y.type(), f32(2, 4, 4, 6));
  EXPECT_EQ(g.find("conv/kernel").type(), f32(3, 3, 2, 6));
  EXPECT_EQ(g.find("conv/bias").type(), f32(6));
}

/// Every node inside a composite carries the line that called it, and its layer's scope.
TEST(Layers, CarryTheUsersLine) {
  Graph g;
  const Value x = input(g, "x", f32(2, 8, 8, 3));
  const auto from = static_cast<NodeId>(g.size());
  const int line = __LINE__ + 1;
  const Value y = batch_norm(conv(dropout(x, 0.5), 4, 3), {.name = "norm"});
  for (NodeId id = from; id < g.size(); ++id) {
    EXPECT_EQ(g.node(id).loc.line, line) << g.node(id).op->name;
    EXPECT_NE(g.node(id).scope, "") << g.node(id).op->name;
  }
  EXPECT_EQ(y.node().scope, "norm");
  const int next = __LINE__ + 1;
  const Value loss = mean(sparse_cross_entropy(dense(flatten(y), 3), input(g, "labels", i32(2))));
  EXPECT_EQ(loss.node().loc.line, next);
  EXPECT_EQ(g.find("dense/kernel").node().loc.line, next);
}

TEST(Dropout, IsTheIdentityAtRateZeroAndAtInference) {
  Graph g;
  const Value x = input(g, "x", f64(4, 8));
  EXPECT_EQ(dropout(x, 0), x);
  const Value y = dropout(x, 0.25);
  g.output("y", y);
  const std::vector<double> ones_list(32, 1.0);
  const auto run = evaluated(g, {{"x", ones_list}});
  for (const double v : run.at(y).data) EXPECT_TRUE(v == 0 || std::fabs(v - 4 / 3.0) < 1e-15) << v;
  const Graph frozen = inference(g);
  EXPECT_EQ(frozen.size(), 1U);
  EXPECT_EQ(evaluated(frozen, {{"x", ones_list}}).output("y").data, ones_list);
}

TEST(BatchNorm, KeepsRunningStatisticsInBothConventions) {
  const std::vector<double> numbers = {1, 2, 2, -1, 6, 0.5, -3, 4};  // mean 1.5 and 1.375, variance 10.25 and 3.421875
  for (const Convention convention : {Convention::keras, Convention::torch}) {
    Graph g;
    const Value x = input(g, "x", f64(4, 2));
    g.output("y", batch_norm(x, {.convention = convention}));
    const bool keras = convention == Convention::keras;
    auto run = evaluated(g, {{"x", numbers}}, true);
    const double r = keras ? 0.01 : 0.1, unbiased = keras ? 1 : 4 / 3.0;
    expect_close(run.variable("batch_norm/mean").data, {r * 1.5, r * 1.375});
    expect_close(run.variable("batch_norm/variance").data,
                 {1 - r + r * 10.25 * unbiased, 1 - r + r * 3.421875 * unbiased});
    EXPECT_FALSE(g.find("batch_norm/mean").node().attrs.flag("trainable"));
    EXPECT_TRUE(g.find("batch_norm/gamma").node().attrs.flag("trainable"));
    // At inference the running statistics speak, here the first ones: mean 0, variance 1.
    const Graph frozen = inference(g);
    EXPECT_TRUE(frozen.updates().empty());
    EXPECT_FALSE(has_op(frozen, "batch_norm_training"));
    const double scale = 1 / std::sqrt(1 + (keras ? 1e-3 : 1e-5));
    std::vector<double> want;
    for (const double v : numbers) want.push_back(v * scale);
    expect_close(evaluated(frozen, {{"x", numbers}}).output("y").data, want);
  }
}

TEST(BatchNorm, ABatchOfOneStaysFinite) {
  for (const Convention convention : {Convention::keras, Convention::torch}) {
    Graph g;
    g.output("y", batch_norm(input(g, "x", f64(1, 2)), {.convention = convention, .running_update_rate = 1}));
    const auto run = evaluated(g, {{"x", {7, -3}}}, true);
    EXPECT_EQ(run.output("y").data, (std::vector<double>{0, 0}));
    EXPECT_EQ(run.variable("batch_norm/mean").data, (std::vector<double>{7, -3}));
    EXPECT_EQ(run.variable("batch_norm/variance").data, (std::vector<double>{0, 0}));
  }
}

TEST(LayerNorm, MakesItsVariables) {
  Graph g;
  const Value y = layer_norm(input(g, "x", f64(2, 3, 4)), {.axes = 2});
  EXPECT_EQ(y.type(), f64(2, 3, 4));
  EXPECT_EQ(g.find("layer_norm/gamma").type(), f64(3, 4));
}

TEST(Residual, AddsTheBranch) {
  Graph g;
  const Value x = input(g, "x", f64(1, 2));
  const Value y = residual(x, [](const Value& v) { return v * v; });
  EXPECT_EQ(evaluated(g, {{"x", {3, -1}}}).at(y).data, (std::vector<double>{12, 0}));
  EXPECT_EQ(first_line(thrown<GraphError>([&] { residual(x, [](const Value& v) { return dense(v, 3); }); })),
            "HERE: residual: the branch changes f64[1,2] to f64[1,3]");
}

TEST(Residual, TakesAShortcut) {
  Graph g;
  const Value x = input(g, "x", f64(1, 2));
  const auto wide = [](const Value& v) { return dense(v, 3, {.init = ones(), .bias = false}); };
  const Value y = residual(x, wide, [](const Value& v) { return dense(v, 3, {.init = filled(2), .bias = false}); });
  EXPECT_EQ(evaluated(g, {{"x", {3, -1}}}).at(y).data, (std::vector<double>{6, 6, 6}));
  EXPECT_EQ(first_line(thrown<GraphError>([&] { residual(x, wide, [](const Value& v) { return v; }); })),
            "HERE: residual: the branch changes f64[1,2] to f64[1,3]");
}

TEST(Convolutions, MakeTheirVariables) {
  Graph g;
  const Value x = input(g, "x", f32(2, 8, 6, 4)), line = input(g, "line", f32(2, 9, 4));
  EXPECT_EQ(conv1d(line, 6, 3, {.strides = 2, .dilation = 2, .pads = {1, 2}, .groups = 2}).type(), f32(2, 4, 6));
  EXPECT_EQ(g.find("conv1d/kernel").type(), f32(3, 2, 6));
  EXPECT_EQ(depthwise_conv(x, 3, {.strides = 2, .padding = "same", .multiplier = 2}).type(), f32(2, 4, 3, 8));
  EXPECT_EQ(g.find("depthwise_conv/kernel").type(), f32(3, 3, 1, 8));
  EXPECT_EQ(g.find("depthwise_conv/kernel").node().attrs.integers("fans"), (std::vector<Dim>{36, 18}));  // Keras
  depthwise_conv(x, 3, {.convention = Convention::torch});
  EXPECT_TRUE(g.find("depthwise_conv_1/kernel").node().attrs.integers("fans").empty());
  EXPECT_EQ(separable_conv(x, 5, {3, 1}, {.multiplier = 2}).type(), f32(2, 6, 6, 5));
  EXPECT_EQ(g.find("separable_conv/depthwise_kernel").type(), f32(3, 1, 1, 8));
  EXPECT_EQ(g.find("separable_conv/kernel").type(), f32(1, 1, 8, 5));
  EXPECT_EQ(g.find("separable_conv/bias").type(), f32(5));
  EXPECT_EQ(conv_transpose(x, 6, 3, {.strides = 2, .padding = "same", .groups = 2}).type(), f32(2, 16, 12, 6));
  EXPECT_EQ(g.find("conv_transpose/kernel").type(), f32(3, 3, 3, 4));
  EXPECT_EQ(prelu(x).type(), x.type());
  EXPECT_EQ(g.find("prelu/slope").type(), f32(4));
  prelu(x, {.shared = true});
  EXPECT_EQ(g.find("prelu_1/slope").type(), f32(1));
}

TEST(Norms, MakeTheirVariables) {
  Graph g;
  const Value x = input(g, "x", f64(2, 3, 8));
  EXPECT_EQ(group_norm(x, {.groups = 4}).type(), x.type());
  EXPECT_EQ(g.find("group_norm/beta").type(), f64(8));
  group_norm(x, {.groups = -1});
  EXPECT_EQ(rms_norm(x, {.axes = 2}).type(), x.type());
  EXPECT_EQ(g.find("rms_norm/gamma").type(), f64(3, 8));
  EXPECT_FALSE(g.has("rms_norm/beta"));
}

/// Mean and variance over many draws.
struct Moments { double mean = 0, variance = 0; };
Moments moments_of(const std::vector<double>& x) {
  Moments m;
  for (const double v : x) m.mean += v / static_cast<double>(x.size());
  for (const double v : x) m.variance += (v - m.mean) * (v - m.mean) / static_cast<double>(x.size());
  return m;
}

TEST(Dropout, OfWholeChannels) {
  Graph g;
  const Value y = spatial_dropout(input(g, "x", f64(64, 3, 2, 8)), 0.25);
  g.output("y", y);
  const std::vector<double> out = evaluated(g, {{"x", std::vector<double>(64 * 48, 3)}}).at(y).data;
  double kept = 0;
  for (std::size_t n = 0; n < 64; ++n)
    for (std::size_t c = 0; c < 8; ++c) {
      kept += out[n * 48 + c] != 0;
      for (std::size_t k = 0; k < 6; ++k) EXPECT_EQ(out[n * 48 + k * 8 + c], out[n * 48 + c]);
      EXPECT_TRUE(out[n * 48 + c] == 0 || std::fabs(out[n * 48 + c] - 4) < 1e-12);
    }
  EXPECT_NEAR(kept / 512, 0.75, 4 * std::sqrt(0.75 * 0.25 / 512));
  EXPECT_EQ(inference(g).size(), 1U);
}

TEST(Dropout, KeepsMeanAndVarianceAsItSays) {
  constexpr std::size_t n = 20000;
  const auto drawn = [&](auto build, double x) {
    Graph g;
    const Value y = build(input(g, "x", f64(n)));
    g.output("y", y);
    EXPECT_EQ(inference(g).size(), 1U) << "inference is the identity";
    return evaluated(g, {{"x", std::vector<double>(n, x)}}).at(y).data;
  };
  const double error = 5 / std::sqrt(static_cast<double>(n));
  const Moments product = moments_of(drawn([](Value x) { return gaussian_dropout(x, 0.2); }, 2));
  EXPECT_NEAR(product.mean, 2, error);
  EXPECT_NEAR(product.variance, 4 * 0.25, 2 * error);
  const Moments sum = moments_of(drawn([](Value x) { return gaussian_noise(x, 0.5); }, 2));
  EXPECT_NEAR(sum.mean, 2, error / 2);
  EXPECT_NEAR(sum.variance, 0.25, error);
  // Of numbers of mean 0 and variance 1, as 1 and -1 in turn, alpha_dropout keeps both.
  std::vector<double> both = drawn([](Value x) { return alpha_dropout(x, 0.3); }, 1);
  for (const double v : drawn([](Value x) { return alpha_dropout(x, 0.3, {.seed = 1}); }, -1)) both.push_back(v);
  EXPECT_NEAR(moments_of(both).mean, 0, error);
  EXPECT_NEAR(moments_of(both).variance, 1, 2 * error);
}

TEST(Accuracy, CountsTheFirstOfEqualScores) {
  Graph g;
  const Value hits = accuracy(input(g, "x", f64(4, 3)), input(g, "labels", i32(4)));
  EXPECT_EQ(hits.type(), f32());
  const auto run = evaluated(g, {{"x", {1, 2, 3, 5, 5, 1, 0, 0, 0, 9, 1, 2}}, {"labels", {2, 0, 1, 1}}});
  EXPECT_EQ(run.at(hits)[0], 0.5);
}

TEST(Accuracy, Binary) {
  Graph g;
  const Value hits = binary_accuracy(input(g, "p", f64(5, 1)), input(g, "t", i32(5, 1)));
  const auto run = evaluated(g, {{"p", {0.9, 0.5, 0.51, 0.1, 0.2}}, {"t", {1, 0, 1, 0, 1}}});
  EXPECT_NEAR(run.at(hits)[0], 0.8, 1e-7);
}

TEST(Metrics, OfTwoKinds) {
  Graph g;
  const Value p = input(g, "p", f64(6)), t = input(g, "t", i32(6));
  const Value at_half = precision(p, t), sharp = precision(p, t, 0.35), found = recall(p, t, 0.35);
  const Value f2 = f_score(p, t, 2, 0.35), area = auc(p, t), none = precision(p, t, 2), no_kind = auc(p, t * 0);
  const auto run = evaluated(g, {{"p", {0.9, 0.2, 0.6, 0.4, 0.8, 0.3}}, {"t", {1, 0, 0, 1, 1, 0}}});
  EXPECT_NEAR(run.at(at_half)[0], 2 / 3.0, 1e-15);
  EXPECT_NEAR(run.at(sharp)[0], 3 / 4.0, 1e-15);
  EXPECT_NEAR(run.at(found)[0], 1, 1e-15);
  EXPECT_NEAR(run.at(f2)[0], 15 / 16.0, 1e-15);
  EXPECT_NEAR(run.at(area)[0], 8 / 9.0, 1e-12) << "8 of the 9 pairs are in order";
  EXPECT_EQ(run.at(none)[0], 0);
  EXPECT_EQ(run.at(no_kind)[0], 0);
}

TEST(Metrics, OfManyClasses) {
  Graph g;
  const Value x = input(g, "x", f64(3, 4)), labels = input(g, "labels", i64(3));
  const std::vector<Value> top = {top_k_accuracy(x, labels, 1), top_k_accuracy(x, labels, 2),
      top_k_accuracy(x, labels, 3)};
  const Value hot = categorical_accuracy(x, one_hot(labels, 4, DType::f64));
  const auto run = evaluated(g, {{"x", {0.1, 0.4, 0.3, 0.2, 5, 5, 5, 1, std::nan(""), 1, 2, 3}},
      {"labels", {2, 2, 0}}});
  EXPECT_EQ(run.at(top[0])[0], 0);
  EXPECT_NEAR(run.at(top[1])[0], 1 / 3.0, 1e-15);
  EXPECT_NEAR(run.at(top[2])[0], 2 / 3.0, 1e-15) << "of equal scores the first count, and NaN is no hit";
  EXPECT_NEAR(run.at(hot)[0], 1 / 3.0, 1e-15);

  Graph h;
  const Value y = input(h, "y", f64(6, 3)), l = input(h, "l", i32(6));
  const MacroScores m = macro_scores(y, l);
  const Value shares = confusion_shares(y, l);
  // Largest: 0 1 1 1 2 0.
  const auto counted = evaluated(h, {{"y", {9, 0, 0, 0, 9, 0, 0, 9, 0, 0, 9, 0, 0, 0, 9, 9, 0, 0}},
      {"l", {0, 0, 1, 1, 2, 2}}});
  expect_close(counted.at(shares).data, {1 / 6.0, 1 / 6.0, 0, 0, 2 / 6.0, 0, 1 / 6.0, 0, 1 / 6.0}, 1e-15);
  EXPECT_NEAR(counted.at(m.precision)[0], (1 / 2.0 + 2 / 3.0 + 1) / 3, 1e-15);
  EXPECT_NEAR(counted.at(m.recall)[0], (1 / 2.0 + 1 + 1 / 2.0) / 3, 1e-15);
  EXPECT_NEAR(counted.at(m.f1)[0], (2 / 4.0 + 4 / 5.0 + 2 / 3.0) / 3, 1e-15);
}

TEST(Metrics, OfNumbers) {
  Graph g;
  const Value y = input(g, "y", f64(2, 2)), t = input(g, "t", f64(2, 2));
  const Value root = rmse(y, t), explained = r2(y, t), flat = r2(y, t * 0);
  const auto run = evaluated(g, {{"y", {1, 2, 3, 5}}, {"t", {1, 2, 3, 4}}});
  EXPECT_NEAR(run.at(root)[0], 0.5, 1e-15);
  EXPECT_NEAR(run.at(explained)[0], 1 - 0.25 / 1.25, 1e-15);
  EXPECT_EQ(run.at(flat)[0], 0);
}

/// A whole net: what inference keeps, and that its first loss and gradients are what they should be.
TEST(Inference, KeepsWhatTheOutputsRead) {
  Graph g("net");
  const Value x = input(g, "image", f32(2, 8, 8, 1)), t = input(g, "label", i32(2));
  const Value h = dropout(max_pool(batch_norm(conv(x, 4, 3, {.padding = "same"}), {}), 2), 0.5);
  const Value logits = dense(flatten(relu(h)), 3);
  const Value loss = mean(sparse_cross_entropy(logits, t));
  g.output("loss", loss);
  g.output("accuracy", accuracy(logits, t));
  g.output("logits", logits);
  const auto d = gradients(loss, {g.find("conv/kernel"), g.find("batch_norm/gamma"), g.find("dense/kernel")});
  g.update(g.find("dense/kernel"), g.find("dense/kernel") - 0.1 * d[2]);

  const Graph all = inference(g);
  EXPECT_EQ(all.outputs().size(), 3U);
  EXPECT_TRUE(all.updates().empty());
  EXPECT_FALSE(all.has("step"));
  EXPECT_FALSE(has_op(all, "by_mode"));
  EXPECT_FALSE(has_op(all, "bernoulli"));
  EXPECT_EQ(all.inputs().size(), 2U);
  EXPECT_EQ(all.find("conv/kernel").node().loc.line, g.find("conv/kernel").node().loc.line);

  const Graph some = inference(g, {"logits"});
  EXPECT_EQ(some.outputs().size(), 1U);
  EXPECT_EQ(some.inputs().size(), 1U);
  EXPECT_FALSE(some.has("label"));
  EXPECT_EQ(g.outputs().size(), 3U);
  EXPECT_EQ(g.updates().size(), 3U) << "the training graph stays as it is";

  std::vector<double> image(128);
  for (std::size_t i = 0; i < image.size(); ++i) image[i] = std::cos(static_cast<double>(i));
  const auto a = evaluated(all, {{"image", image}, {"label", {0, 2}}}), b = evaluated(some, {{"image", image}});
  EXPECT_EQ(a.output("logits").data, b.output("logits").data);
  EXPECT_EQ(thrown<GraphError>([&] { inference(g, {"logit"}); }),
            "inference: graph 'net' has no output 'logit' (did you mean logits?)");
  EXPECT_EQ(thrown<GraphError>([] { inference(Graph("empty")); }), "inference: graph 'empty' has no output");
}

/// An output that is itself a by_mode, and one by_mode on another.
TEST(Inference, FollowsChainsOfModes) {
  Graph g;
  const Value x = input(g, "x", f64(2));
  const Value inner = by_mode(x * 2, x + 1);
  g.output("y", by_mode(inner * 3, inner));
  EXPECT_EQ(evaluated(g, {{"x", {1, 2}}}).output("y").data, (std::vector<double>{6, 12}));
  EXPECT_EQ(evaluated(inference(g), {{"x", {1, 2}}}).output("y").data, (std::vector<double>{2, 3}));
}

TEST(Layers, ALayerThatFailsLeavesNoVariables) {
  Graph g;
  const Value x = input(g, "x", f32(8, 4));
  const std::string before = print(g);
  const auto wrong = [](Operand v) { return matmul(v, v); };
  EXPECT_THROW(dense(x, 3, {.activation = wrong}), GraphError);
  EXPECT_THROW(residual(x, [](const Value& v) { return dense(dense(v, 4), 3); }), GraphError);
  EXPECT_EQ(print(g), before);
  EXPECT_EQ(dense(x, 3).graph().variables().size(), 2u);
  EXPECT_TRUE(g.has("dense/kernel"));
}

TEST(Layers, Errors) {
  Graph g;
  const Value x = input(g, "x", f32(8, 4)), image = input(g, "image", f32(1, 5, 5, 4)), v = input(g, "v", f32(4));
  const auto fact = [](auto build) { return first_line(thrown<GraphError>(build)); };
  EXPECT_EQ(fact([&] { dense(x, 0); }), "HERE: dense: units is 0, must be at least 1");
  EXPECT_EQ(fact([&] { dense(v, 3); }), "HERE: dense: the input must have at least 2 axes");
  EXPECT_EQ(fact([&] { dense(2.0, 3); }), "HERE: dense: the input must be a value of a graph, is a number");
  EXPECT_EQ(fact([&] { conv(x, 3, 3); }), "HERE: conv: the input must have 4 axes [N,H,W,C]");
  EXPECT_EQ(fact([&] { conv(image, 3, 0); }), "HERE: conv: the window's height is 0, must be at least 1");
  EXPECT_EQ(fact([&] { conv(image, 3, 3, {.groups = 3}); }),
            "HERE: conv: groups=3 does not divide the 4 channels of the input");
  EXPECT_EQ(fact([&] { dropout(x, 1); }), "HERE: dropout: rate is 1, must be in [0, 1)");
  EXPECT_EQ(fact([&] { spatial_dropout(image, 1); }), "HERE: spatial_dropout: rate is 1, must be in [0, 1)");
  EXPECT_EQ(fact([&] { spatial_dropout(x, 0.5); }), "HERE: spatial_dropout: the input must have at least 3 axes");
  EXPECT_EQ(fact([&] { alpha_dropout(x, -0.1); }), "HERE: alpha_dropout: rate is -0.1, must be in [0, 1)");
  EXPECT_EQ(fact([&] { gaussian_noise(x, -1); }), "HERE: gaussian_noise: stddev is -1, must be finite and at least 0");
  EXPECT_EQ(fact([&] { group_norm(x, {.groups = 3}); }),
            "HERE: group_norm: groups=3 does not divide the 4 channels of the input");
  EXPECT_EQ(fact([&] { group_norm(x, {.groups = 2, .eps = 0}); }),
            "HERE: group_norm: eps is 0, must be finite and above 0");
  EXPECT_EQ(fact([&] { group_norm(x, v, input(g, "w", f32(3)), 2); }),
            "HERE: group_norm: beta must be [4], one number a channel, is [3]");
  EXPECT_EQ(fact([&] { rms_norm(x, {.axes = 3}); }), "HERE: rms_norm: axes is 3, must be in [1, 2]");
  EXPECT_EQ(fact([&] { rms_norm(x, input(g, "u", f32(3))); }),
            "HERE: rms_norm: gamma must have the last axes of the input [8,4], is [3]");
  EXPECT_EQ(fact([&] { conv1d(x, 3, 3); }), "HERE: conv1d: the input must have 3 axes [N,L,C]");
  const Value line = input(g, "line", f32(1, 5, 4));
  EXPECT_EQ(fact([&] { conv1d(line, 3, 3, {.pads = {1, 1, 1, 1}}); }),
            "HERE: conv1d: pads must be [left,right], are [1,1,1,1]");
  EXPECT_EQ(fact([&] { depthwise_conv(image, 3, {.multiplier = 0}); }),
            "HERE: depthwise_conv: multiplier is 0, must be at least 1");
  EXPECT_EQ(fact([&] { conv_transpose(image, 3, 3, {.groups = 2}); }),
            "HERE: conv_transpose: groups=2 does not divide the 3 filters");
  EXPECT_EQ(fact([&] { conv_transpose(image, 2, 3, {.strides = 2, .output_padding = {2}}); }),
            "HERE: conv2d_transpose: output_padding is 2, must be at least 0 and below the stride 2");
  EXPECT_EQ(fact([&] { conv_transpose(image, 2, 3, {.padding = "same", .output_padding = {0}}); }),
            "HERE: conv2d_transpose: output_padding does not go with padding=same");
  EXPECT_EQ(fact([&] { conv_transpose(image, 2, 3, {.pads = {9, 9, 0, 0}}); }),
            "HERE: conv2d_transpose: the pads leave nothing of the result's height");
  EXPECT_EQ(fact([&] { conv2d_transpose(image, input(g, "k", f32(3, 3, 2, 5))); }),
            "HERE: conv2d_transpose: channels differ: the weights read 5, the input has 4");
  EXPECT_EQ(fact([&] { prelu(v); }), "HERE: prelu: the input must have at least 2 axes");
  EXPECT_EQ(fact([&] { dropout(x, std::nan("")); }), "HERE: dropout: rate is nan, must be in [0, 1)");
  EXPECT_EQ(fact([&] { batch_norm(x, {.running_update_rate = 1.5}); }),
            "HERE: batch_norm: running_update_rate is 1.5, must be in [0, 1]");
  EXPECT_EQ(fact([&] { layer_norm(x, {.axes = 3}); }), "HERE: layer_norm: axes is 3, must be in [1, 2]");
  EXPECT_EQ(fact([&] { accuracy(x, input(g, "l", i32(8, 1))); }),
            "HERE: accuracy: shapes do not match: [8,4] needs [8], got [8,1]");
  EXPECT_EQ(fact([&] { accuracy(x, input(g, "f", f32(8))); }),
            "HERE: accuracy: labels must be i32, i64 or u8, are f32[8]");
  EXPECT_EQ(fact([&] { top_k_accuracy(x, input(g, "l8", i32(8)), 5); }),
      "HERE: top_k_accuracy: k is 5, must be in [1, 4]");
  EXPECT_EQ(fact([&] { precision(x, v); }), "HERE: precision: shapes do not match: [8,4] and [4]");
  EXPECT_EQ(fact([&] { macro_scores(x, v); }), "HERE: macro_scores: labels must be integers [8], are f32[4]");
  EXPECT_EQ(fact([&] { f_score(x, x, 0); }), "HERE: f_score: beta is 0, must be finite and above 0");
  EXPECT_EQ(fact([&] { auc(x, x, 2); }), "HERE: auc: thresholds is 2, must be in [3, 100000]");
  EXPECT_EQ(fact([&] { global_avg_pool(x); }), "HERE: global_avg_pool: the input must have 4 axes [N,H,W,C]");
}

}  // namespace
}  // namespace thalweg::testing
