// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/landscape.h"

#include <algorithm>
#include <cmath>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/philox.h"
#include "thalweg/lib/inspect/whole_data.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"
#include "thalweg/optim/adam.h"
#include "thalweg/optim/adaptive.h"
#include "thalweg/optim/minimize.h"
#include "thalweg/optim/sgd.h"

namespace thalweg {
namespace {

const std::vector<TestFunction>& functions() {
  static const std::vector<TestFunction> list = {
      {.name = "bowl",
       .about = "(x^2 + 10 y^2) / 2",
       .of = [](Value x, Value y) { return square(x) * 0.5 + square(y) * 5.0; },
       .x_range = {-3, 1.5},
       .y_range = {-1.8, 1.8},
       .start = {-2.6, 1.4},
       .steps = 60,
       .stationary = {{0, 0}}},
      {.name = "saddle",
       .about = "x^2 / 2 - y^2 / 2 + y^4 / 4",
       .of = [](Value x, Value y) { return square(x) * 0.5 - square(y) * 0.5 + square(square(y)) * 0.25; },
       .x_range = {-2, 1},
       .y_range = {-1.3, 1.5},
       .start = {-1.6, 0.01},
       .steps = 100,
       .stationary = {{0, 0}, {0, 1}, {0, -1}}},
      {.name = "rosenbrock",
       .about = "(1 - x)^2 + 100 (y - x^2)^2",
       .of = [](Value x, Value y) { return square(1.0 - x) + square(y - square(x)) * 100.0; },
       .x_range = {-1.8, 1.8},
       .y_range = {-0.8, 2.2},
       .start = {-1.2, 1},
       .steps = 2000,
       .stationary = {{1, 1}}},
      {.name = "beale",
       .about = "(1.5 - x + x y)^2 + (2.25 - x + x y^2)^2 + (2.625 - x + x y^3)^2",
       .of =
           [](Value x, Value y) {
             const Value xy = x * y, xyy = xy * y;
             return square(1.5 - x + xy) + square(2.25 - x + xyy) + square(2.625 - x + xyy * y);
           },
       .x_range = {-0.5, 4},
       .y_range = {-1.5, 1.9},
       .start = {1, 1.5},
       .steps = 600,
       .stationary = {{3, 0.5}, {0, 1}}},
      {.name = "himmelblau",
       .about = "(x^2 + y - 11)^2 + (x + y^2 - 7)^2",
       .of = [](Value x, Value y) { return square(square(x) + y - 11.0) + square(x + square(y) - 7.0); },
       .x_range = {-5, 5},
       .y_range = {-5, 5},
       .start = {-0.5, -1.2},
       .steps = 120,
       .stationary = {{3, 2},
                      {-2.805118086952745, 3.131312518250573},
                      {-3.779310253377747, -3.283185991286170},
                      {3.584428340330492, -1.848126526964404},
                      {-0.270844590667417, -0.923038556479972},
                      {0.086677504555250, 2.884254701174948},
                      {3.385154183607110, 0.073851879837731},
                      {-3.073025750764062, -0.081353044288271},
                      {-0.127961346760655, -1.953714980190062}}},
  };
  return list;
}

/// Rates of gd, momentum, nag, adagrad, rmsprop and adam at which a figure shows each one's way.
std::array<double, 6> rates_for(std::string_view name) {
  if (name == "bowl") return {0.17, 0.02, 0.02, 0.5, 0.05, 0.1};
  if (name == "saddle") return {0.1, 0.02, 0.02, 0.3, 0.05, 0.05};
  if (name == "rosenbrock") return {0.0015, 0.001, 0.001, 0.5, 0.01, 0.05};
  if (name == "beale") return {0.01, 0.002, 0.002, 0.5, 0.01, 0.1};
  if (name == "himmelblau") return {0.01, 0.005, 0.005, 0.5, 0.05, 0.1};
  return {};
}

Graph training_graph(const TestFunction& function, std::array<double, 2> start) {
  Graph g(function.name);
  const Value x = variable(g, "x", f64(), values({start[0]}));
  const Value y = variable(g, "y", f64(), values({start[1]}));
  g.output("loss", function.of(x, y));
  return g;
}

std::vector<double> spaced(double low, double high, int points) {
  std::vector<double> list;
  for (int i = 0; i < points; ++i) list.push_back(low + (high - low) * i / (points - 1));
  return list;
}

// ---- slices

/// Normal numbers for a variable of that name, filter by filter as long as `weight`.
Tensor normalized(const Tensor& weight, const std::string& name, std::uint64_t seed) {
  const std::vector<double> w = weight.numbers();
  std::vector<double> d(w.size());
  if (weight.shape().rank() >= 2) {
    const PhiloxKey key = philox_key(seed, fnv1a(name));
    for (std::size_t i = 0; i < d.size(); ++i) {
      const PhiloxCounter words = philox(philox_counter(i, 0), key);
      d[i] = normal_of(words[0], words[1]);
    }
    const auto units = static_cast<std::size_t>(weight.shape().vector().back());
    for (std::size_t unit = 0; unit < units; ++unit) {
      double of_d = 0, of_w = 0;
      for (std::size_t i = unit; i < d.size(); i += units) {
        of_d += d[i] * d[i];
        of_w += w[i] * w[i];
      }
      const double factor = of_d > 0 ? std::sqrt(of_w / of_d) : 0;
      for (std::size_t i = unit; i < d.size(); i += units) d[i] *= factor;
    }
  }
  return Tensor(weight.type(), d);
}

/// The net's loss at w + s·d + t·e.
class Slice {
 public:
  Slice(const Graph& training, const Variables& variables, const Dataset& data, const SliceOptions& options)
      : graph_(loss_graph(training, options.run.batch)),
        weights_(weights_of(training, graph_)),
        variables_(own_variables(graph_, variables)),
        whole_(graph_, variables_, data, options.run) {
    if (!(options.radius > 0) || !std::isfinite(options.radius))
      run_error("a slice of a loss: radius is {}, must be finite and above 0", options.radius);
    if (options.points < 2 || options.points > 10'000)
      run_error("a slice of a loss: points is {}, must be from 2 to 10000", options.points);
    for (const Weight& weight : weights_) begin_.push_back(variables_.at(weight.name).numbers());
  }

  using Numbers = std::vector<std::vector<double>>;

  Numbers numbers_of(const Direction& direction) const {
    Numbers list;
    for (const Weight& weight : weights_) {
      const auto at = direction.find(weight.name);
      if (at == direction.end()) run_error("a slice of a loss: the direction lacks {}", weight.name);
      if (at->second.shape() != weight.type.shape)
        run_error("a slice of a loss: the direction of {} is {}, the variable {}", weight.name,
            to_string(at->second.type()),
                  to_string(weight.type));
      list.push_back(at->second.numbers());
    }
    return list;
  }

  double at(const Numbers& right, double s, const Numbers* up, double t) {
    std::vector<double> moved;
    for (std::size_t k = 0; k < weights_.size(); ++k) {
      moved = begin_[k];
      double* to = moved.data();
      for (const double along : right[k]) *to++ += s * along;
      to = moved.data();
      if (up != nullptr)
        for (const double along : (*up)[k]) *to++ += t * along;
      store_numbers(weights_[k].type.dtype, moved, variables_.at(weights_[k].name).data());
    }
    return whole_.scalar("loss");
  }

 private:
  Graph graph_;
  std::vector<Weight> weights_;
  Variables variables_;
  WholeData whole_;
  Numbers begin_;
};

}  // namespace

std::span<const TestFunction> test_functions() { return functions(); }

const TestFunction& test_function(std::string_view name) {
  std::vector<std::string> names;
  for (const TestFunction& function : functions()) {
    if (function.name == name) return function;
    names.push_back(function.name);
  }
  run_error("there is no function '{}'{}; there are {}", shown(name), suggestion(name, names), fmt::join(names, ", "));
}

std::vector<NamedOptimizer> lecture_optimizers(const TestFunction& function, double rate) {
  std::array<double, 6> rates = rates_for(function.name);
  if (rate > 0) rates.fill(rate);
  else if (rates[0] == 0) run_error("lecture_optimizers: '{}' is no built-in function: give a rate", function.name);
  return {{"gd", Sgd{.rate = rates[0]}},
          {"momentum", Sgd{.rate = rates[1], .momentum = 0.9}},
          {"nag", Sgd{.rate = rates[2], .momentum = 0.9, .nesterov = true}},
          {"adagrad", Adagrad{.rate = rates[3]}},
          {"rmsprop", RmsProp{.rate = rates[4]}},
          {"adam", Adam{.rate = rates[5]}}};
}

Graph graph_at(const TestFunction& function, std::array<double, 2> point) { return training_graph(function, point); }

DescentPath descend(const TestFunction& function, const NamedOptimizer& optimizer, int steps,
                    std::array<double, 2> start) {
  if (steps < 1) run_error("descend: steps is {}, must be at least 1", steps);
  const Graph g = training_graph(function, start);
  minimize(g.find("loss"), optimizer.optimizer);
  Program program = compile(g, {.logical_threads = 1});
  const Tensor x = program.variables().at("x"), y = program.variables().at("y");
  DescentPath path{.name = optimizer.name, .x = {}, .y = {}, .value = {}};
  for (int k = 0; k <= steps; ++k) {
    const double at_x = x.number(0), at_y = y.number(0);
    program.run();
    const double value = program.scalar("loss");
    if (!std::isfinite(at_x) || !std::isfinite(at_y) || !std::isfinite(value)) {
      path.diverged = true;
      break;
    }
    path.x.push_back(at_x);
    path.y.push_back(at_y);
    path.value.push_back(value);
  }
  return path;
}

DescentPath descend(const TestFunction& function, const NamedOptimizer& optimizer) {
  return descend(function, optimizer, function.steps, function.start);
}

Field field_of(const TestFunction& function, int points) {
  if (points < 2 || points > 10'000) run_error("field_of: points is {}, must be from 2 to 10000", points);
  Field field{.x = spaced(function.x_range[0], function.x_range[1], points),
              .y = spaced(function.y_range[0], function.y_range[1], points), .values = {}};
  Graph g(function.name);
  const Value x = input(g, "x", f64(points)), y = input(g, "y", f64(points, 1));
  const Dim n = points;
  const Value zero = constant(g, 0, f64(n, n));
  g.output("f", function.of(x + zero, y + zero));
  Program program = compile(g, {.logical_threads = 1});
  std::copy(field.x.begin(), field.x.end(), program.input<double>("x").begin());
  std::copy(field.y.begin(), field.y.end(), program.input<double>("y").begin());
  program.run();
  const std::span<const double> values = program.output<double>("f");
  field.values.assign(values.begin(), values.end());
  return field;
}

Chart chart_of(const TestFunction& function, const std::vector<DescentPath>& paths) {
  Chart chart{.title = fmt::format("{}: f = {}", function.name, function.about), .x_label = "x", .y_label = "y",
              .field = field_of(function), .width = 640, .height = 460};
  for (const DescentPath& path : paths)
    chart.curves.push_back({.name = path.name + (path.diverged ? " (diverges)" : ""), .x = path.x, .y = path.y,
                            .ends = true});
  for (const std::array<double, 2>& point : function.stationary) chart.marks.push_back({point[0], point[1], ""});
  return chart;
}

Direction filter_normalized(const Graph& training, const Variables& variables, std::uint64_t seed) {
  Direction direction;
  for (const Weight& weight : weights_of(training, loss_graph(training, 0)))
    direction[weight.name] = normalized(variables.at(weight.name), weight.name, seed);
  return direction;
}

Field loss_line(const Graph& training, const Variables& variables, const Dataset& data, const Direction& along,
                const SliceOptions& options) {
  Slice slice(training, variables, data, options);
  const Slice::Numbers direction = slice.numbers_of(along);
  Field field{.x = spaced(-options.radius, options.radius, options.points), .y = {0}, .values = {}};
  for (const double s : field.x) field.values.push_back(slice.at(direction, s, nullptr, 0));
  return field;
}

Field loss_plane(const Graph& training, const Variables& variables, const Dataset& data, const Direction& right,
                 const Direction& up, const SliceOptions& options) {
  Slice slice(training, variables, data, options);
  const Slice::Numbers along = slice.numbers_of(right), upward = slice.numbers_of(up);
  Field field{.x = spaced(-options.radius, options.radius, options.points),
              .y = spaced(-options.radius, options.radius, options.points), .values = {}};
  for (const double t : field.y)
    for (const double s : field.x) field.values.push_back(slice.at(along, s, &upward, t));
  return field;
}

}  // namespace thalweg
