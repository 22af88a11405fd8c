// SPDX-License-Identifier: Apache-2.0
#include "tests/compile/bounds.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "thalweg/graph/opdef.h"

namespace thalweg::testing {
namespace {

constexpr int samples = 8;
// Room for the partial sums, whose own roundings the samples do not see.
constexpr double factor = 32;

using Values = std::vector<std::vector<Array<double>>>;

/// What one rounding may move, as a part of the number.
double unit(DType dtype) {
  switch (dtype) {
    case DType::f32: return 0x1p-23;
    case DType::bf16: return 0x1p-8;
    case DType::f64: return 0x1p-50;
    default: return 0;
  }
}

/// Ops that only copy, choose or compare: f32 does them without rounding, and moving their operands apart would
/// break equalities that hold in every run.
bool is_exact(const Node& node) {
  static const std::set<std::string_view> exact = {"reduce_max", "max", "min", "select", "compare", "relu", "neg", "abs",
                                                   "clip", "max_pool", "max_pool_backward", "max_pool_pick", "gather",
                                                   "one_hot", "argmax", "by_mode", "stop_gradient", "broadcast", "reshape",
                                                   "note", "check", "check_target"};
  return node.op->fusion == Fusion::movement || node.op->fusion == Fusion::source || exact.contains(node.op->name);
}

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
        // Where windows overlap, gradients of a maximum are summed up.
        const bool summed = node.op->name == "max_pool_backward" && moved.size() == 2;
        if (noise && (summed || !is_exact(node))) move(moved.back(), types.back().dtype, *noise);
      }
      for (const Array<double>& a : moved) in.push_back(&a);
      values[id] = evaluate_node<double>(node, in, types);
      for (std::size_t r = 0; noise && !is_exact(node) && r < values[id].size(); ++r) move(values[id][r], node.types[r].dtype, *noise);
    }
    return values;
  }

 private:
  static void move(Array<double>& a, DType dtype, std::mt19937_64& noise) {
    if (!is_float(dtype)) return;
    std::uniform_real_distribution<double> part(-unit(dtype), unit(dtype));
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
    for (const double x : value.data) e.bound.push_back(4 * unit(graph.type(id).dtype) * std::fabs(x) + 1e-37);
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
