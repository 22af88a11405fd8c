// SPDX-License-Identifier: Apache-2.0
// s20 to s23 and s28: learning by heart, and what is done against it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "gallery.h"

namespace thalweg::gallery {
namespace {

using Change = std::function<Value(Value)>;
Value unchanged(Value x) { return x; }

constexpr int long_epochs = 150;

// [s28
Graph wide_net(const Lab& lab, const Regularizer& penalty, const Change& seen, const Change& hidden) {
  Graph g("wide");
  const Value x = input(g, "x", lab.images(32)), t = input(g, "label", i32(32));
  Value h = flatten(seen(x));  // seen: how images are augmented; hidden: what is dropped
  for (int k = 0; k < 2; ++k) h = hidden(dense(h, 128, {.activation = relu}));
  const Value y = dense(h, 10);
  const Value loss = mean(sparse_cross_entropy(y, t));
  minimize(loss, Adam{.rate = 1e-3}, {.penalty = penalty});
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));
  return g;
}
History learn_by_heart(const Lab& lab) {  // 250 samples, of which every fifth has a wrong label
  return lab.fit(wide_net(lab, {}, unchanged, unchanged), lab.few(250), {.epochs = long_epochs});
}
// s28]

/// What regularizers are compared with; trained once.
const History& overfitted(const Lab& lab) {
  static std::optional<std::pair<const Lab*, History>> kept;
  if (!kept || kept->first != &lab) kept.emplace(&lab, learn_by_heart(lab));
  return kept->second;
}

double least(const History& history) {
  const std::vector<double> losses = history["val_loss"];
  return *std::min_element(losses.begin(), losses.end());
}

Shown overfitting(const Lab& lab) {
  const History& history = overfitted(lab);
  const std::vector<double> held_out = history["val_loss"];
  const auto best = std::min_element(held_out.begin(), held_out.end());
  Chart accuracy = epochs_chart("Accuracy", "share recognized",
                                {curve_of("training", history, "accuracy"), curve_of("held out", history,
                                    "val_accuracy")});
  accuracy.y_range = std::array{0.0, 1.02};
  return {.charts = {epochs_chart("Loss", "loss", {curve_of("training", history, "loss"), curve_of("held out", history,
      "val_loss")}),
                     accuracy},
          .sentence = fmt::format("The training loss goes on falling to {}, wrong labels and all ({} of them learned), while the "
                                  "held-out loss turns in epoch {} at {} and climbs to {}.",
                                  number(history.last("loss")), percent(history.last("accuracy")),
                                      best - held_out.begin() + 1,
                                  number(*best), number(held_out.back())),
          .holds = history.last("loss") < 0.3 * history["loss"].front() && held_out.back() > 1.3 * *best};
}

Shown against_overfitting(const Lab& lab, const std::vector<std::pair<std::string, History>>& runs) {
  const History& base = overfitted(lab);
  Curve train = curve_of("nothing: training", base, "loss"), held_out = curve_of("nothing: held out", base, "val_loss");
  train.faint = held_out.faint = true;
  train.dashed = true;
  std::vector<Curve> curves = {train, held_out};
  std::vector<Curve> right = {curve_of("nothing", base, "val_accuracy")};
  right.back().faint = true;
  std::vector<std::string> facts;
  Shown shown;
  int colour = 0;
  for (const auto& [name, history] : runs) {
    Curve own = curve_of(name + ": held out", history, "val_loss"), own_train = curve_of(name + ": training", history,
        "loss");
    Curve own_right = curve_of(name, history, "val_accuracy");
    own.colour = own_train.colour = own_right.colour = colour++;
    own_train.dashed = true;
    curves.push_back(own_train);
    curves.push_back(own);
    right.push_back(own_right);
    facts.push_back(fmt::format("{} {} ({} recognized)", name, number(history.last("val_loss")),
        percent(history.last("val_accuracy"))));
    // A lower loss, by much or with more that is recognized.
    const double loss = history.last("val_loss") / base.last("val_loss");
    const bool recognizes_more = history.last("val_accuracy") > base.last("val_accuracy");
    shown.holds = shown.holds && loss < (recognizes_more ? 1.0 : 0.9);
  }
  Chart losses = epochs_chart("Loss", "loss", curves);
  losses.width = 580;
  Chart accuracy = epochs_chart("Held-out accuracy", "share recognized", right);
  accuracy.width = 480;
  shown.charts = {losses, accuracy};
  shown.sentence = fmt::format("Held-out loss after {} epochs: {}; without anything {} ({}).", base.epochs(),
      fmt::join(facts, ", "),
                               number(base.last("val_loss")), percent(base.last("val_accuracy")));
  return shown;
}

// [s20
History with_penalty(const Lab& lab, const Regularizer& penalty) {  // l2(0.005), or l1(0.0005)
  return lab.fit(wide_net(lab, penalty, unchanged, unchanged), lab.few(250), {.epochs = long_epochs});
}
// s20]

/// The share of a kernel's weights that are next to nothing.
double share_of_zeros(const History& history) {
  const std::vector<double> weights = history.variables.at("dense/kernel").numbers();
  const auto zeros = std::count_if(weights.begin(), weights.end(), [](double w) { return std::fabs(w) < 1e-3; });
  return static_cast<double>(zeros) / static_cast<double>(weights.size());
}

Shown penalties(const Lab& lab) {
  const History squared = with_penalty(lab, l2(0.005)), absolute = with_penalty(lab, l1(0.0005));
  Shown shown = against_overfitting(lab, {{"L2", squared}, {"L1", absolute}});
  shown.sentence += fmt::format(" L1 leaves {} of the first kernel's weights below 0.001, L2 {}.",
      percent(share_of_zeros(absolute)),
                                percent(share_of_zeros(squared)));
  shown.holds = shown.holds && share_of_zeros(absolute) > share_of_zeros(squared);
  return shown;
}

// [s21
History with_dropout(const Lab& lab) {  // half of each hidden layer is left out, another half in each step
  const Change half = [](Value h) { return dropout(h, 0.5); };
  return lab.fit(wide_net(lab, {}, unchanged, half), lab.few(250), {.epochs = long_epochs});
}
// s21]

// [s22
History with_augmentation(const Lab& lab) {  // other images in each epoch, the same ones for any batch size
  const Change moved = [](Value image) {
    image = random_translation(image, 0.12, 0.12, {.mode = FillMode::constant});
    return random_zoom(random_rotation(image, 0.04, {.mode = FillMode::constant}), 0.1, {.mode = FillMode::constant});
  };
  return lab.fit(wide_net(lab, {}, moved, unchanged), lab.few(250), {.epochs = long_epochs});
}
// s22]

// [s23
History with_early_stopping(const Lab& lab) {
  const EarlyStopping stop({.monitor = "val_loss", .patience = 10, .restore_best_weights = true});
  return lab.fit(wide_net(lab, {}, unchanged, unchanged), lab.few(250), {.epochs = long_epochs, .callbacks = {stop}});
}
// s23]

Shown stopping(const Lab& lab) {
  const History& base = overfitted(lab);
  const History history = with_early_stopping(lab);
  const Scores scores = evaluate(wide_net(lab, {}, unchanged, unchanged), history.variables, lab.held_out,
                                 {.compile = {.logical_threads = 1}});
  Curve all = curve_of("never stopped", base, "val_loss"), own = curve_of("stopped", history, "val_loss");
  all.faint = true;
  own.colour = 0;
  Chart chart = epochs_chart("Held-out loss", "loss", {all, own});
  if (history.best_epoch > 0) chart.marks.push_back({static_cast<double>(history.best_epoch), least(history),
      "weights given back"});
  return {.charts = {chart},
          .sentence = fmt::format("Training ends after epoch {} of {}, ten epochs after the best, and gives back the weights of epoch "
                                  "{}: held-out loss {} and {} recognized, against {} and {} at the end of the full run.",
                                  history.epochs(), base.epochs(), history.best_epoch, number(scores["loss"]),
                                  percent(scores["accuracy"]), number(base.last("val_loss")),
                                      percent(base.last("val_accuracy"))),
          .holds = history.epochs() < base.epochs() && scores["loss"] < 0.9 * base.last("val_loss")};
}

}  // namespace

std::vector<Experiment> generalization_experiments() {
  return {
      {"s20", "Regularization: L1 and L2", "The loss counts the size of the weights, too.", penalties},
      {"s21", "Dropout", "Each step trains a part of the net.",
       [](const Lab& lab) { return against_overfitting(lab, {{"dropout", with_dropout(lab)}}); }},
      {"s22", "Data augmentation", "Images are moved, turned and zoomed a little, anew in each epoch.",
       [](const Lab& lab) { return against_overfitting(lab, {{"augmented", with_augmentation(lab)}}); }},
      {"s23", "Early stopping", "Training ends when the held-out loss no longer falls.", stopping},
      {"s28", "Overfitting", "Too many weights for too few samples: what is learned does not carry over.", overfitting},
  };
}

}  // namespace thalweg::gallery
