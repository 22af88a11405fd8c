// SPDX-License-Identifier: Apache-2.0
// What must not change a result: another text, another order of nodes, another way to plan, another batch or order of
// samples. No interpreter is asked here, so that what both sides have wrong is found too.
#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <random>

#include "tests/compile/random_graph.h"
#include "tests/compile/run.h"
#include "tests/train/models.h"
#include "tests/trust/soak.h"
#include "thalweg/graph/parse.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/train/fit.h"

namespace thalweg::testing {
namespace {

using Results = std::map<std::string, std::vector<double>>;

Results results_of(const Graph& graph, const Bounds::Feeds& feeds, CompileOptions options = {}) {
  options.variables = Variables();
  Program program = compile(graph, options);
  set_all(program, feeds);
  program.run();
  Results all;
  for (const std::string& name : program.output_names()) all[name] = program.fetch(name).numbers();
  for (const std::string& name : program.variables().names()) all["@" + name] = program.variables().at(name).numbers();
  return all;
}

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](double x, double y) {
    return (std::isnan(x) && std::isnan(y)) || (x == y && std::signbit(x) == std::signbit(y));
  });
}

void expect_same_bits(const Results& a, const Results& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (const auto& [name, numbers] : a) EXPECT_TRUE(same_bits(numbers, b.at(name))) << what << ": " << name;
}

/// Within what the graph's own rounding allows on both sides.
void expect_close(const Results& a, const Results& b, const Bounds& bounds, const std::string& what) {
  for (const auto& [name, expected] : bounds.all()) {
    const std::vector<double>&x = a.at(name), &y = b.at(name);
    for (std::size_t k = 0; k < x.size(); ++k) {
      if (std::isnan(x[k]) && std::isnan(y[k])) continue;
      if (!(x[k] == y[k] || std::fabs(x[k] - y[k]) <= 2 * expected.bound[k])) {
        ADD_FAILURE() << what << ": " << name << " at " << k << " is " << x[k] << " and " << y[k];
        break;
      }
    }
  }
}

/// The same graph with its nodes in another order that can be run.
Graph renumbered(const Graph& graph, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::size_t> missing(graph.size());
  std::vector<std::vector<NodeId>> readers(graph.size());
  std::vector<NodeId> ready;
  for (NodeId id = 0; id < graph.size(); ++id) {
    for (const ValueId v : graph.operands(id)) {
      readers[v.node].push_back(id);
      ++missing[id];
    }
    if (missing[id] == 0) ready.push_back(id);
  }
  Graph to(graph.name());
  std::vector<NodeId> place(graph.size());
  while (!ready.empty()) {
    std::swap(ready[random() % ready.size()], ready.back());
    const NodeId id = ready.back();
    ready.pop_back();
    std::vector<ValueId> operands;
    for (const ValueId v : graph.operands(id)) operands.push_back({place[v.node], v.result});
    place[id] = to.add_copy(graph.node(id), operands).id().node;
    for (const NodeId reader : readers[id])
      if (--missing[reader] == 0) ready.push_back(reader);
  }
  const auto moved = [&](ValueId v) { return to.value({place[v.node], v.result}); };
  for (const Graph::Output& output : graph.outputs()) to.output(output.name, moved(output.value));
  for (const Graph::Update& update : graph.updates()) to.update(moved(update.variable), moved(update.next));
  return to;
}

TEST(Relations, OfRandomGraphs) {
  const std::uint64_t graphs = count_of("THALWEG_SOAK_RELATIONS", 60);
  std::uint64_t budgets = 0;
  for (std::uint64_t seed = 1; seed <= graphs; ++seed) {
    SCOPED_TRACE("graph " + std::to_string(seed));
    const Graph graph = random_graph(seed);
    const auto feeds = random_feeds(graph, seed);
    const CompileOptions two{.logical_threads = 2};
    const Results usual = results_of(graph, feeds, two);
    expect_same_bits(usual, results_of(graph, feeds, two), "compiled again");
    expect_same_bits(usual, results_of(parse(print(graph)), feeds, two), "from its text");
    expect_same_bits(usual, results_of(graph, feeds, {.logical_threads = 2, .in_place = false}), "not in place");
    const std::size_t total = plan(graph, two).memory.total();
    for (const std::size_t budget : {total - total / 20, total - total / 5}) {
      try {
        expect_same_bits(usual, results_of(graph, feeds, {.logical_threads = 2, .memory_budget = budget}), "in less memory");
        ++budgets;
      } catch (const RunError&) {
        // No plan is so small.
      }
    }
    const Bounds bounds(graph, feeds, seed);
    expect_close(usual, results_of(renumbered(graph, seed), feeds, two), bounds, "renumbered");
    expect_close(usual, results_of(graph, feeds, {.logical_threads = 2, .fuse = false}), bounds, "not fused");
    expect_close(usual, results_of(graph, feeds, {.logical_threads = 2, .layout = false}), bounds, "laid out anew");
    expect_close(usual, results_of(graph, feeds, {.logical_threads = 1}), bounds, "on one thread");
  }
  report("random graphs whose relations hold", graphs);
  report("of them compiled into less memory", budgets);
}

/// A net of convolutions, norms and pools, trained a little, so that running statistics are something.
struct Trained {
  static Graph net(Dim batch) {
    Graph g("net");
    const Value x = input(g, "x", f32(batch, 8, 8, 2)), t = input(g, "t", i32(batch));
    const Value h = max_pool(relu(batch_norm(conv(x, 8, 3))), 2);
    finish(g, dense(dropout(dense(flatten(h), 16, {.activation = relu}), 0.2), 3), t, Adam{.rate = 0.01});
    return g;
  }
  Trained() {
    data.inputs = Tensor(f32(60, 8, 8, 2));
    data.labels = Tensor(i32(60));
    std::mt19937_64 random(3);
    std::uniform_real_distribution<float> part(-1, 1);
    for (float& x : data.inputs.as<float>()) x = part(random);
    for (std::size_t i = 0; i < 60; ++i) data.labels.as<std::int32_t>()[i] = static_cast<std::int32_t>(i % 3);
    variables = fit(net(12), data, {.epochs = 2, .verbose = 0}).variables;
  }
  Dataset data;
  Variables variables;
};

TEST(Relations, BatchesAreCutAsOneLikes) {
  const Trained trained;
  const std::vector<double> whole = predict(Trained::net(60), trained.variables, trained.data.inputs, "logits").numbers();
  const Scores scores = evaluate(Trained::net(60), trained.variables, trained.data);
  for (const Dim batch : {1, 7, 12, 30, 59}) {
    const std::vector<double> parts = predict(Trained::net(batch), trained.variables, trained.data.inputs, "logits").numbers();
    for (std::size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(parts[i], whole[i], 2e-5) << "in batches of " << batch;
    const Scores part_scores = evaluate(Trained::net(batch), trained.variables, trained.data);
    EXPECT_NEAR(part_scores["loss"], scores["loss"], 1e-5) << batch;
    EXPECT_NEAR(part_scores["accuracy"], scores["accuracy"], 1e-6) << batch;
  }
  // The loss of all is the mean of the losses of both halves.
  const double first = evaluate(Trained::net(30), trained.variables, rows(trained.data, 0, 30))["loss"];
  const double second = evaluate(Trained::net(30), trained.variables, rows(trained.data, 30, 60))["loss"];
  EXPECT_NEAR((first + second) / 2, scores["loss"], 1e-5);
}

TEST(Relations, SamplesComeInAnyOrder) {
  const Trained trained;
  std::vector<std::uint32_t> order(60);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(5));
  const Dataset shuffled = take(trained.data, order);
  const std::vector<double> usual = predict(Trained::net(60), trained.variables, trained.data.inputs, "logits").numbers();
  const std::vector<double> other = predict(Trained::net(60), trained.variables, shuffled.inputs, "logits").numbers();
  for (std::size_t i = 0; i < order.size(); ++i)
    for (std::size_t k = 0; k < 3; ++k) ASSERT_NEAR(other[3 * i + k], usual[3 * order[i] + k], 2e-5);
  EXPECT_NEAR(evaluate(Trained::net(60), trained.variables, shuffled)["loss"],
              evaluate(Trained::net(60), trained.variables, trained.data)["loss"], 1e-5);
  // A step of the whole batch learns the same.
  const auto step = [&](const Dataset& data) {
    Graph g("step");
    const Value x = input(g, "x", f32(60, 8, 8, 2)), t = input(g, "t", i32(60));
    finish(g, dense(flatten(max_pool(relu(batch_norm(conv(x, 8, 3))), 2)), 3), t, Sgd{.rate = 0.1});
    return fit(g, data, {.shuffle = false, .verbose = 0}).variables;
  };
  const Variables a = step(trained.data), b = step(shuffled);
  for (const std::string& name : a.names()) {
    const std::vector<double> x = a.at(name).numbers(), y = b.at(name).numbers();
    for (std::size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], y[i], 2e-5) << name;
  }
}

}  // namespace
}  // namespace thalweg::testing
