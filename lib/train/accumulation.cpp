// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/accumulation.h"

#include <algorithm>
#include <map>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/train/with_batch.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

/// Between the numbers that two micro-batches of one step draw with lie as many steps as nobody will make.
constexpr double steps_apart = 0x1p40;

bool is_late(const Node& node) {
  return node.origin == Origin::clip || node.origin == Origin::schedule || node.origin == Origin::optimizer;
}
bool is_stored(const Node& node) { return node.op->name == "variable" || node.op->name == "constant"; }

class Cutter {
 public:
  explicit Cutter(const Graph& graph) : graph_(graph) {
    find_gradients();
    late_ = reached_from(gradients_);
    std::vector<ValueId> data;
    for (const NodeId id : graph_.inputs())
      if (holds_samples(id)) data.push_back({id, 0});
    reads_data_ = reached_from(data);
  }

  Accumulation run() {
    if (gradients_.empty())
      throw GraphError(fmt::format("micro_batch: no update of graph '{}' depends on gradients", graph_.name()));
    return {gather(), apply()};
  }

 private:
  /// A scalar input is the same for every micro-batch.
  bool holds_samples(NodeId input) const { return graph_.node(input).types[0].shape.rank() > 0; }

  // ---- where to cut

  void find_gradients() {
    const auto add = [&](ValueId v) {
      const Node& node = graph_.node(v.node);
      if (!is_late(node) && !is_stored(node) && std::find(gradients_.begin(), gradients_.end(), v) == gradients_.end())
        gradients_.push_back(v);
    };
    for (NodeId id = 0; id < graph_.size(); ++id)
      if (is_late(graph_.node(id)))
        for (const ValueId v : graph_.operands(id)) add(v);
    for (const Graph::Update& update : graph_.updates())
      if (graph_.node(update.next.node).origin == Origin::backward) add(update.next);
    std::sort(gradients_.begin(), gradients_.end());
  }

  /// By node: whether it depends on one of the values, which are not counted themselves.
  std::vector<bool> reached_from(const std::vector<ValueId>& values) const {
    std::vector<bool> reached(graph_.size());
    for (NodeId id = 0; id < graph_.size(); ++id)
      for (const ValueId v : graph_.operands(id))
        if (reached[v.node] || std::find(values.begin(), values.end(), v) != values.end()) reached[id] = true;
    return reached;
  }

  bool is_gradient(ValueId v) const { return std::find(gradients_.begin(), gradients_.end(), v) != gradients_.end(); }
  /// Whether what ends there belongs to `apply`: it depends on gradients, or on nothing that is fed.
  bool applied(ValueId v) const { return late_[v.node] || is_gradient(v) || !reads_data_[v.node]; }

  // ---- copies

  /// Marks what the values need, without going on behind gradients where `cut`.
  std::vector<bool> needed(const std::vector<ValueId>& values, bool cut) const {
    std::vector<bool> live(graph_.size());
    const auto mark = [&](ValueId v) {
      if (!(cut && is_gradient(v))) live[v.node] = true;
    };
    for (const ValueId v : values) mark(v);
    for (NodeId id = static_cast<NodeId>(graph_.size()); id-- > 0;)
      if (live[id])
        for (const ValueId v : graph_.operands(id)) mark(v);
    return live;
  }

  using Places = std::map<ValueId, ValueId>;

  /// Copies the marked nodes; `operand` says where each operand stands.
  template <class F>
  void copy(Graph& to, const std::vector<bool>& live, Places& places, F operand) const {
    for (NodeId id = 0; id < graph_.size(); ++id) {
      if (!live[id]) continue;
      std::vector<ValueId> operands;
      for (std::size_t i = 0; i < graph_.operands(id).size(); ++i) operands.push_back(operand(id, i));
      const ValueId first = to.add_copy(graph_.node(id), operands).id();
      for (std::uint32_t r = 0; r < graph_.node(id).types.size(); ++r) places[{id, r}] = {first.node, r};
    }
  }

  std::string name_of(std::size_t gradient) const { return fmt::format("accumulated/{}", gradient); }

  Value own_variable(Graph& graph, const std::string& name, const TensorType& type) const {
    return variable(graph, name, type, zeros(), {.trainable = false});
  }

  // ---- the two halves

  Graph gather() const {
    Graph to(graph_.name());
    std::vector<ValueId> ends = gradients_;
    for (const Graph::Output& output : graph_.outputs())
      if (!late_[output.value.node]) ends.push_back(output.value);
    for (const Graph::Update& update : graph_.updates())
      if (!applied(update.next)) {
        ends.push_back(update.next);
        ends.push_back(update.variable);
      }
    const std::vector<bool> live = needed(ends, false);
    Places places;
    const Value micro = own_variable(to, "accumulated/micro_batch", i64());
    std::map<ValueId, ValueId> draws;  // by the step that a random op reads
    copy(to, live, places, [&](NodeId id, std::size_t i) {
      const ValueId old = graph_.operands(id)[i], at = places.at(old);
      if (!graph_.node(id).op->random) return at;
      const auto [known, is_new] = draws.try_emplace(old);
      if (is_new) known->second = (to.value(at) + micro * steps_apart).id();
      return known->second;
    });

    // As many ones as samples: with_batch lets the number follow.
    const Value samples = sum(constant(to, 1, f64(batch_of(graph_))));
    const Value count = own_variable(to, "accumulated/samples", f64());
    to.update(count, count + samples);
    to.update(micro, micro + 1);
    for (std::size_t i = 0; i < gradients_.size(); ++i) {
      const Value g = to.value(places.at(gradients_[i])), sum = own_variable(to, name_of(i), g.type());
      const Value weight = g.dtype() == DType::f64 ? samples : cast(samples, g.dtype());
      to.update(sum, sum + weight * g);
    }
    for (const Graph::Output& output : graph_.outputs())
      if (!late_[output.value.node]) to.output(output.name, to.value(places.at(output.value)));
    for (const Graph::Update& update : graph_.updates())
      if (!applied(update.next))
        to.update(to.value(places.at(update.variable)), to.value(places.at(update.next)));
    return to;
  }

  Graph apply() const {
    Graph to(graph_.name());
    std::vector<ValueId> ends;
    for (const Graph::Output& output : graph_.outputs())
      if (late_[output.value.node]) ends.push_back(output.value);
    for (const Graph::Update& update : graph_.updates())
      if (applied(update.next)) {
        ends.push_back(update.next);
        ends.push_back(update.variable);
      }
    const std::vector<bool> live = needed(ends, true);
    for (const NodeId id : graph_.inputs())
      if (live[id] && holds_samples(id))
        graph_error(graph_.node(id).loc,
                    "micro_batch: an output or update reads both gradients and input '{}', which belong to different "
                    "micro-batches",
                    graph_.node(id).name);
    const Value count = own_variable(to, "accumulated/samples", f64());
    const Value micro = own_variable(to, "accumulated/micro_batch", i64());
    to.update(count, constant(to, 0, f64()));
    to.update(micro, constant(to, 0, i64()));
    Places places;
    for (std::size_t i = 0; i < gradients_.size(); ++i) {
      const TensorType& type = graph_.type(gradients_[i]);
      const Value sum = own_variable(to, name_of(i), type);
      const Value samples = type.dtype == DType::f64 ? count : cast(count, type.dtype);
      places[gradients_[i]] = (sum / samples).id();
      to.update(sum, constant(to, 0, type));
    }
    copy(to, live, places, [&](NodeId id, std::size_t i) { return places.at(graph_.operands(id)[i]); });
    for (const Graph::Output& output : graph_.outputs())
      if (late_[output.value.node]) to.output(output.name, to.value(places.at(output.value)));
    for (const Graph::Update& update : graph_.updates())
      if (applied(update.next))
        to.update(to.value(places.at(update.variable)), to.value(places.at(update.next)));
    return to;
  }

  const Graph& graph_;
  std::vector<ValueId> gradients_;
  std::vector<bool> late_;        ///< by node: it depends on gradients
  std::vector<bool> reads_data_;  ///< by node: it depends on inputs of samples
};

}  // namespace

Accumulation accumulation(const Graph& graph) { return Cutter(graph).run(); }

}  // namespace thalweg
