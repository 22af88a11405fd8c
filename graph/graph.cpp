// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/graph.h"

#include <algorithm>
#include <exception>
#include <optional>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/storage.h"

namespace thalweg {

using detail::GraphState;

detail::GraphState& detail::Access::state(const Graph& graph) { return *graph.state_; }

std::string_view to_string(Origin origin) {
  switch (origin) {
    case Origin::forward: return "forward";
    case Origin::backward: return "backward";
    case Origin::regularizer: return "regularizer";
    case Origin::clip: return "clip";
    case Origin::schedule: return "schedule";
    case Origin::optimizer: return "optimizer";
  }
  return "?";
}

bool detail::good_name(std::string_view name) {
  if (name.empty() || name.size() > 200) return false;
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  if (!letter(name.front())) return false;
  if (name.find("//") != name.npos || name.find("..") != name.npos || name.back() == '/') return false;
  return std::all_of(name.begin(), name.end(), [&](char c) {
    return letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '/' || c == '-';
  });
}

namespace {

void check_name(std::string_view what, std::string_view name, SourceLoc loc) {
  if (!detail::good_name(name))
    graph_error(loc,
                "{} name '{}' is not allowed: a letter or _ first, then letters, digits, . / - _, at most 200 in all",
                what, shown(name));
}

std::string place(SourceLoc loc) { return loc.known() ? " at " + to_string(loc) : std::string(); }

}  // namespace

// ---- Value

const Node& Value::node() const { return graph().node(id().node); }
const TensorType& Value::type() const { return graph().type(id()); }

ValueId Value::id() const {
  if (!state_) throw GraphError("an empty Value was used: it belongs to no graph");
  if (id_.node < state_->born.size() && generation_ == state_->born[id_.node]) return id_;
  if (generation_ < state_->renumbered)
    throw GraphError(fmt::format(
        "a Value of graph '{}' from before a pass renumbered it was used; take it again with Graph::find", state_->name));
  throw GraphError(fmt::format(
      "a Value of graph '{}' was used whose node was taken back when the call that made it failed", state_->name));
}

Graph Value::graph() const {
  if (!state_) throw GraphError("an empty Value was used: it belongs to no graph");
  return Graph(state_);
}

std::string label(const Graph& graph, ValueId id) {
  const Node& node = graph.node(id.node);
  if (!node.name.empty()) return (node.op != nullptr && node.op->name == "variable" ? "@" : "%") + node.name;
  std::size_t number = id.result;
  for (NodeId before = 0; before < id.node; ++before)
    if (graph.node(before).name.empty()) number += graph.node(before).types.size();
  return fmt::format("%{}", number);
}

std::string describe(const Value& value) {
  const Graph graph = value.graph();
  const Node& node = value.node();
  return fmt::format("{:<4} {:<14} {}{}", label(graph, value.id()), to_string(value.type()), node.op->name,
                     place(node.loc));
}

std::vector<Value> results_of(const Value& first) {
  const Graph graph = first.graph();
  const ValueId id = first.id();
  std::vector<Value> all;
  for (std::uint32_t i = 0; i < graph.node(id.node).types.size(); ++i) all.push_back(graph.value({id.node, i}));
  return all;
}

void Operand::empty_operand(SourceLoc loc) {
  throw GraphError("an empty Value was given as an operand: it belongs to no graph", loc);
}

// ---- Graph

Graph::Graph(std::string name) : state_(detail::share<GraphState>()) { rename(std::move(name)); }

const std::string& Graph::name() const { return state_->name; }

void Graph::rename(std::string name) {
  check_name("graph", name, {});
  state_->name = std::move(name);
}

std::size_t Graph::size() const { return boost::num_vertices(state_->nodes); }
const Node& Graph::node(NodeId id) const { return state_->nodes[id]; }

std::span<const ValueId> Graph::operands(NodeId id) const {
  const std::size_t first = state_->first_operand[id], last = state_->first_operand[id + 1];
  return std::span(state_->operands).subspan(first, last - first);
}

Value Graph::value(ValueId id) const { return Value(state_, id, state_->born[id.node]); }
const std::vector<Graph::Output>& Graph::outputs() const { return state_->outputs; }
const std::vector<Graph::Update>& Graph::updates() const { return state_->updates; }

namespace {

std::vector<NodeId> nodes_of(const Graph& graph, std::string_view op) {
  std::vector<NodeId> ids;
  for (NodeId id = 0; id < graph.size(); ++id)
    if (graph.node(id).op->name == op) ids.push_back(id);
  return ids;
}

}  // namespace

std::vector<NodeId> Graph::inputs() const { return nodes_of(*this, "input"); }
std::vector<NodeId> Graph::variables() const { return nodes_of(*this, "variable"); }

bool Graph::has(std::string_view name) const {
  if (state_->named.contains(std::string(name))) return true;
  return state_->output_named.contains(std::string(name));
}

Value Graph::find(std::string_view name) const {
  if (const auto it = state_->named.find(std::string(name)); it != state_->named.end()) return value({it->second, 0});
  if (const auto it = state_->output_named.find(std::string(name)); it != state_->output_named.end())
    return value(outputs()[it->second].value);
  std::vector<std::string> known;
  for (const auto& [known_name, id] : state_->named) known.push_back(known_name);
  for (const Output& out : outputs()) known.push_back(out.name);
  throw GraphError(fmt::format("graph '{}' has no input, variable or output '{}'{}", this->name(), shown(name),
                               suggestion(name, known)));
}

void Graph::output(std::string name, Operand value) {
  check_name("output", name, value.loc);
  if (!value.value || value.value.state_ != state_)
    graph_error(value.loc, "output '{}' is not a value of graph '{}'", name, this->name());
  const ValueId id = value.value.id();
  if (!state_->output_named.emplace(name, state_->outputs.size()).second)
    graph_error(value.loc, "there is already an output '{}'", name);
  state_->outputs.push_back({std::move(name), id});
}

void Graph::update(Operand variable, Operand next) {
  if (!variable.value || !next.value || variable.value.state_ != state_ || next.value.state_ != state_)
    graph_error(variable.loc, "update: both sides must be values of graph '{}'", name());
  const ValueId v = variable.value.id(), n = next.value.id();
  if (node(v.node).op->name != "variable")
    graph_error(variable.loc, "update: only a variable can be updated\n    {}", describe(variable.value));
  if (type(v) != type(n))
    graph_error(variable.loc, "update: variable '{}' is {} and its next value {}\n    {}\n    {}", node(v.node).name,
                to_string(type(v)), to_string(type(n)), describe(variable.value), describe(next.value));
  const auto [other, is_new] = state_->update_of.emplace(v.node, state_->updates.size());
  if (!is_new)
    graph_error(variable.loc, "update: variable '{}' is updated twice in one step{}", node(v.node).name,
                place(node(updates()[other->second].next.node).loc));
  state_->updates.push_back({v, n});
}

void Graph::drop_outputs() {
  state_->outputs.clear();
  state_->output_named.clear();
}
void Graph::drop_updates() {
  state_->updates.clear();
  state_->update_of.clear();
}
std::int64_t Graph::next_key() { return state_->keys++; }

Graph Graph::clone() const {
  Graph copy(name());
  *copy.state_ = *state_;
  return copy;
}

void Graph::replace_by(Graph&& other) {
  GraphState& mine = *state_;
  GraphState next = std::move(*other.state_);
  *other.state_ = GraphState{};
  next.renumbered = next.generation = mine.generation + 1;
  std::fill(next.born.begin(), next.born.end(), next.generation);
  // A key given once stays given, and the Frames that are alive go on.
  next.keys = std::max(next.keys, mine.keys);
  next.loc = mine.loc;
  next.scope = std::move(mine.scope);
  next.origin = mine.origin;
  mine = std::move(next);
}

namespace {

GraphMark mark(const GraphState& s) {
  return {s.born.size(), s.outputs.size(), s.updates.size(), s.keys, s.renumbered, std::uncaught_exceptions()};
}

/// Takes back what was added since `begin`, in one pass over what stays.
void take_back(GraphState& s, const GraphMark& begin) {
  for (std::size_t i = begin.outputs; i < s.outputs.size(); ++i) s.output_named.erase(s.outputs[i].name);
  for (std::size_t i = begin.updates; i < s.updates.size(); ++i) s.update_of.erase(s.updates[i].variable.node);
  s.outputs.resize(std::min(s.outputs.size(), begin.outputs));
  s.updates.resize(std::min(s.updates.size(), begin.updates));
  s.keys = begin.keys;
  if (s.born.size() == begin.nodes) return;
  for (std::size_t id = begin.nodes; id < s.born.size(); ++id) s.named.erase(s.nodes[id].name);
  detail::Adjacency kept;
  for (NodeId id = 0; id < begin.nodes; ++id) {
    boost::add_vertex(std::move(s.nodes[id]), kept);
    for (std::size_t i = s.first_operand[id]; i < s.first_operand[id + 1]; ++i)
      boost::add_edge(s.operands[i].node, id,
                      detail::Use{static_cast<std::uint32_t>(i - s.first_operand[id]), s.operands[i].result}, kept);
  }
  s.nodes = std::move(kept);
  s.operands.resize(s.first_operand[begin.nodes]);
  s.first_operand.resize(begin.nodes + 1);
  s.born.resize(begin.nodes);
  ++s.generation;
}

/// An exception has been thrown since the mark. A graph that was renumbered in between stays as it is.
bool failed_since(const GraphState& s, const GraphMark& begin) {
  return std::uncaught_exceptions() > begin.exceptions && s.renumbered == begin.renumbered;
}

/// Takes back what a failing call has added.
class Undo {
 public:
  explicit Undo(const detail::Shared<GraphState>& state) : state_(*state), begin_(mark(state_)) {}
  ~Undo() {
    if (failed_since(state_, begin_)) take_back(state_, begin_);
  }
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;

 private:
  GraphState& state_;
  GraphMark begin_;
};

/// The value each operand stands for; numbers become constants of their partners' dtype.
std::vector<Value> resolve(Graph& graph, const OpDef& op, std::span<const Operand> operands, SourceLoc loc) {
  const auto partner = std::find_if(operands.begin(), operands.end(), [](const Operand& o) {
    return !o.is_number() && o.value.dtype() != DType::boolean;
  });
  std::vector<Value> values;
  for (const Operand& operand : operands) {
    if (!operand.is_number()) {
      if (!operand.value.graph().same(graph))
        graph_error(loc, "{}: operand {} belongs to another graph ('{}', not '{}')", op.name, values.size(),
                    operand.value.graph().name(), graph.name());
      static_cast<void>(operand.value.id());
      values.push_back(operand.value);
      continue;
    }
    if (partner == operands.end()) graph_error(loc, "{}: at least one operand must be a value of a graph", op.name);
    values.push_back(graph.add(op_named("constant"), {}, {Attr("values", std::vector<double>{operand.number})},
                               TensorType{partner->value.dtype(), {}}, {}, loc));
  }
  return values;
}

std::string operand_lines(const std::vector<Value>& values) {
  std::string text;
  for (std::size_t i = 0; i < values.size() && i < 8; ++i)
    text += fmt::format("\n    {}  {}", static_cast<char>('a' + i), describe(values[i]));
  return text;
}

bool same_node(const Graph& graph, NodeId id, const Node& node, const std::vector<ValueId>& operands) {
  const Node& other = graph.node(id);
  return other.op == node.op && std::ranges::equal(graph.operands(id), operands) && other.types == node.types &&
         other.attrs == node.attrs;
}

}  // namespace

Value Graph::add(const OpDef& op, std::span<const Operand> operands, std::vector<Attr> attrs,
                 std::optional<TensorType> declared, std::string name, SourceLoc loc) {
  if (state_->loc.known()) loc = state_->loc;
  const Undo undo(state_);
  if (operands.size() < op.arity.min || operands.size() > op.arity.max)
    graph_error(loc, "{} takes {}{} operands, got {}", op.name, op.arity.max == op.arity.min ? "" : "at least ",
                op.arity.min, operands.size());
  const std::vector<Value> values = resolve(*this, op, operands, loc);
  std::vector<TensorType> in;
  for (const Value& v : values) in.push_back(v.type());

  Node node{.op = &op, .attrs = {}, .types = {}, .name = std::move(name), .scope = state_->scope, .loc = loc,
            .origin = state_->origin};
  try {
    node.attrs = checked_attrs(op.attrs, std::move(attrs));
    if (op.declares && !declared) rule_error("its result type must be declared");
    node.types = op.infer({in, node.attrs, declared ? &*declared : nullptr});
  } catch (const RuleError& error) {
    graph_error(loc, "{}{}: {}{}", op.name, node.name.empty() ? "" : " '" + shown(node.name) + "'", error.what(),
                operand_lines(values));
  } catch (const GraphError& error) {
    graph_error(loc, "{}: {}{}", op.name, error.fact(), operand_lines(values));
  }
  if (declared && node.types.front() != *declared)
    graph_error(loc, "{}: the result is {}, declared was {}{}", op.name, to_string(node.types.front()),
                to_string(*declared), operand_lines(values));
  if (op.name == "input" || op.name == "variable") check_name(op.name, node.name, loc);
  if (!node.name.empty()) {
    check_name(op.name, node.name, loc);
    if (const auto it = state_->named.find(node.name); it != state_->named.end())
      graph_error(loc, "{}: the name '{}' is taken\n    {}", op.name, node.name, describe(value({it->second, 0})));
  }
  std::vector<ValueId> ids;
  for (const Value& v : values) ids.push_back(v.id());
  if (state_->share_from && node.name.empty())
    for (NodeId other = *state_->share_from; other < size(); ++other)
      if (same_node(*this, other, node, ids)) return value({other, 0});
  return add_copy(node, ids);
}

Value Graph::add_copy(const Node& node, std::span<const ValueId> operands) {
  GraphState& s = *state_;
  for (std::size_t i = 0; i < operands.size(); ++i)
    if (operands[i].node >= size() || operands[i].result >= s.nodes[operands[i].node].types.size())
      throw InternalError(fmt::format("{}: operand {} is not a value made before it", node.op->name, i));
  const auto id = static_cast<NodeId>(boost::add_vertex(node, s.nodes));
  for (std::uint32_t i = 0; i < operands.size(); ++i) {
    boost::add_edge(operands[i].node, id, detail::Use{i, operands[i].result}, s.nodes);
    s.operands.push_back(operands[i]);
  }
  s.first_operand.push_back(s.operands.size());
  s.born.push_back(s.generation);
  if (!node.name.empty()) s.named.emplace(node.name, id);
  return value({id, 0});
}

// ---- Frame

namespace {
thread_local SourceLoc innermost_line;
}

SourceLoc framed_line(SourceLoc otherwise) { return innermost_line.known() ? innermost_line : otherwise; }

Frame::Frame(const Graph& graph, Of of)
    : state_(graph.state_), loc_(state_->loc), outer_line_(innermost_line), scope_(state_->scope),
      origin_(state_->origin), begin_(mark(*state_)) {
  if (of.absolute) {
    if (of.loc.known()) innermost_line = state_->loc = of.loc;
    state_->scope = of.scope;
    if (of.origin) state_->origin = *of.origin;
    return;
  }
  if (!of.scope.empty()) {
    check_name("scope", of.scope, of.loc);
    if (!state_->scope.empty()) state_->scope += '/';
    state_->scope += of.scope;
  }
  // The outermost line wins: a composite inside a composite reports the line that the user wrote.
  if (of.loc.known() && !state_->loc.known()) state_->loc = of.loc;
  innermost_line = state_->loc;
  if (of.origin) state_->origin = *of.origin;
}

Frame::~Frame() {
  if (failed_since(*state_, begin_)) take_back(*state_, begin_);
  state_->loc = loc_;
  innermost_line = outer_line_;
  state_->scope = std::move(scope_);
  state_->origin = origin_;
}

}  // namespace thalweg
