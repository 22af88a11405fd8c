// SPDX-License-Identifier: Apache-2.0
// Every row of every op, with its gradients, compiled: fused and not, on one thread and on two, in f32 and in bf16.
#include "tests/cases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <optional>

#include "tests/compile/run.h"
#include "tests/trust/soak.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
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

/// The row with all axes of one size made another size; both are chosen by the seed. The same row where it has no axis, or
/// where its numbers could not be drawn.
OpCase resized(const OpCase& row, std::uint64_t seed) {
  constexpr std::array<Dim, 12> others{1, 2, 3, 5, 7, 8, 9, 16, 17, 31, 33, 64};
  constexpr Dim most_elements = 4096, most_distinct = 200;
  std::vector<Dim> sizes;
  for (const TensorType& type : row.args)
    for (const Dim size : type.shape)
      if (std::find(sizes.begin(), sizes.end(), size) == sizes.end()) sizes.push_back(size);
  if (sizes.empty()) return row;
  Numbers random(seed);
  const Dim from = sizes[random.below(sizes.size())], to = others[random.below(others.size())];
  OpCase other = row;
  for (std::size_t i = 0; i < other.args.size(); ++i) {
    std::vector<Dim> dims = other.args[i].shape.vector();
    std::replace(dims.begin(), dims.end(), from, to);
    other.args[i].shape = Shape(dims);
    if (other.args[i].elements() > (other.domains[i].kind == Domain::Kind::distinct ? most_distinct : most_elements))
      return row;
  }
  return other;
}

class CompiledCase : public ::testing::TestWithParam<OpCase> {};

TEST_P(CompiledCase, AgreesWithTheMeaning) {
  BuiltCase built = testing::built(GetParam());
  Bounds::Feeds feeds = feeds_of(draw(GetParam()));
  add_gradients(GetParam(), built, feeds);
  EXPECT_EQ(departure_of(built.graph, Bounds(built.graph, feeds), feeds), "");
}

TEST_P(CompiledCase, AgreesWithTheMeaningAtOtherSizes) {
  const std::uint64_t first = count_of("THALWEG_FIRST_SIZES", 1), tries = count_of("THALWEG_SOAK_SIZES", 2);
  std::uint64_t compared = 0;
  for (std::uint64_t seed = first; seed < first + tries; ++seed) {
    const OpCase row = resized(GetParam(), seed);
    if (row.args == GetParam().args) continue;
    std::optional<BuiltCase> built;
    std::optional<Bounds> bounds;
    Bounds::Feeds feeds = feeds_of(draw(row, seed));
    try {
      built = testing::built(row);
      add_gradients(row, *built, feeds);
      bounds.emplace(built->graph, feeds);
    } catch (const GraphError&) {  // an op may ask for this size and no other
      continue;
    } catch (const RunError&) {  // labels of the row lie beyond the size
      continue;
    }
    EXPECT_EQ(departure_of(built->graph, *bounds, feeds), "") << "sizes of seed " << seed << "\n" << print(built->graph);
    ++compared;
  }
  if (tries > 2) report("sizes of " + GetParam().name, compared);
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
