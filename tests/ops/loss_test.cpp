// SPDX-License-Identifier: Apache-2.0
// Losses: labels out of range, shapes that would broadcast, stability, and predictions that are probabilities.
#include <cmath>
#include <limits>

#include "run.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/ops/loss.h"
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

}  // namespace
}  // namespace thalweg::testing
