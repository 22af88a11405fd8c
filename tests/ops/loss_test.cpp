// SPDX-License-Identifier: Apache-2.0
// Losses: labels out of range, shapes that would broadcast, stability, and predictions that are probabilities.
#include <cmath>
#include <functional>
#include <limits>
#include <map>

#include "run.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/ops/ctc.h"
#include "thalweg/ops/loss.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/softmax.h"
#include "thalweg/ops/source.h"

namespace thalweg::testing {
namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

TEST(Softmax, AlongAnyAxisAndShiftInvariant) {
  Graph g;
  const Value x = input(g, "x", f64(2, 3, 2));
  const Value p = softmax(x, 1), shifted = softmax(x + 1024, -2), logs = log_softmax(x, 1);
  const Value total = sum(p, {.axes = {1}}), logged = exp(logs);
  const auto run = evaluated(g, {{"x", {0, 1, 2, 3, 4, 5, -1, 2, 0.5, 0.25, 3, -3}}});
  expect_close(run.at(total).data, {1, 1, 1, 1}, 1e-15);
  EXPECT_EQ(run.at(shifted).data, run.at(p).data);  // the numbers are exact in binary, so the shift is too
  expect_close(run.at(logged).data, run.at(p).data, 1e-15);
  const double wanted = 1 / (1 + std::exp(2.0) + std::exp(4.0));
  EXPECT_NEAR(run.at(p)[0], wanted, 1e-15);
}

TEST(SparseCrossEntropy, LabelsOutOfRangeNameTheSample) {
  for (const double label : {-1.0, 3.0, 2147483647.0, -2147483648.0}) {
    Graph g;
    const Value loss = sparse_cross_entropy(input(g, "x", f32(2, 3)), input(g, "labels", i32(2)));
    g.output("loss", loss);
    g.output("dx", gradients(sum(loss), {g.find("x")})[0]);
    const std::string text =
        thrown<RunError>([&] { evaluated(g, {{"x", {0, 1, 2, 3, 4, 5}}, {"labels", {2, label}}}); });
    EXPECT_EQ(text, "sparse_cross_entropy: the label of sample 1 is " +
                        std::to_string(static_cast<std::int64_t>(label)) + ", must be in [0,3)");
  }
  const LabelError error("sparse_cross_entropy", Shape{4, 5}, 13, 9, 3);
  EXPECT_STREQ(error.what(), "sparse_cross_entropy: the label of sample [2,3] is 9, must be in [0,3)");
  EXPECT_EQ(error.row(), 2);
  EXPECT_STREQ(error.at({"net.cpp", 7}).called("60").what(),
               "net.cpp:7: sparse_cross_entropy: the label of sample [60,3] is 9, must be in [0,3)");
}

TEST(SparseCrossEntropy, IsNeverNegativeAndStaysExactNearCertainty) {
  Graph g;
  const Value loss = sparse_cross_entropy(input(g, "x", f64(5, 3)), input(g, "labels", i64(5)));
  const auto run = evaluated(g, {{"x", {1e4, -1e4, 0, -1e4, 1e4, 0, 40, 0, 0, 3, 3, 3, 800, 0, -800}},
                                 {"labels", {0, 0, 0, 2, 0}}});
  for (const double x : run.at(loss).data) {
    EXPECT_GE(x, 0);
    EXPECT_TRUE(std::isfinite(x));
  }
  EXPECT_EQ(run.at(loss)[0], 0);
  EXPECT_EQ(run.at(loss)[1], 2e4);
  EXPECT_NEAR(run.at(loss)[2] / (2 * std::exp(-40.0)), 1, 1e-12);  // log(1 + 8.5e-18) would be 0
  EXPECT_NEAR(run.at(loss)[3], std::log(3.0), 1e-15);
}

TEST(SparseCrossEntropy, KeepsTheShapeOfTheLabels) {
  Graph g;
  const Value x = input(g, "x", f64(2, 3, 4)), labels = input(g, "labels", u8(2, 3));
  const Value loss = sparse_cross_entropy(x, labels);
  EXPECT_EQ(loss.type(), f64(2, 3));
  const Value dx = gradients(sum(loss), {x})[0];
  std::vector<double> numbers(24);
  for (std::size_t i = 0; i < 24; ++i) numbers[i] = std::sin(static_cast<double>(i));
  const std::vector<double> right = {0, 1, 2, 3, 0, 1};
  const auto run = evaluated(g, {{"x", numbers}, {"labels", right}});
  for (std::size_t sample = 0; sample < 6; ++sample) {  // each row of the gradient sums to 0
    double row = 0;
    for (std::size_t k = 0; k < 4; ++k) row += run.at(dx)[sample * 4 + k];
    EXPECT_NEAR(row, 0, 1e-15);
    EXPECT_LT(run.at(dx)[sample * 4 + static_cast<std::size_t>(right[sample])], 0);
  }
}

/// The loss of a softmax is taken from the logits behind it, so that nothing is clipped.
TEST(CrossEntropy, LooksBehindASoftmax) {
  Graph g;
  const Value x = input(g, "x", f64(1, 3)), labels = input(g, "labels", i32(1)), t = input(g, "t", f64(1, 3));
  const Value sparse = sparse_cross_entropy(softmax(x), labels, {.from_logits = false});
  const Value dense = cross_entropy(softmax(x), t, {.from_logits = false});
  EXPECT_EQ(g.value(g.operands(sparse.id().node)[0]), x);
  EXPECT_EQ(g.value(g.operands(dense.id().node)[0]), x);
  const auto run = evaluated(g, {{"x", {0, 100, 0}}, {"labels", {0}}, {"t", {1, 0, 0}}});
  EXPECT_NEAR(run.at(sparse)[0], 100, 1e-12);
  EXPECT_NEAR(run.at(dense)[0], 100, 1e-12);
}

TEST(CrossEntropy, ClipsProbabilitiesAsKeras) {
  Graph g;
  const Value p = input(g, "p", f64(2, 2)), labels = input(g, "labels", i32(2)), t = input(g, "t", f64(2, 2));
  const Value sparse = sparse_cross_entropy(p, labels, {.from_logits = false});
  const Value dense = cross_entropy(p, t, {.from_logits = false});
  const auto run = evaluated(g, {{"p", {0, 1, 0.3, 0.7}}, {"labels", {0, 1}}, {"t", {1, 0, 0, 1}}});
  const double clipped = -std::log(1e-7);
  expect_close(run.at(sparse).data, {clipped, -std::log(0.7)}, 1e-9);
  expect_close(run.at(dense).data, {clipped, -std::log(0.7)}, 1e-9);
}

TEST(CrossEntropy, OfSmoothedTargetsHasTheSameMinimum) {
  Graph g;
  const Value x = input(g, "x", f64(1, 4)), t = input(g, "t", f64(1, 4)), labels = input(g, "labels", i32(1));
  const CrossEntropyOptions smooth{.label_smoothing = 0.2};
  const Value dense = gradients(sum(cross_entropy(x, t, smooth)), {x})[0];
  const Value sparse = gradients(sum(sparse_cross_entropy(x, labels, smooth)), {x})[0];
  const std::vector<double> best = {std::log(0.05), std::log(0.85), std::log(0.05), std::log(0.05)};
  const auto run = evaluated(g, {{"x", best}, {"t", {0, 1, 0, 0}}, {"labels", {1}}});
  expect_close(run.at(dense).data, {0, 0, 0, 0}, 1e-15);
  expect_close(run.at(sparse).data, {0, 0, 0, 0}, 1e-15);
}

TEST(Regression, IsAMeanOverTheLastAxis) {
  Graph g;
  const Value p = input(g, "p", f64(2, 3)), t = input(g, "t", f64(2, 3));
  const Value squared = mse(p, t), absolute = mae(p, t);
  EXPECT_EQ(squared.type(), f64(2));
  const auto run = evaluated(g, {{"p", {1, 2, 3, 4, 5, 6}}, {"t", {0, 2, 5, 4, 4, 4}}});
  expect_close(run.at(squared).data, {5 / 3.0, 5 / 3.0});
  expect_close(run.at(absolute).data, {1, 1});
}

TEST(Losses, NeverBroadcast) {
  using Make = Value (*)(const Value&, const Value&);
  const std::pair<const char*, Make> losses[] = {
      {"mse", [](const Value& p, const Value& t) { return mse(p, t); }},
      {"mae", [](const Value& p, const Value& t) { return mae(p, t); }},
      {"cross_entropy", [](const Value& p, const Value& t) { return cross_entropy(p, t); }}};
  for (const auto& [name, loss] : losses)
    for (const auto& [a, b] : {std::pair{f32(8), f32(8, 1)}, {f32(8, 1), f32(8)}, {f32(1, 8), f32(8)},
                               {f32(8, 3), f32(8)}, {f32(8, 1), f32(8, 3)}}) {
      Graph g;
      const Value p = input(g, "p", a), t = input(g, "t", b);
      const Make make = loss;
      EXPECT_EQ(first_line(thrown<GraphError>([&] { make(p, t); })),
                "HERE: " + std::string(name) + ": shapes differ: " + to_string(a.shape) + " and " +
                    to_string(b.shape) + " (a loss never broadcasts)");
    }
  Graph g;
  const Value x = input(g, "x", f32(8, 3));
  EXPECT_EQ(first_line(thrown<GraphError>([&] { sparse_cross_entropy(x, input(g, "l", i32(8, 1))); })),
            "HERE: sparse_cross_entropy: labels must be [8] (the logits' [8,3] without the classes), are [8,1]; a "
            "loss never broadcasts");
}

TEST(Losses, Errors) {
  Graph g;
  const Value x = input(g, "x", f32(8, 3)), labels = input(g, "labels", i32(8));
  EXPECT_EQ(first_line(thrown<GraphError>([&] { sparse_cross_entropy(x, input(g, "f", f32(8))); })),
            "HERE: sparse_cross_entropy: labels must be i32, i64 or u8, is f32[8]");
  EXPECT_EQ(first_line(thrown<GraphError>([&] { sparse_cross_entropy(labels, labels); })),
            "HERE: sparse_cross_entropy: logits must be f32, bf16 or f64, is i32[8]");
  EXPECT_EQ(thrown<GraphError>([&] { sparse_cross_entropy(x, labels, {.label_smoothing = 1}); }),
            "HERE: sparse_cross_entropy: label_smoothing is 1, must be in [0, 1)");
  EXPECT_EQ(first_line(thrown<GraphError>([&] { mse(x, input(g, "d", f64(8, 3))); })),
            "HERE: mse: dtypes differ: f32 and f64 (there is no implicit cast; use cast)");
  EXPECT_EQ(thrown<GraphError>([&] { mse(x, 1.0); }), "HERE: mse: both sides must be values of a graph, one is a number");
  EXPECT_EQ(first_line(thrown<GraphError>([&] { softmax(x, 2); })).substr(0, 15), "HERE: softmax: ");
}


// ---- targets that are checked when they come

std::string complaint(const std::function<Value(Graph&)>& build, const Feeds& feeds) {
  Graph g;
  g.output("loss", build(g));
  return thrown<RunError>([&] { evaluated(g, feeds); });
}

TEST(Targets, ThatAreNoDistributionNameTheSample) {
  const auto of = [](const std::vector<double>& target, Shape shape = {2, 3}) {
    return complaint([&](Graph& g) {
        return cross_entropy(input(g, "x", {DType::f64, shape}), input(g, "t", {DType::f64, shape})); },
                     {{"x", std::vector<double>(target.size(), 1)}, {"t", target}});
  };
  EXPECT_EQ(of({1, 0, 0, 0.5, 0.25, 0.25}), "nothing was thrown");
  EXPECT_EQ(of({1, 0, 0, 0.5, 0.2515, 0.25}), "nothing was thrown") << "rounding is forgiven";
  EXPECT_EQ(of({1, 0, 0, 0.5, 0.5, 0.5}),
            "cross_entropy: the target of sample 1 sums to 1.5, must be a distribution, with sum 1 up to 0.00390625");
  EXPECT_EQ(of({0, 0, 0, 0.5, 0.5, 0}),
            "cross_entropy: the target of sample 0 sums to 0, must be a distribution, with sum 1 up to 0.00390625");
  EXPECT_EQ(of({1, 0, 0, 1.5, -0.5, 0}), "cross_entropy: the target at [1,1] is -0.5, must be at least 0");
  EXPECT_EQ(of({1, 0, 0, std::nan(""), 0.5, 0}), "cross_entropy: the target at [1,0] is nan, must be at least 0");
  EXPECT_EQ(of({1, 0, 0, 1, 1, 1}, {2, 1, 3}),
            "cross_entropy: the target of sample [1,0] sums to 3, must be a distribution, with sum 1 up to 0.00390625");
}

TEST(Targets, OutOfRangeNameTheirPlace) {
  using Loss = std::function<Value(Value, Value)>;
  const auto of = [](const Loss& loss, const std::vector<double>& target) {
    return complaint([&](Graph& g) { return loss(input(g, "x", f64(2, 2)), input(g, "t", f64(2, 2))); },
                     {{"x", {1, 2, 3, 4}}, {"t", target}});
  };
  EXPECT_EQ(of([](Value x, Value t) { return binary_cross_entropy(x, t); }, {0, 1, 1.5, 0}),
            "binary_cross_entropy: the target at [1,0] is 1.5, must be in [0,1]");
  EXPECT_EQ(of([](Value x, Value t) { return binary_focal_cross_entropy(x, t); }, {0, 1, -1, 0}),
            "binary_focal_cross_entropy: the target at [1,0] is -1, must be in [0,1]");
  EXPECT_EQ(of([](Value x, Value t) { return poisson(x, t); }, {0, -1, 3, 0}),
            "poisson: the target at [0,1] is -1, must be at least 0");
  EXPECT_EQ(of(hinge, {1, -1, 0.5, 1}), "hinge: the target at [1,0] is 0.5, must be -1 or 1, or 0 or 1");
  EXPECT_EQ(of(hinge, {1, -1, 0, 1}),
      "hinge: the target at [1,0] is 0 and that at [0,1] is -1: labels are -1 and 1, or 0 and 1");
  EXPECT_EQ(of(squared_hinge, {1, 0, 0, 1}), "nothing was thrown");
  EXPECT_EQ(of([](Value x, Value t) { return kl_divergence(x, t); }, {1, 0, 1, 1}),
            "kl_divergence: the target of sample 1 sums to 2, must be a distribution, with sum 1 up to 0.00390625");
}

TEST(Ctc, WrongSamplesAreNamed) {
  const auto of = [](const std::vector<double>& labels, double frames, double count, bool zero = false) {
    return complaint([&](Graph& g) {
      return ctc(input(g, "x", f64(2, 3, 4)), input(g, "t", i32(2, 2)),
                 {.input_lengths = input(g, "n", i32(2)), .label_lengths = input(g, "m", i32(2)),
                     .zero_infinity = zero});
    }, {{"x", std::vector<double>(24, 0)}, {"t", labels}, {"n", {3, frames}}, {"m", {1, count}}});
  };
  EXPECT_EQ(of({1, 0, 1, 2}, 3, 2), "nothing was thrown") << "a label beyond the length is not looked at";
  EXPECT_EQ(of({1, 1, 1, 4}, 3, 2), "ctc: label 1 of sample 1 is 4, must be in [0,4) and not the blank, 0");
  EXPECT_EQ(of({1, 1, 0, 1}, 3, 2), "ctc: label 0 of sample 1 is 0, must be in [0,4) and not the blank, 0");
  EXPECT_EQ(of({1, 1, 1, 1}, 4, 2), "ctc: the input length of sample 1 is 4, must be in [0,3]");
  EXPECT_EQ(of({1, 1, 1, 1}, 3, 3), "ctc: the label length of sample 1 is 3, must be in [0,2]");
  EXPECT_EQ(of({1, 1, 1, 1}, 2, 2),
            "ctc: sample 1 has 2 frames and 2 labels, which need at least 3 (zero_infinity makes its loss 0)");
  EXPECT_EQ(of({1, 1, 1, 1}, 2, 2, true), "nothing was thrown");
}

/// By enumeration of every alignment.
TEST(Ctc, SumsOverAllAlignments) {
  const std::vector<double> logits = {0.1, 0.2, 0.7, 0.3, -0.2, 0.4, 0.5, 0.5, -1, -0.3, 0.8, 0.2, 0.6, -0.4, 0.1};
  for (const std::vector<double>& labels : {std::vector<double>{1, 1}, {2, 1}, {2}, {}}) {
    double total = 0;
    for (int path = 0; path < 243; ++path) {
      double probability = 1;
      std::vector<double> spelled;
      for (int t = 0, rest = path, last = 0; t < 5; ++t, rest /= 3) {
        double mass = 0;
        for (int k = 0; k < 3; ++k) mass += std::exp(logits[static_cast<std::size_t>(3 * t + k)]);
        const int k = rest % 3;
        probability *= std::exp(logits[static_cast<std::size_t>(3 * t + k)]) / mass;
        if (k != 0 && k != last) spelled.push_back(k);
        last = k;
      }
      if (spelled == labels) total += probability;
    }
    Graph g;
    std::vector<double> padded = labels;
    padded.resize(2);
    const Value loss = ctc(input(g, "x", f64(1, 5, 3)), input(g, "t", i32(1, 2)),
        {.label_lengths = input(g, "m", i32(1))});
    const auto run = evaluated(g, {{"x", logits}, {"t", padded}, {"m", {static_cast<double>(labels.size())}}});
    EXPECT_NEAR(run.at(loss)[0], -std::log(total), 1e-13);
  }
}

TEST(Losses, StayExactFarOut) {
  Graph g;
  const Value x = input(g, "x", f64(6, 1)), t = input(g, "t", f64(6, 1));
  const Value bce = binary_cross_entropy(x, t), slope = gradients(sum(bce), {x})[0],
      near_zero = log_cosh(x * 1e-9, t * 0);
  const auto run = evaluated(g, {{"x", {800, -800, 40, 0, 800, -40}}, {"t", {1, 0, 1, 0.25, 0, 1}}});
  EXPECT_EQ(run.at(bce)[0], 0);
  EXPECT_EQ(run.at(bce)[1], 0);
  EXPECT_NEAR(run.at(bce)[2] / std::exp(-40.0), 1, 1e-12);
  EXPECT_NEAR(run.at(bce)[3], std::log(2.0), 1e-15);
  EXPECT_EQ(run.at(bce)[4], 800);
  EXPECT_NEAR(run.at(bce)[5], 40, 1e-12);
  EXPECT_NEAR(run.at(slope)[2] / -std::exp(-40.0), 1, 1e-12) << "sigmoid(40) - 1 would be 0";
  EXPECT_EQ(run.at(slope)[3], 0.25) << "a logit of 0 has a slope";
  EXPECT_NEAR(run.at(near_zero)[2] / (0.5 * 40e-9 * 40e-9), 1, 1e-12);
}

TEST(Losses, FocusAndWeightsMeanWhatTheySay) {
  Graph g;
  const Value x = input(g, "x", f64(2, 3)), labels = input(g, "labels", i32(2)), t = input(g, "t", f64(2, 3));
  const Value ce = sparse_cross_entropy(x, labels),
      focal = sparse_focal_cross_entropy(x, labels, {.gamma = 2, .alpha = 0.25});
  const Value bce = binary_cross_entropy(reshape(x, {6, 1}), reshape(t, {6, 1}));
  const Value binary = binary_focal_cross_entropy(reshape(x, {6, 1}), reshape(t, {6, 1}), {.gamma = 1, .alpha = 0.25});
  const Value plain = binary_focal_cross_entropy(x, t, {.gamma = 0});
  const Value nobody = mean_sparse_cross_entropy(x, labels * 0, {.ignore_label = 0});
  const Value nothing = gradients(nobody, {x})[0];
  const auto run = evaluated(g, {{"x", {1, 2, -1, 0, 0.5, 3}}, {"labels", {1, 0}}, {"t", {1, 0, 1, 0, 0, 1}}});
  for (std::size_t n = 0; n < 2; ++n) {
    const double p = std::exp(-run.at(ce)[n]);
    EXPECT_NEAR(run.at(focal)[n], 0.25 * (1 - p) * (1 - p) * run.at(ce)[n], 1e-15);
  }
  const std::vector<double> truth = {1, 0, 1, 0, 0, 1};
  double mean_of_first = 0;
  for (std::size_t k = 0; k < 6; ++k) {
    const double p = std::exp(-run.at(bce)[k]);
    EXPECT_NEAR(run.at(binary)[k], (truth[k] == 1 ? 0.25 : 0.75) * (1 - p) * run.at(bce)[k], 1e-15);
    if (k < 3) mean_of_first += run.at(bce)[k] / 3;
  }
  EXPECT_NEAR(run.at(plain)[0], mean_of_first, 1e-15);
  EXPECT_EQ(run.at(nobody)[0], 0);
  EXPECT_EQ(run.at(nothing).data, std::vector<double>(6, 0.0));
}

TEST(Losses, WrongOptionsAndShapes) {
  Graph g;
  const Value x = input(g, "x", f32(2, 3)), t = input(g, "t", f32(2, 3)), y = input(g, "y", f32(3)),
      l = input(g, "l", i32(2));
  const Value u = input(g, "u", u8(2)), s = input(g, "s", f32());
  const auto fact = [](const std::function<Value()>& build) {
      return first_line(thrown<GraphError>([&] { build(); })); };
  for (const auto& [name, loss] : std::map<std::string, std::function<Value(Value, Value)>>{
           {"mse", [](Value a, Value b) { return mse(a, b); }},
           {"mape", [](Value a, Value b) { return mape(a, b); }},
           {"msle", [](Value a, Value b) { return msle(a, b); }},
           {"log_cosh", [](Value a, Value b) { return log_cosh(a, b); }},
           {"cosine_loss", [](Value a, Value b) { return cosine_loss(a, b); }},
           {"hinge", [](Value a, Value b) { return hinge(a, b); }},
           {"squared_hinge", [](Value a, Value b) { return squared_hinge(a, b); }},
           {"categorical_hinge", [](Value a, Value b) { return categorical_hinge(a, b); }},
           {"huber", [](Value a, Value b) { return huber(a, b); }},
           {"poisson", [](Value a, Value b) { return poisson(a, b); }},
           {"kl_divergence", [](Value a, Value b) { return kl_divergence(a, b); }},
           {"binary_cross_entropy", [](Value a, Value b) { return binary_cross_entropy(a, b); }},
           {"binary_focal_cross_entropy", [](Value a, Value b) { return binary_focal_cross_entropy(a, b); }},
           {"cross_entropy", [](Value a, Value b) { return cross_entropy(a, b); }},
           {"weighted_mean", [](Value a, Value b) { return weighted_mean(a, b); }}})
    EXPECT_EQ(fact([&, f = loss] { return f(x, y); }),
              "HERE: " + name + ": shapes differ: [2,3] and [3] (a loss never broadcasts)");
  EXPECT_EQ(fact([&] { return huber(x, t, 0); }), "HERE: huber: delta is 0, must be finite and above 0");
  EXPECT_EQ(fact([&] { return smooth_l1(x, t, -1); }), "HERE: smooth_l1: beta is -1, must be finite and above 0");
  EXPECT_EQ(fact([&] { return cosine_loss(s, s); }), "HERE: cosine_loss: the prediction must have a last axis");
  EXPECT_EQ(fact([&] { return binary_cross_entropy(x, t, {.label_smoothing = 1}); }),
            "HERE: binary_cross_entropy: label_smoothing is 1, must be in [0, 1)");
  EXPECT_EQ(fact([&] { return binary_cross_entropy(x, t, {.positive_weight = 0}); }),
            "HERE: binary_cross_entropy: positive_weight is 0, must be finite and above 0");
  EXPECT_EQ(fact([&] { return binary_focal_cross_entropy(x, t, {.gamma = 0.5}); }),
            "HERE: binary_focal_cross_entropy: gamma is 0.5, must be 0, or finite and at least 1");
  EXPECT_EQ(fact([&] { return sparse_focal_cross_entropy(x, l, {.alpha = 2}); }),
            "HERE: sparse_focal_cross_entropy: alpha is 2, must be in [0, 1]");
  EXPECT_EQ(fact([&] { return sparse_cross_entropy(x, l, {.class_weights = {1, 2}}); }),
            "HERE: sparse_cross_entropy: class_weights has 2 numbers, the logits have 3 classes");
  EXPECT_EQ(fact([&] { return cross_entropy(x, t, {.class_weights = {1, -2, 1}}); }),
            "HERE: cross_entropy: class_weights[1] is -2, must be finite and at least 0");
  EXPECT_EQ(fact([&] { return cross_entropy(x, t, {.ignore_label = 1}); }),
            "HERE: cross_entropy: ignore_label is an option of sparse_cross_entropy: a distribution has no label");
  EXPECT_EQ(fact([&] { return sparse_cross_entropy(x, u, {.ignore_label = -1}); }),
            "HERE: constant: -1 is out of the range of u8");
  EXPECT_EQ(fact([&] { return ctc(x, l); }), "HERE: ctc: logits must be [N,T,K] and labels [N,S]");
  EXPECT_EQ(fact([&] { return ctc(input(g, "a", f32(2, 5, 3)), input(g, "b", i32(2, 2)), {.blank = 3}); }),
            "HERE: ctc: attribute blank is 3, must be below the 3 classes");
  EXPECT_EQ(fact([&] { return ctc(input(g, "c", f32(2, 5, 3)), input(g, "d", i32(3, 2))); }),
            "HERE: ctc: labels must be [2,S] for logits [2,5,3], are [3,2]; a loss never broadcasts");
}

}  // namespace
}  // namespace thalweg::testing
