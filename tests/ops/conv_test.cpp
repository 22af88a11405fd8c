// SPDX-License-Identifier: Apache-2.0
// Matrix products, convolutions and pooling: padding, attributes out of their range, ties, NaN and border cases.
#include <cmath>
#include <limits>

#include "run.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/ops/conv.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/pool.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg::testing {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

std::vector<double> counted(Dim count) {
  std::vector<double> list(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < list.size(); ++i) list[i] = static_cast<double>(i * 7 % 11) - 5;
  return list;
}

// ---- matmul

TEST(Matmul, TransposesMeanTheSameProduct) {
  Graph g;
  const Value a = input(g, "a", f64(2, 3)), at = input(g, "at", f64(3, 2));
  const Value b = input(g, "b", f64(3, 2)), bt = input(g, "bt", f64(2, 3));
  const std::vector<Value> same = {matmul(a, b), matmul(at, b, {.ta = true}), matmul(a, bt, {.tb = true}),
                                   matmul(at, bt, {.ta = true, .tb = true})};
  const auto run = evaluated(g, {{"a", {1, 2, 3, 4, 5, 6}}, {"at", {1, 4, 2, 5, 3, 6}}, {"b", {7, 8, 9, 10, 11, 12}},
                                 {"bt", {7, 9, 11, 8, 10, 12}}});
  for (const Value& y : same) EXPECT_EQ(run.at(y).data, (std::vector<double>{58, 64, 139, 154}));
}

TEST(Matmul, BatchAxesBroadcast) {
  Graph g;
  const Value y = matmul(input(g, "a", f64(4, 1, 2, 3)), input(g, "b", f64(5, 3, 2)));
  EXPECT_EQ(y.type(), f64(4, 5, 2, 2));
  const auto run = evaluated(g, {{"a", counted(24)}, {"b", counted(30)}});
  const auto a = counted(24), b = counted(30);
  const auto at = [](Dim i) { return static_cast<std::size_t>(i); };
  for (Dim i = 0; i < 4; ++i)
    for (Dim j = 0; j < 5; ++j)
      for (Dim r = 0; r < 2; ++r)
        for (Dim c = 0; c < 2; ++c) {
          double sum = 0;
          for (Dim k = 0; k < 3; ++k) sum += a[at((i * 2 + r) * 3 + k)] * b[at((j * 3 + k) * 2 + c)];
          EXPECT_EQ(run.at(y)[at(((i * 5 + j) * 2 + r) * 2 + c)], sum);
        }
}

/// A batch that meets one matrix is one long product in the gradient, not many that are then summed.
TEST(Matmul, GradientOfASharedMatrixIsOneProduct) {
  Graph g;
  const Value a = input(g, "a", f64(5, 4, 3)), b = input(g, "b", f64(3, 2));
  const Value db = gradients(sum(matmul(a, b)), {b})[0];
  EXPECT_EQ(db.node().op->name, "matmul");
  EXPECT_EQ(db.type(), b.type());
  const auto run = evaluated(g, {{"a", counted(60)}, {"b", counted(6)}});
  std::vector<double> columns(3);
  for (std::size_t i = 0; i < 60; ++i) columns[i % 3] += counted(60)[i];
  EXPECT_EQ(run.at(db).data, (std::vector<double>{columns[0], columns[0], columns[1], columns[1], columns[2], columns[2]}));
}

TEST(Matmul, Errors) {
  Graph g;
  const Value a = input(g, "a", f32(64, 128)), b = input(g, "b", f32(784, 128)), v = input(g, "v", f32(128));
  const Value d = input(g, "d", f64(128, 2)), batch3 = input(g, "p", f32(3, 2, 2)), batch2 = input(g, "q", f32(2, 2, 2));
  const std::string inner = thrown<GraphError>([&] { matmul(a, b); });
  EXPECT_EQ(inner.substr(0, inner.find('\n')), "HERE: matmul: inner dimensions differ: 128 and 784");
  EXPECT_NE(inner.find("f32[64,128]"), std::string::npos) << inner;
  EXPECT_NE(inner.find("f32[784,128]"), std::string::npos) << inner;
  EXPECT_NE(thrown<GraphError>([&] { matmul(a, v); }).find("an operand must have at least 2 axes, is f32[128]"),
            std::string::npos);
  EXPECT_NE(thrown<GraphError>([&] { matmul(a, d); }).find("dtypes differ: f32 and f64"), std::string::npos);
  EXPECT_NE(thrown<GraphError>([&] { matmul(batch3, batch2); }).find("HERE: matmul: "), std::string::npos);
}

// ---- conv2d

TEST(Conv2d, SizesFollowThePadding) {
  Graph g;
  const Value x = input(g, "x", f32(2, 7, 8, 4)), w = input(g, "w", f32(3, 3, 4, 6));
  EXPECT_EQ(conv2d(x, w).type(), f32(2, 5, 6, 6));
  EXPECT_EQ(conv2d(x, w, {.padding = "same"}).type(), f32(2, 7, 8, 6));
  EXPECT_EQ(conv2d(x, w, {.strides = 2, .padding = "same"}).type(), f32(2, 4, 4, 6));
  EXPECT_EQ(conv2d(x, w, {.strides = {2, 3}}).type(), f32(2, 3, 2, 6));
  EXPECT_EQ(conv2d(x, w, {.dilation = {3, 1}}).type(), f32(2, 1, 6, 6));
  EXPECT_EQ(conv2d(x, w, {.pads = {1, 0, 2, 3}}).type(), f32(2, 6, 11, 6));
  EXPECT_EQ(conv2d(x, input(g, "grouped", f32(3, 3, 1, 8)), {.groups = 4}).type(), f32(2, 5, 6, 8));
}

/// Each gradient op is the transpose of the convolution in one operand: <dy, conv(x, w)> read in three directions.
TEST(Conv2d, TheThreeOpsAreOneTrilinearForm) {
  const Conv2dOptions options{.strides = {2, 1}, .dilation = {1, 2}, .pads = {1, 2, 0, 1}, .groups = 2};
  Graph g;
  const Value x = input(g, "x", f64(2, 5, 6, 4)), w = input(g, "w", f64(3, 2, 2, 6));
  const Value y = conv2d(x, w, options);
  const Value dy = input(g, "dy", y.type());
  const Value forms[] = {sum(dy * y), sum(x * conv2d_backward_data(dy, w, x.type(), options)),
                         sum(w * conv2d_backward_weights(x, dy, w.type(), options))};
  const auto run = evaluated(g, {{"x", counted(240)}, {"w", counted(72)}, {"dy", counted(y.type().elements())}});
  EXPECT_NE(run.at(forms[0])[0], 0);
  EXPECT_EQ(run.at(forms[1])[0], run.at(forms[0])[0]);
  EXPECT_EQ(run.at(forms[2])[0], run.at(forms[0])[0]);
}

TEST(Conv2d, GroupsSeeTheirOwnChannelsOnly) {
  Graph g;
  const Value y = conv2d(input(g, "x", f64(1, 1, 1, 4)), input(g, "w", f64(1, 1, 2, 2)), {.groups = 2});
  const auto run = evaluated(g, {{"x", {1, 10, 100, 1000}}, {"w", {1, 2, 3, 4}}});
  EXPECT_EQ(run.at(y).data, (std::vector<double>{1 * 1 + 10 * 3, 100 * 2 + 1000 * 4}));
}

TEST(Conv2d, Errors) {
  Graph g;
  const Value x = input(g, "x", f32(1, 5, 5, 4)), w = input(g, "w", f32(3, 3, 4, 6));
  const auto fact = [&](const Conv2dOptions& options) {
    const std::string text = thrown<GraphError>([&] { conv2d(x, w, options); });
    return text.substr(0, text.find('\n'));
  };
  EXPECT_EQ(fact({.strides = 0}), "HERE: conv2d: attribute strides is [0,0], must be at least 1");
  EXPECT_EQ(fact({.strides = {1, -2}}), "HERE: conv2d: attribute strides is [1,-2], must be at least 1");
  EXPECT_EQ(fact({.dilation = 0}), "HERE: conv2d: attribute dilation is [0,0], must be at least 1");
  EXPECT_EQ(fact({.padding = "full"}),
            "HERE: conv2d: attribute padding is 'full', must be one of valid|same|explicit");
  EXPECT_EQ(fact({.pads = {1, 1, -1, 1}}), "HERE: conv2d: attribute pads is [1,1,-1,1], must be at least 0");
  EXPECT_EQ(fact({.pads = {1, 1}}),
            "HERE: conv2d: padding=explicit needs pads [top,bottom,left,right], got [1,1]");
  EXPECT_EQ(fact({.padding = "same", .pads = {1, 1, 1, 1}}),
            "HERE: conv2d: attribute pads is [1,1,1,1], which only padding=explicit reads, not padding=same");
  EXPECT_EQ(fact({.dilation = 3}),
            "HERE: conv2d: a window of height 7 (dilation included) is larger than the padded input of 5");
  EXPECT_EQ(fact({.dilation = Dim{1} << 40}),
            "HERE: conv2d: dilation is 1099511627776, must be at most 1073741824");
  const std::string huge = thrown<GraphError>([&] {
    conv2d(x, input(g, "huge", f32((Dim{1} << 34) + 1, 1, 4, 1)), {.dilation = {Dim{1} << 30, 1}});
  });
  EXPECT_EQ(huge.substr(0, huge.find('\n')),
            "HERE: conv2d: the window's size is 17179869185, must be at most 1073741824");
  EXPECT_EQ(fact({.groups = 0}), "HERE: conv2d: attribute groups is 0, must be at least 1");
  EXPECT_EQ(fact({.groups = 3}), "HERE: conv2d: groups=3 does not divide the 4 channels of the input");
  EXPECT_EQ(fact({.groups = 4}),
            "HERE: conv2d: groups=4 does not divide the 6 output channels of the weights");
  EXPECT_EQ(fact({.groups = 2}), "HERE: conv2d: channels differ: the weights read 4, the input has 4 in 2 groups");
  const std::string flat = thrown<GraphError>([&] { conv2d(input(g, "flat", f32(5, 5, 4)), w); });
  EXPECT_EQ(flat.substr(0, flat.find('\n')), "HERE: conv2d: the input must have 4 axes, is f32[5,5,4]");
  const std::string other = thrown<GraphError>([&] { conv2d_backward_data(w, w, x.type()); });
  EXPECT_EQ(other.substr(0, other.find('\n')),
            "HERE: conv2d_backward_data: the gradient must be of the convolution's type f32[1,3,3,6], is f32[3,3,4,6]");
}

// ---- pooling

TEST(Pool, StridesDefaultToTheWindow) {
  Graph g;
  const Value x = input(g, "x", f32(2, 7, 8, 3));
  EXPECT_EQ(max_pool(x, 2).type(), f32(2, 3, 4, 3));
  EXPECT_EQ(max_pool(x, 2, {.padding = "same"}).type(), f32(2, 4, 4, 3));
  EXPECT_EQ(avg_pool(x, {3, 2}, {.strides = 1}).type(), f32(2, 5, 7, 3));
  EXPECT_EQ(global_max_pool(x).type(), f32(2, 3));
  EXPECT_EQ(global_avg_pool(x).type(), f32(2, 3));
}

TEST(Pool, PaddingNeverWinsAndNanAlwaysDoes) {
  Graph g;
  const Value x = input(g, "x", f64(1, 1, 5, 1));
  const Value y = max_pool(x, {1, 3}, {.strides = 1, .padding = "same"});
  const Value dx = gradients(sum(y), {x})[0];
  const auto negative = evaluated(g, {{"x", {-3, -1, -4, -1, -5}}});
  EXPECT_EQ(negative.at(y).data, (std::vector<double>{-1, -1, -1, -1, -1}));
  EXPECT_EQ(negative.at(dx).data, (std::vector<double>{0, 3, 0, 2, 0}));  // the tie goes to the first
  const auto broken = evaluated(g, {{"x", {1, 2, nan, 4, 5}}});
  EXPECT_EQ(broken.at(y)[0], 2);
  for (const std::size_t k : {1U, 2U, 3U}) EXPECT_TRUE(std::isnan(broken.at(y)[k])) << k;
  EXPECT_EQ(broken.at(y)[4], 5);
  EXPECT_EQ(broken.at(dx).data, (std::vector<double>{0, 1, 3, 0, 1}));
}

TEST(Pool, AMeanDividesByWhatItSees) {
  Graph g;
  const Value x = input(g, "x", f64(1, 2, 2, 1));
  const Value seen = avg_pool(x, 3, {.strides = 1, .pads = {1, 1, 1, 1}});
  const Value whole = avg_pool(x, 3, {.strides = 1, .pads = {1, 1, 1, 1}, .count_include_pad = true});
  const auto run = evaluated(g, {{"x", {1, 2, 3, 6}}});
  expect_close(run.at(seen).data, {3, 3, 3, 3});
  expect_close(run.at(whole).data, {12 / 9.0, 12 / 9.0, 12 / 9.0, 12 / 9.0});
}

TEST(Pool, EveryOrderOfDerivativeCloses) {
  Graph g;
  const Value x = input(g, "x", f64(1, 4, 4, 2));
  const Value y = max_pool(x, 2, {.strides = 1});
  const Value dx = gradients(sum(y * y), {x})[0];
  const Value ddx = gradients(sum(dx * dx), {x})[0];
  const Value dddx = gradients(sum(ddx * x), {x})[0];
  const auto run = evaluated(g, {{"x", counted(32)}});
  // dx = 2 c x with c the number of windows an element wins; so ddx = 8 c^2 x and dddx = 16 c^2 x.
  for (std::size_t i = 0; i < 32; ++i) {
    const double at = counted(32)[i], c = at == 0 ? 0 : run.at(dx)[i] / (2 * at);
    EXPECT_NEAR(run.at(ddx)[i], 8 * c * c * at, 1e-12);
    EXPECT_NEAR(run.at(dddx)[i], 16 * c * c * at, 1e-12);
  }
}

/// A transposed convolution is the gradient of the convolution of its result, and has the sizes that Keras and torch
/// give.
TEST(ConvTranspose, IsTheTransposeAndHasTheirSizes) {
  struct Row { ConvTranspose2dOptions options; Dim n, k, out; };
  const std::vector<Row> rows = {
      {{.strides = 2}, 4, 3, 9}, {{.strides = 3}, 4, 2, 12}, {{.strides = 2, .padding = "same"}, 4, 3, 8},
      {{.strides = 2, .dilation = 2}, 3, 3, 9},
      {{.strides = 2, .output_padding = {1}}, 4, 3, 10},
      {{.strides = 2, .pads = {1, 1, 1, 1}}, 4, 3, 7},
      {{.strides = 2, .pads = {1, 1, 1, 1}, .output_padding = {1}}, 4, 3, 8},
      {{.strides = 3, .dilation = 2, .pads = {1, 1, 1, 1}, .output_padding = {2}}, 4, 2, 12}};
  for (const Row& row : rows) {
    Graph g;
    const Value x = input(g, "x", f64(1, row.n, row.n, 2)), w = input(g, "w", f64(row.k, row.k, 3, 2));
    const Value y = conv2d_transpose(x, w, row.options);
    EXPECT_EQ(y.type(), f64(1, row.out, row.out, 3));
    // <y, z> = <x, conv2d(z)> for every z.
    const Value z = input(g, "z", y.type());
    const Value back = conv2d(z, w, {.strides = row.options.strides, .dilation = row.options.dilation,
                                     .padding = row.options.padding, .pads = row.options.pads});
    ASSERT_EQ(back.type(), x.type());
    const Value left = sum(y * z), right = sum(x * back);
    const auto list = [](const Value& v) { return counted(v.type().elements()); };
    const auto run = evaluated(g, {{"x", list(x)}, {"w", list(w)}, {"z", list(z)}});
    EXPECT_NEAR(run.at(left)[0], run.at(right)[0], 1e-9 * std::fabs(run.at(right)[0]));
    EXPECT_NE(run.at(left)[0], 0);
  }
}

TEST(Pool, Errors) {
  Graph g;
  const Value x = input(g, "x", f32(1, 5, 5, 4));
  const auto fact = [&](Extent window, const PoolOptions& options) {
    const std::string text = thrown<GraphError>([&] { avg_pool(x, window, options); });
    return text.substr(0, text.find('\n'));
  };
  EXPECT_EQ(fact(0, {}), "HERE: avg_pool: attribute window is [0,0], must be at least 1");
  EXPECT_EQ(fact(2, {.strides = 0}), "HERE: avg_pool: attribute strides is [0,0], must be at least 1");
  EXPECT_EQ(fact(6, {}),
            "HERE: avg_pool: a window of height 6 (dilation included) is larger than the padded input of 5");
  EXPECT_EQ(fact(2, {.pads = {2, 0, 0, 0}}),
            "HERE: avg_pool: a padding of 2 hides the window of 2: pads must be smaller than the window");
  const std::string counting = thrown<GraphError>([&] { max_pool(x, 2, {.count_include_pad = true}); });
  EXPECT_EQ(counting, "HERE: max_pool: count_include_pad is an option of avg_pool; padding never wins a maximum");
}

}  // namespace
}  // namespace thalweg::testing
