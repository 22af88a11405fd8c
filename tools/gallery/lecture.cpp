// SPDX-License-Identifier: Apache-2.0
// s26 and s27: compile() and fit(), as the lecture calls them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gallery.h"

namespace thalweg::gallery {
namespace {

// [s26
Graph compiled(const Lab& lab, bool probabilities, const Schedule& rate) {
  Graph g("lecture");
  const Value x = input(g, "x", lab.images(15)), t = input(g, "label", i32(15));
  const Value scores = dense(dense(flatten(x), 16, {.activation = relu}), 10);
  const Value y = probabilities ? softmax(scores) : scores;  // Keras' default: the net ends in probabilities
  const Value loss = mean(sparse_cross_entropy(y, t, {.from_logits = !probabilities}));
  minimize(loss, Sgd{.rate = rate, .momentum = 0.9});
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));
  return g;
}
// s26]

Shown compile_call(const Lab& lab) {
  const History from_probabilities = lab.fit(compiled(lab, true, 0.1), {.epochs = 30});
  const History from_scores = lab.fit(compiled(lab, false, 0.1), {.epochs = 30});
  double apart = 0;
  for (std::size_t k = 0; k < std::min(from_probabilities.epochs(), from_scores.epochs()); ++k)
    apart = std::max(apart, std::fabs(from_probabilities["loss"][k] - from_scores["loss"][k]));
  Curve second = curve_of("from scores", from_scores, "loss");
  second.dashed = true;
  Chart right = epochs_chart("Accuracy, mean over samples", "share recognized",
                             {curve_of("training", from_probabilities, "accuracy"), curve_of("held out",
                                 from_probabilities, "val_accuracy")});
  return {.charts = {epochs_chart("SGD(0.1, momentum 0.9), sparse categorical cross-entropy", "training loss",
                                  {curve_of("from probabilities", from_probabilities, "loss"), second}), right},
          .sentence = fmt::format("After {} epochs the training loss is {} and {} of the held-out samples are recognized. A net that ends "
                                  "in a softmax learns as one that ends in scores ({}), because the softmax "
                                  "is taken back to its scores before the logarithm.",
                                  from_probabilities.epochs(), number(from_probabilities.last("loss")),
                                  percent(from_probabilities.last("val_accuracy")),
                                  apart == 0 ? "the same losses to the last bit" : "losses apart by " + number(apart)),
          .holds = apart < 1e-6 && from_probabilities.last("accuracy") > 0.5};
}

// [s27
History fit_call(const Lab& lab) {
  const Schedule rate = piecewise_constant({700, 900}, {0.1, 0.05, 0.01});
  const Graph g = compiled(lab, true, rate);
  return lab.fit(g, {.epochs = 1000, .batch = 15});  // judged on the held-out samples after each epoch
}
// s27]

Shown fit_for_long(const Lab& lab) {
  const History history = fit_call(lab);
  const std::vector<double> seconds = history["seconds"];
  const double total = std::accumulate(seconds.begin(), seconds.end(), 0.0);
  const double updates = std::ceil(static_cast<double>(lab.train.size()) / 15) * static_cast<double>(history.epochs());
  Chart accuracy = epochs_chart("Accuracy", "share recognized",
                                {curve_of("training", history, "accuracy"), curve_of("held out", history,
                                    "val_accuracy")});
  return {.charts = {epochs_chart("fit(batch_size=15, epochs=1000, validation_data=...)", "loss",
                                  {curve_of("training", history, "loss"), curve_of("held out", history, "val_loss")},
                                      true), accuracy},
          .sentence = fmt::format("{} epochs of {} samples, batches of 15, are {:.0f} updates, judged {} times on {} held-out samples, in "
                                  "{:.1f} s. The training loss ends at {}, the held-out accuracy at {}.",
                                  history.epochs(), lab.train.size(), updates, history.epochs(), lab.held_out.size(),
                                      total,
                                  number(history.last("loss")), percent(history.last("val_accuracy"))),
          .holds = history.last("loss") < history["loss"].front()};
}

}  // namespace

std::vector<Experiment> lecture_experiments() {
  return {
      {"s26", "compile(SGD(0.1, momentum=0.9), SparseCategoricalCrossentropy(), ['accuracy'])",
       "Optimizer, loss and metric of the lecture's program.", compile_call},
      {"s27", "fit(batch_size=15, epochs=1000, validation_data)", "The lecture's call, with its schedule.",
          fit_for_long},
  };
}

}  // namespace thalweg::gallery
