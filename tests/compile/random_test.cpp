// SPDX-License-Identifier: Apache-2.0
// Random graphs, compiled in many ways, against the double interpreter.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/compile/random_graph.h"
#include "tests/compile/run.h"
#include "tests/trust/soak.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/parse.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/inspect/dump.h"
#include "thalweg/lib/io/graph_text.h"

namespace thalweg::testing {
namespace {

struct Way {
  std::string name;
  CompileOptions options;
};

/// All rewrites and plans, and none, on one, two and four threads; each of them alone, and all but each, on one of the
/// three, which the seed picks, unless every one is asked for.
std::vector<Way> ways(std::uint64_t seed, bool every) {
  struct Switch {
    std::string name;
    bool CompileOptions::*option;
  };
  const std::vector<Switch> switches = {{"fold", &CompileOptions::fold}, {"cse", &CompileOptions::cse},
                                        {"dce", &CompileOptions::dce},   {"fuse", &CompileOptions::fuse},
                                        {"in_place", &CompileOptions::in_place},
                                        {"generate", &CompileOptions::generate},
                                        {"layout", &CompileOptions::layout}};
  std::vector<Way> all;
  std::uint64_t turn = seed;
  for (const int threads : {1, 2, 4}) {
    const auto add = [&](const std::string& name, const std::function<bool(const Switch&)>& is_on) {
      CompileOptions options;
      for (const Switch& s : switches) options.*s.option = is_on(s);
      options.logical_threads = threads;
      all.push_back({name + "," + std::to_string(threads), options});
    };
    add("all", [](const Switch&) { return true; });
    add("none", [](const Switch&) { return false; });
    for (const Switch& one : switches) {
      if (every || ++turn % 3 == 0) add(one.name, [&](const Switch& s) { return s.name == one.name; });
      if (every || ++turn % 3 == 0) add("no " + one.name, [&](const Switch& s) { return s.name != one.name; });
    }
  }
  return all;
}

/// Empty, or what is wrong and how to see it again.
std::string try_graph(std::uint64_t seed, const std::string& only, std::uint64_t& compiled) {
  const Graph graph = random_graph(seed);
  const auto feeds = random_feeds(graph, seed);
  const Bounds bounds(graph, feeds, seed);
  for (const Way& way : ways(seed, !only.empty() || std::getenv("THALWEG_GRAPHS") != nullptr)) {
    if (!only.empty() && way.name != only) continue;
    ++compiled;
    std::string wrong;
    try {
      CompileOptions options = way.options;
      options.variables = Variables();
      Program program = compile(graph, options);
      set_all(program, feeds);
      program.run();
      wrong = departure(program, bounds);
    } catch (const std::exception& error) {
      wrong = error.what();
    }
    if (!wrong.empty())
      return wrong + "\n  again: THALWEG_GRAPH=" + std::to_string(seed) + " THALWEG_WAY=" + way.name +
             " build/tests/compile/compile_random_test";
  }
  return {};
}

TEST(RandomGraphs, AgreeWithTheInterpreterHoweverTheyAreCompiled) {
  std::uint64_t compiled = 0;
  const char* one = std::getenv("THALWEG_GRAPH");
  const char* count = std::getenv("THALWEG_GRAPHS");
  const char* way = std::getenv("THALWEG_WAY");
  if (one) {
    const std::uint64_t seed = std::strtoull(one, nullptr, 10);
    std::fputs(print(random_graph(seed)).c_str(), stderr);
    EXPECT_EQ(try_graph(seed, way ? way : "", compiled), "");
    return;
  }
  const std::uint64_t graphs = count ? std::strtoull(count, nullptr, 10) : 1000;
  const std::uint64_t first = count_of("THALWEG_FIRST_GRAPH", 1);
  int failures = 0;
  std::uint64_t tried = 0;
  for (std::uint64_t seed = first; seed < first + graphs && failures < 10; ++seed, ++tried) {
    const std::string wrong = try_graph(seed, way ? way : "", compiled);
    if (!wrong.empty()) ++failures;
    EXPECT_EQ(wrong, "") << "graph " << seed;
  }
  report("random graphs that agree with the interpreter", tried - static_cast<std::uint64_t>(failures));
  report("ways in which they were compiled", compiled);
}

TEST(RandomGraphs, SurviveATextRoundTrip) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    const std::string text = print(random_graph(seed));
    EXPECT_EQ(print(parse(text)), text) << "graph " << seed;
    const std::string as_json = dump(random_graph(seed), {.stage = Stage::optim, .format = DumpFormat::json});
    EXPECT_EQ(print(graph_of(as_json, "net.json")), text) << "graph " << seed;
  }
}

TEST(RandomGraphs, ReachEveryKindOfOp) {
  std::set<std::string_view> seen;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const Graph graph = random_graph(seed);
    for (NodeId id = 0; id < graph.size(); ++id) seen.insert(graph.node(id).op->name);
  }
  EXPECT_GE(seen.size(), 60U);
  for (const std::string_view op : {"matmul", "conv2d", "max_pool", "softmax", "batch_norm_training", "gather",
                                    "scatter_add", "transpose", "concat", "select", "sum_to", "reduce_max"})
    EXPECT_TRUE(seen.contains(op)) << op;
}

}  // namespace
}  // namespace thalweg::testing
