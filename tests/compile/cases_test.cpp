// SPDX-License-Identifier: Apache-2.0
// Every row of every op, with its gradients, compiled: fused and not, on one thread and on two, in f32 and in bf16.
#include "tests/cases.h"

#include <gtest/gtest.h>

#include "tests/compile/run.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/ops/source.h"

namespace thalweg::testing {
namespace {

struct Way {
  bool fuse;
  int threads;
};
constexpr std::array<Way, 3> ways = {{{true, 1}, {true, 2}, {false, 1}}};

Bounds::Feeds feeds_of(const std::vector<Array<double>>& numbers) {
  Bounds::Feeds feeds;
  for (std::size_t i = 0; i < numbers.size(); ++i) feeds.emplace("a" + std::to_string(i), numbers[i]);
  return feeds;
}

/// Adds the gradients of the first result, weighted by an input of its own.
void add_gradients(const OpCase& row, BuiltCase& built, Bounds::Feeds& feeds) {
  if (!row.differentiable || !is_float(built.results[0].dtype())) return;
  std::vector<Value> wrt;
  for (const Value& v : built.args)
    if (is_float(v.dtype())) wrt.push_back(v);
  const Value seed = input(built.graph, "seed", built.results[0].type());
  Array<double> weights = Numbers(7).array(seed.shape());
  for (double& x : weights.data) x = static_cast<float>(x);
  feeds.emplace("seed", std::move(weights));
  const std::vector<Value> slopes = gradients(built.results[0], wrt, {.allow_unconnected = true, .seed = seed});
  for (std::size_t i = 0; i < slopes.size(); ++i) built.graph.output("g" + std::to_string(i), slopes[i]);
}

std::string departure_of(const Graph& graph, const Bounds& bounds, const Bounds::Feeds& feeds) {
  for (const Way way : ways) {
    CompileOptions options;
    options.fuse = way.fuse;
    options.logical_threads = way.threads;
    options.variables = Variables();
    Program program = compile(graph, options);
    set_all(program, feeds);
    program.run();
    const std::string wrong = departure(program, bounds);
    if (!wrong.empty()) return (way.fuse ? "fused, " : "not fused, ") + std::to_string(way.threads) + ": " + wrong;
  }
  return {};
}

class CompiledCase : public ::testing::TestWithParam<OpCase> {};

TEST_P(CompiledCase, AgreesWithTheMeaning) {
  BuiltCase built = testing::built(GetParam());
  Bounds::Feeds feeds = feeds_of(draw(GetParam()));
  add_gradients(GetParam(), built, feeds);
  EXPECT_EQ(departure_of(built.graph, Bounds(built.graph, feeds), feeds), "");
}

TEST_P(CompiledCase, IsExactOnWholeNumbers) {
  if (!GetParam().exact_integer) GTEST_SKIP() << "not exact";
  const BuiltCase built = testing::built(GetParam());
  const Bounds::Feeds feeds = feeds_of(draw_whole(GetParam()));
  const Bounds bounds(built.graph, feeds);
  for (const Way way : ways) {
    CompileOptions options;
    options.fuse = way.fuse;
    options.logical_threads = way.threads;
    options.variables = Variables();
    Program program = compile(built.graph, options);
    set_all(program, feeds);
    program.run();
    for (const auto& [name, expected] : bounds.all()) EXPECT_EQ(program.fetch(name).numbers(), expected.value.data);
  }
}

TEST_P(CompiledCase, RunsInBf16) {
  const OpCase& row = GetParam();
  Graph g(row.name);
  std::vector<Value> args;
  Bounds::Feeds feeds = feeds_of(draw(row));
  bool any = false;
  for (std::size_t i = 0; i < row.args.size(); ++i) {
    TensorType type = row.args[i];
    if (type.dtype == DType::f32) {
      type.dtype = DType::bf16;
      any = true;
      for (double& x : feeds.at("a" + std::to_string(i)).data) x = float_of(bf16_of(static_cast<float>(x)));
    }
    args.push_back(input(g, "a" + std::to_string(i), type));
  }
  if (!any) GTEST_SKIP() << "no f32 argument";
  try {
    const Value first = row.build(g, args);
    const std::vector<Value> all = results_of(first);
    for (std::size_t i = 0; i < all.size(); ++i) g.output("y" + std::to_string(i), all[i]);
  } catch (const GraphError&) {
    GTEST_SKIP() << "the row mixes in f32";
  }
  EXPECT_EQ(departure_of(g, Bounds(g, feeds), feeds), "");
}

std::string name_of(const ::testing::TestParamInfo<OpCase>& test) { return test.param.name; }
INSTANTIATE_TEST_SUITE_P(Ops, CompiledCase, ::testing::ValuesIn(all_cases()), name_of);
INSTANTIATE_TEST_SUITE_P(Composites, CompiledCase, ::testing::ValuesIn(composite_cases()), name_of);

}  // namespace
}  // namespace thalweg::testing
