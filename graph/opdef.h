// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "thalweg/graph/attrs.h"
#include "thalweg/graph/eval.h"
#include "thalweg/graph/graph.h"
#include "thalweg/graph/type.h"

namespace thalweg {

/// How a compiler may treat an op.
enum class Fusion : std::uint8_t {
  source,     ///< reads nothing: input, variable, constant
  pointwise,  ///< each element of the result needs one element of each (broadcast) operand
  reduction,  ///< sums, means, maxima over axes
  movement,   ///< copies elements to other places: reshape, transpose, concat
  heavy,      ///< matrix products, convolutions, pooling, norms: a kernel of its own
  opaque      ///< everything else
};

/// What a type rule sees. It returns the result types or throws RuleError with the fact that is wrong.
struct Infer {
  std::span<const TensorType> in;
  const Attrs& attrs;
  /// The type that the builder or the text declares; null where none was given.
  const TensorType* declared;
};
using InferRule = std::vector<TensorType> (*)(const Infer&);

/// What a gradient rule sees: operands x, results y, cotangents dy (zeros where the loss does not depend on one).
class THALWEG_API Vjp {
 public:
  Vjp(const Graph& graph, NodeId node, std::span<Value> cotangents)
      : graph_(graph), node_(node), attrs_(graph.node(node).attrs), cotangents_(cotangents) {}
  Value x(std::size_t i) const;
  Value y(std::size_t i = 0) const;
  Value dy(std::size_t i = 0) const;
  /// Whether the loss depends on result i at all: a rule of many results can leave out what would be zero.
  bool has_dy(std::size_t i) const { return static_cast<bool>(cotangents_[i]); }
  std::size_t operands() const;
  const Attrs& attrs() const { return attrs_; }
  const Graph& graph() const { return graph_; }

 private:
  Graph graph_;
  NodeId node_;
  Attrs attrs_;  // a copy: a rule adds nodes, and may then still read it
  std::span<Value> cotangents_;
};

/// The cotangent of one operand, of the operand's shape or of the result's (the driver sums it down); an empty Value
/// is zero. The driver asks only for operands that need one, adds up, and keeps lines and scopes.
using GradientRule = Value (*)(const Vjp&);

struct Gradient {
  enum class Kind : std::uint8_t {
    none,       ///< differentiating through the op is an error at build time
    rules,      ///< `of[i]` for operand i (null: that operand has no gradient, as indices)
    each,       ///< `every(vjp, i)` for operand i of a variadic op
    zero,       ///< zero by definition, as stop_gradient and sign
    expanded    ///< by differentiating the op's `expand`
  };
  static constexpr std::size_t max_operands = 8;
  Kind kind = Kind::none;
  std::array<GradientRule, max_operands> of{};
  Value (*every)(const Vjp&, std::size_t) = nullptr;
};

/// `.gradient = gradient_of(d0, d1)`: one formula for each operand.
template <class... R>
constexpr Gradient gradient_of(R... rules) {
  Gradient g{.kind = Gradient::Kind::rules};
  std::size_t i = 0;
  ((g.of[i++] = rules), ...);
  return g;
}
constexpr Gradient gradient_of_each(Value (*every)(const Vjp&, std::size_t)) {
  return {.kind = Gradient::Kind::each, .every = every};
}
inline constexpr Gradient no_gradient{.kind = Gradient::Kind::none};
inline constexpr Gradient zero_gradient{.kind = Gradient::Kind::zero};
inline constexpr Gradient expanded_gradient{.kind = Gradient::Kind::expanded};

/// How many operands an op takes.
struct Arity {
  std::size_t min = 0;
  std::size_t max = 0;
  constexpr Arity(std::size_t exactly) : min(exactly), max(exactly) {}  // NOLINT: `.arity = 2`
  constexpr Arity(std::size_t lo, std::size_t hi) : min(lo), max(hi) {}
  static constexpr std::size_t any = static_cast<std::size_t>(-1);
};

/// What a simplification or expansion sees: the node's operands in the graph where the answer is to be built.
struct Rebuild {
  Graph graph;
  std::span<const Value> x;
  const Attrs& attrs;
  std::span<const TensorType> types;  ///< of the results
};

/// An op, in one block: its name, its types, its gradient, its meaning. One place to be right.
struct OpDef {
  std::string_view name;
  Arity arity = 0;
  AttrSpecs attrs = {};
  Fusion fusion = Fusion::opaque;
  bool declares = false;     ///< the result type is declared (by builder or text), not derived
  bool commutative = false;  ///< swapping two operands changes nothing
  bool random = false;       ///< two nodes with equal operands are still two draws if their keys differ
  InferRule infer = nullptr;
  Gradient gradient = no_gradient;
  Meaning eval = {};
  /// A simpler value equal to result 0 of a one-result node, or an empty Value. Never changes meaning.
  Value (*simplify)(const Rebuild&) = nullptr;
  /// The same results written in simpler ops: the definition of heavy ops, and the source of their further
  /// derivatives.
  std::vector<Value> (*expand)(const Rebuild&) = nullptr;
};

/// Every op, in order of name. (Defined by the vocabulary in `ops/`.)
THALWEG_API std::span<const OpDef* const> op_table();
/// The op of that name, or null.
THALWEG_API const OpDef* find_op(std::string_view name);
/// The op of that name; throws InternalError where there is none.
THALWEG_API const OpDef& op_named(std::string_view name);
/// Names among `known` close to `name` (edit distance), best first, at most three.
THALWEG_API std::vector<std::string> nearest(std::string_view name, std::span<const std::string> known);
/// ` (did you mean relu, elu?)`, or nothing.
THALWEG_API std::string suggestion(std::string_view name, std::span<const std::string> known);

}  // namespace thalweg
