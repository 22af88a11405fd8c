// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "thalweg/graph/function.h"
#include "thalweg/graph/graph.h"
#include "thalweg/lib/base/chart.h"
#include "thalweg/lib/base/tensor.h"
#include "thalweg/lib/data/dataset.h"
#include "thalweg/lib/train/fit.h"
#include "thalweg/optim/optimizer.h"

namespace thalweg {

// ---- functions of two variables, and how optimizers walk down them

/// A function of two variables that optimizers are shown on.
struct TestFunction {
  std::string name;
  std::string about;  ///< its formula
  Function<Value(Value x, Value y)> of;  ///< element by element, for values of any one shape
  std::array<double, 2> x_range, y_range;     ///< what a picture shows
  std::array<double, 2> start;
  int steps = 100;
  std::vector<std::array<double, 2>> stationary = {};  ///< where its gradient is 0
};
/// bowl, saddle, rosenbrock, beale and himmelblau.
THALWEG_API std::span<const TestFunction> test_functions();
/// The one of that name; throws RunError with the nearest names.
THALWEG_API const TestFunction& test_function(std::string_view name);

struct NamedOptimizer {
  std::string name;
  Optimizer optimizer;
};
/// gd, momentum, nag, adagrad, rmsprop and adam at rates that suit the function; `rate` above 0 stands in their place.
/// For a function that is none of test_functions(), `rate` must be given.
THALWEG_API std::vector<NamedOptimizer> lecture_optimizers(const TestFunction& function, double rate = 0);

/// Where an optimizer went: the start, and the point after each step. It ends early where a number is no longer finite.
struct DescentPath {
  std::string name;
  std::vector<double> x, y;
  std::vector<double> value;
  bool diverged = false;
};
/// Minimizes the function over two variables x and y from `start`: minimize(), compiled in f64.
THALWEG_API DescentPath descend(const TestFunction& function, const NamedOptimizer& optimizer, int steps,
                                std::array<double, 2> start);
/// The same from the function's own start, for its own number of steps.
THALWEG_API DescentPath descend(const TestFunction& function, const NamedOptimizer& optimizer);
/// The function over its ranges, `points` along each.
THALWEG_API Field field_of(const TestFunction& function, int points = 120);
/// Contour lines, paths over them, and a cross at each stationary point.
THALWEG_API Chart chart_of(const TestFunction& function, const std::vector<DescentPath>& paths);
/// `loss = function(x, y)` with x and y as f64 variables that begin at a point: for Hessian and hessian_eigenvalues().
THALWEG_API Graph graph_at(const TestFunction& function, std::array<double, 2> point);

// ---- a net's loss along directions

/// A direction in the space of weights: a tensor for each variable that training moves, by name.
using Direction = std::map<std::string, Tensor>;
/// A random direction, filter by filter as long as the weights (Li, Xu, Taylor, Studer and Goldstein: Visualizing the
/// loss landscape of neural nets, 2018): for each unit's weights w (the last axis counts units) a normal d with
/// |d| = |w|, so that nets of other scales compare. Biases, scales and shifts (rank below 2) stay where they are.
/// The same for one seed everywhere.
THALWEG_API Direction filter_normalized(const Graph& training, const Variables& variables, std::uint64_t seed);

struct SliceOptions {
  double radius = 1;  ///< how far to each side: 1 is as far as the weights themselves
  int points = 41;    ///< along each axis; odd, so that the middle is the net itself
  RunOptions run = {};
};
/// The loss of inference(training), a mean over all samples, along w + t d: y is empty in the result but for a 0.
/// Throws RunError for a graph without an output `loss`, for data that does not fit, and for options out of range.
THALWEG_API Field loss_line(const Graph& training, const Variables& variables, const Dataset& data,
                            const Direction& along, const SliceOptions& options = {});
/// The same over the plane w + s d + t e.
THALWEG_API Field loss_plane(const Graph& training, const Variables& variables, const Dataset& data,
                             const Direction& right, const Direction& up, const SliceOptions& options = {});

}  // namespace thalweg
