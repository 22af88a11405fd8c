// SPDX-License-Identifier: Apache-2.0
// What is kept between forward and backward is the best there is, by trying all there is.
#include "thalweg/lib/compile/recompute.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/error.h"
#include "thalweg/graph/min_cut.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/compile/summary.h"
#include "thalweg/thalweg.h"

namespace thalweg {
namespace {

constexpr double unlimited = std::numeric_limits<double>::infinity();

struct TestEdge {
  std::size_t from, to;
  double price;
};

TEST(MinCut, IsTheCheapestOfAllCuts) {
  std::mt19937 random(7);
  int limited = 0;
  for (int round = 0; round < 300; ++round) {
    const std::size_t count = 1 + random() % 9;
    FlowNetwork network(count);
    std::vector<TestEdge> edges;  // the source is vertex count, the sink count + 1
    const auto price = [&] { return random() % 8 == 0 ? unlimited : static_cast<double>(random() % 1000); };
    for (std::size_t k = 0; k < 3 * count; ++k) edges.push_back({random() % count, random() % count, price()});
    for (std::size_t k = 0; k < 2; ++k) edges.push_back({count, random() % count, price()});
    for (std::size_t k = 0; k < 2; ++k) edges.push_back({random() % count, count + 1, price()});
    for (const TestEdge& e : edges) network.edge(e.from, e.to, e.price);
    const auto cost = [&](std::size_t side) {  // bit v: vertex v is on the source's side
      side |= std::size_t{1} << count;
      double sum = 0;
      for (const TestEdge& e : edges)
        if ((side >> e.from & 1) == 1 && (side >> e.to & 1) == 0) sum += e.price;
      return sum;
    };
    double best = unlimited;
    for (std::size_t side = 0; side < std::size_t{1} << count; ++side) best = std::min(best, cost(side));
    if (best == unlimited) {
      EXPECT_THROW(network.min_cut(), InternalError);
      continue;
    }
    ++limited;
    const std::vector<bool> found = network.min_cut();
    std::size_t side = 0;
    for (std::size_t v = 0; v < count; ++v) side |= std::size_t{found[v]} << v;
    EXPECT_EQ(cost(side), best) << "round " << round;
  }
  EXPECT_GT(limited, 200);
}

/// A net of a few layers of different widths, some of them joined, and its gradients.
Graph random_net(std::mt19937& random) {
  Graph g("net");
  std::vector<Value> made = {input(g, "x", f32(16, 8))};
  std::vector<Value> weights;
  for (int k = 0; k < 9; ++k) {
    const Value x = made[made.size() - 1 - random() % std::min<std::size_t>(made.size(), 3)];
    switch (random() % 6) {
      case 0:
      case 1: {
        const Dim wide = 4 << random() % 5;
        weights.push_back(variable(g, "w" + std::to_string(k), f32(x.shape()[1], wide), glorot_uniform()));
        made.push_back(matmul(x, weights.back()));
        break;
      }
      case 2: made.push_back(tanh(x)); break;
      case 3: made.push_back(exp(x)); break;
      case 4: made.push_back(relu(x)); break;
      default:
        made.push_back(x.shape() == made.back().shape() ? x * made.back() : square(x));
    }
  }
  Value loss = sum(made.back());
  if (weights.empty()) weights.push_back(made.front());
  for (const Value& gradient : gradients(loss, weights, {.allow_unconnected = true})) g.output("d" + std::to_string(gradient.id().node), gradient);
  g.output("loss", loss);
  return g;
}

/// What it costs to keep these nodes, and to repeat the others as far as the backward part wants them.
class Cost {
 public:
  Cost(const Graph& graph, double price) : graph_(graph), price_(price), late_(graph.size()), fixed_(graph.size()) {
    for (NodeId id = 0; id < graph.size(); ++id) {
      late_[id] = graph.node(id).origin == Origin::backward;
      for (const ValueId v : graph.operands(id)) late_[id] = late_[id] || late_[v.node];
      fixed_[id] = late_[id] || graph.node(id).origin != Origin::forward || graph.node(id).op->fusion == Fusion::source ||
                   graph.node(id).types[0].elements() == 1;
      if (!fixed_[id]) free_.push_back(id);
    }
  }
  /// The nodes about which there is a choice.
  const std::vector<NodeId>& choices() const { return free_; }

  double of(const std::vector<bool>& kept) const {
    std::vector<bool> wanted(graph_.size());
    double sum = 0;
    for (NodeId id = static_cast<NodeId>(graph_.size()); id-- > 0;) {
      if (wanted[id] && kept[id]) sum += static_cast<double>(graph_.node(id).types[0].bytes());
      if (wanted[id] && !kept[id]) sum += repeated(id);
      if (!late_[id] && (!wanted[id] || kept[id])) continue;
      for (const ValueId v : graph_.operands(id))
        if (!fixed_[v.node]) wanted[v.node] = true;
    }
    return sum;
  }

 private:
  double repeated(NodeId id) const {
    if (graph_.node(id).op->name != "matmul") return 1e-3 * flops(graph_, id);
    return price_ < unlimited ? price_ * flops(graph_, id) : unlimited;
  }
  const Graph& graph_;
  double price_;
  std::vector<bool> late_, fixed_;
  std::vector<NodeId> free_;
};

TEST(Recompute, KeepsTheFewestBytes) {
  std::mt19937 random(1);
  int tried = 0, repeated = 0;
  for (int round = 0; round < 60; ++round) {
    const Graph graph = random_net(random);
    for (const double price : {unlimited, 0.5, 0.05, 0.005}) {
      SCOPED_TRACE("round " + std::to_string(round) + ", price " + std::to_string(price));
      const Cost cost(graph, price);
      const std::vector<NodeId>& choices = cost.choices();
      ASSERT_LE(choices.size(), 14U);
      double best = unlimited;
      for (std::size_t some = 0; some < std::size_t{1} << choices.size(); ++some) {
        std::vector<bool> kept(graph.size());
        for (std::size_t k = 0; k < choices.size(); ++k) kept[choices[k]] = (some >> k & 1) == 1;
        best = std::min(best, cost.of(kept));
      }
      const std::vector<bool> kept = fewest_bytes_kept(graph, price);
      // Prices are rounded to a part in 2^40 of their sum.
      EXPECT_NEAR(cost.of(kept), best, 1e-6 * (1 + best));
      ++tried;
      for (const NodeId id : choices) repeated += !kept[id] ? 1 : 0;
    }
  }
  EXPECT_EQ(tried, 240);
  EXPECT_GT(repeated, 100);
}

}  // namespace
}  // namespace thalweg
