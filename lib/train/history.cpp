// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/history.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/chart.h"
#include "thalweg/lib/base/file.h"

namespace thalweg {
namespace {

std::optional<std::size_t> position(const std::vector<std::string>& columns, std::string_view name) {
  const auto at = std::find(columns.begin(), columns.end(), name);
  if (at == columns.end()) return {};
  return static_cast<std::size_t>(at - columns.begin());
}

std::size_t checked_position(const History& history, std::string_view name) {
  if (const auto at = position(history.columns, name)) return *at;
  run_error("the history has no column '{}'{}", shown(name), suggestion(name, history.columns));
}

// ---- the picture

constexpr double width = 720, panel = 270;

/// The curves of a panel: the losses, or everything else.
std::vector<Curve> curves_of(const History& history, bool losses) {
  std::vector<Curve> curves;
  std::vector<std::string> measures;
  for (const std::string& column : history.columns) {
    if (column == "epoch" || column == "seconds") continue;
    const bool validation = column.starts_with("val_");
    const std::string measure = validation ? column.substr(4) : column;
    if ((measure == "loss") != losses) continue;
    auto known = position(measures, measure);
    if (!known) {
      known = measures.size();
      measures.push_back(measure);
    }
    // A measure's two curves differ by the dashes and by the colour, so that no reader needs to see either.
    const auto colour = static_cast<int>((2 * *known + (validation ? 1 : 0)) % chart_colours);
    curves.push_back({.name = column, .x = {}, .y = history[column], .colour = colour, .dashed = validation});
    if (history.has("epoch")) curves.back().x = history["epoch"];
  }
  return curves;
}

}  // namespace

bool History::has(std::string_view column) const { return position(columns, column).has_value(); }

std::vector<double> History::operator[](std::string_view column) const {
  const std::size_t at = checked_position(*this, column);
  std::vector<double> values;
  for (const std::vector<double>& row : rows) values.push_back(row[at]);
  return values;
}

double History::last(std::string_view column) const {
  const std::size_t at = checked_position(*this, column);
  if (rows.empty()) throw RunError("the history has no epoch yet");
  return rows.back()[at];
}

std::string to_csv(const History& history) {
  std::string text = fmt::format("{}\n", fmt::join(history.columns, ","));
  for (const std::vector<double>& row : history.rows) text += fmt::format("{}\n", fmt::join(row, ","));
  return text;
}

void write_csv(const History& history, const std::string& path) { write_file(path, to_csv(history)); }

std::string to_svg(const History& history) {
  std::string panels;
  double height = 0;
  for (const bool losses : {true, false}) {
    std::vector<Curve> curves = curves_of(history, losses);
    if (curves.empty()) continue;
    const Chart chart{.title = losses ? "loss" : "metrics", .x_label = "epoch", .whole_x = true,
                      .curves = std::move(curves), .width = width, .height = panel};
    panels += fmt::format("<g transform=\"translate(0 {:g})\">\n{}</g>\n", height, chart.element());
    height += panel;
  }
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:g}\" height=\"{1:g}\" viewBox=\"0 0 {0:g} {1:g}\" "
      "role=\"img\">\n<title>Learning curves over {2} epochs</title>\n<style>\n{3}</style>\n{4}</svg>\n",
      width, std::max(height, 1.0), history.epochs(), chart_style(), panels);
}

void write_svg(const History& history, const std::string& path) { write_file(path, to_svg(history)); }

}  // namespace thalweg
