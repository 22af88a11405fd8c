// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/verify.h"

#include <algorithm>
#include <set>
#include <vector>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/storage.h"

namespace thalweg {
namespace {

constexpr std::size_t most_problems = 20;

std::string types_text(const std::vector<TensorType>& types) {
  std::string text;
  for (const TensorType& type : types) text += (text.empty() ? "" : ", ") + to_string(type);
  return text;
}

class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph), state_(detail::Access::state(graph)) {}

  void check() {
    if (!detail::good_name(graph_.name())) problem("the graph's name '{}' is not allowed", shown(graph_.name()));
    if (check_storage()) {
      for (NodeId id = 0; id < graph_.size() && !full(); ++id) check_node(id);
      check_outputs();
      check_updates();
    }
    if (problems_.empty()) return;
    std::string text = fmt::format("graph '{}' is not valid:", shown(graph_.name()));
    for (const std::string& line : problems_) text += "\n    " + line;
    if (full()) text += "\n    (and perhaps more)";
    throw GraphError(text);
  }

 private:
  template <class... A>
  void problem(fmt::format_string<A...> text, A&&... args) {
    if (!full()) problems_.push_back(fmt::format(text, std::forward<A>(args)...));
  }
  bool full() const { return problems_.size() >= most_problems; }

  std::string name_of(NodeId id) const {
    const Node& node = graph_.node(id);
    return fmt::format("{} {}{}", label(graph_, {id, 0}), node.op ? node.op->name : "?",
                       node.loc.known() ? " at " + to_string(node.loc) : "");
  }

  bool check_storage() {
    const std::size_t count = graph_.size();
    const auto& first = state_.first_operand;
    if (first.size() == count + 1 && std::is_sorted(first.begin(), first.end()) && first.front() == 0 &&
        first.back() == state_.operands.size())
      return true;
    problem("the operand list does not fit the {} nodes", count);
    return false;
  }

  void check_node(NodeId id) {
    const Node& node = graph_.node(id);
    if (!node.op) return problem("%{}: a node without an op", id);
    if (!node.scope.empty() && !detail::good_name(node.scope))
      problem("{}: the scope '{}' is not allowed", name_of(id), shown(node.scope));
    check_name(id);
    if (check_operands(id)) check_rule(id);
  }

  void check_name(NodeId id) {
    const Node& node = graph_.node(id);
    const bool needs = node.op->name == "input" || node.op->name == "variable";
    if (node.name.empty()) {
      if (needs) problem("{}: it has no name", name_of(id));
      return;
    }
    if (!detail::good_name(node.name)) return problem("{}: its name is not allowed", shown(name_of(id)));
    if (node.types.size() != 1) problem("{}: a named node must have one result", name_of(id));
    const auto it = state_.named.find(node.name);
    if (it == state_.named.end()) problem("{}: its name is not in the graph's list", name_of(id));
    else if (it->second != id) problem("{}: the name '{}' is taken by node {}", name_of(id), node.name, it->second);
  }

  bool check_operands(NodeId id) {
    const Node& node = graph_.node(id);
    const auto operands = graph_.operands(id);
    bool reachable = true;
    for (std::size_t i = 0; i < operands.size(); ++i) {
      const ValueId x = operands[i];
      const bool earlier = x.node < id;
      if (!earlier) {
        problem("{}: operand {} is node {}, which does not come before it", name_of(id), i, x.node);
      } else if (x.result >= graph_.node(x.node).types.size()) {
        problem("{}: operand {} is result {} of {}, which has {}", name_of(id), i, x.result, name_of(x.node),
                graph_.node(x.node).types.size());
      } else {
        continue;
      }
      reachable = false;
    }
    if (!reachable) return false;
    if (!edges_agree(id)) problem("{}: the edges of the storage differ from the operands", name_of(id));
    if (operands.size() >= node.op->arity.min && operands.size() <= node.op->arity.max) return true;
    problem("{}: {} operands are not what the op takes", name_of(id), operands.size());
    return false;
  }

  bool edges_agree(NodeId id) const {
    const auto operands = graph_.operands(id);
    const auto edges = boost::make_iterator_range(boost::in_edges(id, state_.nodes));
    return static_cast<std::size_t>(edges.size()) == operands.size() &&
           std::all_of(edges.begin(), edges.end(), [&](const auto& edge) {
             const detail::Use& use = state_.nodes[edge];
             const ValueId from{static_cast<NodeId>(boost::source(edge, state_.nodes)), use.result};
             return use.operand < operands.size() && operands[use.operand] == from;
           });
  }

  void check_rule(NodeId id) {
    const Node& node = graph_.node(id);
    in_.clear();
    for (const ValueId x : graph_.operands(id)) in_.push_back(graph_.type(x));
    if (node.types.empty()) return problem("{}: it has no result", name_of(id));
    try {
      if (!(checked_attrs(node.op->attrs, node.attrs.all()) == node.attrs))
        return problem("{}: its attributes are not complete or not in order", name_of(id));
      const auto types = node.op->infer({in_, node.attrs, node.op->declares ? &node.types.front() : nullptr});
      if (types != node.types)
        problem("{}: its type is {}, the op's rule says {}", name_of(id), types_text(node.types), types_text(types));
    } catch (const RuleError& error) {
      problem("{}: {}", name_of(id), error.what());
    } catch (const GraphError& error) {
      problem("{}: {}", name_of(id), error.fact());
    }
  }

  bool in_range(ValueId id) const {
    return id.node < graph_.size() && id.result < graph_.node(id.node).types.size();
  }

  void check_outputs() {
    std::set<std::string_view> names;
    for (const Graph::Output& out : graph_.outputs()) {
      if (!detail::good_name(out.name)) problem("the output name '{}' is not allowed", shown(out.name));
      if (!names.insert(out.name).second) problem("there are two outputs '{}'", shown(out.name));
      if (!in_range(out.value)) problem("output '{}' is not a value of the graph", shown(out.name));
    }
  }

  void check_updates() {
    std::set<NodeId> updated;
    for (const Graph::Update& update : graph_.updates()) {
      if (!in_range(update.variable) || !in_range(update.next)) {
        problem("an update speaks of a value that is not in the graph");
        continue;
      }
      const NodeId id = update.variable.node;
      const OpDef* op = graph_.node(id).op;
      if (!op) continue;  // said of the node itself
      if (op->name != "variable") problem("update of {}, which is not a variable", name_of(id));
      if (!updated.insert(id).second) problem("{} is updated twice", name_of(id));
      if (graph_.type(update.variable) != graph_.type(update.next))
        problem("update of {}: it is {} and its next value {}", name_of(id), to_string(graph_.type(update.variable)),
                to_string(graph_.type(update.next)));
    }
  }

  const Graph& graph_;
  const detail::GraphState& state_;
  std::vector<std::string> problems_;
  std::vector<TensorType> in_;
};

}  // namespace

void verify(const Graph& graph) { Verifier(graph).check(); }

}  // namespace thalweg
