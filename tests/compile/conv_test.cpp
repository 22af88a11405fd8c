// SPDX-License-Identifier: Apache-2.0
// Convolutions and their gradients on whole numbers, where f32 is exact: a difference of 0 is the bound. Run under each
// ONEDNN_MAX_CPU_ISA, it finds the implementations of oneDNN that are wrong in some shapes.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/compile/run.h"
#include "tests/kernels/targets.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/kernels/lane_tiles.h"
#include "thalweg/lib/kernels/target.h"
#include "thalweg/lib/onednn/lower.h"
#include "thalweg/ops/conv.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg::testing {
namespace {

struct Shape2d {
  Dim batch, size, channels, filters, kernel, stride, groups;
  std::string_view padding;
};

Array<double> whole(const Shape& shape, std::size_t salt) {
  Array<double> a(shape);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<double>((i * 7 + salt * 3 + i / 5) % 9) - 4;
  return a;
}

/// Empty, or what differs. With `kernel`, also if no kernel of that name is in the first way.
std::string wrong_in(const Shape2d& s, std::string_view kernel = "") {
  Graph g("conv");
  const Value x = input(g, "x", f32(s.batch, s.size, s.size, s.channels));
  const Value w = input(g, "w", f32(s.kernel, s.kernel, s.channels / s.groups, s.filters));
  const Value y = conv2d(x, w, {.strides = s.stride, .padding = s.padding, .groups = s.groups});
  const Value dy = input(g, "dy", y.type());
  g.output("y", y);
  const std::vector<Value> slopes = gradients(y, {x, w}, {.seed = dy});
  g.output("dx", slopes[0]);
  g.output("dw", slopes[1]);
  const Bounds::Feeds feeds = {{"x", whole(x.shape(), 1)}, {"w", whole(w.shape(), 2)}, {"dy", whole(dy.shape(), 3)}};
  Interpreter exact(g);
  for (const auto& [name, numbers] : feeds) exact.set(name, numbers);
  exact.evaluate();
  struct Way {
    int threads;
    bool generate, layout;
  };
  for (const auto& [threads, generate, layout] :
       {Way{1, true, true}, {2, true, true}, {2, false, true}, {1, false, false}, {2, false, false}}) {
    CompileOptions options;
    options.logical_threads = threads;
    options.generate = generate;
    options.layout = layout;
    Program program = compile(g, options);
    if (generate && layout && fmt::format("{}", fmt::join(program.implementations(), " ")).find(kernel) == std::string::npos)
      return fmt::format("no {} among {}", kernel, fmt::join(program.implementations(), " "));
    set_all(program, feeds);
    program.run();
    for (const char* name : {"y", "dx", "dw"})
      if (program.fetch(name).numbers() != exact.output(name).data)
        return fmt::format("{} of n{} s{} c{} f{} k{} stride{} groups{} {} with {} threads: {}", name, s.batch, s.size,
                           s.channels, s.filters, s.kernel, s.stride, s.groups, s.padding, threads,
                           fmt::join(program.implementations(), " "));
  }
  return {};
}

TEST(Convolutions, AreExactOnWholeNumbers) {
  int count = 0;
  for (const Dim batch : {1, 3})
    for (const Dim size : {5, 8})
      for (const Dim channels : {1, 3, 8, 12, 16})
        for (const Dim filters : {1, 3, 8, 16, 20})
          for (const Dim kernel : {1, 3})
            for (const Dim stride : {1, 2})
              for (const std::string_view padding : {"valid", "same"}) {
                EXPECT_EQ(wrong_in({batch, size, channels, filters, kernel, stride, 1, padding}), "");
                ++count;
              }
  EXPECT_EQ(count, 800);
}

TEST(Convolutions, AreExactWhereImagesShareTiles) {
  on_every_target([] {
    EXPECT_EQ(wrong_in({13, 4, 16, 24, 3, 1, 1, "same"}), "");
    EXPECT_EQ(wrong_in({29, 5, 8, 40, 3, 1, 1, "valid"}), "");
    EXPECT_EQ(wrong_in({7, 9, 3, 80, 5, 2, 1, "same"}), "");
    EXPECT_EQ(wrong_in({3, 40, 72, 16, 2, 3, 1, "valid"}), "");
  });
}

TEST(Convolutions, AreExactWhereARowOfTapsIsOneRun) {
  on_every_target([] {
    for (const Dim stride : {1, 2}) {
      EXPECT_EQ(wrong_in({2, 9, 16, 16, 3, stride, 1, "same"}), "");
      EXPECT_EQ(wrong_in({1, 7, 16, 24, 5, stride, 1, "same"}), "");
      EXPECT_EQ(wrong_in({1, 6, 32, 56, 2, stride, 1, "same"}), "");
      EXPECT_EQ(wrong_in({1, 5, 64, 64, 3, stride, 1, "valid"}), "");
      EXPECT_EQ(wrong_in({1, 4, 72, 72, 3, stride, 1, "same"}), "");
    }
  });
}

TEST(Convolutions, AreExactWithFewChannelsAndWideWindows) {
  for (const auto& [channels, filters] : {std::pair<Dim, Dim>{1, 6}, {6, 16}, {2, 31}, {20, 4}})
    for (const Dim size : {12, 28})
      for (const Dim stride : {1, 2})
        for (const std::string_view padding : {"valid", "same"})
          EXPECT_EQ(wrong_in({17, size, channels, filters, 5, stride, 1, padding}), "");
}

/// Full lots of samples, and last ones that are not.
TEST(Convolutions, AreExactWithSamplesInLanes) {
  for (const Dim batch : {16, 30, 47})
    for (const auto& [channels, filters] :
         {std::pair<Dim, Dim>{1, 6}, {6, 16}, {3, 5}, {8, 24}, {2, 31}, {20, 4}, {1, 1}})
      for (const Dim kernel : {2, 3, 5})
        for (const Dim stride : {1, 2})
          for (const std::string_view padding : {"valid", "same"})
            EXPECT_EQ(wrong_in({batch, 6, channels, filters, kernel, stride, 1, padding}), "");
  EXPECT_EQ(wrong_in({64, 28, 1, 6, 5, 1, 1, "same"}), "");
  EXPECT_EQ(wrong_in({64, 14, 6, 16, 5, 1, 1, "valid"}), "");
}

/// What follows in the same kernel, and windows over more border than the usual. `name` is the kernel's, or empty.
void expect_ends(const Shape& x_shape, const Shape& w_shape, const std::string& name) {
  for (const std::string_view end : {"bias", "relu", "leaky_relu"}) {
    Graph g("conv");
    const Value x = input(g, "x", {DType::f32, x_shape}), w = input(g, "w", {DType::f32, w_shape});
    const Value b = input(g, "b", f32(w_shape[3]));
    const Value y = conv2d(x, w, {.strides = {2, 1}, .pads = {2, 0, 1, 1}}) + b;
    g.output("y", end == "bias" ? y : end == "relu" ? relu(y) : leaky_relu(y, 0.25));
    const Bounds::Feeds feeds = {{"x", whole(x.shape(), 1)}, {"w", whole(w.shape(), 2)}, {"b", whole(b.shape(), 3)}};
    Interpreter exact(g);
    for (const auto& [input_name, numbers] : feeds) exact.set(input_name, numbers);
    exact.evaluate();
    Program program = compile(g, {.logical_threads = 2});
    set_all(program, feeds);
    program.run();
    EXPECT_EQ(program.fetch("y").numbers(), exact.output("y").data) << end;
    if (name.empty()) continue;
    EXPECT_EQ(program.implementations().front(), name + "+bias" + (end == "bias" ? "" : "+" + std::string(end)));
  }
}

TEST(Convolutions, InLanesEndAsOthersDo) {
  expect_ends({32, 5, 7, 2}, {3, 2, 2, 6}, lane_tiles().lanes > 0 ? "own:lane_conv2d" : "");
}

/// Tiles written for AVX-512: whole vectors of outputs, rows that the border cuts off, images in several bands.
TEST(Convolutions, AreExactInWideTiles) {
  const std::string_view wide = may_write_avx512() ? "own:wide_conv2d" : "";
  for (const auto& [channels, filters] : {std::pair<Dim, Dim>{9, 16}, {16, 48}, {40, 16}, {16, 80}})
    for (const Dim size : {3, 8, 13})
      for (const Dim kernel : {1, 2, 3, 5})
        for (const Dim stride : {1, 2})
          for (const std::string_view padding : {"valid", "same"}) {
            if (kernel > size) continue;
            EXPECT_EQ(wrong_in({3, size, channels, filters, kernel, stride, 1, padding}, wide), "");
          }
  EXPECT_EQ(wrong_in({2, 40, 64, 32, 3, 1, 1, "same"}, wide), "");
  EXPECT_EQ(wrong_in({2, 41, 32, 32, 3, 2, 1, "same"}, wide), "");
  EXPECT_EQ(wrong_in({5, 20, 32, 256, 1, 1, 1, "same"}, wide), "");
}
TEST(Convolutions, InWideTilesEndAsOthersDo) {
  expect_ends({3, 9, 17, 24}, {3, 2, 24, 32}, may_write_avx512() ? "own:wide_conv2d" : "");
}
TEST(Convolutions, UseWideTilesWhereTheyWin) {
  if (!may_write_avx512()) GTEST_SKIP() << "without AVX-512";
  const auto kernels_of = [](Dim size, Dim channels, Dim filters, Dim kernel) {
    Graph g("conv");
    const Value x = input(g, "x", f32(8, size, size, channels)), w = input(g, "w", f32(kernel, kernel, channels, filters));
    const Value y = conv2d(x, w, {.padding = "same"});
    g.output("dx", gradients(y, {x}, {.seed = y})[0]);
    return fmt::format("{}", fmt::join(compile(g, {.logical_threads = 1}).implementations(), " "));
  };
  EXPECT_EQ(kernels_of(32, 16, 16, 3), "own:wide_conv2d own:wide_conv2d_backward_data");
  EXPECT_EQ(kernels_of(56, 64, 256, 1), "own:wide_conv2d own:wide_conv2d_backward_data");
  EXPECT_EQ(kernels_of(7, 512, 512, 3).find("wide"), std::string::npos);
}

TEST(Convolutions, AreExactInGroups) {
  for (const Dim groups : {2, 4})
    for (const Dim channels : {4, 8, 32})
      for (const Dim filters : {4, 8, 32})
        for (const Dim kernel : {1, 3})
          for (const Dim stride : {1, 2})
            EXPECT_EQ(wrong_in({2, 7, channels, filters, kernel, stride, groups, "same"}), "");
}

/// The largest error of y, dx and dw, in parts of the sum of the terms' sizes.
double worst_error(const Shape2d& s, const CompileOptions& options) {
  Graph g("conv");
  const Value x = input(g, "x", f32(s.batch, s.size, s.size, s.channels));
  const Value w = input(g, "w", f32(3, 3, s.channels, s.filters));
  const Value y = conv2d(x, w, {.padding = s.padding});
  const Value dy = input(g, "dy", y.type());
  const std::vector<Value> slopes = gradients(y, {x, w}, {.seed = dy});
  g.output("y", y);
  g.output("dx", slopes[0]);
  g.output("dw", slopes[1]);
  std::mt19937 random(17);
  std::normal_distribution<float> normal;
  Bounds::Feeds feeds, sizes;
  for (const auto& [name, value] : {std::pair{"x", x}, {"w", w}, {"dy", dy}}) {
    Array<double> numbers(value.shape());
    for (double& number : numbers.data) number = static_cast<double>(normal(random));
    feeds[name] = numbers;
    for (double& number : numbers.data) number = std::fabs(number);
    sizes[name] = numbers;
  }
  Interpreter exact(g), terms(g);
  for (const auto& [name, numbers] : feeds) exact.set(name, numbers);
  for (const auto& [name, numbers] : sizes) terms.set(name, numbers);
  exact.evaluate();
  terms.evaluate();
  Program program = compile(g, options);
  set_all(program, feeds);
  program.run();
  const std::vector<std::string> kernels = program.implementations();
  const auto by_winograd = std::count_if(kernels.begin(), kernels.end(), [](const std::string& name) {
    return name.find("wino") != std::string::npos;
  });
  EXPECT_EQ(by_winograd, options.winograd ? 3 : 0);
  double worst = 0;
  for (const char* name : {"y", "dx", "dw"}) {
    const std::vector<double> numbers = program.fetch(name).numbers();
    for (std::size_t i = 0; i < numbers.size(); ++i)
      worst = std::max(worst, std::fabs(numbers[i] - exact.output(name).data[i]) / terms.output(name).data[i]);
  }
  return worst;
}

TEST(Winograd, IsOfferedWhereItIs) {
  if (onednn::has_wide_kernels()) GTEST_SKIP() << "this processor has AVX-512";
  Graph g("conv");
  g.output("y", conv2d(input(g, "x", f32(1, 8, 8, 64)), input(g, "w", f32(3, 3, 64, 64)), {}));
  const Program program = compile(g, {.winograd = true});
  EXPECT_EQ(program.notices(),
            std::vector<std::string>{"graph 'conv': convolutions are direct: Winograd's need AVX-512"});
}

TEST(Winograd, StaysWithinWhatItsOptionSays) {
  if (!onednn::has_wide_kernels()) GTEST_SKIP() << "this processor has no AVX-512";
  double direct = 0, winograd = 0;
  for (const auto& [channels, size] : {std::pair<Dim, Dim>{64, 6}, {96, 5}})
    for (const std::string_view padding : {"same", "valid"}) {
      const Shape2d s{1, size, channels, 64, 3, 1, 1, padding};
      direct = std::max(direct, worst_error(s, {.logical_threads = 2}));
      winograd = std::max(winograd, worst_error(s, {.logical_threads = 2, .winograd = true}));
    }
  EXPECT_LE(winograd, 1e-5) << "direct: " << direct;
}

TEST(Winograd, LeavesToOthersWhatItCannotDo) {
  Graph g("conv");
  const Value x = input(g, "x", f32(1, 5, 5, 64)), w = input(g, "w", f32(3, 3, 64, 64));
  const Value y = relu(conv2d(x, w, {.padding = "explicit", .pads = {5, 0, 3, 1}}));
  g.output("y", y);
  const Bounds::Feeds feeds = {{"x", whole(x.shape(), 1)}, {"w", whole(w.shape(), 2)}};
  Interpreter exact(g);
  for (const auto& [name, numbers] : feeds) exact.set(name, numbers);
  exact.evaluate();
  Program program = compile(g, {.winograd = true});
  set_all(program, feeds);
  program.run();
  const std::vector<double> got = program.fetch("y").numbers(), want = exact.output("y").data;
  for (std::size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-5 * 64 * 9 * 16);
}

TEST(Winograd, GivesTheSameBitsOnEveryNumberOfCores) {
  if (!onednn::has_wide_kernels()) GTEST_SKIP() << "this processor has no AVX-512";
  Graph g("conv");
  const Value x = input(g, "x", f32(4, 14, 14, 64)), w = input(g, "w", f32(3, 3, 64, 64));
  const Value y = conv2d(x, w, {.padding = "same"});
  g.output("y", y);
  const std::vector<Value> slopes = gradients(mean(y * y), {x, w});
  g.output("dx", slopes[0]);
  g.output("dw", slopes[1]);
  const auto results = [&] {
    Program program = compile(g, {.logical_threads = 3, .winograd = true});
    set_all(program, {{"x", whole(x.shape(), 1)}, {"w", whole(w.shape(), 2)}});
    program.run();
    return std::vector{program.fetch("y").numbers(), program.fetch("dx").numbers(), program.fetch("dw").numbers()};
  };
  const auto free = results();
  const OneCore one;
  EXPECT_EQ(results(), free);
}

}  // namespace
}  // namespace thalweg::testing
