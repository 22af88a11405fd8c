// SPDX-License-Identifier: Apache-2.0
// The table of layers: parameters and operations against numbers counted by hand.
#include <gtest/gtest.h>

#include "thalweg/thalweg.h"

namespace thalweg {
namespace {

TEST(Summary, CountsADenseLayerByHand) {
  Graph g;
  const Value x = input(g, "x", f32(2, 5));
  g.output("y", dense(x, 3, {.name = "hidden"}));
  const Summary s = summary(g);
  ASSERT_EQ(s.rows.size(), 1U);
  EXPECT_EQ(s.rows[0].layer, "hidden");
  EXPECT_EQ(to_string(s.rows[0].output), "f32[2,3]");
  EXPECT_EQ(s.parameters, 5 * 3 + 3);
  EXPECT_EQ(s.flops, 2 * 2 * 5 * 3 + 2 * 3);  // the product, then the bias
}

TEST(Summary, CountsAConvolutionAndItsGradientsByHand) {
  Graph g;
  const Value x = input(g, "x", f32(2, 6, 6, 4));
  const Value w = variable(g, "w", f32(3, 3, 4, 8));
  const Value y = conv2d(x, w);
  const double forward = 2.0 * 2 * 4 * 4 * 8 * (3 * 3 * 4);
  EXPECT_EQ(flops(g, y.id().node), forward);
  const std::vector<Value> back = gradients(sum(y), {x, w});
  double heavy = 0;
  for (NodeId id = 0; id < g.size(); ++id)
    if (g.node(id).op->name.starts_with("conv2d_backward")) heavy += flops(g, id);
  EXPECT_EQ(back.size(), 2U);
  EXPECT_EQ(heavy, 2 * forward);
}

TEST(Summary, CountsGroupsAndTransposedProducts) {
  Graph g;
  const Value x = input(g, "x", f32(1, 4, 4, 6));
  const Value y = conv2d(x, variable(g, "w", f32(1, 1, 3, 8)), {.groups = 2});
  EXPECT_EQ(flops(g, y.id().node), 2.0 * 16 * 8 * 3);
  const Value a = input(g, "a", f32(7, 5));
  const Value z = matmul(a, variable(g, "b", f32(7, 3)), {.ta = true});
  EXPECT_EQ(flops(g, z.id().node), 2.0 * 5 * 3 * 7);
}

TEST(Summary, LeavesGradientsAndUpdatesOut) {
  Graph g;
  const Value x = input(g, "x", f32(2, 5));
  const Value t = input(g, "t", i32(2));
  const Value y = dense(batch_norm(x), 3);
  const std::size_t before = summary(g).rows.size();
  const Value loss = mean(sparse_cross_entropy(y, t));
  const std::size_t with_loss = summary(g).rows.size();
  minimize(loss, Adam{});
  const Summary s = summary(g);
  EXPECT_GT(with_loss, before);
  EXPECT_EQ(s.rows.size(), with_loss);
  EXPECT_EQ(s.parameters, 5 + 5 + 5 * 3 + 3);
  EXPECT_EQ(s.fixed_parameters, 10);  // running mean and variance
  EXPECT_GT(flops(g), 2 * s.flops);
  EXPECT_NE(s.text().find("28 trainable, 10 not"), std::string::npos) << s.text();
}

TEST(Summary, NumbersAreGroupedByThousands) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1000), "1,000");
  EXPECT_EQ(with_commas(-1234567), "-1,234,567");
}

}  // namespace
}  // namespace thalweg
