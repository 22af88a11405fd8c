// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/adjust.h"

#include <map>
#include <optional>

#include "thalweg/graph/opdef.h"
#include "thalweg/graph/rewrite.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

bool is_rate(const Graph& graph, ValueId value) {
  return graph.node(value.node).origin == Origin::schedule && graph.type(value).shape.rank() == 0 &&
         is_float(graph.type(value).dtype);
}
/// Whether a schedule hands the value to an optimizer there.
bool is_rate_to(const Graph& graph, ValueId value, NodeId reader) {
  return is_rate(graph, value) && graph.node(reader).origin != Origin::schedule;
}

/// The rates of the graph that is being made, each multiplied once.
class ScaledRates {
 public:
  explicit ScaledRates(const std::string& input) : input_(input) {}

  ValueId of(ValueId rate, Graph& to) {
    const auto known = scaled_.find(rate);
    if (known != scaled_.end()) return known->second;
    const Value before = to.value(rate);
    if (!factor_) factor_ = input(to, input_, f64()).id();
    // In double, rounded once: constants keep the number that they were made of.
    const std::optional<double> number = constant_number(before);
    const Value exact = before.dtype() == DType::f64 ? before
                        : number                     ? constant(to, *number, f64())
                                                     : cast(before, DType::f64);
    const Value after = exact * to.value(*factor_);
    if (!first_) first_ = after.id();
    return scaled_[rate] = before.dtype() == DType::f64 ? after.id() : cast(after, before.dtype()).id();
  }
  std::optional<ValueId> first() const { return first_; }

 private:
  const std::string& input_;
  std::optional<ValueId> factor_;
  std::optional<ValueId> first_;
  std::map<ValueId, ValueId> scaled_;
};

}  // namespace

Value scale_rates(Graph& graph, const std::string& input) {
  ScaledRates rates(input);
  rewrite(graph, [&](const Site& site) -> std::vector<ValueId> {
    std::vector<ValueId> operands(site.x.begin(), site.x.end());
    bool changed = false;
    for (std::size_t i = 0; i < operands.size(); ++i) {
      if (!is_rate_to(site.from, site.from.operands(site.id)[i], site.id)) continue;
      operands[i] = rates.of(operands[i], site.to);
      changed = true;
    }
    if (!changed) return {};
    return Site{site.from, site.id, site.to, operands}.copy();
  });
  if (!rates.first()) return {};
  const std::vector<Graph::Output> outputs = graph.outputs();
  graph.drop_outputs();
  for (const Graph::Output& output : outputs) {
    const ValueId value = is_rate(graph, output.value) ? rates.of(output.value, graph) : output.value;
    graph.output(output.name, graph.value(value));
  }
  return graph.value(*rates.first());
}

}  // namespace thalweg
