// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/autodiff.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/storage.h"

namespace thalweg {
namespace {

/// How often an op's expansion may itself contain ops that are differentiated by expansion.
constexpr int max_expansions = 8;

Value filled(Graph graph, const TensorType& type, double number) {
  const Value scalar = graph.add(op_named("constant"), {}, {Attr("values", std::vector<double>{number})},
                                 TensorType{type.dtype, {}});
  if (type.shape.rank() == 0) return scalar;
  const Operand operand(scalar);
  return graph.add(op_named("broadcast"), {&operand, 1}, {}, type);
}

/// While it lives, equal nodes are made once.
class Sharing {
 public:
  explicit Sharing(const Graph& graph) : graph_(graph), before_(state().share_from) {
    state().share_from = static_cast<NodeId>(graph.size());
  }
  ~Sharing() { state().share_from = before_; }
  Sharing(const Sharing&) = delete;
  Sharing& operator=(const Sharing&) = delete;

 private:
  detail::GraphState& state() { return detail::Access::state(graph_); }
  Graph graph_;
  std::optional<NodeId> before_;
};

/// Whether a change of operand i can change a result in a way that its gradient tells. An op without a gradient
/// passes: it is an error if the path really goes through it.
bool passes(const Graph& graph, NodeId node, std::size_t i) {
  if (!is_float(graph.type(graph.operands(node)[i]).dtype)) return false;
  const Gradient& gradient = graph.node(node).op->gradient;
  switch (gradient.kind) {
    case Gradient::Kind::zero: return false;
    case Gradient::Kind::rules: return i < Gradient::max_operands && gradient.of[i] != nullptr;
    case Gradient::Kind::none:
    case Gradient::Kind::each:
    case Gradient::Kind::expanded: return true;
  }
  return false;
}

/// The nodes of [first, last] that depend on one of `from`, as marks from node `first` on. Ids are an execution
/// order, so one scan does what a breadth-first search would.
template <class Passes>
std::vector<bool> dependents(const Graph& graph, std::span<const ValueId> from, NodeId first, NodeId last,
                             Passes edge_passes) {
  std::vector<bool> marks(last - first + 1);
  std::vector<ValueId> sources(from.begin(), from.end());
  std::sort(sources.begin(), sources.end());
  for (NodeId id = first; id <= last; ++id) {
    const std::span<const ValueId> operands = graph.operands(id);
    for (std::size_t i = 0; i < operands.size() && !marks[id - first]; ++i) {
      const bool depends = (operands[i].node >= first && marks[operands[i].node - first]) ||
                           std::binary_search(sources.begin(), sources.end(), operands[i]);
      if (depends && edge_passes(id, i)) marks[id - first] = true;
    }
  }
  return marks;
}

/// The nodes of [first, last] on which one of `to` depends, the other way round.
template <class Passes>
std::vector<bool> dependencies(const Graph& graph, std::span<const ValueId> to, NodeId first, NodeId last,
                               Passes edge_passes) {
  std::vector<bool> marks(last - first + 1);
  for (const ValueId value : to)
    if (value.node >= first) marks[value.node - first] = true;
  for (NodeId id = last + 1; id-- > first;) {
    if (!marks[id - first]) continue;
    const std::span<const ValueId> operands = graph.operands(id);
    for (std::size_t i = 0; i < operands.size(); ++i)
      if (operands[i].node >= first && edge_passes(id, i)) marks[operands[i].node - first] = true;
  }
  return marks;
}

std::string place(const Node& node) { return node.loc.known() ? " at " + to_string(node.loc) : ""; }

/// One reverse sweep over the nodes [first, last].
class Sweep {
 public:
  Sweep(const Graph& graph, std::span<const ValueId> wrt, std::span<const ValueId> of, NodeId first, SourceLoc loc,
        int depth)
      : graph_(graph), wrt_(wrt.begin(), wrt.end()), first_(first), loc_(loc), depth_(depth) {
    last_ = first;
    for (const ValueId v : of) last_ = std::max(last_, v.node);
    const auto edge_passes = [&](NodeId id, std::size_t i) { return passes(graph_, id, i); };
    const std::vector<bool> depends = dependents(graph_, wrt_, first_, last_, edge_passes);
    const std::vector<bool> leads = dependencies(graph_, of, first_, last_, edge_passes);
    on_path_.resize(depends.size());
    for (std::size_t i = 0; i < depends.size(); ++i) on_path_[i] = depends[i] && leads[i];
    cotangents_.resize(depends.size());
    std::sort(wrt_.begin(), wrt_.end());
  }

  /// The values of wrt on which `of` depends. Throws GraphError where an op without a gradient stands between.
  std::set<ValueId> reached() const {
    std::set<ValueId> all;
    for (NodeId id = first_; id <= last_; ++id) {
      if (!on_path_[id - first_]) continue;
      if (graph_.node(id).op->gradient.kind == Gradient::Kind::none) no_gradient_at(id);
      const std::span<const ValueId> operands = graph_.operands(id);
      for (std::size_t i = 0; i < operands.size(); ++i)
        if (passes(graph_, id, i) && std::binary_search(wrt_.begin(), wrt_.end(), operands[i])) all.insert(operands[i]);
    }
    return all;
  }

  /// Adds to the cotangent of a value, under the line of the node that made the value.
  void contribute(ValueId to, const Value& part) {
    Value& sum = slot(to);
    if (!sum) {
      sum = part;
      return;
    }
    const Node node = graph_.node(to.node);
    const Frame frame(graph_, frame_of(node));
    const std::array<Operand, 2> both{sum, part};
    const Value total = graph_.add(op_named("add"), both);
    slot(to) = total;
  }

  void run() {
    for (NodeId id = last_ + 1; id-- > first_;)
      if (on_path_[id - first_] && !cotangents_[id - first_].empty()) through(id);
  }

  /// The cotangent of a value; empty for zero.
  Value cotangent(ValueId of) const {
    if (of.node < first_ || of.node > last_) {
      const auto it = outside_.find(of);
      return it == outside_.end() ? Value() : it->second;
    }
    const auto& all = cotangents_[of.node - first_];
    return all.empty() ? Value() : all[of.result];
  }

 private:
  Frame::Of frame_of(const Node& node) const {
    return {.loc = node.loc.known() ? node.loc : loc_, .scope = node.scope, .origin = Origin::backward,
            .absolute = true};
  }

  Value& slot(ValueId of) {
    if (of.node < first_ || of.node > last_) return outside_[of];
    auto& all = cotangents_[of.node - first_];
    if (all.empty()) all.resize(graph_.node(of.node).types.size());
    return all[of.result];
  }

  [[noreturn]] void no_gradient_at(NodeId id) const {
    const Node& node = graph_.node(id);
    graph_error(loc_, "gradients: {}{} has no gradient\n    at   {}", node.op->name, place(node),
                describe(graph_.value({id, 0})));
  }

  bool wanted(ValueId operand) const {
    return (operand.node >= first_ && on_path_[operand.node - first_]) ||
           std::binary_search(wrt_.begin(), wrt_.end(), operand);
  }

  void through(NodeId id) {
    const Node node = graph_.node(id);  // a copy: the graph grows below
    const std::span<const ValueId> read = graph_.operands(id);
    const std::vector<ValueId> operands(read.begin(), read.end());
    std::vector<std::size_t> asked;
    for (std::size_t i = 0; i < operands.size(); ++i)
      if (wanted(operands[i]) && passes(graph_, id, i)) asked.push_back(i);
    if (asked.empty()) return;
    std::vector<Value> parts(operands.size());
    {
      const Frame frame(graph_, frame_of(node));
      const Sharing sharing(graph_);
      apply(id, node, operands, asked, parts);
      for (const std::size_t i : asked)
        if (parts[i]) parts[i] = fitted(parts[i], node, i, graph_.type(operands[i]));
    }
    for (const std::size_t i : asked)
      if (parts[i]) contribute(operands[i], parts[i]);
  }

  void apply(NodeId id, const Node& node, const std::vector<ValueId>& operands, const std::vector<std::size_t>& asked,
             std::vector<Value>& parts) {
    std::vector<Value> cotangents = cotangents_[id - first_];
    const Vjp vjp(graph_, id, cotangents);
    switch (node.op->gradient.kind) {
      case Gradient::Kind::none: no_gradient_at(id);
      case Gradient::Kind::rules:
        for (const std::size_t i : asked) parts[i] = node.op->gradient.of[i](vjp);
        return;
      case Gradient::Kind::each:
        for (const std::size_t i : asked) parts[i] = node.op->gradient.every(vjp, i);
        return;
      case Gradient::Kind::expanded: return through_expansion(node, operands, asked, cotangents, parts);
      case Gradient::Kind::zero: return;
    }
  }

  /// Writes the node again in simpler ops, and differentiates those.
  void through_expansion(const Node& node, const std::vector<ValueId>& operands,
                         const std::vector<std::size_t>& asked, const std::vector<Value>& cotangents,
                         std::vector<Value>& parts) {
    if (!node.op->expand || depth_ >= max_expansions)
      throw InternalError(fmt::format("the gradient of '{}' by its expansion {}", node.op->name,
                                      node.op->expand ? "does not come to an end" : "lacks the expansion"));
    const auto first = static_cast<NodeId>(graph_.size());
    std::vector<Value> x;
    for (const ValueId operand : operands) x.push_back(graph_.value(operand));
    std::vector<ValueId> results;
    for (const Value& value : node.op->expand({graph_, x, node.attrs, node.types})) results.push_back(value.id());
    if (results.size() != node.types.size())
      throw InternalError(fmt::format("the expansion of '{}' has {} results, not {}", node.op->name, results.size(),
                                      node.types.size()));
    std::vector<ValueId> wrt;
    for (const std::size_t i : asked) wrt.push_back(operands[i]);
    Sweep inner(graph_, wrt, results, first, loc_, depth_ + 1);
    for (std::size_t r = 0; r < results.size(); ++r)
      if (cotangents[r]) inner.contribute(results[r], cotangents[r]);
    inner.run();
    for (std::size_t k = 0; k < asked.size(); ++k) {
      // An operand that is read twice has one cotangent, for both places.
      const bool again = std::find(wrt.begin(), wrt.begin() + static_cast<std::ptrdiff_t>(k), wrt[k]) !=
                         wrt.begin() + static_cast<std::ptrdiff_t>(k);
      if (!again) parts[asked[k]] = inner.cotangent(wrt[k]);
    }
  }

  /// Summed down to the operand's shape.
  Value fitted(const Value& part, const Node& node, std::size_t i, const TensorType& type) {
    if (part.type() == type) return part;
    if (part.dtype() != type.dtype || !broadcasts_to(type.shape, part.shape()))
      throw InternalError(fmt::format("the gradient rule of '{}' for operand {} gives {} for {}", node.op->name, i,
                                      to_string(part.type()), to_string(type)),
                          node.loc);
    const Operand operand(part);
    return graph_.add(op_named("sum_to"), {&operand, 1}, {}, type);
  }

  Graph graph_;
  std::vector<ValueId> wrt_;
  NodeId first_;
  NodeId last_ = 0;
  SourceLoc loc_;
  int depth_;
  std::vector<bool> on_path_;
  std::vector<std::vector<Value>> cotangents_;  // of node first_ + i; empty while it has none
  std::map<ValueId, Value> outside_;            // of values made before first_
};

[[noreturn]] void not_connected(const Graph& graph, ValueId of, std::size_t k, ValueId wrt, SourceLoc loc) {
  const NodeId first = std::min(of.node, wrt.node);
  const auto passing = [&](NodeId id, std::size_t i) { return passes(graph, id, i); };
  const auto any = [](NodeId, std::size_t) { return true; };
  const std::vector<bool> depends = dependents(graph, {&wrt, 1}, first, of.node, passing);
  const std::vector<bool> leads = dependencies(graph, {&of, 1}, first, of.node, any);
  const std::string both = fmt::format("\n    of   {}\n    wrt  {}", describe(graph.value(of)),
                                       describe(graph.value(wrt)));
  for (NodeId id = first; id <= of.node; ++id) {
    const std::span<const ValueId> operands = graph.operands(id);
    for (std::size_t i = 0; i < operands.size(); ++i) {
      const ValueId from = operands[i];
      if (!leads[id - first] || passes(graph, id, i)) continue;
      if (from != wrt && (from.node < first || !depends[from.node - first])) continue;
      // Whole numbers and truths have no gradient: then the op that made them blocks, else the one that reads.
      const NodeId block = is_float(graph.type(from).dtype) ? id : from.node;
      const Node& node = graph.node(block);
      graph_error(loc, "gradients: no gradient reaches wrt {}: {}{} passes none{}", k, node.op->name, place(node),
                  both);
    }
  }
  graph_error(loc, "gradients: the differentiated value does not depend on wrt {}{}", k, both);
}

void check_wrt(const Graph& graph, std::span<const Value> wrt, SourceLoc loc) {
  for (std::size_t k = 0; k < wrt.size(); ++k) {
    if (!wrt[k]) graph_error(loc, "gradients: wrt {} is an empty Value", k);
    if (!wrt[k].graph().same(graph))
      graph_error(loc, "gradients: wrt {} belongs to another graph ('{}', not '{}')", k, wrt[k].graph().name(),
                  graph.name());
    if (!is_float(wrt[k].dtype()))
      graph_error(loc, "gradients: wrt {} is {}: only floats have gradients\n    wrt  {}", k,
                  to_string(wrt[k].type()), describe(wrt[k]));
  }
}

void check_seed(const Graph& graph, const Value& of, const Value& seed, SourceLoc loc) {
  if (!is_float(of.dtype()))
    graph_error(loc, "gradients: the differentiated value is {}, must be a float\n    of   {}", to_string(of.type()),
                describe(of));
  if (!seed && of.rank() != 0)
    graph_error(loc,
                "gradients: the differentiated value is {}, not a scalar: reduce it, or give a seed\n    of   {}",
                to_string(of.type()), describe(of));
  if (!seed) return;
  if (!seed.graph().same(graph))
    graph_error(loc, "gradients: the seed belongs to another graph ('{}', not '{}')", seed.graph().name(),
                graph.name());
  if (seed.type() != of.type())
    graph_error(loc, "gradients: the seed is {}, the differentiated value {}\n    of   {}\n    seed {}",
                to_string(seed.type()), to_string(of.type()), describe(of), describe(seed));
}

/// A value like `like`, filled with a number, in the gradient's part of the graph under the line of `like`.
Value filled_at(const Graph& graph, const Value& like, double number, SourceLoc loc) {
  const Node node = like.node();
  const TensorType type = like.type();
  const Frame frame(graph, {.loc = node.loc.known() ? node.loc : loc, .scope = node.scope,
                            .origin = Origin::backward, .absolute = true});
  return filled(graph, type, number);
}

}  // namespace

Value Vjp::dy(std::size_t i) const {
  if (!cotangents_[i]) cotangents_[i] = filled(graph_, y(i).type(), 0);
  return cotangents_[i];
}

std::vector<Value> gradients(Operand of, std::span<const Value> wrt, const GradientOptions& options) {
  if (of.is_number()) graph_error(of.loc, "gradients: a number was given as the value to differentiate");
  const Graph graph = of.value.graph();
  const ValueId of_id = of.value.id();
  check_wrt(graph, wrt, of.loc);
  const Frame all_or_nothing(graph, {});
  std::vector<ValueId> ids;
  NodeId first = of_id.node;
  for (const Value& value : wrt) {
    ids.push_back(value.id());
    first = std::min(first, ids.back().node);
  }
  Sweep sweep(graph, ids, {&of_id, 1}, first, of.loc, 0);
  check_seed(graph, of.value, options.seed, of.loc);
  const std::set<ValueId> reached = sweep.reached();
  if (!options.allow_unconnected)
    for (std::size_t k = 0; k < ids.size(); ++k)
      if (ids[k] != of_id && !reached.contains(ids[k])) not_connected(graph, of_id, k, ids[k], of.loc);
  sweep.contribute(of_id, options.seed ? options.seed : filled_at(graph, of.value, 1, of.loc));
  sweep.run();

  std::vector<Value> results;
  for (std::size_t k = 0; k < wrt.size(); ++k) {
    Value result = sweep.cotangent(ids[k]);
    // A path may be there and its rules still say zero.
    if (!result) result = filled_at(graph, wrt[k], 0, of.loc);
    results.push_back(result);
  }
  return results;
}

}  // namespace thalweg
