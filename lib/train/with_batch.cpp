// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/with_batch.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/walk.h"

namespace thalweg {
namespace {

/// Why a try at a resized graph failed, and at which node of the old one.
struct Misfit {
  NodeId node;
  std::string reason;
};

/// Rebuilds a graph for another batch size. Where a declared size may or may not be the batch, it guesses, and lets
/// the type rules judge: a node that comes out wrong sends it back to the last guess that the node depends on.
class Resizer {
 public:
  Resizer(const Graph& from, Dim batch) : from_(from), old_(batch_of(from)), new_(batch) {
    guessed_.resize(from.size());
    turned_.resize(from.size());
    find_counts();
  }

  Graph run() {
    for (;;) {
      Graph to(from_.name());
      const std::optional<Misfit> misfit = rebuild(to);
      if (!misfit) return to;
      if (!turn_guess_before(misfit->node))
        graph_error(from_.node(misfit->node).loc, "with_batch: {} cannot follow from batch {} to {}: {}\n    {}",
                    from_.node(misfit->node).op->name, old_, new_, misfit->reason,
                    describe(from_.value({misfit->node, 0})));
    }
  }

 private:
  // ---- numbers that count samples

  /// An operand 1 of `node` that was computed from n: how many elements of its operand `statistic` takes for each
  /// one of its result.
  struct Count {
    NodeId node;
    NodeId statistic;  ///< a mean, or a batch norm
    bool unbiased;     ///< n / (n - 1) rather than n
  };

  std::optional<double> number_in(ValueId id) const {
    if (!is(id.node, "constant") || from_.type(id).elements() != 1) return {};
    return from_.node(id.node).attrs.reals("values")[0];
  }

  /// The gradient of a mean is dy / n, spread over the n elements it was the mean of; running variances in torch's
  /// convention are the batch's times n / (n - 1). Both n are constants in the graph.
  void find_counts() {
    std::vector<std::vector<NodeId>> users(from_.size());
    for (NodeId id = 0; id < from_.size(); ++id) {
      for (const ValueId operand : from_.operands(id)) users[operand.node].push_back(id);
      if (is(id, "mean") || is(id, "batch_norm_training")) statistics_[to_string(from_.node(id).loc)].push_back(id);
    }
    for (NodeId id = 0; id < from_.size(); ++id) {
      if (is(id, "div")) find_mean(id, users);
      if (is(id, "mul")) find_unbiased(id);
    }
  }

  /// How many elements of the operand a mean or a batch norm takes for each one of its result.
  static double taken_by(const Graph& graph, NodeId id) {
    const TensorType& in = graph.type(graph.operands(id)[0]);
    return static_cast<double>(in.elements() / graph.node(id).types.back().elements());
  }

  /// A division that a user wrote (`sum(x) / 64`) has a gradient of the same form, at a line without a mean.
  void find_mean(NodeId id, const std::vector<std::vector<NodeId>>& users) {
    const Node& node = from_.node(id);
    const ValueId divisor = from_.operands(id)[1];
    const std::optional<double> n = number_in(divisor);
    if (!n || node.origin == Origin::forward) return;
    const auto statistics = statistics_.find(to_string(node.loc));
    if (statistics == statistics_.end() || divides_forward(divisor.node, users)) return;
    std::vector<NodeId> spreads = users[id];
    for (const NodeId user : users[id])
      if (is(user, "reshape")) spreads.insert(spreads.end(), users[user].begin(), users[user].end());
    for (const NodeId statistic : statistics->second) {
      if (statistic >= id || taken_by(from_, statistic) != *n) continue;
      for (const NodeId spread : spreads) {
        if (!is(spread, "broadcast") || !undoes(spread, statistic)) continue;
        counts_.push_back({id, statistic, false});
        return;
      }
    }
  }

  /// Whether a divisor is one that the user wrote: a gradient takes it from the division that it belongs to.
  bool divides_forward(NodeId divisor, const std::vector<std::vector<NodeId>>& users) const {
    return std::any_of(users[divisor].begin(), users[divisor].end(), [&](NodeId user) {
      return is(user, "div") && from_.node(user).origin == Origin::forward;
    });
  }

  /// Whether `spread` takes the shape of the statistic's result, its axes kept or not, to that of its operand.
  bool undoes(NodeId spread, NodeId statistic) const {
    const Shape& x = from_.type(from_.operands(statistic)[0]).shape;
    if (from_.node(spread).types[0].shape != x) return false;
    const Shape& from = from_.type(from_.operands(spread)[0]).shape;
    const Node& node = from_.node(statistic);
    if (is(statistic, "batch_norm_training") || from.rank() < x.rank())
      return from.elements() == node.types.back().elements();
    const auto& axes = node.attrs.integers("axes");
    for (std::size_t axis = 0; axis < x.rank(); ++axis) {
      const bool taken = axes.empty() || std::any_of(axes.begin(), axes.end(), [&](std::int64_t a) {
        return a == static_cast<std::int64_t>(axis) || a + static_cast<std::int64_t>(x.rank()) == static_cast<std::int64_t>(axis);
      });
      if (from[axis] != (taken ? 1 : x[axis])) return false;
    }
    return true;
  }

  void find_unbiased(NodeId id) {
    const ValueId variance = from_.operands(id)[0];
    const std::optional<double> factor = number_in(from_.operands(id)[1]);
    if (!factor || variance.result != 2 || !is(variance.node, "batch_norm_training")) return;
    const auto n = static_cast<double>(from_.node(variance.node).types[0].elements() / from_.type(variance).elements());
    if (std::fabs(*factor - n / (n - 1)) < 1e-6) counts_.push_back({id, variance.node, true});
  }

  /// The number for the new batch, where what is counted carries the batch.
  std::optional<double> new_number(NodeId id, const Graph& to, const std::vector<ValueId>& place) const {
    for (const Count& count : counts_) {
      if (count.node != id) continue;
      const double n = taken_by(to, place[count.statistic].node);
      if (!count.unbiased) return n;
      return n > 1 ? n / (n - 1) : 1;
    }
    return {};
  }

  // ---- guesses

  bool is(NodeId id, std::string_view op) const { return from_.node(id).op->name == op; }
  bool leads_with_batch(const TensorType& type) const { return type.shape.rank() > 0 && type.shape[0] == old_; }
  bool leads_with_multiple(const TensorType& type) const {
    return type.shape.rank() > 0 && type.shape[0] % old_ == 0;
  }

  /// Whether the first size is the batch: taken so if it equals it, until a misfit says otherwise.
  bool guess(NodeId id, const TensorType& type) const {
    return leads_with_multiple(type) && leads_with_batch(type) != static_cast<bool>(turned_[id]);
  }
  bool make_guess(NodeId id, const TensorType& type) {
    guessed_[id] = leads_with_multiple(type);
    return guess(id, type);
  }

  bool turn_guess_before(NodeId misfit) {
    const std::vector<bool> before = behind_of(misfit);
    for (NodeId id = static_cast<NodeId>(from_.size()); id-- > 0;) {
      if (!before[id] || !guessed_[id] || turned_[id]) continue;
      turned_[id] = true;
      return true;
    }
    return false;
  }

  std::vector<bool> behind_of(NodeId id) const {
    std::vector<bool> reached(from_.size());
    reached[id] = true;
    // The updated variable judges the value that it gets.
    for (const Graph::Update& update : from_.updates())
      if (update.variable.node == id) reached[update.next.node] = true;
    for (NodeId at = static_cast<NodeId>(from_.size()); at-- > 0;)
      if (reached[at])
        for (const ValueId operand : from_.operands(at)) reached[operand.node] = true;
    return reached;
  }

  // ---- types

  TensorType resized(const TensorType& type) const {
    std::vector<Dim> dims = type.shape.vector();
    dims[0] = dims[0] / old_ * new_;
    return {type.dtype, Shape(dims)};
  }

  bool changed_first(const TensorType& before, const TensorType& after) const {
    return before.shape.rank() > 0 && before.shape[0] != after.shape[0];
  }

  /// The type that the node would have declared.
  TensorType declared(NodeId id, std::span<const TensorType> in) {
    const Node& node = from_.node(id);
    const TensorType& type = node.types[0];
    const std::string_view op = node.op->name;
    if (op == "variable") return type;
    if (op == "input") return leads_with_batch(type) ? resized(type) : type;
    if (op == "constant") return uniform(node) && make_guess(id, type) ? resized(type) : type;
    if (op == "cast") return {type.dtype, in[0].shape};
    if (op == "reshape") return reshaped(id, in[0]);
    if (op == "broadcast") return spread(id, in[0]);
    if (op == "sum_to") return summed(id, in[0]);
    if (op == "conv2d_backward_weights") return type;
    if (node.op->arity.max == 0 || in.empty() || node.op->random) return make_guess(id, type) ? resized(type) : type;
    return follows(id, in) && leads_with_multiple(type) ? resized(type) : type;
  }

  static bool uniform(const Node& node) { return node.attrs.reals("values").size() == 1; }

  bool follows(NodeId id, std::span<const TensorType> in) const {
    const auto operands = from_.operands(id);
    for (std::size_t i = 0; i < in.size(); ++i)
      if (changed_first(from_.type(operands[i]), in[i])) return true;
    return false;
  }

  TensorType spread(NodeId id, const TensorType& in) {
    const TensorType& type = from_.node(id).types[0];
    const TensorType& before = from_.type(from_.operands(id)[0]);
    if (before.shape.rank() == type.shape.rank() && before.shape[0] != 1)
      return changed_first(before, in) ? resized(type) : type;
    return make_guess(id, type) ? resized(type) : type;
  }

  TensorType summed(NodeId id, const TensorType& in) const {
    const TensorType& type = from_.node(id).types[0];
    const TensorType& before = from_.type(from_.operands(id)[0]);
    const bool keeps = type.shape.rank() == before.shape.rank() && type.shape.rank() > 0 &&
                       type.shape[0] == before.shape[0] && changed_first(before, in);
    return keeps ? resized(type) : type;
  }

  TensorType reshaped(NodeId id, const TensorType& in) const {
    const TensorType& type = from_.node(id).types[0];
    const TensorType& before = from_.type(from_.operands(id)[0]);
    if (before == in) return type;
    if (changed_first(before, in) && leads_with_multiple(type)) return resized(type);
    // The batch is not the first axis: it is the one axis of that size, or nobody knows.
    std::vector<Dim> dims = type.shape.vector();
    if (std::count(dims.begin(), dims.end(), old_) != 1)
      rule_error("which axis of {} holds the batch is ambiguous", to_string(type));
    *std::find(dims.begin(), dims.end(), old_) = new_;
    return {type.dtype, Shape(dims)};
  }

  /// The attributes, where one of them says how long the batch is.
  Attrs attrs_of(NodeId id, std::span<const TensorType> in) const {
    const Node& node = from_.node(id);
    if (node.op->name != "slice" || !follows(id, in)) return node.attrs;
    const Dim before = from_.type(from_.operands(id)[0]).shape[0];
    std::vector<Attr> attrs = node.attrs.all();
    for (Attr& attr : attrs) {
      if (attr.value.kind() != AttrKind::integers || attr.value.integers().empty()) continue;
      std::vector<std::int64_t> list = attr.value.integers();
      if (attr.name == "starts" && list[0] != 0) rule_error("it takes a part of the batch");
      if (attr.name != "ends") continue;
      if (list[0] < before) rule_error("it takes a part of the batch");
      list[0] = in[0].shape[0];
      attr.value = std::move(list);
    }
    return Attrs(std::move(attrs));
  }

  // ---- building

  std::optional<Misfit> rebuild(Graph& to) {
    std::vector<ValueId> place(from_.size());
    std::map<std::pair<NodeId, double>, ValueId> numbers;  // by the old constant: one in the place of one
    std::fill(guessed_.begin(), guessed_.end(), false);
    for (NodeId id = 0; id < from_.size(); ++id) {
      std::vector<ValueId> operands;
      std::vector<TensorType> in;
      for (const ValueId operand : from_.operands(id)) {
        operands.push_back({place[operand.node].node, operand.result});
        in.push_back(to.type(operands.back()));
      }
      if (const std::optional<double> number = new_number(id, to, place)) {
        const NodeId old = from_.operands(id)[1].node;
        const auto [known, is_new] = numbers.try_emplace({old, *number});
        if (is_new) {
          Node constant = from_.node(old);
          constant.attrs = Attrs({Attr("values", std::vector<double>{*number})});
          known->second = to.add_copy(constant, {}).id();
        }
        operands[1] = known->second;
      }
      Node node = from_.node(id);
      try {
        node.attrs = attrs_of(id, in);
        const TensorType type = node.op->declares ? declared(id, in) : TensorType{};
        node.types = node.op->infer({in, node.attrs, node.op->declares ? &type : nullptr});
      } catch (const RuleError& error) {
        return Misfit{id, error.what()};
      } catch (const GraphError& error) {
        return Misfit{id, error.what()};
      }
      place[id] = to.add_copy(node, operands).id();
    }
    return finish(to, place);
  }

  std::optional<Misfit> finish(Graph& to, const std::vector<ValueId>& place) const {
    const auto moved = [&](ValueId id) { return to.value({place[id.node].node, id.result}); };
    for (const Graph::Update& update : from_.updates()) {
      const Value variable = moved(update.variable), next = moved(update.next);
      if (variable.type() != next.type())
        return Misfit{update.variable.node, fmt::format("its update becomes {}", to_string(next.type()))};
      to.update(variable, next);
    }
    for (const Graph::Output& output : from_.outputs()) to.output(output.name, moved(output.value));
    return {};
  }

  const Graph& from_;
  Dim old_;
  Dim new_;
  std::vector<bool> guessed_;  ///< by node: this try took its size to be the batch, or not, without knowing
  std::vector<bool> turned_;   ///< by node: the other guess is tried
  std::vector<Count> counts_;
  std::unordered_map<std::string, std::vector<NodeId>> statistics_;  ///< means and batch norms, by the user's line
};

}  // namespace

Dim batch_of(const Graph& graph) {
  std::optional<Dim> batch;
  for (const NodeId id : graph.inputs()) {
    const Node& node = graph.node(id);
    if (node.types[0].shape.rank() == 0) continue;
    const Dim size = node.types[0].shape[0];
    if (batch && *batch != size)
      graph_error(node.loc, "input '{}' has {} samples and the input before it {}: they must be as many", node.name,
                  size, *batch);
    batch = size;
  }
  if (!batch) throw GraphError(fmt::format("graph '{}' has no input with a batch axis", graph.name()));
  return *batch;
}

Graph with_batch(const Graph& graph, Dim batch) {
  if (batch < 1) throw GraphError(fmt::format("with_batch: a batch of {} samples", batch));
  if (batch == batch_of(graph)) return graph.clone();
  return Resizer(graph, batch).run();
}

}  // namespace thalweg
