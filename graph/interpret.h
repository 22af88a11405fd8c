// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "thalweg/graph/eval.h"
#include "thalweg/graph/graph.h"

namespace thalweg {

/// What a graph means: evaluates it node by node in S (double, or Dual for exact derivatives), single-threaded, by
/// the ops' own meanings. The oracle of every kernel. State: the variables, from their initializers unless set.
template <class S>
class BasicInterpreter {
 public:
  explicit BasicInterpreter(const Graph& graph);
  /// Gives an input its value, or a variable another one. Throws RunError for an unknown name or another shape.
  void set(std::string_view name, Array<S> value);
  /// The value of a variable.
  const Array<S>& variable(std::string_view name) const;
  /// Evaluates every node on the present inputs and variables. Throws RunError for an input that has no value.
  void evaluate();
  /// evaluate(), then commits the updates together.
  void step();
  /// After evaluate() or step(): any value, or an output by name.
  const Array<S>& at(ValueId id) const;
  const Array<S>& at(const Value& value) const { return at(value.id()); }
  const Array<S>& output(std::string_view name) const;

 private:
  Graph graph_;
  std::map<std::string, Array<S>, std::less<>> inputs_;
  std::map<std::string, Array<S>, std::less<>> variables_;
  std::vector<std::vector<Array<S>>> values_;
};

using Interpreter = BasicInterpreter<double>;
extern template class THALWEG_API BasicInterpreter<double>;

/// The results of one node on given operands: folding, and the interpreter itself, stand on it.
template <class S>
std::vector<Array<S>> evaluate_node(const Node& node, std::span<const Array<S>* const> in,
                                    std::span<const TensorType> in_types);

}  // namespace thalweg
