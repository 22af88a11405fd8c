// SPDX-License-Identifier: Apache-2.0
#include "tests/compile/bounds.h"

#include <algorithm>
#include <cmath>

#include "thalweg/graph/opdef.h"

namespace thalweg::testing {
namespace {

constexpr int samples = 8;
constexpr double unit = 0x1p-23;
constexpr double factor = 12;

using Values = std::vector<std::vector<Array<double>>>;

class Noisy {
 public:
  Noisy(const Graph& graph, const Bounds::Feeds& feeds) : graph_(graph), feeds_(feeds) {}

  Values run(std::mt19937_64* noise) const {
    Values values(graph_.size());
    for (NodeId id = 0; id < graph_.size(); ++id) {
      const Node& node = graph_.node(id);
      if (const auto feed = feeds_.find(node.name); !node.name.empty() && feed != feeds_.end()) {
        values[id].push_back(feed->second);
        continue;
      }
      std::vector<Array<double>> moved;
      std::vector<const Array<double>*> in;
      std::vector<TensorType> types;
      for (const ValueId v : graph_.operands(id)) {
        moved.push_back(values[v.node][v.result]);
        types.push_back(graph_.type(v));
        if (noise) move(moved.back(), types.back().dtype, *noise);
      }
      for (const Array<double>& a : moved) in.push_back(&a);
      values[id] = evaluate_node<double>(node, in, types);
      for (std::size_t r = 0; noise && r < values[id].size(); ++r) move(values[id][r], node.types[r].dtype, *noise);
    }
    return values;
  }

 private:
  static void move(Array<double>& a, DType dtype, std::mt19937_64& noise) {
    if (dtype != DType::f32) return;
    std::uniform_real_distribution<double> part(-unit, unit);
    for (double& x : a.data) x += x * part(noise);
  }
  const Graph& graph_;
  const Bounds::Feeds& feeds_;
};

}  // namespace

Bounds::Bounds(const Graph& graph, const Feeds& feeds, std::uint64_t seed) {
  const Noisy interpreter(graph, feeds);
  const Values exact = interpreter.run(nullptr);
  std::map<std::string, ValueId> wanted;
  for (const Graph::Output& output : graph.outputs()) wanted[output.name] = output.value;
  for (const Graph::Update& update : graph.updates()) wanted["@" + graph.node(update.variable.node).name] = update.next;
  for (const auto& [name, id] : wanted) {
    const Array<double>& value = exact[id.node][id.result];
    Expected& e = expected_[name];
    e.value = value;
    for (const double x : value.data) e.bound.push_back(4 * unit * std::fabs(x) + 1e-37);
  }
  std::mt19937_64 noise(seed);
  for (int s = 0; s < samples; ++s) {
    const Values moved = interpreter.run(&noise);
    for (const auto& [name, id] : wanted) {
      Expected& e = expected_[name];
      for (std::size_t k = 0; k < e.bound.size(); ++k) {
        const double off = std::fabs(moved[id.node][id.result][k] - e.value[k]);
        if (std::isfinite(off)) e.bound[k] = std::max(e.bound[k], factor * off);
      }
    }
  }
}

}  // namespace thalweg::testing
