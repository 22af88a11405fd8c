// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/minimize.h"

#include <algorithm>

#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/ops/pointwise.h"

namespace thalweg {
namespace {

bool is_variable(const Value& value) { return value.node().op->name == "variable"; }
bool is_trainable(const Value& value) { return is_variable(value) && value.node().attrs.flag("trainable"); }

/// The trainable variables that `loss` depends on, in order of creation. stop_gradient cuts: what lies behind it was
/// frozen on purpose.
std::vector<Value> trainable_behind(const Value& loss) {
  const Graph graph = loss.graph();
  const NodeId last = loss.id().node;
  std::vector<bool> reached(last + 1, false);
  reached[last] = true;
  std::vector<Value> found;
  for (NodeId id = last + 1; id-- > 0;) {
    if (!reached[id] || graph.node(id).op->name == "stop_gradient") continue;
    if (is_trainable(graph.value({id, 0}))) found.push_back(graph.value({id, 0}));
    const std::span<const ValueId> operands = graph.operands(id);
    // Of by_mode, training sees the first operand only.
    const std::size_t read = graph.node(id).op->name == "by_mode" ? 1 : operands.size();
    for (const ValueId operand : operands.first(read)) reached[operand.node] = true;
  }
  std::reverse(found.begin(), found.end());
  return found;
}

void check_loss(const Value& loss, SourceLoc loc) {
  if (!loss) graph_error(loc, "minimize: the loss is an empty Value");
  if (!is_float(loss.dtype()) || loss.rank() != 0)
    graph_error(loc, "minimize: the loss must be a float scalar, got {}\n    {}", to_string(loss.type()),
                describe(loss));
}

/// Refuses what can be known to fail before a node is made.
void check_variables(const std::vector<Value>& variables, const Value& loss, SourceLoc loc) {
  const Graph graph = loss.graph();
  if (variables.empty())
    graph_error(loc, "minimize: the loss depends on no trainable variable\n    {}", describe(loss));
  for (std::size_t i = 0; i < variables.size(); ++i) {
    const Value& v = variables[i];
    if (!v || !v.graph().same(graph))
      graph_error(loc, "minimize: variables[{}] is not a value of the loss's graph", i);
    if (!is_variable(v)) graph_error(loc, "minimize: variables[{}] is no variable\n    {}", i, describe(v));
    const std::string& name = v.node().name;
    if (!is_trainable(v)) graph_error(loc, "minimize: variable '{}' is not trainable\n    {}", name, describe(v));
    if (!is_float(v.dtype()))
      graph_error(loc, "minimize: variable '{}' is {}, only floats learn\n    {}", name, to_string(v.type()),
                  describe(v));
    if (std::find(variables.begin(), variables.begin() + static_cast<std::ptrdiff_t>(i), v) !=
        variables.begin() + static_cast<std::ptrdiff_t>(i))
      graph_error(loc, "minimize: variable '{}' is given twice", name);
    for (const Graph::Update& update : graph.updates())
      if (update.variable == v.id())
        graph_error(loc, "minimize: variable '{}' is already updated, and a step updates it once\n    {}\n    {}", name,
                    describe(v), describe(graph.value(update.next)));
  }
}

bool is_kernel(const Value& variable) { return variable.rank() >= 2; }

/// The sum of the penalties on those variables that are penalized; empty if none is.
Value penalty_on(const std::vector<Value>& variables, const Value& loss, const MinimizeOptions& options,
                 SourceLoc loc) {
  if (!options.penalty) return {};
  const Frame frame(loss.graph(), {.loc = loc, .scope = "penalty", .origin = Origin::regularizer});
  Value all;
  for (const Value& w : variables) {
    if (!(options.penalize ? options.penalize(w) : is_kernel(w))) continue;
    const Value one = options.penalty(w);
    if (!one || one.type() != TensorType{loss.dtype(), {}})
      graph_error(loc, "minimize: the penalty on '{}' must be {} as the loss, got {}\n    {}", w.node().name,
                  to_string(loss.type()), one ? to_string(one.type()) : "an empty Value", describe(w));
    all = all ? all + one : one;
  }
  return all;
}

Values clipped(const Values& gradients, const Clip& clip, const Graph& graph, SourceLoc loc) {
  if (!clip) return gradients;
  const Frame frame(graph, {.loc = loc, .scope = "clip", .origin = Origin::clip});
  Values out = clip(gradients);
  if (out.size() != gradients.size())
    graph_error(loc, "minimize: the clip was given {} gradients and returned {}", gradients.size(), out.size());
  for (std::size_t i = 0; i < out.size(); ++i)
    if (!out[i] || out[i].type() != gradients[i].type())
      graph_error(loc, "minimize: the clip turned gradient {} from {} into {}\n    {}", i,
                  to_string(gradients[i].type()), out[i] ? to_string(out[i].type()) : "an empty Value",
                  describe(gradients[i]));
  return out;
}

}  // namespace

Minimized minimize(const Value& loss, const Optimizer& optimizer, const MinimizeOptions& options, SourceLoc loc) {
  check_loss(loss, loc);
  optimizer.check(loc);
  Minimized m{.loss = loss, .penalty = {}, .rate = {}, .variables = options.variables, .raw_gradients = {},
              .gradients = {}};
  if (m.variables.empty()) m.variables = trainable_behind(loss);
  check_variables(m.variables, loss, loc);

  Graph graph = loss.graph();
  const Frame all_or_nothing(graph, {});
  m.penalty = penalty_on(m.variables, loss, options, loc);
  if (m.penalty) {
    const Frame frame(graph, {.loc = loc, .scope = "penalty", .origin = Origin::regularizer});
    m.loss = loss + m.penalty;
  }
  {
    // No line here: a gradient keeps the line of what it differentiates.
    const Frame frame(graph, {.origin = Origin::backward});
    m.raw_gradients = gradients({m.loss, loc}, m.variables);
  }
  m.gradients = clipped(m.raw_gradients, options.clip, graph, loc);

  Slots slots(graph, optimizer.name(), loc);
  for (std::size_t i = 0; i < m.variables.size(); ++i)
    graph.update({m.variables[i], loc}, {slots.next(optimizer, m.variables[i], m.gradients[i]), loc});
  slots.count();
  m.rate = slots.first_rate();
  return m;
}

}  // namespace thalweg
