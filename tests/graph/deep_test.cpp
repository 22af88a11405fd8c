// SPDX-License-Identifier: Apache-2.0
// A chain of 100,000 nodes under a stack of 256 KiB: whatever recursed over the graph would fall here.
#include <gtest/gtest.h>
#include <pthread.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <optional>

#include "thalweg/graph/cse.h"
#include "thalweg/graph/dce.h"
#include "thalweg/graph/fold.h"
#include "thalweg/graph/parse.h"
#include "thalweg/graph/pipeline.h"
#include "thalweg/graph/print.h"
#include "thalweg/graph/verify.h"
#include "thalweg/graph/walk.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

constexpr std::size_t small_stack = std::size_t{256} << 10;
constexpr std::size_t depth = 100'000;

/// Runs `act` in a thread of 256 KiB of stack; an exception in it is a failure of the test.
void on_a_small_stack(std::function<void()> act) {
  pthread_attr_t attr;
  ASSERT_EQ(pthread_attr_init(&attr), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attr, small_stack), 0);
  pthread_t thread{};
  const auto run = [](void* f) -> void* {
    try {
      (*static_cast<std::function<void()>*>(f))();
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attr, run, &act), 0);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
  pthread_attr_destroy(&attr);
}

/// Times are shown, never asserted.
template <class F>
auto timed(const char* what, F f) {
  const auto start = std::chrono::steady_clock::now();
  const auto result = f();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
  std::printf("    %-10s %5lld ms\n", what, static_cast<long long>(ms.count()));
  return result;
}

Graph chain(std::size_t length) {
  Graph g("chain");
  const Value x = input(g, "x", f32(2));
  const Value one = constant(g, 1, f32());
  Value y = x;
  for (std::size_t i = 0; i < length; ++i) y = i % 4 == 3 ? y * one : i % 2 == 0 ? sigmoid(y) : y * y;
  g.output("y", y);
  return g;
}

TEST(Deep, AChainGoesThroughEverything) {
  on_a_small_stack([] {
    std::optional<Graph> g = timed("build", [] { return chain(depth); });
    ASSERT_EQ(g->size(), depth + 2);
    const std::string text = timed("print", [&] { return print(*g); });
    std::optional<Graph> again = timed("parse", [&] { return parse(text); });
    EXPECT_EQ(print(*again), text);
    timed("verify", [&] { return verify(*g), 0; });
    EXPECT_EQ(timed("order", [&] { return execution_order(*g); }).order.size(), g->size());
    std::optional<Graph> copy = timed("clone", [&] { return g->clone(); });
    EXPECT_TRUE(timed("fold", [&] { return fold(*copy); }));
    EXPECT_FALSE(timed("cse", [&] { return cse(*copy); }));
    EXPECT_TRUE(timed("dce", [&] { return dce(*copy); }));
    EXPECT_EQ(copy->size(), 1 + depth - depth / 4);
    EXPECT_TRUE(timed("pipeline", [&] { return run_pipeline(*again, standard_passes()); }));
    EXPECT_EQ(print(*again), print(*copy));
    timed("destroy", [&] { return g.reset(), again.reset(), copy.reset(), 0; });
  });
}

TEST(Deep, AChainOfConstantsFoldsToOne) {
  on_a_small_stack([] {
    Graph g("constants");
    Value y = constant(g, 0.5, f64());
    for (std::size_t i = 0; i < depth; ++i) y = sigmoid(y);
    g.output("y", y);
    EXPECT_TRUE(timed("pipeline", [&] { return run_pipeline(g, standard_passes()); }));
    EXPECT_EQ(g.size(), 1U);
    // The fixed point of the logistic function.
    EXPECT_NEAR(g.node(0).attrs.reals("values").at(0), 0.659046068407415, 1e-12);
  });
}

TEST(Deep, EqualChainsMergeInOneRound) {
  on_a_small_stack([] {
    Graph g("twins");
    const Value x = input(g, "x", f32(2));
    Value a = x, b = x;
    for (std::size_t i = 0; i < depth / 2; ++i) {
      a = tanh(a);
      b = tanh(b);
    }
    g.output("y", a + b);
    EXPECT_TRUE(timed("cse", [&] { return cse(g); }));
    EXPECT_EQ(g.size(), depth / 2 + 2);
    EXPECT_FALSE(cse(g));
  });
}

TEST(Deep, ACycleOfManyLinesIsNamed) {
  on_a_small_stack([] {
    std::string text = "graph ring {\n";
    for (std::size_t i = 0; i < depth; ++i)
      text += " %" + std::to_string(i) + " = tanh %" + std::to_string((i + depth - 1) % depth) + " : f32[2]\n";
    try {
      parse(text + "}\n");
      ADD_FAILURE() << "a cycle was accepted";
    } catch (const GraphError& error) {
      EXPECT_EQ(std::string(error.what()),
                "text:2:12: the values form a cycle: %0 -> %1 -> %2 -> %3 -> %4 -> %5 -> %6 -> %7 -> %8 -> %9 -> %10 -> "
                "%11 -> %12 -> %13 -> %14 -> %15 -> 99984 more -> %0");
    }
  });
}

TEST(Deep, AWideNodeIsLinearToo) {
  on_a_small_stack([] {
    Graph g("wide");
    const Value x = input(g, "x", f32(2));
    for (std::size_t i = 0; i < depth; ++i) static_cast<void>(sigmoid(x));
    g.output("y", x);
    EXPECT_EQ(readers(g, x.id()).size(), depth);
    EXPECT_TRUE(timed("dce", [&] { return dce(g); }));
    EXPECT_EQ(g.size(), 1U);
  });
}

}  // namespace
}  // namespace thalweg
