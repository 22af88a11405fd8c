// SPDX-License-Identifier: Apache-2.0
// What oneDNN mended after 2.6.3 in code that is called here: a test for each commit, named by it. Each computes shapes of
// the kind that the commit is about, with their gradients, on one thread and on two, and compares with the meaning. Under
// ONEDNN_MAX_CPU_ISA they run on each instruction set.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/cases.h"
#include "tests/compile/run.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
#include "thalweg/ops/conv.h"
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
#include "thalweg/optim/minimize.h"
#include "thalweg/optim/sgd.h"

namespace thalweg::testing {
namespace {

/// What a graph of these arguments computes agrees with its meaning, and so do its gradients. Where numbers are whole,
/// long sums are exact too.
void expect_right(const std::vector<TensorType>& args, const std::function<Value(std::span<const Value>)>& build,
                  double low = -1, double high = 1, bool whole = false) {
  Graph g("later");
  std::vector<Value> values;
  Bounds::Feeds feeds;
  Numbers random(5);
  const auto feed = [&](const Value& v, double from, double to) {
    Array<double> numbers = random.array(v.shape(), from, to);
    for (double& x : numbers.data) x = whole ? std::round(x) : static_cast<float>(x);
    feeds.emplace(g.node(v.id().node).name, std::move(numbers));
  };
  for (std::size_t i = 0; i < args.size(); ++i) {
    values.push_back(input(g, "a" + std::to_string(i), args[i]));
    feed(values.back(), low, high);
  }
  const Value y = build(values);
  g.output("y", y);
  const Value seed = input(g, "seed", y.type());
  feed(seed, -1, 1);
  const std::vector<Value> slopes = gradients(y, values, {.allow_unconnected = true, .seed = seed});
  for (std::size_t i = 0; i < slopes.size(); ++i) g.output("g" + std::to_string(i), slopes[i]);
  const Bounds bounds(g, feeds);
  for (const int threads : {1, 2}) {
    Program program = compile(g, {.logical_threads = threads, .variables = Variables()});
    set_all(program, feeds);
    program.run();
    EXPECT_EQ(departure(program, bounds), "") << threads << " threads\n" << print(g);
  }
}

constexpr std::array<Dim, 11> around_vectors{1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 65};

std::vector<double> computed(const Graph& g, const std::string& name, std::vector<double> x) {
  Program program = compile(g, {.logical_threads = 1, .variables = Variables()});
  program.feed("x", Tensor(program.input_type("x"), std::move(x)));
  program.run();
  return program.fetch(name).numbers();
}

TEST(LaterFixes, LogOfOneIsZero_8cef5f8f5e) {
  Graph g("log");
  const Value x = input(g, "x", f32(3, 3));
  g.output("log", log(x));
  g.output("log_softmax", log_softmax(x));
  g.output("loss", sparse_cross_entropy(x, constant(g, std::vector<double>{0, 1, 2}, i32(3))));
  for (const double y : computed(g, "log", std::vector<double>(9, 1))) EXPECT_EQ(y, 0);
  const std::vector<double> sure{1000, 0, -1000, -50, 50, 0, 0, 0, 200};
  for (const double y : computed(g, "log_softmax", sure)) EXPECT_LE(y, 0);
  for (const double loss : computed(g, "loss", sure)) EXPECT_GE(loss, 0);
}

TEST(LaterFixes, LogOfInfinityAndNaN_13471a8620) {
  Graph g("log");
  g.output("y", log(input(g, "x", f32(5))));
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> y = computed(g, "y", {infinity, 0, -1, std::nan(""), 1e-42});
  EXPECT_EQ(y[0], infinity);
  EXPECT_EQ(y[1], -infinity);
  EXPECT_TRUE(std::isnan(y[2]) && std::isnan(y[3]));
  EXPECT_NEAR(y[4], std::log(static_cast<double>(1e-42F)), 1e-4);
}

TEST(LaterFixes, ElementwiseOnAvx_62fcd7e50c_AndOfRankOne_e7e994a5ed) {
  for (const Dim n : around_vectors)
    expect_right({f32(n)}, [](std::span<const Value> a) {
      const Value x = a[0];
      return tanh(x) + sigmoid(x) * gelu(x) + elu(x) + exp(x) * softplus(x) + silu(x) + relu(x) * abs(x);
    }, -4, 4);
}

TEST(LaterFixes, LayerNormOnSse41_551b027f6d) {
  for (const Dim n : around_vectors)
    expect_right({f32(5, n), f32(n), f32(n)}, [](std::span<const Value> a) { return layer_norm(a[0], a[1], a[2], 1e-2); });
}

TEST(LaterFixes, PaddingOfMaxPooling_262425f949) {
  // Padding must not win where all numbers are below 0.
  for (const Dim channels : {1, 8, 20})
    expect_right({f32(2, 7, 7, channels)},
                 [](std::span<const Value> a) { return max_pool(a[0], 3, {.strides = 2, .pads = {1, 1, 1, 1}}); }, -9, -1);
}

TEST(LaterFixes, PoolingBackwardByBlocksOfChannels_91d0304edb) {
  for (const Dim channels : {1, 5, 8, 16, 24, 40, 65, 80}) {
    expect_right({f32(2, 6, 6, channels)}, [](std::span<const Value> a) { return max_pool(a[0], 2, {.strides = 2}); });
    expect_right({f32(2, 6, 6, channels)}, [](std::span<const Value> a) { return avg_pool(a[0], 3, {.strides = 1}); });
  }
}

TEST(LaterFixes, LayoutsThatAreChanged_aa9426c2b3) {
  for (const Dim n : {1, 3, 16, 17, 33})
    expect_right({f32(n, 5, 7, 4), f32(35 * n, 6)}, [n](std::span<const Value> a) {
      return matmul(reshape_to(transpose(a[0], {3, 1, 0, 2}), Shape{4, 35 * n}), a[1]);
    });
}

/// The bits of what a net has learned in three steps.
std::string learned() {
  Graph g("net");
  Numbers random(3);
  const Value x = input(g, "x", f32(8, 12, 12, 3));
  const Value h = max_pool(relu(conv(x, 16, 3, {.padding = "same"})), 2);
  const Value loss = mean(square(dense(flatten(conv(h, 40, 3)), 7)));
  minimize(loss, Sgd{.rate = 0.1});
  Program program = compile(g, {.logical_threads = 2, .variables = Variables()});
  program.feed("x", Tensor(x.type(), random.array(x.shape()).data));
  for (int step = 0; step < 3; ++step) program.run();
  std::string bits;
  for (const std::string& name : program.variables().names()) {
    const Tensor value = program.variables().at(name);
    bits.append(static_cast<const char*>(value.data()), value.bytes());
  }
  return bits;
}

TEST(LaterFixes, KernelsThatAreMadeInParallel_c67bd97789) {
  const std::string expected = learned();
  std::array<std::string, 3> bits;
  {
    std::vector<std::jthread> all;
    for (std::string& one : bits)
      all.emplace_back([&one] {
        for (int i = 0; i < 3; ++i) one = learned();
      });
  }
  for (const std::string& one : bits) EXPECT_TRUE(one == expected);
}

TEST(LaterFixes, TailsOfTheGradientOfWeights_caead724fc_73bfaef8e8) {
  for (const Dim n : around_vectors)
    for (const Dim k : {1, 17, 33, 130})
      expect_right({f32(19, k), f32(k, n), f32(n)}, [](std::span<const Value> a) { return matmul(a[0], a[1]) + a[2]; });
}

TEST(LaterFixes, ProductsBeyondTheirLastBlock_2c0a6193ab_2655b3aa09_OfOneRow_d891dd6e83) {
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      for (const Dim m : {1, 2, 63, 65})
        for (const Dim n : {1, 47, 64, 129})
          expect_right({ta ? f32(70, m) : f32(m, 70), tb ? f32(n, 70) : f32(70, n)},
                       [=](std::span<const Value> a) { return matmul(a[0], a[1], {.ta = ta, .tb = tb}); });
}

TEST(LaterFixes, BuffersOfLongSums_14a472515e) {
  for (const Dim k : {1023, 3000})
    expect_right({f32(k, 33), f32(k, 20)}, [](std::span<const Value> a) { return matmul(a[0], a[1], {.ta = true}); },
                 -4, 4, true);
}

TEST(LaterFixes, ProductsWithBroadcastBatches_fc9c027007) {
  expect_right({f32(3, 5, 6), f32(6, 9)}, [](std::span<const Value> a) { return matmul(a[0], a[1]); });
  expect_right({f32(2, 1, 5, 6), f32(3, 6, 9)}, [](std::span<const Value> a) { return matmul(a[0], a[1]); });
  expect_right({f32(4, 9), f32(4, 1), f32(9)}, [](std::span<const Value> a) { return a[0] * a[1] + a[2]; });
}

/// A convolution of these channels, with its bias and a relu.
void expect_right_conv(Dim side, Dim in, Dim out, Extent window, const Conv2dOptions& options) {
  expect_right({f32(3, side, side, in), f32(window.height, window.width, in / options.groups, out), f32(out)},
               [&](std::span<const Value> a) { return relu(conv2d(a[0], a[1], options) + a[2]); });
}

TEST(LaterFixes, OffsetsInConvolutionsOnAvx2_3a71229914) {
  for (const Dim channels : {8, 17, 40})
    expect_right_conv(11, channels, 24, {3, 5}, {.strides = {2, 1}, .padding = "same"});
}

TEST(LaterFixes, ManyChannelsIn1x1Convolutions_2ba25236bc) {
  for (const auto& [in, out] : {std::pair<Dim, Dim>{512, 8}, {8, 512}, {160, 160}})
    expect_right_conv(4, in, out, {1, 1}, {});
}

TEST(LaterFixes, GradientsOfWeightsThatHung_bd9f8be956_WithStrides_82cb7d37f8) {
  for (const Dim stride : {1, 2, 3})
    for (const Dim side : {7, 14}) {
      expect_right_conv(side, 32, 32, {3, 3}, {.strides = stride, .padding = "same"});
      expect_right_conv(side, 16, 48, {1, 1}, {.strides = stride});
    }
}

TEST(LaterFixes, StridesOfWhatIsSliced_1c4b7215bb) {
  expect_right({f32(9, 20), f32(5, 8)}, [](std::span<const Value> a) {
    return matmul(slice(a[0], {1, 3}, {9, 18}, {2, 3}), a[1]);
  });
  expect_right({f32(6, 10), f32(6, 3)}, [](std::span<const Value> a) {
    return matmul(transpose(slice(a[0], {0, 2}, {6, 7})), a[1]);
  });
}

}  // namespace
}  // namespace thalweg::testing
