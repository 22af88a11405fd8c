// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/compile/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "thalweg/graph/opdef.h"

namespace thalweg {
namespace {

double elements(const TensorType& type) { return static_cast<double>(type.elements()); }

/// Taps times input channels that one element of a convolution's output sums over: w is [kh,kw,C/groups,O].
double taps(const TensorType& w) { return elements(w) / static_cast<double>(w.shape.back()); }

double largest(const Graph& graph, NodeId id) {
  double most = 0;
  for (const TensorType& type : graph.node(id).types) most = std::max(most, elements(type));
  for (const ValueId operand : graph.operands(id)) most = std::max(most, elements(graph.type(operand)));
  return most;
}

bool is_variable(const Node& node) { return node.op->name == "variable"; }
bool is_trainable(const Node& node) { return node.attrs.flag("trainable"); }

/// Collects nodes into rows; a row ends where the scope changes. Layers have names of their own.
class Rows {
 public:
  explicit Rows(const Graph& graph) : graph_(graph) {}

  void add(NodeId id) {
    const Node& node = graph_.node(id);
    if (node.origin == Origin::backward) return add_backward(id);
    if (node.origin != Origin::forward || node.op->name == "input") return;
    if (is_variable(node) && !is_float(node.types[0].dtype)) return;  // the step counter is no parameter
    const bool source = node.op->fusion == Fusion::source;
    if (node.scope.empty() && source && !is_variable(node)) return;
    if (rows_.empty() || node.scope != scope_ || node.scope.empty()) {
      rows_.push_back({.layer = node.scope.empty() ? std::string(node.op->name) : node.scope, .output = node.types[0]});
      scope_ = node.scope;
      row_of_[place(node)] = rows_.size() - 1;
    }
    Summary::Row& row = rows_.back();
    row.output = node.types[0];
    row.flops += flops(graph_, id);
    if (!source && !is_view(node))
      for (const TensorType& type : node.types) row.activation_bytes += type.bytes();
    if (is_variable(node)) (is_trainable(node) ? row.parameters : row.fixed_parameters) += node.types[0].elements();
  }

  std::vector<Summary::Row> take() { return std::move(rows_); }

 private:
  /// A gradient has the scope and the line of what it is the gradient of.
  static std::string place(const Node& node) {
    return node.scope.empty() ? fmt::format(":{}", to_string(node.loc)) : node.scope;
  }
  static bool is_view(const Node& node) { return node.op->name == "reshape" || node.op->name == "stop_gradient"; }
  void add_backward(NodeId id) {
    if (const auto row = row_of_.find(place(graph_.node(id))); row != row_of_.end())
      rows_[row->second].backward_flops += flops(graph_, id);
  }

  const Graph& graph_;
  std::vector<Summary::Row> rows_;
  std::map<std::string, std::size_t> row_of_;
  std::string scope_;
};

}  // namespace

double flops(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const std::string_view op = node.op->name;
  const auto operands = graph.operands(id);
  const auto operand = [&](std::size_t i) { return graph.type(operands[i]); };
  if (op == "matmul") {
    const Shape a = operand(0).shape;
    const Dim inner = node.attrs.flag("ta") ? a[a.rank() - 2] : a.back();
    return 2 * elements(node.types[0]) * static_cast<double>(inner);
  }
  if (op == "conv2d") return 2 * elements(node.types[0]) * taps(operand(1));
  if (op == "conv2d_backward_data") return 2 * elements(operand(0)) * taps(operand(1));
  if (op == "conv2d_backward_weights") return 2 * elements(operand(1)) * taps(node.types[0]);
  if (node.op->fusion == Fusion::source || node.op->fusion == Fusion::movement || op == "note") return 0;
  return largest(graph, id);
}

double flops(const Graph& graph) {
  double sum = 0;
  for (NodeId id = 0; id < graph.size(); ++id) sum += flops(graph, id);
  return sum;
}

Summary summary(const Graph& graph) {
  Rows rows(graph);
  for (NodeId id = 0; id < graph.size(); ++id) rows.add(id);
  Summary result{.rows = rows.take()};
  for (const Summary::Row& row : result.rows) {
    result.parameters += row.parameters;
    result.fixed_parameters += row.fixed_parameters;
    result.flops += row.flops;
    result.activation_bytes += row.activation_bytes;
  }
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Origin origin = graph.node(id).origin;
    if (origin == Origin::backward) result.backward_flops += flops(graph, id);
    else if (origin != Origin::forward) result.update_flops += flops(graph, id);
  }
  return result;
}

std::string with_commas(std::int64_t number) {
  std::string text = std::to_string(number);
  const std::size_t first = number < 0 ? 1 : 0;
  for (std::size_t at = text.size(); at > first + 3;) text.insert(at -= 3, ",");
  return text;
}

std::string Summary::text() const {
  std::size_t layer = 5, output = 6;
  for (const Row& row : rows) {
    layer = std::max(layer, row.layer.size());
    output = std::max(output, to_string(row.output).size());
  }
  const bool trains = backward_flops > 0;
  std::string table;
  const auto line = [&](std::string_view a, std::string_view b, std::string_view c, std::string_view d,
                        std::string_view backward, std::string_view bytes) {
    table += fmt::format("{:<{}}  {:<{}}  {:>12}  {:>15}", a, layer, b, output, c, d);
    if (trains) table += fmt::format("  {:>15}", backward);
    table += fmt::format("  {:>14}\n", bytes);
  };
  const auto count = [](double value) { return with_commas(std::llround(value)); };
  const auto whole = [](std::size_t value) { return with_commas(static_cast<std::int64_t>(value)); };
  line("layer", "output", "parameters", "FLOPs", "backward FLOPs", "activations, B");
  for (const Row& row : rows)
    line(row.layer, to_string(row.output), with_commas(row.parameters + row.fixed_parameters), count(row.flops),
         count(row.backward_flops), whole(row.activation_bytes));
  line("total", "", with_commas(parameters + fixed_parameters), count(flops), count(backward_flops),
       whole(activation_bytes));
  if (fixed_parameters > 0)
    table += fmt::format("of these {} trainable, {} not\n", with_commas(parameters), with_commas(fixed_parameters));
  if (update_flops > 0) table += fmt::format("updates, schedules and penalties: {} FLOPs\n", count(update_flops));
  return table;
}

ProgramSummary summary(const PlannedProgram& planned) {
  ProgramSummary s{.kernels = planned.plan.kernels.size(), .implementations = {}, .memory = planned.memory,
                   .logical_threads = planned.logical_threads};
  for (const PlannedKernel& kernel : planned.plan.kernels) {
    // `own:pointwise(add,relu)` and all its like are one implementation.
    ++s.implementations[kernel.implementation.substr(0, kernel.implementation.find('('))];
    s.reorders += kernel.reorders;
    if (kernel.members.size() < 2) continue;
    ++s.groups;
    s.grouped_nodes += kernel.members.size();
  }
  return s;
}

std::string ProgramSummary::text(bool portable) const {
  const auto bytes = [](std::size_t n) { return with_commas(static_cast<std::int64_t>(n)); };
  if (portable) return fmt::format("variables {} bytes, inputs {}\n", bytes(memory.variables), bytes(memory.inputs));
  std::string text = fmt::format("{} kernels for {} {}; {} of them are groups of {} ops\n", kernels, logical_threads,
                                 logical_threads == 1 ? "thread" : "threads", groups, grouped_nodes);
  for (const auto& [name, count] : implementations) text += fmt::format("  {:>5}  {}\n", count, name);
  return text + fmt::format("memory {} bytes, exactly: variables {}, constants {}, inputs {}, arena {} (largest live set "
                            "{})\na step makes {} layout changes and 0 allocations of its own\n",
                            bytes(memory.total()), bytes(memory.variables), bytes(memory.constants),
                            bytes(memory.inputs), bytes(memory.arena), bytes(memory.largest_live), reorders);
}

}  // namespace thalweg
