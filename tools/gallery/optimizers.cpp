// SPDX-License-Identifier: Apache-2.0
// s7 to s9, and every other update rule.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gallery.h"

namespace thalweg::gallery {
namespace {

// [s7
History learn_digits_by(const Lab& lab, const Optimizer& optimizer, Dim batch = 32) {
  Graph g("digits");
  const Value x = input(g, "x", lab.images(batch)), t = input(g, "label", i32(batch));
  const Value y = dense(dense(flatten(x), 32, {.activation = relu}), 10);
  const Value loss = mean(sparse_cross_entropy(y, t));
  minimize(loss, optimizer);  // Sgd{.rate = 0.01} or Sgd{.rate = 0.01, .momentum = 0.9}
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));
  return lab.fit(g, {.epochs = 15, .batch = batch});
}
// s7]

Shown momentum(const Lab& lab) {
  const History plain = learn_digits_by(lab, Sgd{.rate = 0.01});
  const History with = learn_digits_by(lab, Sgd{.rate = 0.01, .momentum = 0.9});
  return {.charts = {epochs_chart("The same rate, 0.01", "training loss",
                                  {curve_of("SGD", plain, "loss"), curve_of("momentum 0.9", with, "loss")}, true)},
          .sentence = fmt::format("After {} epochs at rate 0.01 plain SGD is at a training loss of {}, with momentum 0.9 at {}: each "
                                  "step repeats nine tenths of the one before, and steady slopes add up.",
                                  plain.epochs(), number(plain.last("loss")), number(with.last("loss"))),
          .holds = with.last("loss") < 0.5 * plain.last("loss")};
}

// [s8
DescentPath down_the_bowl(bool nesterov) {
  const Sgd rule{.rate = 0.02, .momentum = 0.9, .nesterov = nesterov};  // v = 0.9 v - rate g; w += 0.9 v - rate g
  return descend(test_function("bowl"), {nesterov ? "NAG" : "momentum", rule}, 100, {-2.6, 1.4});
}
// s8]

Shown nesterov(const Lab& lab) {
  const DescentPath heavy = down_the_bowl(false), ahead = down_the_bowl(true);
  Chart map = chart_of(test_function("bowl"), {heavy, ahead});
  map.title = "Looking ahead swings less";
  map.width = 540, map.height = 360;
  const auto count = [](std::size_t n) {
    std::vector<double> list;
    for (std::size_t k = 0; k < n; ++k) list.push_back(static_cast<double>(k));
    return list;
  };
  Chart values{.title = "Height above the minimum", .x_label = "step", .y_label = "f", .log_y = true,
               .curves = {{.name = "momentum", .x = count(heavy.value.size()), .y = heavy.value},
                          {.name = "NAG", .x = count(ahead.value.size()), .y = ahead.value}}, .width = 480,
                              .height = 320};
  const History a = learn_digits_by(lab, Sgd{.rate = 0.01, .momentum = 0.9});
  const History b = learn_digits_by(lab, Sgd{.rate = 0.01, .momentum = 0.9, .nesterov = true});
  return {.charts = {map, values},
          .sentence = fmt::format("On a long bowl, 100 steps at the same rate end {} above the minimum with momentum and {} with the "
                                  "gradient taken ahead. On the digits, {} epochs give {} and {}: there the two differ little.",
                                  number(heavy.value.back()), number(ahead.value.back()), a.epochs(),
                                      number(a.last("loss")),
                                  number(b.last("loss"))),
          .holds = ahead.value.back() < 0.1 * heavy.value.back()};
}

// [s9
std::vector<std::pair<std::string, Optimizer>> adaptive_rules() {
  return {{"Adagrad", Adagrad{.rate = 0.02}},   // steps shrink with the sum of squared gradients
          {"RMSProp", RmsProp{.rate = 0.002}},  // ... with a running mean of them
          {"Adam", Adam{.rate = 0.002}}};       // ... and follow a running mean of the gradients
}
// s9]

Shown adaptive(const Lab& lab) {
  const History plain = learn_digits_by(lab, Sgd{.rate = 0.02});
  Curve faint = curve_of("SGD", plain, "loss");
  faint.faint = true;
  std::vector<Curve> curves = {faint};
  std::vector<std::string> facts;
  bool better = true;
  for (const auto& [name, optimizer] : adaptive_rules()) {
    const History history = learn_digits_by(lab, optimizer);
    curves.push_back(curve_of(name, history, "loss"));
    facts.push_back(fmt::format("{} {}", name, number(history.last("loss"))));
    better = better && history.last("loss") < plain.last("loss");
  }
  const TestFunction& beale = test_function("beale");
  std::vector<DescentPath> paths;
  for (const NamedOptimizer& optimizer : lecture_optimizers(beale)) paths.push_back(descend(beale, optimizer));
  Chart map = chart_of(beale, paths);
  map.title = "Beale's function: a steep wall, then a flat valley";
  map.width = 540, map.height = 400;
  return {.charts = {epochs_chart("A rate of its own for each weight", "training loss", curves, true), map},
          .sentence = fmt::format("Training losses after {} epochs: {}; plain SGD at rate 0.02 {}.", plain.epochs(),
                                  fmt::join(facts, ", "), number(plain.last("loss"))),
          .holds = better};
}

// [optimizers
std::vector<std::pair<std::string, Optimizer>> every_rule() {
  return {{"Sgd", Sgd{.rate = 0.1}}, {"momentum", Sgd{.rate = 0.02, .momentum = 0.9}},
          {"NAG", Sgd{.rate = 0.02, .momentum = 0.9, .nesterov = true}}, {"Adagrad", Adagrad{.rate = 0.02}},
          {"Adadelta", Adadelta{.rate = 1}}, {"RmsProp", RmsProp{.rate = 0.002}},
          {"RmsProp, centered", RmsProp{.rate = 0.001, .momentum = 0.5, .centered = true}}, {"Adam", Adam{.rate = 0.002}},
          {"AMSGrad", Adam{.rate = 0.002, .amsgrad = true}}, {"AdamW", AdamW{.rate = 0.002}},
          {"Adamax", Adamax{.rate = 0.004}}, {"Nadam", Nadam{.rate = 0.002}}, {"RAdam", RAdam{.rate = 0.002}},
          {"Ftrl", Ftrl{.rate = 0.1}}, {"Lion", Lion{.rate = 0.0005}}, {"LAMB", Lamb{.rate = 0.01}},
          {"LARS", Lars{.rate = 0.05, .trust = 0.05}}, {"Adafactor", Adafactor{.rate = 0.02}}, {"Muon", Muon{.rate = 0.01}},
          {"Schedule-Free AdamW", ScheduleFreeAdamW{.rate = 0.005}}};
}
// optimizers]

Shown zoo(const Lab& lab) {
  std::vector<std::pair<std::string, History>> runs;
  for (const auto& [name, optimizer] : every_rule()) runs.emplace_back(name, learn_digits_by(lab, optimizer));
  // Rprop follows signs, which only whole batches tell.
  runs.emplace_back("Rprop, whole batches", learn_digits_by(lab, Rprop{.rate = 0.005}, lab.train.size()));
  Shown shown;
  std::vector<std::string> behind;
  double worst = 1, best = 0;
  for (const auto& [name, history] : runs) {
    Curve base = curve_of("", runs.front().second, "loss"), own = curve_of("", history, "loss");
    base.faint = true;
    own.colour = 0;
    const double held_out = last_of(history, "val_accuracy");
    const std::string end = history.epochs() == 0 ? "diverged" : percent(held_out);
    shown.charts.push_back({.title = fmt::format("{}: {}", name, end), .log_y = true, .curves = {base,
        own},
                            .y_range = std::array{1e-3, 5.0}, .width = 246, .height = 160, .legend = false});
    worst = std::min(worst, held_out);
    best = std::max(best, held_out);
  }
  shown.sentence = fmt::format("{} rules on the same net, {} epochs each, at rates that suit them: training loss against the epoch "
                               "(grey: Sgd), and the share of held-out samples that is recognized, from {} to {}.",
                               runs.size(), lab.epochs(15), percent(worst), percent(best));
  shown.holds = worst > 0.8;
  return shown;
}

}  // namespace

std::vector<Experiment> optimizer_experiments() {
  return {
      {"s7", "Momentum", "A part of the last step is done again.", momentum},
      {"s8", "Nesterov's accelerated gradient", "The gradient is taken where momentum is about to lead.", nesterov},
      {"s9", "Adagrad, RMSProp, Adam", "Each weight has a rate of its own, from the gradients it has seen.", adaptive},
      {"optimizers", "Every optimizer", "All update rules that the library has, on one net.", zoo},
  };
}

}  // namespace thalweg::gallery
