// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/dual_interpret.h"

#include <cmath>
#include <optional>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"

namespace thalweg {
namespace {

template <class S>
void call(const Meaning& meaning, Eval<S>& eval) {
  if constexpr (std::is_same_v<S, Dual>) {
    meaning.dual(eval);
  } else {
    meaning.f64(eval);
  }
}

bool is_whole(double x) { return std::isfinite(x) && x == std::trunc(x); }

/// The input or variable of that name, or its type's owner is told that there is none.
NodeId source_named(const Graph& graph, std::string_view name, bool inputs_too) {
  std::vector<std::string> known;
  const auto look = [&](const std::vector<NodeId>& ids) -> std::optional<NodeId> {
    for (const NodeId id : ids) {
      if (graph.node(id).name == name) return id;
      known.push_back(graph.node(id).name);
    }
    return {};
  };
  if (const auto id = look(graph.variables())) return *id;
  if (inputs_too)
    if (const auto id = look(graph.inputs())) return *id;
  run_error("graph '{}' has no {}variable '{}'{}", graph.name(), inputs_too ? "input or " : "", name,
            suggestion(name, known));
}

}  // namespace

template <class S>
std::vector<Array<S>> evaluate_node(const Node& node, std::span<const Array<S>* const> in,
                                    std::span<const TensorType> in_types) {
  if (!node.op->eval) throw InternalError(fmt::format("the op '{}' has no meaning", node.op->name), node.loc);
  std::vector<Array<S>> out;
  out.reserve(node.types.size());
  for (const TensorType& type : node.types) out.emplace_back(type.shape);
  Eval<S> eval(node.attrs, in, in_types, out, node.types, node.name);
  call(node.op->eval, eval);
  return out;
}

template <class S>
BasicInterpreter<S>::BasicInterpreter(const Graph& graph) : graph_(graph) {
  for (const NodeId id : graph_.variables()) {
    const Node& node = graph_.node(id);
    variables_.emplace(node.name, evaluate_node<S>(node, {}, {}).front());
  }
}

template <class S>
void BasicInterpreter<S>::set(std::string_view name, Array<S> value) {
  const Node& node = graph_.node(source_named(graph_, name, true));
  const TensorType& type = node.types.front();
  if (value.shape != type.shape || value.size() != static_cast<std::size_t>(type.elements()))
    run_error("'{}' is {}, was given {} with {} elements", name, to_string(type), to_string(value.shape),
              value.size());
  if (!is_float(type.dtype))
    for (std::size_t i = 0; i < value.size(); ++i)
      if (!is_whole(value_of(value[i])))
        run_error("'{}' is {}, was given {} at element {}", name, to_string(type), value_of(value[i]), i);
  (node.op->name == "variable" ? variables_ : inputs_).insert_or_assign(std::string(name), std::move(value));
}

template <class S>
const Array<S>& BasicInterpreter<S>::variable(std::string_view name) const {
  const NodeId id = source_named(graph_, name, false);
  if (const auto it = variables_.find(name); it != variables_.end()) return it->second;
  run_error("variable '{}' was added after the interpreter was made; evaluate() gives it its first value",
            graph_.node(id).name);
}

template <class S>
void BasicInterpreter<S>::evaluate() {
  values_.assign(graph_.size(), {});
  std::vector<const Array<S>*> in;
  std::vector<TensorType> in_types;
  for (NodeId id = 0; id < graph_.size(); ++id) {
    const Node& node = graph_.node(id);
    if (node.op->name == "input") {
      const auto it = inputs_.find(node.name);
      if (it == inputs_.end())
        run_error("input '{}' ({}) of graph '{}' was given no value", node.name, to_string(node.types.front()),
                  graph_.name());
      values_[id].push_back(it->second);
      continue;
    }
    if (node.op->name == "variable") {
      auto it = variables_.find(node.name);
      if (it == variables_.end()) it = variables_.emplace(node.name, evaluate_node<S>(node, {}, {}).front()).first;
      values_[id].push_back(it->second);
      continue;
    }
    in.clear();
    in_types.clear();
    for (const ValueId v : graph_.operands(id)) {
      in.push_back(&values_[v.node][v.result]);
      in_types.push_back(graph_.type(v));
    }
    values_[id] = evaluate_node<S>(node, in, in_types);
  }
}

template <class S>
void BasicInterpreter<S>::step() {
  evaluate();
  // The values of the step are copies, so that an update never sees another one's result.
  for (const Graph::Update& update : graph_.updates())
    variables_.insert_or_assign(graph_.node(update.variable.node).name, at(update.next));
}

template <class S>
const Array<S>& BasicInterpreter<S>::at(ValueId id) const {
  // Also after an evaluate() that threw: the nodes from there on have no results.
  if (id.node >= values_.size() || id.result >= values_[id.node].size())
    run_error("value %{} of graph '{}' was not evaluated yet", id.node, graph_.name());
  return values_[id.node][id.result];
}

template <class S>
const Array<S>& BasicInterpreter<S>::output(std::string_view name) const {
  std::vector<std::string> known;
  for (const Graph::Output& out : graph_.outputs()) {
    if (out.name == name) return at(out.value);
    known.push_back(out.name);
  }
  run_error("graph '{}' has no output '{}'{}", graph_.name(), name, suggestion(name, known));
}

template class BasicInterpreter<double>;
template class BasicInterpreter<Dual>;
template std::vector<Array<double>> evaluate_node(const Node&, std::span<const Array<double>* const>,
                                                  std::span<const TensorType>);
template std::vector<Array<Dual>> evaluate_node(const Node&, std::span<const Array<Dual>* const>,
                                                std::span<const TensorType>);

}  // namespace thalweg
