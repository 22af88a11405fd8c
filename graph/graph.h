// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "thalweg/graph/attrs.h"
#include "thalweg/graph/error.h"
#include "thalweg/graph/shared.h"
#include "thalweg/graph/type.h"

namespace thalweg {

struct OpDef;
class Graph;

/// Position of a node in its graph. Operands come before users, so ascending ids are an execution order.
using NodeId = std::uint32_t;

/// One result of one node, inside one graph: what passes and plans speak in.
struct ValueId {
  NodeId node = 0;
  std::uint32_t result = 0;
  friend bool operator==(ValueId, ValueId) = default;
  friend auto operator<=>(ValueId, ValueId) = default;
};

/// What part of training a node belongs to.
enum class Origin : std::uint8_t { forward, backward, regularizer, clip, schedule, optimizer };
THALWEG_API std::string_view to_string(Origin origin);

/// One application of an op.
struct Node {
  const OpDef* op = nullptr;
  Attrs attrs;
  std::vector<TensorType> types;  ///< one for each result
  std::string name;               ///< of inputs and variables; empty elsewhere
  std::string scope;              ///< `block1/dense`; empty at the top
  SourceLoc loc;                  ///< the user's line
  Origin origin = Origin::forward;
};

namespace detail {
struct GraphState;
struct Access;
}

/// A result of a node: the user's handle, copied freely. It keeps its graph alive, and knows when a pass has
/// renumbered the graph since, or its node was taken back (using it then is a GraphError, never a wrong node).
class THALWEG_API Value {
 public:
  Value() = default;
  /// False for a default-constructed Value only.
  explicit operator bool() const { return bool(state_); }
  const TensorType& type() const;
  const Shape& shape() const { return type().shape; }
  DType dtype() const { return type().dtype; }
  std::size_t rank() const { return shape().rank(); }
  const Node& node() const;
  /// Where the value stands; throws GraphError if a pass has renumbered the graph since the value was made.
  ValueId id() const;
  /// The graph that the value belongs to (a second handle of the same graph).
  Graph graph() const;
  friend bool operator==(const Value& a, const Value& b) {
    return a.state_ == b.state_ && a.id_ == b.id_ && a.generation_ == b.generation_;
  }

 private:
  friend class Graph;
  Value(detail::Shared<detail::GraphState> state, ValueId id, std::uint64_t generation)
      : state_(std::move(state)), id_(id), generation_(generation) {}
  detail::Shared<detail::GraphState> state_;
  ValueId id_;
  std::uint64_t generation_ = 0;
};

/// An argument of an op: a Value, or a number that takes the dtype of its partner, with the caller's line.
struct Operand {
  Value value;
  double number = 0;
  SourceLoc loc;

  /// Throws GraphError for an empty Value: it is no number.
  Operand(Value v, SourceLoc l = SourceLoc::current()) : value(std::move(v)), loc(l) {  // NOLINT: by design
    if (!value) empty_operand(l);
  }
  Operand(double n, SourceLoc l = SourceLoc::current()) : number(n), loc(l) {}           // NOLINT: by design
  Operand(int n, SourceLoc l = SourceLoc::current()) : number(n), loc(l) {}              // NOLINT: by design
  bool is_number() const { return !value; }

 private:
  [[noreturn]] THALWEG_API static void empty_operand(SourceLoc loc);
};

/// A computation: nodes, named outputs, and the updates that a step commits together. A handle: copies share one
/// graph (`clone()` copies the nodes).
class THALWEG_API Graph {
 public:
  explicit Graph(std::string name = "graph");

  const std::string& name() const;
  void rename(std::string name);

  /// Names `value` as a result that a program returns. A name is given once.
  void output(std::string name, Operand value);
  /// Says that a step ends with `variable <- next`. A variable is updated once, by a value of its own type.
  void update(Operand variable, Operand next);
  /// The input or variable of that name, or the value of the output of that name; throws GraphError with the
  /// nearest names.
  Value find(std::string_view name) const;
  bool has(std::string_view name) const;

  std::size_t size() const;
  const Node& node(NodeId id) const;
  /// What the node reads, in order. Valid until a node is added.
  std::span<const ValueId> operands(NodeId id) const;
  const TensorType& type(ValueId id) const { return node(id.node).types[id.result]; }
  Value value(ValueId id) const;

  struct Output {
    std::string name;
    ValueId value;
  };
  struct Update {
    ValueId variable;
    ValueId next;
  };
  const std::vector<Output>& outputs() const;
  const std::vector<Update>& updates() const;
  /// Inputs and variables in order of creation.
  std::vector<NodeId> inputs() const;
  std::vector<NodeId> variables() const;

  /// A graph of its own with the same nodes.
  Graph clone() const;
  /// Whether both handles mean the same graph.
  bool same(const Graph& other) const { return state_ == other.state_; }

  /// Adds a node after checking operands, attributes and types by the op's own rule; the way every node is made.
  /// `declared` is the result type for ops that declare theirs (input, variable, cast, reshape, broadcast …).
  /// Throws GraphError at `loc`. Returns the node's first result.
  Value add(const OpDef& op, std::span<const Operand> operands, std::vector<Attr> attrs = {},
            std::optional<TensorType> declared = {}, std::string name = {}, SourceLoc loc = SourceLoc::current());
  /// Adds a copy of a node (of any graph) over other operands of this graph, keeping name, scope, line and origin.
  Value add_copy(const Node& node, std::span<const ValueId> operands);
  /// Removes every output and update (of a clone that goes another way).
  void drop_outputs();
  void drop_updates();
  /// Puts another graph's content in the place of this one's; every Value made before becomes stale.
  void replace_by(Graph&& other);
  /// A key for a random op that no other node of the graph has: stable as long as the building order is.
  std::int64_t next_key();

 private:
  friend class Value;
  friend class Frame;
  friend struct detail::Access;
  explicit Graph(detail::Shared<detail::GraphState> state) : state_(std::move(state)) {}
  detail::Shared<detail::GraphState> state_;
};

/// How far a graph had been built.
struct GraphMark {
  std::size_t nodes = 0, outputs = 0, updates = 0;
  std::int64_t keys = 0;
  std::uint64_t renumbered = 0;
  int exceptions = 0;  ///< in flight
};

/// While it lives, nodes added to the graph get this line, scope (appended) and origin instead of their own:
/// how composites, gradients and optimizers keep the user's line. If an exception ends it, the graph is again as it
/// was when the frame began: nodes, names, outputs and updates made since are taken back.
class THALWEG_API Frame {
 public:
  struct Of {
    SourceLoc loc = {};
    std::string_view scope = {};
    std::optional<Origin> origin = {};
    /// Line and scope stand in the place of those of the frames around this one, as a gradient's do.
    bool absolute = false;
  };
  Frame(const Graph& graph, Of of);
  ~Frame();
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

 private:
  detail::Shared<detail::GraphState> state_;
  SourceLoc loc_, outer_line_;
  std::string scope_;
  Origin origin_;
  GraphMark begin_;
};

/// A name scope for the nodes made while it lives: `Scope block(g, "block1");`.
class THALWEG_API Scope : public Frame {
 public:
  Scope(const Graph& graph, std::string_view name) : Frame(graph, {.scope = name}) {}
};

/// The `count` results of the node that `first` is the first result of.
THALWEG_API std::vector<Value> results_of(const Value& first);
/// `%2`, `%image`, `@w1`: the value as the text form calls it. Walks the nodes before it.
THALWEG_API std::string label(const Graph& graph, ValueId id);
/// `%2   f32[64,128]    relu at mlp.cpp:9`: one value as error messages show it.
THALWEG_API std::string describe(const Value& value);

}  // namespace thalweg
