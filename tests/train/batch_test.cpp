// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <functional>

#include "models.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/dce.h"
#include "thalweg/lib/train/with_batch.h"

namespace thalweg {
namespace {

using testing::finish;

/// The text without lines of the user's, which differ between two builds of one model only by accident.
std::string plain(const Graph& graph) {
  Graph copy = graph.clone();
  dce(copy);
  return print(copy);
}

/// A model written for `from` and brought to `to` must be the model written for `to`.
void expect_follows(const std::function<Graph(Dim)>& model, Dim from, Dim to) {
  SCOPED_TRACE(::testing::Message() << from << " -> " << to);
  EXPECT_EQ(plain(with_batch(model(from), to)), plain(model(to)));
}

void expect_follows(const std::function<Graph(Dim)>& model) {
  expect_follows(model, 64, 7);
  expect_follows(model, 5, 64);
  expect_follows(model, 12, 1);
}

TEST(WithBatch, Mlp) {
  expect_follows([](Dim n) { return testing::mlp(n); });
}

TEST(WithBatch, LayersAsWideAsTheBatch) {
  // Variables, their penalties and moments of [64,64] and [64] look like batches of 64 and are none.
  expect_follows([](Dim n) {
    Graph g("wide");
    const Value x = input(g, "x", f32(n, 64)), t = input(g, "t", i32(n));
    finish(g, dense(relu(dense(x, 64)), 64), t, Sgd{.rate = 0.1, .momentum = 0.9}, {.penalty = l2(1e-4)});
    return g;
  });
}

TEST(WithBatch, ConvolutionsAndPooling) {
  expect_follows([](Dim n) {
    Graph g("cnn");
    const Value x = input(g, "x", f32(n, 8, 8, 1)), t = input(g, "t", i32(n));
    Value h = max_pool(relu(conv(x, 12, 3)), 2);
    h = avg_pool(relu(conv(h, 5, 2)), 2);
    finish(g, dense(flatten(h), 10), t, Adam{});
    return g;
  });
}

TEST(WithBatch, Dropout) {
  expect_follows([](Dim n) {
    Graph g("dropout");
    const Value x = input(g, "x", f32(n, 64)), t = input(g, "t", i32(n));
    finish(g, dense(dropout(relu(dense(x, 64)), 0.3), 3), t, Adam{}, {.penalty = l2(1e-4)});
    return g;
  });
}

TEST(WithBatch, BatchNormInBothConventions) {
  for (const Convention convention : {Convention::keras, Convention::torch})
    expect_follows([convention](Dim n) {
      Graph g("norm");
      const Value x = input(g, "x", f32(n, 4, 4, 3)), t = input(g, "t", i32(n));
      const Value h = batch_norm(conv(x, 5, 3), {.convention = convention});
      finish(g, dense(flatten(relu(h)), 3), t, Sgd{.rate = 0.1});
      return g;
    }, 64, 7);
}

TEST(WithBatch, MeansOverEverythingAndOverParts) {
  expect_follows([](Dim n) {
    Graph g("means");
    const Value x = input(g, "x", f32(n, 6)), t = input(g, "t", f32(n, 6));
    const Value y = dense(x, 6);
    const Value loss = mean(mse(y, t)) + mean(square(mean(y, {.axes = {0}}))) + mean(square(mean(y, {.axes = {1}})));
    g.output("loss", loss);
    minimize(loss, Sgd{.rate = 0.1});
    return g;
  }, 64, 7);
}

/// The mean over all samples as a net of its own; `user` is how it is written.
Graph line(Dim n, const std::function<Value(const Value&)>& user) {
  Graph g("line");
  const Value x = input(g, "x", f32(n, 3)), t = input(g, "t", f32(n, 1));
  const Value loss = user(sum(square(dense(x, 1) - t), {.axes = {1}}));
  g.output("loss", loss);
  minimize(loss, Sgd{.rate = 0.1});
  return g;
}

TEST(WithBatch, ANumberOfTheUsersStaysInTheGradientToo) {
  const auto user = [](const Value& l) { return sum(l) / 64.0; };
  EXPECT_EQ(plain(with_batch(line(64, user), 7)), plain(line(7, user)));
  // On one line with a mean, too: only the mean follows.
  const auto both = [](const Value& l) { return sum(l) / 64.0 + mean(l); };
  EXPECT_EQ(plain(with_batch(line(64, both), 7)), plain(line(7, both)));
}

TEST(WithBatch, MeansAsLongAsTheBatch) {
  expect_follows([](Dim n) {
    Graph g("columns");
    const Value x = input(g, "x", f32(n, 8));
    const Value y = dense(x, 64);
    const Value loss = sum(square(mean(y, {.axes = {0}}))) + sum(square(mean(y, {.axes = {-1}})));
    g.output("loss", loss);
    minimize(loss, Sgd{.rate = 0.1});
    return g;
  }, 64, 7);
}

TEST(WithBatch, SecondDerivativesThroughNorms) {
  expect_follows([](Dim n) {
    Graph g("penalty");
    const Value x = input(g, "x", f32(n, 3));
    const Value h = dense(x, 5);
    const Value y = batch_norm(h);
    const Value slope = gradients(sum(square(y)), {x}).front();
    const Value loss = mean(sum(square(slope), {.axes = {1}}));
    g.output("loss", loss);
    minimize(loss, Sgd{.rate = 0.1});
    return g;
  }, 64, 7);
}

TEST(WithBatch, SaysWhatItCannotDo) {
  Graph g("part");
  const Value x = input(g, "x", f32(8, 4));
  g.output("y", slice(x, {0, 0}, {4, 4}, {1, 1}));
  try {
    with_batch(g, 6);
    FAIL() << "no error";
  } catch (const GraphError& error) {
    EXPECT_NE(std::string(error.what()).find("with_batch: slice cannot follow from batch 8 to 6: it takes a part of "
                                             "the batch"), std::string::npos) << error.what();
  }
  EXPECT_THROW(with_batch(g, 0), GraphError);
  Graph two("two");
  input(two, "x", f32(8, 4));
  input(two, "t", f32(9, 4));
  EXPECT_THROW(batch_of(two), GraphError);
  EXPECT_THROW(batch_of(Graph("none")), GraphError);
}

TEST(WithBatch, LeavesTheGraphAlone) {
  const Graph g = testing::mlp(16);
  const std::string before = print(g);
  const Graph other = with_batch(g, 3);
  EXPECT_EQ(print(g), before);
  EXPECT_EQ(batch_of(other), 3);
  EXPECT_EQ(batch_of(with_batch(g, 16)), 16);
}

}  // namespace
}  // namespace thalweg
