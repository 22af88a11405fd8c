// SPDX-License-Identifier: Apache-2.0
// The rows of every op: what the tests of meanings, gradients, kernels and texts all run over.
#pragma once

#include <cstdint>
#include <functional>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "thalweg/graph/eval.h"
#include "thalweg/graph/graph.h"

namespace thalweg::testing {

/// What numbers an argument is drawn from.
struct Domain {
  enum class Kind : std::uint8_t {
    real,      ///< uniform in [lo, hi], at least 0.01 away from every kink
    whole,     ///< whole numbers in [lo, hi]: labels and indices, or whole floats
    distinct,  ///< in [lo, hi], no two of them close: no ties
    distribution,  ///< as real, but each line along the last axis is scaled to a sum of 1
    grid       ///< lo + phase + a whole multiple of step: grids of different phase never tie
  };
  Kind kind = Kind::real;
  double lo = -2;
  double hi = 2;
  std::vector<double> kinks = {};
  double step = 0.02;
  double phase = 0;
};

/// One op on arguments of given types.
struct OpCase {
  std::string name;  ///< unique, of letters, digits and `_`: a GoogleTest name
  std::string op;    ///< the op that the row is about
  std::vector<TensorType> args;
  std::vector<Domain> domains;  ///< one an argument
  /// The first result of the op on the arguments.
  std::function<Value(Graph&, std::span<const Value>)> build;
  /// Whether the float arguments have gradients; a row says which have a gradient that is zero everywhere.
  bool differentiable = true;
  std::vector<std::size_t> zero_gradients = {};
  /// Whether the gradient can be differentiated again.
  bool second_order = true;
  /// Whether whole arguments give whole results, so that f32 must be exact.
  bool exact_integer = false;
};

/// How GoogleTest shows a row.
inline void PrintTo(const OpCase& row, std::ostream* out) { *out << row.name; }

/// Every row, in a fixed order.
const std::vector<OpCase>& all_cases();
/// Rows of functions that make several ops: their `op` is only a name.
const std::vector<OpCase>& composite_cases();

/// A graph of one case: inputs a0, a1, … and outputs y0, y1, … (one for each result of the op).
struct BuiltCase {
  Graph graph;
  std::vector<Value> args;
  std::vector<Value> results;
};
BuiltCase built(const OpCase& row);

/// Numbers for each argument from its domain, rounded to its dtype; the same for the same row and seed.
std::vector<Array<double>> draw(const OpCase& row, std::uint64_t seed = 1);
/// Whole numbers in [-4, 4] for the float arguments of an exact_integer row; the others as draw().
std::vector<Array<double>> draw_whole(const OpCase& row, std::uint64_t seed = 1);

/// A reproducible stream of numbers for tests.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  /// Uniform in [lo, hi).
  double uniform(double lo, double hi);
  /// Uniform in [0, n).
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() % n); }
  /// Uniform in [-1, 1), one for each element.
  Array<double> array(const Shape& shape, double lo = -1, double hi = 1);

 private:
  std::uint64_t state_;
};

}  // namespace thalweg::testing
