// SPDX-License-Identifier: Apache-2.0
// Convolutions and their gradients on whole numbers, where f32 is exact: a difference of 0 is the bound. Run under each
// ONEDNN_MAX_CPU_ISA, it finds the implementations of oneDNN that are wrong in some shapes.
#include <gtest/gtest.h>

#include "tests/compile/run.h"
#include "tests/kernels/targets.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/ops/conv.h"
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

/// Empty, or what differs.
std::string wrong_in(const Shape2d& s) {
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
    for (const auto& [channels, filters] : {std::pair<Dim, Dim>{16, 16}, {32, 56}, {64, 64}, {72, 72}})
      for (const Dim kernel : {2, 3, 5})
        for (const Dim stride : {1, 2}) {
          EXPECT_EQ(wrong_in({2, 9, channels, filters, kernel, stride, 1, "same"}), "");
          EXPECT_EQ(wrong_in({1, 4, channels, filters, kernel, stride, 1, "same"}), "");
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

TEST(Convolutions, AreExactInGroups) {
  for (const Dim groups : {2, 4})
    for (const Dim channels : {4, 8, 32})
      for (const Dim filters : {4, 8, 32})
        for (const Dim kernel : {1, 3})
          for (const Dim stride : {1, 2})
            EXPECT_EQ(wrong_in({2, 7, channels, filters, kernel, stride, groups, "same"}), "");
}

}  // namespace
}  // namespace thalweg::testing
