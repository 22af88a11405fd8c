// SPDX-License-Identifier: Apache-2.0
// What is seen while a step runs: times, wrong kernels, wrong rewrites, numbers that are not finite.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "../../tools/zoo/zoo.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/rewrite.h"
#include "thalweg/lib/inspect/check.h"
#include "thalweg/lib/inspect/gradient_check.h"
#include "thalweg/lib/inspect/kernel_check.h"
#include "thalweg/lib/inspect/made_up.h"
#include "thalweg/lib/inspect/passes.h"
#include "thalweg/lib/inspect/profile.h"
#include "thalweg/lib/inspect/smaller_pictures.h"
#include "thalweg/lib/inspect/stage.h"
#include "thalweg/thalweg.h"

namespace thalweg {
namespace {

TEST(MadeUp, FeedsAreTheSameEverywhereAndInRange) {
  const Graph graph = zoo::lenet(64);
  const Feeds feeds = made_up_feeds(graph), again = made_up_feeds(graph);
  ASSERT_EQ(feeds.size(), 2U);
  EXPECT_EQ(feeds.at("x").numbers(), again.at("x").numbers());
  EXPECT_NE(feeds.at("x").numbers(), made_up_feeds(graph, 2).at("x").numbers());
  double most = 0;
  for (const double label : feeds.at("label").numbers()) {
    EXPECT_TRUE(label >= 0 && label < 10);
    most = std::max(most, label);
  }
  EXPECT_GT(most, 7);
}

class Counter : public StepObserver {
 public:
  void before(std::size_t, std::span<const void* const>) override { ++begun; }
  void after(std::size_t, std::span<void* const>) override { ++ended; }
  std::size_t begun = 0, ended = 0;
};

TEST(Observed, AStepHasTheSameBits) {
  const Graph graph = zoo::digits(8);
  Program plain = compile(graph), seen = compile(graph);
  feed(plain, made_up_feeds(graph));
  feed(seen, made_up_feeds(graph));
  Counter counter;
  for (int step = 0; step < 3; ++step) {
    plain.run();
    seen.run(counter);
  }
  EXPECT_EQ(counter.begun, 3 * seen.kernels());
  EXPECT_EQ(counter.ended, counter.begun);
  for (const std::string& name : plain.variables().names())
    EXPECT_EQ(plain.variables().at(name).numbers(), seen.variables().at(name).numbers()) << name;
}

TEST(Profile, HasATimeForEachKernelAndATraceOfAllSteps) {
  Program program = compile(zoo::lenet(4), {.logical_threads = 2});
  feed(program, made_up_feeds(program.graph()));
  const Profile p = profile(program, {.steps = 3, .warm = 1});
  ASSERT_EQ(p.kernels.size(), program.kernels());
  for (const Profile::KernelTime& row : p.kernels) EXPECT_GT(row.seconds, 0) << row.implementation;
  EXPECT_GT(p.step_seconds, 0);
  double flops_of_all = 0;
  for (const Profile::KernelTime& row : p.kernels) flops_of_all += row.flops;
  EXPECT_LE(flops_of_all, flops(program.graph()));
  EXPECT_GT(flops_of_all, 0.9 * flops(program.graph()));
  std::size_t kernels = 0, counters = 0;
  const nlohmann::json trace = nlohmann::json::parse(p.trace());
  for (const nlohmann::json& event : trace.at("traceEvents")) {
    if (event.at("ph") == "X" && event.at("cat") == "kernel") ++kernels;
    if (event.at("ph") == "C") ++counters;
  }
  EXPECT_EQ(kernels, 3 * program.kernels());
  EXPECT_EQ(counters, kernels);
  EXPECT_EQ(nlohmann::json::parse(p.json({})).at("kernels").size(), p.kernels.size());
  EXPECT_NE(p.text(5, {.flops = 1e11, .bandwidth = 1e10}).find("% of limit"), std::string::npos);
  EXPECT_THROW(profile(program, {.steps = 0}), RunError);
}

TEST(Passes, AreListedWithWhatTheyChanged) {
  const Graph graph = zoo::lecture();
  const std::vector<PassStep> steps = pass_steps(graph);
  ASSERT_FALSE(steps.empty());
  EXPECT_EQ(print(steps.front().before), print(graph));
  for (std::size_t i = 0; i < steps.size(); ++i) {
    EXPECT_EQ(steps[i].number, i + 1);
    EXPECT_FALSE(steps[i].difference.empty());
    if (i > 0) {
      EXPECT_EQ(print(steps[i].before), print(steps[i - 1].after));
    }
    EXPECT_EQ(pass_steps(graph, {.pass_limit = i}).size(), i);
  }
  EXPECT_EQ(rewritten(graph, {.pass_limit = 0}).size(), graph.size());
}

TEST(Bisect, FindsNothingInTheZoo) {
  for (const char* name : {"tiny", "lecture", "digits", "lenet"}) {
    SCOPED_TRACE(name);
    const auto found = bisect(zoo::find(name)->build(2));
    EXPECT_FALSE(found) << found->text();
  }
}

/// Rewrites relu into leaky_relu: quick, quiet and wrong.
bool wrong_relu(Graph& graph) {
  return rewrite(graph, [](const Site& site) -> std::vector<ValueId> {
    if (site.node().op->name != "relu") return {};
    const Value x = site.to.value(site.x[0]);
    return {leaky_relu(x, 0.5).id()};
  });
}

TEST(Bisect, FindsTheWrongPassAmongRightOnes) {
  const Graph graph = zoo::tiny();
  std::vector<Pass> passes(standard_passes().begin(), standard_passes().end());
  passes.insert(passes.begin() + 1, {"wrong-relu", wrong_relu});
  const auto found = bisect(graph, {.passes = passes});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->where, Departure::Where::pass);
  EXPECT_EQ(found->name, "wrong-relu");
  EXPECT_NE(found->line.find("leaky_relu"), std::string::npos) << found->text();
  EXPECT_NE(found->expected, found->got);
}

TEST(KernelCheck, FindsTheKernelThatComputesSomethingElse) {
  // The program of one graph, judged by the plan of another that differs in one number.
  const auto graph_of = [](double slope) {
    Graph g;
    const Value x = input(g, "x", f32(64));
    g.output("y", sum(leaky_relu(x - 0.5, slope)));
    return g;
  };
  Program program = compile(graph_of(0.1));
  feed(program, made_up_feeds(program.graph()));
  KernelCheck right(program.planned());
  program.run(right);
  EXPECT_FALSE(right.first());
  EXPECT_EQ(right.compared(), program.kernels());
  const PlannedProgram other = plan(graph_of(0.1001));
  KernelCheck wrong(other);
  program.run(wrong);
  ASSERT_TRUE(wrong.first());
  EXPECT_GT(std::abs(wrong.first()->expected - wrong.first()->got), wrong.first()->bound);
}

Verdict verdict(const std::vector<Verdict>& all, std::string_view name) {
  for (const Verdict& v : all)
    if (v.name == name) return v;
  ADD_FAILURE() << "no verdict " << name;
  return {};
}

TEST(Check, PassesTheZoo) {
  for (const char* name : {"tiny", "lecture", "digits", "lenet"}) {
    SCOPED_TRACE(name);
    for (const Verdict& v : check(zoo::find(name)->build(2))) 
      EXPECT_NE(v.is, Verdict::Is::failed) << v.name << ": " << v.detail;
  }
  const std::vector<Verdict> tiny = check(zoo::tiny());
  for (const char* name : {"text", "gradients", "second gradients", "kernels", "finite", "same bits, run to run",
                           "implementations", "memory plan"})
    EXPECT_EQ(verdict(tiny, name).is, Verdict::Is::ok) << name << ": " << verdict(tiny, name).detail;
}

TEST(Check, NamesTheFirstNumberThatIsNotFinite) {
  Graph g;
  const Value x = input(g, "x", f32(8));
  g.output("y", sum(log(x - 0.5)));
  const Verdict v = verdict(check(g), "finite");
  EXPECT_EQ(v.is, Verdict::Is::failed);
  EXPECT_NE(v.detail.find("run_test.cpp"), std::string::npos) << v.detail;
  EXPECT_NE(v.detail.find("nan"), std::string::npos) << v.detail;
}

TEST(Check, SaysWhatItSkipsAndWhy) {
  Graph g;
  g.output("y", tanh(input(g, "x", f32(4))));
  const std::vector<Verdict> all = check(g);
  EXPECT_EQ(verdict(all, "gradients").is, Verdict::Is::skipped);
  EXPECT_EQ(verdict(all, "kernels").is, Verdict::Is::ok);
}

// What is too much for the interpreter is measured, or checked in part, and the verdict says so.
TEST(Check, LooksAtWhatItCanOfALargeGraph) {
  const std::vector<Verdict> all = check(zoo::lenet(8), {.steps = 1, .most_flops = 1e6});
  const Verdict gradients = verdict(all, "gradients"), kernels = verdict(all, "kernels");
  EXPECT_EQ(gradients.is, Verdict::Is::ok) << gradients.detail;
  EXPECT_NE(gradients.detail.find("by differences of the compiled loss"), std::string::npos) << gradients.detail;
  EXPECT_NE(gradients.detail.find("too many for the interpreter"), std::string::npos) << gradients.detail;
  EXPECT_EQ(verdict(all, "second gradients").is, Verdict::Is::skipped);
  EXPECT_EQ(kernels.is, Verdict::Is::ok) << kernels.detail;
  EXPECT_NE(kernels.detail.find("; not compared: "), std::string::npos) << kernels.detail;
  EXPECT_NE(kernels.detail.find(" kinds of which none was"), std::string::npos) << kernels.detail;
}

/// A net of convolutions that the interpreter cannot take at this size, whose last pool takes the whole picture.
Graph net_of_pictures(const OpDef& activation) {
  Graph g;
  const Value x = input(g, "x", f32(2, 64, 64, 3)), label = input(g, "label", i32(2));
  const Value h = g.add(activation, std::vector<Operand>{conv(x, 4, 3, {.strides = 2, .padding = "same"})});
  g.output("loss", mean(sparse_cross_entropy(dense(global_avg_pool(h), 5), label)));
  return g;
}

// Such a net is the same at smaller pictures: both derivatives are exact there, and the verdicts say where that is.
TEST(Check, TakesLargePicturesSmaller) {
  std::vector<Verdict> all;
  check_gradients(net_of_pictures(*find_op("tanh")), {.most_flops = 4e5}, [&](Verdict v) { all.push_back(std::move(v)); });
  for (const char* name : {"gradients", "second gradients"}) {
    const Verdict v = verdict(all, name);
    EXPECT_EQ(v.is, Verdict::Is::ok) << v.detail;
    EXPECT_NE(v.detail.find(" pixels in the place of 64x64"), std::string::npos) << v.detail;
  }
}

/// tanh with a gradient that is a tenth too large.
OpDef wrong_tanh() {
  OpDef op = *find_op("tanh");
  op.gradient = gradient_of([](const Vjp& v) { return v.dy() * (1.1 - 1.1 * v.y() * v.y()); });
  return op;
}

// By the interpreter as by differences.
TEST(Check, FindsAWrongGradient) {
  static const OpDef wrong = wrong_tanh();
  Graph g;
  const Value x = input(g, "x", f32(4, 3));
  const Value w = variable(g, "w", f32(3, 2), he_normal());
  g.output("loss", mean(g.add(wrong, std::vector<Operand>{matmul(x, w)})));
  for (const double most_flops : {1e9, 1.0}) {
    std::vector<Verdict> all;
    check_gradients(g, {.most_flops = most_flops}, [&](Verdict v) { all.push_back(std::move(v)); });
    EXPECT_EQ(verdict(all, "gradients").is, Verdict::Is::failed) << verdict(all, "gradients").detail;
  }
}

TEST(Check, FindsAWrongGradientAtSmallerPictures) {
  static const OpDef wrong = wrong_tanh();
  std::vector<Verdict> all;
  check_gradients(net_of_pictures(wrong), {.most_flops = 4e5}, [&](Verdict v) { all.push_back(std::move(v)); });
  const Verdict v = verdict(all, "gradients");
  EXPECT_EQ(v.is, Verdict::Is::failed) << v.detail;
}

TEST(SmallerPictures, NeedANetThatHasNoWeightForEachPlace) {
  const Graph built = at_stage(zoo::lenet(2), Stage::built).graph;
  EXPECT_FALSE(at_smaller_pictures(built, built.outputs().front(), 2));
  const Graph rows = at_stage(zoo::lecture(), Stage::built).graph;
  EXPECT_FALSE(at_smaller_pictures(rows, rows.outputs().front(), 2));
  const Graph net = at_stage(zoo::resnet50(2), Stage::built).graph;
  const std::optional<Graph> smaller = at_smaller_pictures(net, net.outputs().front(), 5);
  ASSERT_TRUE(smaller);
  EXPECT_EQ(smaller->node(smaller->inputs().front()).types[0], f32(2, 45, 45, 3));
}

TEST(Check, DoesNotMeasureWhereGradientsStop) {
  Graph g;
  const Value w = variable(g, "w", f32(3), he_normal());
  g.output("loss", sum(w * stop_gradient(w)));
  EXPECT_EQ(verdict(check(g), "gradients").is, Verdict::Is::ok);
  const Verdict v = verdict(check(g, {.most_flops = 1}), "gradients");
  EXPECT_EQ(v.is, Verdict::Is::skipped);
  EXPECT_NE(v.detail.find("stop_gradient"), std::string::npos) << v.detail;
}

}  // namespace
}  // namespace thalweg
