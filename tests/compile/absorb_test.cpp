// SPDX-License-Identifier: Apache-2.0
// Norms and poolings that take in the pointwise steps beside them: how many kernels that leaves, where it must not
// happen, and that a step learns the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "thalweg/lib/compile/program.h"
#include "thalweg/ops/conv.h"
#include "thalweg/ops/layers.h"
#include "thalweg/ops/loss.h"
#include "thalweg/ops/norm.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/pool.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"
#include "thalweg/optim/minimize.h"
#include "thalweg/optim/sgd.h"

namespace thalweg::testing {
namespace {

CompileOptions options(int threads, bool fuse = true) {
  CompileOptions all;
  all.logical_threads = threads;
  all.fuse = fuse;
  return all;
}

std::size_t count_named(const Program& p, std::string_view name) {
  const auto names = p.implementations();
  return static_cast<std::size_t>(std::count(names.begin(), names.end(), std::string(name)));
}
std::size_t count_with(const Program& p, std::string_view part) {
  const auto names = p.implementations();
  return static_cast<std::size_t>(std::count_if(
      names.begin(), names.end(), [&](const std::string& name) { return name.find(part) != std::string::npos; }));
}

void fill(Program& p) {
  for (const std::string& name : p.input_names()) {
    const TensorType& type = p.input_type(name);
    std::vector<double> values(static_cast<std::size_t>(type.elements()));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto n = static_cast<double>(i * 2654435761U % 1000);
      values[i] = is_float(type.dtype) ? n / 500 - 1 : static_cast<double>(i % 3);
    }
    p.feed(name, Tensor(type, values));
  }
}

/// After some steps, all variables.
std::vector<std::vector<double>> learned(const Graph& g, const CompileOptions& how) {
  Program p = compile(g, how);
  fill(p);
  for (int k = 0; k < 3; ++k) p.run();
  std::vector<std::vector<double>> all;
  for (const std::string& name : p.variables().names()) all.push_back(p.variables().at(name).numbers());
  return all;
}
void expect_learns_the_same(const Graph& g) {
  const auto want = learned(g, options(1, false));
  for (const int threads : {1, 2}) {
    const auto got = learned(g, options(threads));
    for (std::size_t v = 0; v < want.size(); ++v)
      for (std::size_t i = 0; i < want[v].size(); ++i)
        ASSERT_NEAR(got[v][i], want[v][i], 1e-5 * (1 + std::fabs(want[v][i]))) << "variable " << v;
  }
}

Value plain_conv(const Value& x, Dim filters) {
  return conv(x, filters, 3, {.padding = "same", .bias = false});
}

void finish(Graph& g, const Value& h) {
  const Value t = input(g, "t", i32(h.shape()[0]));
  const Value loss = mean(sparse_cross_entropy(dense(flatten(h), 3), t));
  minimize(loss, Sgd{.rate = 0.05, .momentum = 0.9});
  g.output("loss", loss);
}

/// Two residual blocks, the second with a projection.
Graph residual() {
  Graph g("residual");
  Value h = relu(batch_norm(plain_conv(input(g, "x", f32(4, 8, 8, 3)), 8)));
  h = relu(batch_norm(plain_conv(relu(batch_norm(plain_conv(h, 8))), 8)) + h);
  const Value projected = batch_norm(plain_conv(h, 16));
  h = relu(batch_norm(plain_conv(relu(batch_norm(plain_conv(h, 16))), 16)) + projected);
  finish(g, h);
  return g;
}

TEST(Absorb, ANormTakesInItsSumAndReluAndItsGradientTheGate) {
  const Graph g = residual();
  const Program p = compile(g, options(1));
  EXPECT_EQ(count_named(p, "own:batch_norm_training+relu"), 3U) << p.text();
  EXPECT_EQ(count_named(p, "own:batch_norm_training+add+relu"), 2U) << p.text();
  EXPECT_EQ(count_named(p, "own:batch_norm_training"), 1U) << "the projection is added by the other norm: " << p.text();
  EXPECT_EQ(count_named(p, "own:batch_norm_backward+gate"), 3U) << p.text();
  EXPECT_EQ(count_named(p, "own:batch_norm_backward+add+gate"), 2U) << p.text();
  EXPECT_EQ(count_named(p, "own:batch_norm_backward"), 1U)
      << "it reads the gradient that the other stored: " << p.text();
  EXPECT_EQ(count_with(p, "relu)"), 0U) << p.text();
  EXPECT_EQ(count_with(p, "select)"), 0U) << p.text();
  expect_learns_the_same(g);
}

TEST(Absorb, PoolingOfAReluGatesAndSumsItsGradient) {
  Graph g("pooled");
  const Value h = max_pool(relu(conv(input(g, "x", f32(4, 8, 8, 1)), 6, 3, {.padding = "same"})), 2);
  finish(g, max_pool(relu(conv(h, 16, 3, {.padding = "same"})), 2));
  const Program p = compile(g, options(1));
  EXPECT_EQ(count_named(p, "own:max_pool_backward+gate+column_sums"), 2U) << p.text();
  EXPECT_EQ(count_with(p, "select)"), 0U) << p.text();
  expect_learns_the_same(g);
}

TEST(Absorb, WhereWindowsOverlapTheNormTakesTheGate) {
  Graph g("overlapping");
  finish(g, max_pool(relu(batch_norm(plain_conv(input(g, "x", f32(4, 9, 9, 3)), 8))), 3, {.strides = 2}));
  const Program p = compile(g, options(1));
  EXPECT_EQ(count_named(p, "own:max_pool_backward"), 1U) << p.text();
  EXPECT_EQ(count_named(p, "own:batch_norm_backward+gate"), 1U) << p.text();
  expect_learns_the_same(g);
}

TEST(Absorb, WhatOthersReadIsWritten) {
  Graph g("shown");
  const Value normed = batch_norm(plain_conv(input(g, "x", f32(4, 8, 8, 3)), 8));
  g.output("normed", normed);
  finish(g, relu(normed));
  const Program p = compile(g, options(1));
  EXPECT_EQ(count_named(p, "own:batch_norm_training"), 1U) << p.text();
  EXPECT_EQ(count_with(p, "batch_norm_training+"), 0U) << p.text();
  expect_learns_the_same(g);
}

TEST(Absorb, ASumThatWaitsForTheStatisticsStaysBehindTheNorm) {
  Graph g("round");
  const Value x = input(g, "x", f32(4, 6, 6, 8)), w = variable(g, "w", f32(3, 3, 8, 8));
  const BatchNormed normed = batch_norm_training(x, variable(g, "gamma", f32(8)), variable(g, "beta", f32(8)));
  const Value other = conv2d(x - normed.mean, w, {.padding = "same"});
  g.output("y", relu(normed.y + other));
  Program p = compile(g, options(1)), plain = compile(g, options(1, false));
  EXPECT_EQ(count_with(p, "batch_norm_training+"), 0U) << p.text();
  for (Program* each : {&p, &plain}) {
    fill(*each);
    each->run();
  }
  const auto got = p.fetch("y").numbers(), want = plain.fetch("y").numbers();
  for (std::size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-5);
}

TEST(Absorb, AddsWithoutRelu) {
  Graph g("sum");
  const Value x = input(g, "x", f32(4, 8, 8, 8));
  finish(g, batch_norm(plain_conv(x, 8)) + x);
  const Program p = compile(g, options(1));
  EXPECT_EQ(count_named(p, "own:batch_norm_training+add"), 1U) << p.text();
  expect_learns_the_same(g);
}

}  // namespace
}  // namespace thalweg::testing
