// SPDX-License-Identifier: Apache-2.0
// s10 to s13, and every other schedule.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gallery.h"

namespace thalweg::gallery {
namespace {

// [s10
History learn_at(const Lab& lab, const Schedule& rate, std::vector<AnyCallback> callbacks = {}) {
  Graph g("schedule");
  const Value x = input(g, "x", lab.images(16)), t = input(g, "label", i32(16));
  const Value y = dense(dense(flatten(x), 32, {.activation = relu}), 10);
  const Value loss = mean(sparse_cross_entropy(y, t));
  const Minimized made = minimize(loss, Sgd{.rate = rate, .momentum = 0.9}, {.penalty = l2(1e-4)});
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));
  g.output("rate", cast(made.rate, DType::f32));
  return lab.fit(g, {.epochs = 20, .callbacks = callbacks});
}
// s10]

Shown with_and_without(const std::string& name, const History& constant, const std::string& constant_name,
                       const History& scheduled) {
  Curve flat = curve_of(constant_name, constant, "loss"), flat_rate = curve_of(constant_name, constant, "rate");
  flat.faint = flat_rate.faint = true;
  Curve own = curve_of(name, scheduled, "loss"), own_rate = curve_of(name, scheduled, "rate");
  own.colour = own_rate.colour = 0;
  return {.charts = {epochs_chart("Mean learning rate of an epoch", "rate", {flat_rate, own_rate}),
                     epochs_chart("What it does", "training loss", {flat, own}, true)},
          .sentence = fmt::format("Training loss after {} epochs: {} with {}, {} with {}; held-out accuracy {} and {}.",
                                  scheduled.epochs(), number(constant.last("loss")), constant_name,
                                  number(scheduled.last("loss")), name, percent(constant.last("val_accuracy")),
                                  percent(scheduled.last("val_accuracy"))),
          .holds = scheduled.last("loss") < constant.last("loss")};
}

constexpr double high = 0.15;
constexpr const char* constant_name = "constant 0.15";

/// How many updates an experiment makes.
double updates(const Lab& lab) { return std::ceil(static_cast<double>(lab.train.size()) / 16) * lab.epochs(20); }

Shown dynamic(const Lab& lab) {
  const History constant = learn_at(lab, high), falling = learn_at(lab, cosine_decay(high, updates(lab)));
  return with_and_without("cosine_decay", constant, constant_name, falling);
}

// [s11
std::vector<double> lecture_rates() {
  Graph g("rates");  // boundaries count updates, not epochs: the first 701 updates are made at 0.1
  const Schedule rate = piecewise_constant({700, 900}, {0.1, 0.05, 0.01});
  g.output("rate", rate(step(g)));
  g.update(step(g), step(g) + 1);
  Program program = compile(g);
  std::vector<double> rates;
  for (int k = 0; k < 1200; ++k) {
    program.run();
    rates.push_back(program.scalar("rate"));
  }
  return rates;
}
// s11]

Shown piecewise(const Lab& lab) {
  const std::vector<double> rates = lecture_rates();
  const auto first = std::count(rates.begin(), rates.end(), 0.1);
  const double n = updates(lab);
  const History constant = learn_at(lab, high);
  const History stepped = learn_at(lab, piecewise_constant({std::floor(0.6 * n), std::floor(0.8 * n)}, {high, high / 5,
      high / 25}));
  Shown shown = with_and_without("piecewise_constant", constant, constant_name, stepped);
  shown.charts.insert(shown.charts.begin(), {.title = "piecewise_constant({700, 900}, {0.1, 0.05, 0.01})",
      .x_label = "update",
                                             .y_label = "rate", .curves = {{.name = "", .x = {}, .y = rates}},
                                             .y_range = std::array{0.0, 0.11}, .width = 520, .height = 300});
  shown.sentence = fmt::format("The lecture's schedule makes {} updates at 0.1 before it falls: its boundaries count updates, and "
                               "700 itself is still at the old rate. ", first) + shown.sentence;
  shown.holds = shown.holds && first == 701;
  return shown;
}

// [s12
Schedule exponential(double first, double steps) {
  return exponential_decay(first, 0.02, steps);  // first * 0.02^(step / steps)
}
// s12]
// [s13
Schedule polynomial(double first, double steps) {
  return polynomial_decay(first, steps, {.end = first / 100});  // a straight line down to a hundredth
}
// s13]

// [schedules
std::vector<std::pair<std::string, Schedule>> every_schedule(double n) {  // n: how many updates there are
  const double r = 0.15;
  return {{"constant", r}, {"piecewise_constant", piecewise_constant({std::floor(n / 2), std::floor(3 * n / 4)}, {r, r / 5, r / 25})},
          {"multi_step", multi_step(r, 0.3, {std::floor(n / 3), std::floor(2 * n / 3)})}, {"step_decay", step_decay(r, 0.5, n / 6)},
          {"exponential_decay", exponential_decay(r, 0.02, n)},
          {"exponential, staircase", exponential_decay(r, 0.4, n / 5, {.staircase = true})},
          {"inverse_time_decay", inverse_time_decay(r, 1, n / 10)}, {"polynomial_decay", polynomial_decay(r, n, {.power = 2})},
          {"polynomial, cycle", polynomial_decay(r, n / 4, {.cycle = true})}, {"linear", linear(r, 0, n)},
          {"cosine_decay", cosine_decay(r, n)},
          {"cosine, warm-up", cosine_decay(0, 0.9 * n, {.warmup_target = r, .warmup_steps = n / 10})},
          {"cosine_decay_restarts", cosine_decay_restarts(r, std::floor(n / 7))}, {"one_cycle", one_cycle(r, n)},
          {"cyclic", cyclic(r / 20, r, n / 10, {.shape = CycleShape::triangular2})}, {"warm_up", warm_up(n / 10, linear(r, 0, 0.9 * n))},
          {"join", join(r, n / 2, exponential_decay(r, 0.02, n / 2))}};
}
// schedules]

Shown zoo(const Lab& lab) {
  Shown shown;
  std::vector<std::pair<std::string, History>> runs;
  for (const auto& [name, schedule] : every_schedule(updates(lab))) runs.emplace_back(name, learn_at(lab, schedule));
  const ReduceLROnPlateau plateau({.monitor = "loss", .factor = 0.3, .patience = 1, .min_delta = 0.01});
  runs.emplace_back("ReduceLROnPlateau", learn_at(lab, high, {plateau}));
  std::size_t better = 0;
  const std::pair<std::string, History>* best = &runs.front();
  for (const auto& run : runs) {
    const History& history = run.second;
    // A callback's factor is not in the graph's rate.
    Curve rate = curve_of("", history, history.has("learning_rate") ? "learning_rate" : "rate");
    rate.colour = 0;
    shown.charts.push_back({.title = fmt::format("{}: {}", run.first, number(history.last("loss"))), .curves = {rate},
                            .y_range = std::array{0.0, high * 1.07}, .width = 246, .height = 150, .legend = false});
    better += history.last("loss") < runs.front().second.last("loss") ? 1 : 0;
    if (history.last("loss") < best->second.last("loss")) best = &run;
  }
  shown.sentence = fmt::format("The rate (mean of each epoch) of {} schedules on one net, and the training loss after {} epochs: {} "
                               "of the others end below the constant rate's {}; the lowest is {} with {}.",
                               runs.size(), runs.front().second.epochs(), better,
                                   number(runs.front().second.last("loss")),
                               best->first, number(best->second.last("loss")));
  shown.holds = better > runs.size() / 2;
  return shown;
}

}  // namespace

std::vector<Experiment> schedule_experiments() {
  return {
      {"s10", "Dynamic learning rates", "Large steps first, small steps to settle.", dynamic},
      {"s11", "PiecewiseConstantDecay", "The rate falls in steps.", piecewise},
      {"s12", "ExponentialDecay", "The rate falls by a factor in equal times.",
       [](const Lab& lab) {
         return with_and_without("exponential_decay", learn_at(lab, high), constant_name,
                                 learn_at(lab, exponential(high, updates(lab))));
       }},
      {"s13", "PolynomialDecay", "The rate falls along a power of the time that is left.",
       [](const Lab& lab) {
         return with_and_without("polynomial_decay", learn_at(lab, high), constant_name,
                                 learn_at(lab, polynomial(high, updates(lab))));
       }},
      {"schedules", "Every schedule", "All schedules that the library has: the rate against the epoch.", zoo},
  };
}

}  // namespace thalweg::gallery
