// SPDX-License-Identifier: Apache-2.0
// A small net end to end: data loss, penalties, clipping, momentum and a schedule against the reference, in double.
#include "thalweg/ops/loss.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/optim/sgd.h"
#include "trajectory.h"

namespace thalweg {
namespace {

using testing::near;
using testing::numbers;

constexpr const char* parameters[] = {"W1", "b1", "W2", "b2"};

/// Dense(3, relu) and Dense(2) with L2(0.01) on the kernels, SGD with momentum and a clipped global norm: the net that
/// `mlp_end_to_end.config` describes, for batches of one size.
struct Mlp {
  Graph graph{"mlp"};

  Mlp(Dim batch, Convention convention) {
    const Value x = input(graph, "x", f64(batch, 2));
    const Value y = input(graph, "y", i32(batch));
    const Value w1 = variable(graph, "W1", f64(2, 3), zeros()), b1 = variable(graph, "b1", f64(3), zeros());
    const Value w2 = variable(graph, "W2", f64(3, 2), zeros()), b2 = variable(graph, "b2", f64(2), zeros());
    const Value logits = matmul(relu(matmul(x, w1) + b1), w2) + b2;
    const Value loss = mean(sparse_cross_entropy(logits, y));
    const Minimized m = minimize(
        loss,
        Sgd{.rate = piecewise_constant({1, 3}, {0.1, 0.05, 0.01}), .momentum = 0.9, .convention = convention},
        {.penalty = l2(0.01), .clip = by_global_norm(0.5, {.convention = convention})});
    graph.output("data_loss", loss);
    graph.output("reg_loss", m.penalty);
    graph.output("total_loss", m.loss);
    graph.output("lr", m.rate);
    graph.output("grad_global_norm_before_clip", global_norm(m.raw_gradients));
  }
};

/// Runs the batches (lists of sample numbers, all of one size), and checks every iteration that the reference holds.
void expect_run(const std::string& key, Convention convention, const nlohmann::json& batches) {
  const auto& v = testing::vectors("mlp_end_to_end");
  const Mlp mlp(static_cast<Dim>(batches.front().size()), convention);
  Interpreter run(mlp.graph);
  for (const char* name : parameters)
    run.set(name, {run.variable(name).shape, numbers(v.at("init").at(name))});
  ASSERT_FALSE(v.at(key).empty());
  for (std::size_t i = 0; i < v.at(key).size(); ++i) {
    const auto& want = v.at(key).at(i);
    const auto& batch = batches.at(i % batches.size());
    std::vector<double> x, y;
    for (const std::size_t sample : batch) {
      for (const double feature : numbers(v.at("x").at(sample))) x.push_back(feature);
      y.push_back(v.at("y").at(sample).get<double>());
    }
    const auto rows = static_cast<Dim>(batch.size());
    run.set("x", {Shape{rows, 2}, x});
    run.set("y", {Shape{rows}, y});
    run.step();
    for (const char* name : {"lr", "data_loss", "reg_loss", "total_loss", "grad_global_norm_before_clip"})
      EXPECT_PRED3(near, run.output(name)[0], want.at(name).get<double>(), 1e-12) << key << " " << i << " " << name;
    for (const char* name : parameters) {
      const auto expected = numbers(want.at("params").at(name));
      for (std::size_t k = 0; k < expected.size(); ++k)
        EXPECT_PRED3(near, run.variable(name)[k], expected[k], 1e-12) << key << " " << i << " " << name;
    }
  }
}

const nlohmann::json& mode(const std::string& name) {
  return testing::vectors("mlp_end_to_end").at("batch_modes").at(name);
}

TEST(Mlp, TrainsAsKeras) {
  expect_run("keras", Convention::keras, testing::vectors("mlp_end_to_end").at("batches"));
}
TEST(Mlp, TrainsAsTorch) {
  expect_run("torch", Convention::torch, testing::vectors("mlp_end_to_end").at("batches"));
}
TEST(Mlp, TrainsOnTheFullBatch) {
  expect_run("keras_full_batch", Convention::keras, mode("full_batch_gd (1 update/epoch)"));
}
TEST(Mlp, TrainsSampleBySample) {
  expect_run("keras_per_sample", Convention::keras, mode("per_sample_sgd (N updates/epoch)"));
}

}  // namespace
}  // namespace thalweg
