// SPDX-License-Identifier: Apache-2.0
// What each pass makes of small graphs, as texts: input, the passes, the expected text. Every row is also checked to be
// idempotent, to tell the truth about its change, and to keep the meaning by the interpreter.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

#include "message.h"
#include "thalweg/graph/compact.h"
#include "thalweg/graph/cse.h"
#include "thalweg/graph/dce.h"
#include "thalweg/graph/fold.h"
#include "thalweg/graph/interpret.h"
#include "thalweg/graph/parse.h"
#include "thalweg/graph/pipeline.h"
#include "thalweg/graph/print.h"
#include "thalweg/graph/rewrite.h"
#include "thalweg/graph/verify.h"
#include "thalweg/graph/walk.h"

namespace thalweg {
namespace {

using testing::message_of;

struct Row {
  const char* name;
  const char* input;
  std::vector<Pass> passes;
  const char* expected;
};

constexpr Pass fold_pass{"fold", fold}, cse_pass{"cse", cse}, dce_pass{"dce", dce};

const std::vector<Row> rows = {
    {"FoldComputesConstants", R"(graph g {
  %0 = constant {values=[2]}    : f32[]
  %1 = constant {values=[3,4]}  : f32[2]
  %2 = mul %0, %1 : f32[2]  # g.cpp:7 backward in a/b
  %3 = exp %2     : f32[2]
  output y = %2
  output z = %3
})", {fold_pass, dce_pass}, R"(graph g {
  %0 = constant {values=[6,8]}                                : f32[2]  # g.cpp:7 backward in a/b
  %1 = constant {values=[403.4288024902344,2980.9580078125]}  : f32[2]
  output y = %0
  output z = %1
})"},
    {"FoldRoundsToTheDtype", R"(graph g {
  %0 = constant {values=[1]} : bf16[]
  %1 = constant {values=[3]} : bf16[]
  %2 = div %0, %1 : bf16[]
  %3 = constant {values=[1]} : f32[]
  %4 = constant {values=[3]} : f32[]
  %5 = div %3, %4 : f32[]
  %6 = constant {values=[1]} : f64[]
  %7 = constant {values=[3]} : f64[]
  %8 = div %6, %7 : f64[]
  output a = %2
  output b = %5
  output c = %8
})", {fold_pass, dce_pass}, R"(graph g {
  %0 = constant {values=[0.333984375]}          : bf16[]
  %1 = constant {values=[0.3333333432674408]}   : f32[]
  %2 = constant {values=[0.3333333333333333]}   : f64[]
  output a = %0
  output b = %1
  output c = %2
})"},
    {"FoldKeepsIntegersExact", R"(graph g {
  %0 = constant {values=[7,-8]} : i32[2]
  %1 = constant {values=[1000000]} : i32[]
  %2 = mul %0, %1 : i32[2]
  %3 = cast %2 : f32[2]
  output y = %2
  output z = %3
})", {fold_pass, dce_pass}, R"(graph g {
  %0 = constant {values=[7000000,-8000000]} : i32[2]
  %1 = constant {values=[7000000,-8000000]} : f32[2]
  output y = %0
  output z = %1
})"},
    {"FoldDoesNotBlowUp", R"(graph g {
  %0 = constant {values=[1]} : f32[1,1]
  %1 = broadcast %0 : f32[64,64]
  output y = %1
})", {fold_pass, dce_pass}, R"(graph g {
  %0 = constant {values=[1]} : f32[1,1]
  %1 = broadcast %0 : f32[64,64]
  output y = %1
})"},
    {"FoldStoresEqualElementsOnce", R"(graph g {
  %0 = constant {values=[2,2,2,2]} : f32[4]
  %1 = mul %0, %0 : f32[4]
  output y = %0
  output z = %1
})", {fold_pass}, R"(graph g {
  %0 = constant {values=[2]} : f32[4]
  %1 = constant {values=[4]} : f32[4]
  output y = %0
  output z = %1
})"},
    {"FoldUsesSimplerValues", R"(graph g {
  %x = input : f32[4]
  %0 = constant {values=[1]} : f32[]
  %1 = constant {values=[0]} : f32[]
  %2 = mul %x, %0 : f32[4]
  %3 = sub %2, %1 : f32[4]
  %4 = neg %3 : f32[4]
  %5 = neg %4 : f32[4]
  output y = %5
})", {fold_pass, dce_pass}, R"(graph g {
  %x = input : f32[4]
  output y = %x
})"},
    {"FoldLeavesVariablesAndInputs", R"(graph g {
  %x = input : f32[]
  @w = variable {init=ones} : f32[]
  %0 = exp @w : f32[]
  %1 = exp %x : f32[]
  output y = %0
  output z = %1
})", {fold_pass}, R"(graph g {
  %x = input : f32[]
  @w = variable {init=ones} : f32[]
  %0 = exp @w : f32[]
  %1 = exp %x : f32[]
  output y = %0
  output z = %1
})"},
    {"FoldLeavesRandomOps", R"(graph g {
  %0 = constant {values=[7]} : i64[]
  %1 = random_uniform %0 {key=3} : f32[2]
  output y = %1
})", {fold_pass, cse_pass, dce_pass}, R"(graph g {
  %0 = constant {values=[7]} : i64[]
  %1 = random_uniform %0 {key=3} : f32[2]
  output y = %1
})"},
    {"FoldLeavesNamedNodes", R"(graph g {
  %0 = constant {values=[2]} : f32[]
  %mine = exp %0 : f32[]
  output y = %mine
})", {fold_pass, cse_pass, dce_pass}, R"(graph g {
  %0 = constant {values=[2]} : f32[]
  %mine = exp %0 : f32[]
  output y = %mine
})"},
    {"CseMergesEqualNodes", R"(graph g {
  %x = input : f32[4]
  %0 = exp %x : f32[4]  # g.cpp:1
  %1 = exp %x : f32[4]  # g.cpp:2 in late
  %2 = add %0, %1 : f32[4]
  output y = %2
  output z = %1
})", {cse_pass}, R"(graph g {
  %x = input : f32[4]
  %0 = exp %x : f32[4]  # g.cpp:1
  %1 = add %0, %0 : f32[4]
  output y = %1
  output z = %0
})"},
    {"CseSortsOperandsOfCommutativeOps", R"(graph g {
  %x = input : f32[4]
  %y = input : f32[4]
  %0 = add %y, %x : f32[4]
  %1 = add %x, %y : f32[4]
  %2 = sub %x, %y : f32[4]
  %3 = sub %y, %x : f32[4]
  output a = %0
  output b = %1
  output c = %2
  output d = %3
})", {cse_pass}, R"(graph g {
  %x = input : f32[4]
  %y = input : f32[4]
  %0 = add %y, %x : f32[4]
  %1 = sub %x, %y : f32[4]
  %2 = sub %y, %x : f32[4]
  output a = %0
  output b = %0
  output c = %1
  output d = %2
})"},
    {"CseTellsAttributesAndTypesApart", R"(graph g {
  %x = input : f32[2,2]
  %0 = sum %x {axes=[0]} : f32[2]
  %1 = sum %x {axes=[1]} : f32[2]
  %2 = constant {values=[0]} : f32[]
  %3 = constant {values=[-0]} : f32[]
  %4 = constant {values=[0]} : f64[]
  %5 = constant {values=[0]} : f32[]
  output a = %0
  output b = %1
  output c = %2
  output d = %3
  output e = %4
  output f = %5
})", {cse_pass}, R"(graph g {
  %x = input : f32[2,2]
  %0 = sum %x {axes=[0]} : f32[2]
  %1 = sum %x {axes=[1]} : f32[2]
  %2 = constant {values=[0]} : f32[]
  %3 = constant {values=[-0]} : f32[]
  %4 = constant {values=[0]} : f64[]
  output a = %0
  output b = %1
  output c = %2
  output d = %3
  output e = %4
  output f = %2
})"},
    {"CseMergesNoVariablesAndNoDraws", R"(graph g {
  @v = variable : f32[2]
  @w = variable : f32[2]
  @step = variable : i64[]
  %0 = random_uniform @step {key=1} : f32[2]
  %1 = random_uniform @step {key=2} : f32[2]
  %2 = random_uniform @step {key=1} : f32[2]
  output a = %0
  output b = %1
  output c = %2
  output d = @v
  output e = @w
})", {cse_pass}, R"(graph g {
  @v = variable : f32[2]
  @w = variable : f32[2]
  @step = variable : i64[]
  %0 = random_uniform @step {key=1} : f32[2]
  %1 = random_uniform @step {key=2} : f32[2]
  output a = %0
  output b = %1
  output c = %0
  output d = @v
  output e = @w
})"},
    {"CseMergesSeveralResults", R"(graph g {
  %x = input : f32[8,4]
  @gamma = variable {init=ones} : f32[4]
  @beta = variable : f32[4]
  %0, %1, %2 = batch_norm_training %x, @gamma, @beta : f32[8,4], f32[4], f32[4]
  %3, %4, %5 = batch_norm_training %x, @gamma, @beta : f32[8,4], f32[4], f32[4]
  output y = %0
  output mean = %4
  output variance = %5
})", {cse_pass}, R"(graph g {
  %x = input : f32[8,4]
  @gamma = variable {init=ones} : f32[4]
  @beta = variable : f32[4]
  %0, %1, %2 = batch_norm_training %x, @gamma, @beta : f32[8,4], f32[4], f32[4]
  output y = %0
  output mean = %1
  output variance = %2
})"},
    {"DceKeepsInputsAndUpdates", R"(graph g {
  %unread = input : f32[2]
  %x = input : f32[2]
  @dead = variable : f32[2]
  @kept = variable : f32[2]
  %0 = exp %x : f32[2]
  %1 = exp @dead : f32[2]
  %2 = add @kept, %x : f32[2]
  output y = %0
  update @kept <- %2
})", {dce_pass}, R"(graph g {
  %unread = input : f32[2]
  %x = input : f32[2]
  @kept = variable : f32[2]
  %0 = exp %x : f32[2]
  %1 = add @kept, %x : f32[2]
  output y = %0
  update @kept <- %1
})"},
    {"DceOfAGraphWithoutAnswers", R"(graph g {
  %x = input : f32[2]
  %0 = exp %x : f32[2]
})", {dce_pass}, R"(graph g {
  %x = input : f32[2]
})"},
    {"AllTogether", R"(graph g {
  %x = input : f32[4]
  @w = variable {init=ones} : f32[4]
  %0 = constant {values=[0.5]} : f32[]
  %1 = constant {values=[2]} : f32[]
  %2 = mul %0, %1 : f32[]
  %3 = mul %x, %2 : f32[4]
  %4 = mul %x, @w : f32[4]
  %5 = mul @w, %3 : f32[4]
  %6 = add %4, %5 : f32[4]
  output y = %6
  update @w <- %4
})", {fold_pass, cse_pass, dce_pass}, R"(graph g {
  %x = input : f32[4]
  @w = variable {init=ones} : f32[4]
  %0 = mul %x, @w : f32[4]
  %1 = add %0, %0 : f32[4]
  output y = %1
  update @w <- %0
})"},
};

/// Every output and, after a step, every variable, on inputs that are the same for the same graph.
std::map<std::string, std::vector<double>> meaning_of(const Graph& graph) {
  Interpreter run(graph);
  for (const NodeId id : graph.inputs()) {
    Array<double> value(graph.node(id).types[0].shape);
    for (std::size_t i = 0; i < value.size(); ++i) value[i] = std::sin(1.0 + 7.0 * static_cast<double>(i));
    run.set(graph.node(id).name, value);
  }
  run.step();
  std::map<std::string, std::vector<double>> meaning;
  for (const Graph::Output& out : graph.outputs()) meaning["output " + out.name] = run.output(out.name).data;
  for (const NodeId id : graph.variables())
    meaning["variable " + graph.node(id).name] = run.variable(graph.node(id).name).data;
  return meaning;
}

class Golden : public ::testing::TestWithParam<Row> {};

TEST_P(Golden, BecomesTheExpectedText) {
  const Row& row = GetParam();
  Graph g = parse(row.input, row.name);
  const std::string before = print(g);
  const auto meaning = meaning_of(g);
  const bool changed = run_pipeline(g, row.passes, {.check_flags = true});
  const std::string after = print(g);
  EXPECT_EQ(after, print(parse(row.expected, row.name)));
  EXPECT_EQ(changed, after != before);
  EXPECT_FALSE(run_pipeline(g, row.passes, {.check_flags = true})) << "not idempotent";
  EXPECT_EQ(print(g), after);

  const auto meaning_after = meaning_of(g);
  std::size_t checked = 0;
  for (const auto& [name, values] : meaning) {
    const auto it = meaning_after.find(name);
    if (it == meaning_after.end()) {
      EXPECT_TRUE(name.starts_with("variable ")) << name;  // a variable that nothing needs may go
      continue;
    }
    ASSERT_EQ(it->second.size(), values.size()) << name;
    for (std::size_t i = 0; i < values.size(); ++i) {
      // A folded constant is rounded to its dtype once: bf16 has 8 bits.
      EXPECT_NEAR(it->second[i], values[i], std::fabs(values[i]) * 0x1p-8) << name;
      ++checked;
    }
  }
  if (!g.outputs().empty()) {
    EXPECT_GT(checked, 0U);
  }
}

INSTANTIATE_TEST_SUITE_P(Passes, Golden, ::testing::ValuesIn(rows),
                         [](const auto& row) { return std::string(row.param.name); });

constexpr const char* diamond = R"(graph g {
  %x = input : f32[2]
  @w = variable : f32[2]
  %0 = exp %x : f32[2]
  %1 = mul %0, @w : f32[2]
  %2 = mul %0, %0 : f32[2]
  %3 = add %1, %2 : f32[2]
  %4 = exp %3 : f32[2]
  output y = %3
})";

TEST(Walk, FindsReaders) {
  const Graph g = parse(diamond);
  EXPECT_EQ(readers(g, {2, 0}), (std::vector<Reader>{{3, 0}, {4, 0}, {4, 1}}));
  EXPECT_EQ(readers(g, {6, 0}), std::vector<Reader>{});
}

TEST(Walk, FindsWhatLiesBehindAndAhead) {
  const Graph g = parse(diamond);
  const std::vector<NodeId> middle = {3, 3};
  EXPECT_EQ(behind(g, middle), (std::vector<bool>{true, true, true, true, false, false, false}));
  EXPECT_EQ(ahead(g, middle), (std::vector<bool>{false, false, false, true, false, true, true}));
  EXPECT_EQ(needed(g), (std::vector<bool>{true, true, true, true, true, true, false}));
  EXPECT_EQ(behind(g, {}), std::vector<bool>(7, false));
}

TEST(Walk, OrdersAndFindsCycles) {
  const std::vector<std::pair<NodeId, NodeId>> line = {{2, 1}, {1, 0}};
  EXPECT_EQ(order_of(3, line).order, (std::vector<NodeId>{2, 1, 0}));
  EXPECT_TRUE(order_of(3, line).cycle.empty());
  const std::vector<std::pair<NodeId, NodeId>> ring = {{0, 1}, {1, 2}, {2, 3}, {3, 1}};
  EXPECT_TRUE(order_of(4, ring).order.empty());
  EXPECT_EQ(order_of(4, ring).cycle, (std::vector<NodeId>{1, 2, 3}));
  const std::vector<std::pair<NodeId, NodeId>> self = {{0, 0}};
  EXPECT_EQ(order_of(1, self).cycle, std::vector<NodeId>{0});
  const Graph g = parse(diamond);
  const std::vector<NodeId> order = execution_order(g).order;
  std::vector<std::size_t> place(g.size());
  ASSERT_EQ(order.size(), g.size());
  for (std::size_t i = 0; i < order.size(); ++i) place[order[i]] = i;
  for (NodeId id = 0; id < g.size(); ++id)
    for (const ValueId x : g.operands(id)) EXPECT_LT(place[x.node], place[id]);
}

TEST(Rewrite, KeepsValuesGoodWhereNothingChanges) {
  Graph g = parse(diamond);
  const Value x = g.find("x");
  EXPECT_FALSE(rewrite(g, [](const Site&) { return std::vector<ValueId>{}; }));
  EXPECT_NO_THROW(static_cast<void>(x.id()));
  EXPECT_TRUE(dce(g));
  EXPECT_EQ(message_of([&] { static_cast<void>(x.id()); }),
            "a Value of graph 'g' from before a pass renumbered it was used; take it again with Graph::find");
}

TEST(Rewrite, RefusesAnAnswerOfAnotherType) {
  Graph g = parse("graph g {\n %x = input : f32[2]\n %y = input : f32[3]\n %0 = exp %y : f32[3]\n output y = %0\n}");
  EXPECT_EQ(message_of([&] {
              rewrite(g, [](const Site& site) {
                return site.id == 2 ? std::vector<ValueId>{{0, 0}} : std::vector<ValueId>{};
              });
            }),
            "a rewrite of exp gave a value of another type than f32[3]");
  EXPECT_EQ(message_of([&] {
              rewrite(g, [](const Site& site) {
                return site.id == 2 ? std::vector<ValueId>{{1, 0}, {1, 0}} : std::vector<ValueId>{};
              });
            }),
            "a rewrite of exp gave 2 values for 1 results");
}

TEST(Rewrite, GivesNoKeyTwice) {
  Graph g = parse(diamond);
  const std::int64_t key = g.next_key();
  EXPECT_TRUE(dce(g));
  EXPECT_GT(g.next_key(), key);
}

TEST(Compact, RefusesToDropWhatIsNeeded) {
  Graph g = parse(diamond);
  std::vector<bool> keep(g.size(), true);
  keep[2] = false;
  EXPECT_EQ(message_of([&] { compact(g, keep); }), "compact: node 2 went, but is needed");
  EXPECT_EQ(message_of([&] { compact(g, {true}); }), "compact: one flag for each node is needed");
  EXPECT_NO_THROW(verify(g));
}

// ---- Pipeline

bool flip_flop(Graph& graph) {
  graph.rename(graph.name() == "a" ? "b" : "a");
  return true;
}
bool liar(Graph&) { return true; }
bool modest(Graph& graph) {
  graph.rename("changed");
  return false;
}
bool breaker(Graph& graph) {
  Graph next("broken");
  next.add_copy(graph.node(0), {});
  next.add_copy(graph.node(0), {});
  graph.replace_by(std::move(next));
  return true;
}

TEST(Pipeline, NamesThePassThatNeverSettles) {
  Graph g = parse(diamond);
  const Pass passes[] = {{"flip_flop", flip_flop}};
  EXPECT_EQ(message_of([&] { run_pipeline(g, passes); }),
            "the passes do not settle on graph 'a': after " + std::to_string(64 + g.size()) +
                " rounds, flip_flop still changes it");
}

TEST(Pipeline, SettlesWhereEachLevelNeedsARound) {
  // Both sides are equal, which is found only when max(a, a) below them has become a.
  std::string text = "graph g {\n  %x = input : f32[2]\n";
  std::string x = "%x", y = "%x";
  for (int level = 0; level < 100; ++level) {
    const std::string a = "%" + std::to_string(3 * level), b = "%" + std::to_string(3 * level + 1),
                      larger = "%" + std::to_string(3 * level + 2);
    text += "  " + a + " = tanh " + x + " : f32[2]\n  " + b + " = tanh " + y + " : f32[2]\n  " + larger + " = max " + a +
            ", " + b + " : f32[2]\n";
    x = larger;
    y = a;
  }
  Graph g = parse(text + "  output y = " + x + "\n}");
  EXPECT_TRUE(run_pipeline(g, standard_passes()));
  EXPECT_EQ(g.size(), 101U);
}

TEST(Pipeline, NamesThePassThatLies) {
  Graph g = parse(diamond);
  const Pass lies[] = {{"liar", liar}}, hides[] = {{"modest", modest}};
  EXPECT_EQ(message_of([&] { run_pipeline(g, lies, {.check_flags = true}); }),
            "the pass liar said that it changed graph 'g', and it did not");
  EXPECT_EQ(message_of([&] { run_pipeline(g, hides, {.check_flags = true}); }),
            "the pass modest said that it did not change graph 'changed', and it did");
}

TEST(Pipeline, NamesThePassThatBreaksTheGraph) {
  Graph g = parse(diamond);
  const Pass passes[] = {{"breaker", breaker}};
  EXPECT_EQ(message_of([&] { run_pipeline(g, passes); }),
            "after the pass breaker: graph 'broken' is not valid:\n    %x input: the name 'x' is taken by node 0");
}

TEST(Pipeline, DumpsEachStage) {
  Graph g = parse("graph g {\n %x = input : f32[2]\n %0 = exp %x : f32[2]\n %1 = exp %x : f32[2]\n"
                  " %2 = exp %x : f32[2]\n output y = %1\n}");
  std::vector<std::string> stages, texts;
  const auto dump = [&](std::string_view stage, const std::string& text) {
    stages.emplace_back(stage);
    texts.push_back(text);
  };
  EXPECT_TRUE(run_pipeline(g, standard_passes(), {.dump = dump}));
  EXPECT_EQ(stages, (std::vector<std::string>{"input", "1 cse"}));
  EXPECT_EQ(texts.back(), print(g));
  EXPECT_FALSE(run_pipeline(g, {}));
}

}  // namespace
}  // namespace thalweg
