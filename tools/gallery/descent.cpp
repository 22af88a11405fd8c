// SPDX-License-Identifier: Apache-2.0
// s1 to s6: what is minimized, where descent can end, and how many samples a step looks at.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gallery.h"

namespace thalweg::gallery {
namespace {

// [s1
History minimize_the_loss(const Lab& lab) {
  Graph g("objective");
  const Value x = input(g, "x", lab.images(32)), t = input(g, "label", i32(32));
  const Value h = dense(flatten(x), 32, {.activation = relu});
  const Value y = dense(h, 10);
  const Value loss = mean(sparse_cross_entropy(y, t));
  minimize(loss, Sgd{.rate = 0.1});
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));
  return lab.fit(g, {.epochs = 20});
}
// s1]

Shown objective(const Lab& lab) {
  const History history = minimize_the_loss(lab);
  const double first = history["loss"].front(), last = history.last("loss");
  return {.charts = {epochs_chart("What is minimized: the mean loss of the training samples", "loss",
                                  {curve_of("training", history, "loss"), curve_of("held out", history, "val_loss")})},
          .sentence = fmt::format("The training loss falls from {} in the first epoch to {} in epoch {}; {} of the held-out "
                                  "samples are then recognized.", number(first), number(last), history.epochs(),
                                  percent(history.last("val_accuracy"))),
          .holds = last < 0.5 * first};
}

// [s2
DescentPath down_a_convex_function(std::array<double, 2> start) {
  Graph g("convex");  // w'Aw / 2 - b'w is least at A^-1 b = (0.2, 0.4), and nowhere else
  const Value w = variable(g, "w", f64(1, 2), values({start[0], start[1]}));
  const Value a = constant(g, {3, 1, 1, 2}, f64(2, 2)), b = constant(g, {1, 1}, f64(1, 2));
  minimize(sum(matmul(w, a) * w) * 0.5 - sum(b * w), Sgd{.rate = 0.2});
  Program step = compile(g);
  DescentPath path;
  for (int k = 0; k < 100; ++k, step.run()) {
    const std::vector<double> at = step.variables().at("w").numbers();
    path.x.push_back(at[0]);
    path.y.push_back(at[1]);
  }
  return path;
}
// s2]

Shown convex(const Lab&) {
  const TestFunction function{.name = "convex",
                              .about = "1.5 x^2 + x y + y^2 - x - y",
                              .of = [](Value x, Value y) { return square(x) * 1.5 + x * y + square(y) - x - y; },
                              .x_range = {-2, 2.4}, .y_range = {-2, 2.4}, .start = {0, 0}, .stationary = {{0.2, 0.4}}};
  std::vector<DescentPath> paths;
  Chart distance{.title = "Distance from the minimum", .x_label = "step", .y_label = "|w - A^-1 b|", .log_y = true,
                 .curves = {}, .y_range = std::array{1e-16, 10.0}, .width = 480, .height = 340};
  double farthest = 0;
  for (const std::array<double, 2>& start : {std::array{-1.7, 2.0}, {2.1, 1.6}, {1.9, -1.8}, {-1.5, -1.2}}) {
    paths.push_back(down_a_convex_function(start));
    DescentPath& path = paths.back();
    path.name = fmt::format("from ({:g}, {:g})", start[0], start[1]);
    Curve curve{.name = path.name, .x = {}, .y = {}};
    for (std::size_t k = 0; k < path.x.size(); ++k)
      curve.y.push_back(std::hypot(path.x[k] - 0.2, path.y[k] - 0.4));
    farthest = std::max(farthest, curve.y.back());
    distance.curves.push_back(std::move(curve));
  }
  Chart map = chart_of(function, paths);
  map.title = "A convex function: every way down ends at one point";
  map.width = 520, map.height = 400;
  return {.charts = {map, distance},
          .sentence = fmt::format("From four starts gradient descent ends within {} of A^-1 b = (0.2, 0.4) after 100 steps: a "
                                  "convex function has one minimum, and its slope leads there.", number(farthest)),
          .holds = farthest < 1e-6};
}

// [s3
std::pair<DescentPath, Eigenvalues> where_descent_ends(const TestFunction& function, std::array<double, 2> start) {
  const DescentPath path = descend(function, {"gd", Sgd{.rate = 0.01}}, 1500, start);
  const Graph g = graph_at(function, {path.x.back(), path.y.back()});
  Variables variables;
  for (const NodeId id : g.variables()) variables.ensure(g, id);
  Hessian hessian(g, variables, {});
  return {path, hessian_eigenvalues(hessian, {.top = 1, .bottom = 1})};
}
// s3]

Shown stationary(const Lab&) {
  const TestFunction& hills = test_function("himmelblau");
  std::vector<DescentPath> paths;
  bool minima = true;
  for (const std::array<double, 2>& start : {std::array{0.0, 0.0}, {-1.0, 0.5}, {-0.8, -1.2}, {0.5, -2.5}}) {
    auto [path, ends] = where_descent_ends(hills, start);
    path.name = fmt::format("from ({:g}, {:g})", start[0], start[1]);
    minima = minima && ends.smallest[0] > 0;
    paths.push_back(path);
  }
  Chart map = chart_of(hills, paths);
  map.title = "Himmelblau's function: four minima, four saddles, one hilltop";
  map.width = 520, map.height = 440;

  const TestFunction& saddle = test_function("saddle");
  auto [stuck, at_saddle] = where_descent_ends(saddle, {-1.6, 0});
  auto [escaped, at_end] = where_descent_ends(saddle, {-1.6, 0.01});
  Chart values{.title = "Descent towards a saddle", .x_label = "step", .y_label = "f",
               .curves = {{.name = "from (-1.6, 0)", .x = {}, .y = stuck.value},
                          {.name = "from (-1.6, 0.01)", .x = {}, .y = escaped.value}}, .width = 520, .height = 300};
  return {.charts = {map, values},
          .sentence = fmt::format("Starts that lie close together end in different minima of Himmelblau's function. Exactly on "
                                  "the ridge, descent stops at the saddle (curvatures {} and {}); a hundredth beside it, it lingers "
                                  "and then falls to f = {}, a minimum (curvatures {} and {}).",
                                  number(at_saddle.smallest[0]), number(at_saddle.largest[0]),
                                      number(escaped.value.back()),
                                  number(at_end.smallest[0]), number(at_end.largest[0])),
          .holds = minima && at_saddle.smallest[0] < 0 && at_end.smallest[0] > 0};
}

Graph small_net(const Lab& lab, Dim batch, double rate) {
  Graph g("small");
  const Value x = input(g, "x", lab.images(batch)), t = input(g, "label", i32(batch));
  const Value y = dense(dense(flatten(x), 32, {.activation = relu}), 10);
  const Value loss = mean(sparse_cross_entropy(y, t));
  minimize(loss, Sgd{.rate = rate});
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));
  return g;
}

constexpr double batch_rate = 0.1;

// [s4
std::pair<History, History> full_batch_descent(const Lab& lab) {
  const double rate = 4 / std::sqrt(static_cast<double>(lab.pixels()));  // many inputs make a steep loss
  const Graph g = small_net(lab, 32, rate);
  const History whole = lab.fit(g, {.epochs = 60, .batch = full_batch});
  // The same steps with 64 samples in memory at a time: gradients are summed up before the update.
  const History summed = lab.fit(g, {.epochs = 60, .batch = full_batch, .micro_batch = 64});
  return {whole, summed};
}
// s4]

Shown full(const Lab& lab) {
  const auto [whole, summed] = full_batch_descent(lab);
  double apart = 0;
  const std::vector<double> a = whole["loss"], b = summed["loss"];
  for (std::size_t k = 0; k < std::min(a.size(), b.size()); ++k) apart = std::max(apart, std::fabs(a[k] - b[k]));
  std::size_t down = 0;
  for (std::size_t k = 1; k < a.size(); ++k) down += a[k] < a[k - 1] ? 1 : 0;
  Curve second = curve_of("64 at a time", summed, "loss");
  second.dashed = true;
  return {.charts = {epochs_chart("One update an epoch, from the gradient of all samples", "training loss",
                                  {curve_of("whole batch", whole, "loss"), second})},
          .sentence = fmt::format("One update an epoch: a smooth way down ({} of {} steps lower the loss), and {} updates bring "
                                  "it to {}. Summing gradients of 64 samples at a time gives the same steps (losses "
                                  "differ by {} at most).",
                                  down, a.size() - 1, whole.epochs(), number(whole.last("loss")), number(apart)),
          .holds = 10 * down >= 9 * (a.size() - 1) && apart < 1e-4};
}

// [s5
Recorded one_sample_a_step(const Lab& lab) {
  const Graph g = small_net(lab, 1, 0.02);
  return lab.record(g, "loss", {.epochs = 3, .batch = 1});  // shuffled anew for each epoch
}
// s5]

std::vector<double> running_mean(const std::vector<double>& list, std::size_t over) {
  std::vector<double> means;
  double sum = 0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    sum += list[i] - (i >= over ? list[i - over] : 0);
    means.push_back(sum / static_cast<double>(std::min(i + 1, over)));
  }
  return means;
}

Shown stochastic(const Lab& lab) {
  const Recorded run = one_sample_a_step(lab);
  const std::vector<double> mean = running_mean(run.steps, 100);
  std::size_t up = 0;
  for (std::size_t i = 1; i < run.steps.size(); ++i) up += run.steps[i] > run.steps[i - 1] ? 1 : 0;
  Curve raw{.name = "of each sample", .x = {}, .y = {}, .faint = true};
  Curve smooth{.name = "mean of 100", .x = {}, .y = {}, .colour = 1};
  for (std::size_t i = 0; i < run.steps.size(); i += 4) {
    raw.x.push_back(static_cast<double>(i + 1));
    raw.y.push_back(run.steps[i]);
    smooth.x.push_back(static_cast<double>(i + 1));
    smooth.y.push_back(mean[i]);
  }
  const double share = run.steps.size() < 2 ? 0 : static_cast<double>(up) / static_cast<double>(run.steps.size() - 1);
  return {.charts = {{.title = "The loss of the one sample that each step looks at", .x_label = "update",
      .y_label = "loss",
                      .curves = {raw, smooth}, .y_range = std::array{0.0, 5.0}, .width = 620, .height = 320}},
          .sentence = fmt::format("{} updates in {} epochs: the loss jumps from sample to sample ({} of the steps see a larger one "
                                  "than the step before), while its mean over 100 falls from {} to {}.",
                                  run.steps.size(), run.history.epochs(), percent(share),
                                      number(mean[std::min<std::size_t>(99, mean.size() - 1)]),
                                  number(mean.back())),
          .holds = mean.back() < 0.6 * mean[std::min<std::size_t>(99, mean.size() - 1)] && share > 0.3};
}

// [s6
History batches_of(const Lab& lab, Dim batch) {
  const Graph g = small_net(lab, batch, batch_rate);
  return lab.fit(g, {.epochs = 15, .batch = batch});  // the last, smaller batch is kept
}
// s6]

Shown mini_batches(const Lab& lab) {
  Chart by_epoch = epochs_chart("By epoch", "training loss", {}, true);
  Chart by_time{.title = "By time", .x_label = "seconds", .y_label = "training loss", .log_y = true, .curves = {},
      .width = 520, .height = 300};
  std::vector<std::string> facts;
  std::vector<double> losses;
  for (const Dim batch : {Dim{1}, Dim{16}, Dim{128}, lab.train.size()}) {
    const History history = batches_of(lab, batch);
    const std::string name = batch == lab.train.size() ? "all" : fmt::format("{}", batch);
    by_epoch.curves.push_back(curve_of(name + " a step", history, "loss"));
    Curve timed{.name = name + " a step", .x = {}, .y = history["loss"]};
    double seconds = 0;
    for (const double s : history["seconds"]) timed.x.push_back(seconds += s);
    by_time.curves.push_back(std::move(timed));
    losses.push_back(history.last("loss"));
    facts.push_back(fmt::format("{}: {} updates an epoch, loss {} after {:.2f} s", name, (lab.train.size()
        + batch - 1) / batch,
                                number(losses.back()), seconds));
  }
  return {.charts = {by_epoch, by_time},
          .sentence = fmt::format("Samples a step and what {} epochs at one rate ({}) reach: {}.", lab.epochs(15),
              batch_rate,
                                  fmt::join(facts, "; ")),
          .holds = losses[1] < losses[3] && losses[2] < losses[3]};
}

}  // namespace

std::vector<Experiment> descent_experiments() {
  return {
      {"s1", "The objective", "Training makes one number small: the mean loss of the training samples.", objective},
      {"s2", "Convex optimization", "On a convex function every local minimum is the global one.", convex},
      {"s3", "Local minima and saddle points", "Where the gradient is 0, the Hessian's eigenvalues say what it is.",
          stationary},
      {"s4", "Batch gradient descent", "All samples, one update an epoch.", full},
      {"s5", "Stochastic gradient descent", "One random sample an update.", stochastic},
      {"s6", "Mini-batches", "A random part of the samples an update: between the two.", mini_batches},
  };
}

}  // namespace thalweg::gallery
