// SPDX-License-Identifier: Apache-2.0
// Landscapes: paths of optimizers, slices of a loss, the ends of the Hessian's spectrum, each against what is known.
#include "thalweg/lib/inspect/landscape.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "thalweg/lib/inspect/curvature.h"
#include "thalweg/thalweg.h"

namespace thalweg {
namespace {

using Matrix = std::vector<std::vector<double>>;

/// The eigenvalues of a symmetric matrix, ascending, by Jacobi's rotations: slow, and nothing like Lanczos.
std::vector<double> jacobi(Matrix a) {
  const std::size_t n = a.size();
  for (int sweep = 0; sweep < 60; ++sweep)
    for (std::size_t p = 0; p < n; ++p)
      for (std::size_t q = p + 1; q < n; ++q) {
        if (a[p][q] == 0) continue;
        const double theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const double t = std::copysign(1.0, theta) / (std::fabs(theta) + std::hypot(theta, 1.0));
        const double c = 1 / std::hypot(t, 1.0), s = t * c;
        for (std::size_t k = 0; k < n; ++k) {
          const double kp = a[k][p], kq = a[k][q];
          a[k][p] = c * kp - s * kq;
          a[k][q] = s * kp + c * kq;
        }
        for (std::size_t k = 0; k < n; ++k) {
          const double pk = a[p][k], qk = a[q][k];
          a[p][k] = c * pk - s * qk;
          a[q][k] = s * pk + c * qk;
        }
      }
  std::vector<double> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = a[i][i];
  std::sort(values.begin(), values.end());
  return values;
}

Variables initial(const Graph& g) {
  Variables variables;
  for (const NodeId id : g.variables()) variables.ensure(g, id);
  return variables;
}

/// w' Q D Q' w / 2 with Q the reflection that takes the first axis to (1, …, 1) / √n.
Graph quadratic(const std::vector<double>& eigenvalues) {
  Graph g("quadratic");
  const auto n = static_cast<Dim>(eigenvalues.size());
  std::vector<double> u(eigenvalues.size(), 1 / std::sqrt(static_cast<double>(n)));
  u[0] -= 1;
  const double length = std::sqrt(std::inner_product(u.begin(), u.end(), u.begin(), 0.0));
  std::vector<double> q;
  for (std::size_t i = 0; i < u.size(); ++i)
    for (std::size_t j = 0; j < u.size(); ++j) q.push_back((i == j) - 2 * u[i] * u[j] / (length * length));
  const Value w = variable(g, "w", f64(1, n), random_normal_init());
  const Value turned = matmul(w, constant(g, q, f64(n, n)));
  g.output("loss", sum(square(turned) * constant(g, eigenvalues, f64(n))) * 0.5);
  return g;
}

TEST(Curvature, OfAQuadraticIsItsMatrixToTwelveDigits) {
  std::vector<double> known;
  for (int i = 0; i < 30; ++i) known.push_back(std::pow(1.3, i) - 5);
  const Graph g = quadratic(known);
  Hessian hessian(g, initial(g), {});
  ASSERT_EQ(hessian.size(), 30U);
  const Eigenvalues ends = hessian_eigenvalues(hessian, {.top = 4, .bottom = 3, .tolerance = 1e-14});
  ASSERT_EQ(ends.largest.size(), 4U);
  ASSERT_EQ(ends.smallest.size(), 3U);
  EXPECT_TRUE(ends.converged);
  for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(ends.largest[k], known[29 - k], 1e-12 * known[29]);
  for (std::size_t k = 0; k < 3; ++k) EXPECT_NEAR(ends.smallest[k], known[k], 1e-12 * known[29]);
}

TEST(Curvature, EqualEigenvaluesAreAllFound) {
  const std::vector<double> known = {-1, -1, 0, 2, 2, 2, 7, 7};
  const Graph g = quadratic(known);
  Hessian hessian(g, initial(g), {});
  const Eigenvalues ends = hessian_eigenvalues(hessian, {.top = 8});
  ASSERT_EQ(ends.largest.size(), 8U);
  EXPECT_EQ(ends.products, 8);
  for (std::size_t k = 0; k < 8; ++k) EXPECT_NEAR(ends.largest[k], known[7 - k], 1e-12);
}

TEST(Curvature, WhatLanczosHasNotFoundItDoesNotClaim) {
  std::vector<double> known;
  for (int i = 0; i < 200; ++i) known.push_back(1 + 0.001 * i);
  const Graph g = quadratic(known);
  Hessian hessian(g, initial(g), {});
  const Eigenvalues ends = hessian_eigenvalues(hessian, {.top = 5, .most_products = 12});
  EXPECT_EQ(ends.products, 12);
  EXPECT_FALSE(ends.converged);
  for (std::size_t k = 0; k < ends.largest.size(); ++k) {
    double nearest = INFINITY;
    for (const double lambda : known) nearest = std::min(nearest, std::fabs(lambda - ends.largest[k]));
    EXPECT_LE(nearest, ends.largest_error[k] + 1e-12);
  }
}

Dataset points_in_the_plane() {
  Dataset data;
  std::vector<double> x, t;
  for (int i = 0; i < 21; ++i) {
    x.push_back(std::sin(1.7 * i));
    x.push_back(std::cos(2.3 * i));
    t.push_back(i % 3);
  }
  data.inputs = Tensor(f64(21, 2), x);
  data.labels = Tensor(i32(21), t);
  return data;
}

Graph tiny_net(Dim batch) {
  Graph g("tiny");
  const Value x = input(g, "x", f64(batch, 2));
  const Value y = dense(dropout(tanh(dense(x, 4)), 0.5), 3);
  const Value loss = mean(sparse_cross_entropy(y, input(g, "t", i32(batch))));
  minimize(loss, Adam{.rate = 0.02}, {.penalty = l2(0.01)});
  g.output("loss", loss);
  return g;
}

TEST(Curvature, OfANetIsThatOfItsDenseHessian) {
  const Dataset data = points_in_the_plane();
  const Graph net = tiny_net(7);
  const History history = fit(net, data, {.epochs = 20, .verbose = verbose_silent});
  Hessian hessian(net, history.variables, data, {.batch = 8});  // the last batch is smaller
  const std::size_t n = hessian.size();
  ASSERT_EQ(n, 27U);  // 2*4 + 4 + 4*3 + 3
  // The dense matrix by another way: differences of the gradient, which the interpreter computes in double.
  Graph slopes = inference(tiny_net(21), {"loss"});
  std::vector<Value> weights;
  for (const NodeId id : slopes.variables()) weights.push_back(slopes.value({id, 0}));
  const std::vector<Value> gradient = gradients(slopes.find("loss"), weights);
  slopes.drop_outputs();
  for (std::size_t k = 0; k < weights.size(); ++k) slopes.output("g" + std::to_string(k), gradient[k]);
  Variables at;
  for (const Value& w : weights) {
    at.ensure(slopes, w.id().node);
    at.set(w.node().name, history.variables.at(w.node().name));
  }
  Program program = compile(slopes, {.variables = at});
  program.feed("x", data.inputs);
  program.feed("t", data.labels);
  const auto gradient_now = [&] {
    program.run();
    std::vector<double> all;
    for (std::size_t k = 0; k < weights.size(); ++k)
      for (const double number : program.fetch("g" + std::to_string(k)).numbers()) all.push_back(number);
    return all;
  };
  Matrix dense_hessian;
  constexpr double h = 1e-5;
  for (const Value& w : weights) {
    Tensor tensor = at.at(w.node().name);
    for (double& number : tensor.as<double>()) {
      const double before = number;
      number = before + h;
      const std::vector<double> above = gradient_now();
      number = before - h;
      const std::vector<double> below = gradient_now();
      number = before;
      std::vector<double> row(n);
      for (std::size_t i = 0; i < n; ++i) row[i] = (above[i] - below[i]) / (2 * h);
      dense_hessian.push_back(row);
    }
  }
  double most = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<double> unit(n);
    unit[i] = 1;
    const std::vector<double> column = hessian.times(unit);
    for (std::size_t j = 0; j < n; ++j) EXPECT_NEAR(column[j], dense_hessian[i][j], 1e-8) << i << ", " << j;
    most = std::max(most, std::fabs(column[i]));
  }
  EXPECT_GT(most, 0.01);
  const std::vector<double> known = jacobi(dense_hessian);
  const Eigenvalues ends = hessian_eigenvalues(hessian, {.top = 5, .bottom = 2});
  for (std::size_t k = 0; k < 5; ++k) EXPECT_NEAR(ends.largest[k], known[n - 1 - k], 1e-6);
  for (std::size_t k = 0; k < 2; ++k) EXPECT_NEAR(ends.smallest[k], known[k], 1e-6);
}

std::string thrown(const std::function<void()>& act) {
  try {
    act();
  } catch (const RunError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Curvature, Errors) {
  Graph g("empty");
  const Value w = variable(g, "w", f64(2));
  const Variables none = initial(g);
  EXPECT_EQ(thrown([&] { Hessian(g, none, {}); }),
            "graph 'empty' has no output 'loss': name the scalar that training minimizes so");
  g.output("loss", square(w));
  EXPECT_EQ(thrown([&] { Hessian(g, none, {}); }), "the output 'loss' of graph 'empty' is f64[2], no float scalar");
  const Graph net = tiny_net(7);
  EXPECT_EQ(thrown([&] { Hessian(net, initial(net), {}); }),
      "graph 'tiny' has inputs, and there are no samples for them");
  EXPECT_EQ(thrown([&] { Hessian(net, {}, points_in_the_plane()); }), "the variables given lack dense/kernel");
  const Graph q = quadratic({1, 2});
  Hessian hessian(q, initial(q), {});
  EXPECT_EQ(thrown([&] { hessian.times(std::vector<double>(3)); }),
      "Hessian: a vector of 3 numbers, for variables of 2");
  EXPECT_EQ(thrown([&] { hessian_eigenvalues(hessian, {.top = 0}); }),
            "hessian_eigenvalues: top is 0 and bottom 0, one must be above 0 and none below");
}

TEST(Landscape, StationaryPointsAreWhatTheyAreSaidToBe) {
  int saddles = 0, minima = 0, maxima = 0;
  for (const TestFunction& function : test_functions())
    for (const std::array<double, 2>& point : function.stationary) {
      Graph g = graph_at(function, point);
      const std::vector<Value> slope = gradients(g.find("loss"), {g.find("x"), g.find("y")});
      g.output("dx", slope[0]);
      g.output("dy", slope[1]);
      Program program = compile(g);
      program.run();
      EXPECT_NEAR(program.scalar("dx"), 0, 1e-8) << function.name;
      EXPECT_NEAR(program.scalar("dy"), 0, 1e-8) << function.name;
      Hessian hessian(g, program.variables(), {});
      const Eigenvalues ends = hessian_eigenvalues(hessian, {.top = 1, .bottom = 1});
      (ends.smallest[0] > 0 ? minima : ends.largest[0] < 0 ? maxima : saddles) += 1;
    }
  EXPECT_EQ(minima, 1 + 2 + 1 + 1 + 4);
  EXPECT_EQ(saddles, 1 + 1 + 4);
  EXPECT_EQ(maxima, 1);
}

TEST(Landscape, PathsAreThoseOfTheOptimizers) {
  const TestFunction& bowl = test_function("bowl");
  // Plain descent on (x^2 + 10 y^2) / 2 multiplies x by 1 - rate and y by 1 - 10 rate.
  const DescentPath path = descend(bowl, {"gd", Sgd{.rate = 0.17}}, 10, {-2, 1});
  ASSERT_EQ(path.x.size(), 11U);
  for (std::size_t k = 0; k < 11; ++k) {
    EXPECT_NEAR(path.x[k], -2 * std::pow(1 - 0.17, k), 1e-12);
    EXPECT_NEAR(path.y[k], std::pow(1 - 1.7, k), 1e-12);
    EXPECT_NEAR(path.value[k], (path.x[k] * path.x[k] + 10 * path.y[k] * path.y[k]) / 2, 1e-12);
  }
  const DescentPath wild = descend(bowl, {"gd", Sgd{.rate = 1e200}}, 10, {-2, 1});
  EXPECT_TRUE(wild.diverged);
  EXPECT_LT(wild.x.size(), 5U);
  for (const TestFunction& function : test_functions())
    for (const NamedOptimizer& optimizer : lecture_optimizers(function)) {
      const DescentPath walk = descend(function, optimizer);
      EXPECT_FALSE(walk.diverged);
      double nearest = INFINITY;
      for (const auto& point : function.stationary)
        nearest = std::min(nearest, std::hypot(walk.x.back() - point[0], walk.y.back() - point[1]));
      EXPECT_LT(nearest, 0.5) << function.name << " by " << optimizer.name << ": the rate suits the figure";
    }
}

TEST(Landscape, ContoursLieOnTheirLevel) {
  const TestFunction& bowl = test_function("bowl");
  const Field field = field_of(bowl, 200);
  const auto lines = contour(field, 0.5);  // within the picture: one closed line
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].front(), lines[0].back());
  double left = 0;
  for (const auto& [x, y] : lines[0]) {
    EXPECT_NEAR((x * x + 10 * y * y) / 2, 0.5, 2e-3);
    left = std::min(left, x);
  }
  EXPECT_NEAR(left, -1, 1e-3);
  // A saddle between four corners is cut twice, and a hole of nan not at all.
  EXPECT_EQ(contour({.x = {0, 1}, .y = {0, 1}, .values = {1, 0, 0, 1}}, 0.5).size(), 2U);
  EXPECT_EQ(contour({.x = {0, 1}, .y = {0, 1}, .values = {1, 0, NAN, 0}}, 0.5).size(), 0U);
  const std::vector<double> levels = contour_levels(field, 10);
  EXPECT_GE(levels.size(), 8U);
  EXPECT_TRUE(std::is_sorted(levels.begin(), levels.end()));
}

TEST(Landscape, SlicesPassThroughTheNetAndMoveFilterByFilter) {
  const Dataset data = points_in_the_plane();
  const Graph net = tiny_net(7);
  const History history = fit(net, data, {.epochs = 20, .verbose = verbose_silent});
  const Variables before = history.variables.clone();
  const Direction right = filter_normalized(net, history.variables, 1), up = filter_normalized(net, history.variables,
      2);
  ASSERT_EQ(right.size(), 4U);
  const std::vector<double> d = right.at("dense/kernel").numbers(), w = before.at("dense/kernel").numbers();
  for (std::size_t unit = 0; unit < 4; ++unit)
    EXPECT_NEAR(std::hypot(d[unit], d[4 + unit]), std::hypot(w[unit], w[4 + unit]), 1e-12);
  for (const double number : right.at("dense/bias").numbers()) EXPECT_EQ(number, 0);
  EXPECT_NE(right.at("dense/kernel").numbers(), up.at("dense/kernel").numbers());

  const double loss = evaluate(net, history.variables, data)["loss"];
  const Field line = loss_line(net, history.variables, data, right, {.points = 5});
  ASSERT_EQ(line.values.size(), 5U);
  EXPECT_NEAR(line.values[2], loss, 1e-12);
  const Field plane = loss_plane(net, history.variables, data, right, up, {.points = 5});
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(plane.at(i, 2), line.values[i]);
  // One point by hand.
  Variables moved = history.variables.clone();
  for (const auto& [name, direction] : right) {
    std::vector<double> numbers = moved.at(name).numbers(), along = direction.numbers(), across = up.at(name).numbers();
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] += 0.5 * along[i] - across[i];
    moved.set(name, Tensor(direction.type(), numbers));
  }
  EXPECT_NEAR(plane.at(3, 0), evaluate(net, moved, data)["loss"], 1e-12);
  for (const std::string& name : before.names())
    EXPECT_EQ(before.at(name).numbers(), history.variables.at(name).numbers()) << "the net itself is left alone";
}

TEST(Landscape, Errors) {
  EXPECT_EQ(thrown([] { test_function("rosenbrok"); }),
            "there is no function 'rosenbrok' (did you mean rosenbrock?); there are bowl, saddle, rosenbrock, beale, "
            "himmelblau");
  const Graph net = tiny_net(7);
  const Dataset data = points_in_the_plane();
  const Variables variables = initial(net);
  const Direction right = filter_normalized(net, variables, 1);
  EXPECT_EQ(thrown([&] { loss_line(net, variables, data, right, {.radius = 0}); }),
            "a slice of a loss: radius is 0, must be finite and above 0");
  EXPECT_EQ(thrown([&] { loss_line(net, variables, data, right, {.points = 1}); }),
            "a slice of a loss: points is 1, must be from 2 to 10000");
  EXPECT_EQ(thrown([&] { loss_line(net, variables, data, {}, {}); }),
      "a slice of a loss: the direction lacks dense/kernel");
}

TEST(Chart, LeavesOutWhatItCannotShowAndEscapesNames) {
  const Chart chart{.title = "a < b & c", .log_y = true,
                    .curves = {{.name = "\"one\"", .x = {}, .y = {1, NAN, 0, 10, 100}}, {.name = "two", .x = {},
                        .y = {}}}};
  const std::string svg = chart.svg();
  EXPECT_NE(svg.find("a &lt; b &amp; c"), std::string::npos);
  EXPECT_NE(svg.find("&quot;one&quot;"), std::string::npos);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
  EXPECT_NE(svg.find("<style>"), std::string::npos);
  EXPECT_EQ(chart.element().find("<style>"), std::string::npos);
}

/// The numbers below the axis of a chart of so many epochs.
std::vector<std::string> numbers_below(std::size_t epochs, bool whole) {
  const Chart chart{.whole_x = whole, .curves = {{.x = {}, .y = std::vector<double>(epochs, 1.0)}}};
  const std::string svg = chart.element(), open = "text-anchor=\"middle\">";
  std::vector<std::string> texts;
  for (std::size_t at = 0; (at = svg.find(open, at)) != std::string::npos; ++at)
    texts.push_back(svg.substr(at + open.size(), svg.find('<', at) - at - open.size()));
  return texts;
}

TEST(Chart, CountsEpochsInWholeNumbers) {
  for (const std::size_t epochs : {1u, 2u, 5u, 40u})
    for (const std::string& text : numbers_below(epochs, true))
      EXPECT_EQ(text.find('.'), std::string::npos) << text << " of " << epochs;
  EXPECT_EQ(numbers_below(3, true), (std::vector<std::string>{"1", "2", "3"}));
  EXPECT_GT(numbers_below(3, false).size(), 3U);
}

TEST(Chart, PutsTheNumberOfALevelOnAPlateOfItsOwn) {
  Chart chart = chart_of(test_function("bowl"), {});
  chart.levels = {0.5};
  const std::string svg = chart.element();
  const std::size_t text = svg.find("<text class=\"level\"");
  ASSERT_NE(text, std::string::npos);
  // A line that shows above the point would make 0:5 of it.
  EXPECT_TRUE(svg.substr(0, text).ends_with("height=\"12\" rx=\"2\"/>")) << svg.substr(text - 80, 160);
  EXPECT_EQ(svg.substr(svg.find('>', text), 5), ">0.5<");
}

}  // namespace
}  // namespace thalweg
