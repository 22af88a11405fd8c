// SPDX-License-Identifier: Apache-2.0
// Norms: gradients through the statistics, one value a channel, large means, and errors.
#include <cmath>

#include "run.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/ops/norm.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg::testing {
namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::vector<double> wave(std::size_t count, double phase) {
  std::vector<double> list(count);
  for (std::size_t i = 0; i < count; ++i) list[i] = std::sin(1.7 * static_cast<double>(i) + phase) + phase;
  return list;
}

/// d loss / d x by central differences.
std::vector<double> differences(const Graph& graph, const Value& loss, Feeds feeds, const std::string& x) {
  std::vector<double> slopes;
  for (std::size_t i = 0; i < feeds[x].size(); ++i) {
    const double at = feeds[x][i], h = 1e-5;
    feeds[x][i] = at + h;
    const double up = evaluated(graph, feeds).at(loss)[0];
    feeds[x][i] = at - h;
    const double down = evaluated(graph, feeds).at(loss)[0];
    feeds[x][i] = at;
    slopes.push_back((up - down) / (2 * h));
  }
  return slopes;
}

/// A loss that reads y, mean and variance together, once differentiated and once more.
TEST(BatchNorm, GradientsFlowThroughTheStatisticsToo) {
  Graph g;
  const Value x = input(g, "x", f64(3, 2, 2)), gamma = input(g, "gamma", f64(2)), beta = input(g, "beta", f64(2));
  const BatchNormed n = batch_norm_training(x, gamma, beta, 1e-2);
  const Value loss = sum(n.y * n.y * n.y) + sum(n.mean * n.mean) + sum(exp(n.variance));
  const auto d = gradients(loss, {x, gamma, beta});
  const Value second = sum(square(d[0])) + sum(square(d[1]));
  const auto dd = gradients(second, {x, gamma});
  const Feeds feeds = {{"x", wave(12, 0.3)}, {"gamma", {1.5, -0.5}}, {"beta", {0.2, 0.4}}};
  const auto run = evaluated(g, feeds);
  expect_close(run.at(d[0]).data, differences(g, loss, feeds, "x"), 1e-7);
  expect_close(run.at(d[1]).data, differences(g, loss, feeds, "gamma"), 1e-7);
  expect_close(run.at(d[2]).data, differences(g, loss, feeds, "beta"), 1e-7);
  expect_close(run.at(dd[0]).data, differences(g, second, feeds, "x"), 1e-5);
  expect_close(run.at(dd[1]).data, differences(g, second, feeds, "gamma"), 1e-5);
}

TEST(BatchNorm, BackwardIsOneNode) {
  Graph g;
  const Value x = input(g, "x", f32(8, 4)), gamma = input(g, "gamma", f32(4)), beta = input(g, "beta", f32(4));
  const auto d = gradients(sum(square(batch_norm_training(x, gamma, beta).y)), {x, gamma, beta});
  EXPECT_EQ(d[0].node().op->name, "batch_norm_backward");
  EXPECT_EQ(d[1].id().node, d[0].id().node);
  EXPECT_EQ(d[2].id().node, d[0].id().node);
}

TEST(BatchNorm, OneValueAChannelGivesBeta) {
  Graph g;
  const Value x = input(g, "x", f64(1, 1, 1, 3)), gamma = input(g, "gamma", f64(3)), beta = input(g, "beta", f64(3));
  const BatchNormed n = batch_norm_training(x, gamma, beta);
  const auto d = gradients(sum(n.y * n.y), {x, gamma, beta});
  const auto run = evaluated(g, {{"x", {5, -7, 1e6}}, {"gamma", {1, 2, 3}}, {"beta", {0.5, -0.5, 4}}});
  EXPECT_EQ(run.at(n.y).data, (std::vector<double>{0.5, -0.5, 4}));
  EXPECT_EQ(run.at(n.variance).data, (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(run.at(d[0]).data, (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(run.at(d[1]).data, (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(run.at(d[2]).data, (std::vector<double>{1, -1, 8}));
}

TEST(BatchNorm, ALargeMeanLeavesTheVarianceExact) {
  Graph g;
  const BatchNormed n = batch_norm_training(input(g, "x", f64(4, 1)), input(g, "gamma", f64(1)), input(g, "beta", f64(1)));
  const auto run = evaluated(g, {{"x", {1e6 - 0.5, 1e6 + 0.5, 1e6 - 0.5, 1e6 + 0.5}}, {"gamma", {1}}, {"beta", {0}}});
  EXPECT_EQ(run.at(n.mean)[0], 1e6);
  EXPECT_EQ(run.at(n.variance)[0], 0.25);
}

TEST(BatchNorm, Errors) {
  Graph g;
  const Value x = input(g, "x", f32(8, 4)), c4 = input(g, "c4", f32(4)), c3 = input(g, "c3", f32(3));
  EXPECT_EQ(first_line(thrown<GraphError>([&] { batch_norm_training(x, c3, c4); })),
            "HERE: batch_norm_training: gamma must be [4], one number a channel, is [3]");
  EXPECT_EQ(first_line(thrown<GraphError>([&] { batch_norm_inference(x, c4, c4, c4, c3); })),
            "HERE: batch_norm_inference: variance must be [4], one number a channel, is [3]");
  EXPECT_EQ(first_line(thrown<GraphError>([&] { batch_norm_training(x, c4, c4, 0); })),
            "HERE: batch_norm_training: attribute eps is 0, must be finite and greater than 0");
  EXPECT_EQ(first_line(thrown<GraphError>([&] { batch_norm_training(c4, c4, c4); })),
            "HERE: batch_norm_training: the input must have at least 2 axes [..,C], is f32[4]");
}

TEST(LayerNorm, NormalizesTheLastAxesOfEachSample) {
  Graph g;
  const Value x = input(g, "x", f64(2, 3, 2)), gamma = input(g, "gamma", f64(3, 2)), beta = input(g, "beta", f64(3, 2));
  const Value y = layer_norm(x, gamma, beta, 1e-9);
  const auto run = evaluated(g, {{"x", wave(12, 0.1)}, {"gamma", std::vector<double>(6, 1)}, {"beta", std::vector<double>(6, 0)}});
  for (std::size_t sample = 0; sample < 2; ++sample) {
    double mean = 0, power = 0;
    for (std::size_t k = 0; k < 6; ++k) {
      mean += run.at(y)[sample * 6 + k];
      power += run.at(y)[sample * 6 + k] * run.at(y)[sample * 6 + k];
    }
    EXPECT_NEAR(mean, 0, 1e-12);
    EXPECT_NEAR(power / 6, 1, 1e-6);
  }
}

TEST(LayerNorm, FirstAndSecondGradients) {
  for (const TensorType& parameters : {f64(2), f64(3, 2), f64(2, 3, 2)}) {
    Graph g;
    const Value x = input(g, "x", f64(2, 3, 2)), gamma = input(g, "gamma", parameters), beta = input(g, "beta", parameters);
    const Value y = layer_norm(x, gamma, beta, 1e-1), loss = sum(y * y * y);
    const auto d = gradients(loss, {x, gamma, beta});
    const Value second = sum(square(d[0])) + sum(square(d[1]));
    const auto dd = gradients(second, {x, gamma, beta});
    const auto count = static_cast<std::size_t>(parameters.elements());
    const Feeds feeds = {{"x", wave(12, 0.3)}, {"gamma", wave(count, 0.7)}, {"beta", wave(count, 0.2)}};
    const auto run = evaluated(g, feeds);
    const char* names[] = {"x", "gamma", "beta"};
    for (std::size_t k = 0; k < 3; ++k) {
      expect_close(run.at(d[k]).data, differences(g, loss, feeds, names[k]), 1e-7);
      expect_close(run.at(dd[k]).data, differences(g, second, feeds, names[k]), 2e-5);
    }
  }
}

TEST(LayerNorm, Errors) {
  Graph g;
  const Value x = input(g, "x", f32(8, 3, 4)), c4 = input(g, "c4", f32(4)), c3 = input(g, "c3", f32(3));
  const Value both = input(g, "both", f32(3, 4));
  EXPECT_EQ(first_line(thrown<GraphError>([&] { layer_norm(x, c3, c4); })),
            "HERE: layer_norm: gamma must have the last axes of the input [8,3,4], is [3]");
  EXPECT_EQ(first_line(thrown<GraphError>([&] { layer_norm(x, both, c4); })),
            "HERE: layer_norm: gamma and beta differ: [3,4] and [4]");
  EXPECT_EQ(first_line(thrown<GraphError>([&] { layer_norm(x, c4, c4, -1.0); })),
            "HERE: layer_norm: attribute eps is -1, must be finite and greater than 0");
}

}  // namespace
}  // namespace thalweg::testing
