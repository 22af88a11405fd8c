// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "gallery.h"

namespace thalweg::gallery {

TensorType Lab::images(Dim batch) const {
  std::vector<Dim> sizes = train.inputs.shape().vector();
  sizes[0] = batch;
  return {DType::f32, Shape(sizes)};
}

Dataset Lab::few(Dim samples) const {
  Dataset data = rows(train, 0, std::min(samples, train.size()));
  data.labels = data.labels.clone();
  const std::span<std::int32_t> labels = data.labels.as<std::int32_t>();
  const auto classes = static_cast<std::int32_t>(train.classes.size());
  for (std::size_t i = 0; i < labels.size(); i += 5)
    labels[i] = (labels[i] + 1 + static_cast<std::int32_t>(i / 5) % (classes - 1)) % classes;
  return data;
}

int Lab::epochs(int asked) const { return most_epochs > 0 ? std::min(asked, most_epochs) : asked; }

History Lab::fit(const Graph& step, const Dataset& data, FitOptions options) const {
  options.epochs = epochs(options.epochs);
  options.validation = held_out;
  options.verbose = verbose_silent;
  options.seed = 1;
  options.when_diverged = WhenDiverged::restore;
  options.compile.logical_threads = 1;
  return thalweg::fit(step, data, options);
}

Watched Lab::watch(const Graph& step, FitOptions options) const {
  const auto statistics = std::make_shared<GradientStatistics>(GradientStatisticsOptions{.warn = false});
  std::vector<LayerStatistics> first;
  options.callbacks.emplace_back(statistics);
  options.callbacks.emplace_back([&](TrainingRun& run) {
    if (run.epoch() == 1) first = statistics->layers();
  });
  History history = fit(step, std::move(options));
  return {std::move(history), std::move(first)};
}

Recorded Lab::record(const Graph& step, const std::string& output, FitOptions options) const {
  std::vector<double> steps;
  options.callbacks.emplace_back(LambdaCallback({.on_train_batch_end = [&](TrainingRun& run) {
    const double value = run.program().scalar(output);
    if (std::isfinite(value)) steps.push_back(value);
  }}));
  History history = fit(step, std::move(options));
  return {std::move(history), std::move(steps)};
}

Chart epochs_chart(const std::string& title, const std::string& y_label, std::vector<Curve> curves, bool log_y) {
  return {.title = title, .x_label = "epoch", .y_label = y_label, .log_y = log_y, .whole_x = true,
          .curves = std::move(curves), .width = 520, .height = 300};
}

Curve curve_of(const std::string& name, const History& history, const std::string& column) {
  return {.name = name, .x = history["epoch"], .y = history[column]};
}

double last_of(const History& history, const std::string& column) {
  return history.epochs() == 0 ? 0 : history.last(column);
}

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

std::string number(double x) {
  if (x == 0 || (std::fabs(x) >= 1e-3 && std::fabs(x) < 1e5)) return fmt::format("{:.3g}", x);
  return fmt::format("{:.1e}", x);
}

}  // namespace thalweg::gallery
