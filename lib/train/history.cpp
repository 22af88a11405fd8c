// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/history.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
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

constexpr double width = 720, left = 64, right = 150, top = 34, panel = 210, gap = 56;
constexpr double plot_width = width - left - right;

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
    }
  }
  return out;
}

/// 1, 2 or 5 times a power of ten: steps that people count in.
double round_step(double span, int most) {
  const double raw = span / most;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double step : {1.0, 2.0, 5.0})
    if (step * power >= raw) return step * power;
  return 10 * power;
}

struct Range {
  double low, high;
  double share(double x) const { return (x - low) / (high - low); }
};

struct Curve {
  std::string name;
  std::vector<double> values;
  bool validation;
  std::size_t colour;
};

Range range_of(const std::vector<Curve>& curves) {
  std::optional<Range> range;
  for (const Curve& curve : curves)
    for (const double x : curve.values) {
      if (!std::isfinite(x)) continue;
      if (!range) range = Range{x, x};
      range = Range{std::min(range->low, x), std::max(range->high, x)};
    }
  if (!range) return {0, 1};
  // Values beyond what a picture can show apart are spread a little, so that no division is by zero.
  const double least = std::max(std::fabs(range->high) * 1e-6, 1e-12);
  if (range->high - range->low < least) return {range->low - least, range->high + least};
  const double margin = 0.05 * (range->high - range->low);
  return {range->low - margin, range->high + margin};
}

constexpr const char* style = R"(<style>
  svg { font: 12px system-ui, sans-serif; }
  .text { fill: #24292f; } .grid { stroke: #d0d7de; } .axis { stroke: #57606a; } .back { fill: #ffffff; }
  .curve { fill: none; stroke-width: 2; stroke-linejoin: round; } .validation { stroke-dasharray: 6 4; }
  .c0 { stroke: #0969da; } .c1 { stroke: #bc4c00; } .c2 { stroke: #1a7f37; } .c3 { stroke: #8250df; }
  @media (prefers-color-scheme: dark) {
    .text { fill: #e6edf3; } .grid { stroke: #30363d; } .axis { stroke: #8b949e; } .back { fill: #0d1117; }
    .c0 { stroke: #58a6ff; } .c1 { stroke: #f0883e; } .c2 { stroke: #3fb950; } .c3 { stroke: #bc8cff; }
  }
</style>
)";

std::string axes(const Range& x, const Range& y, double begin, std::string_view title) {
  std::string svg = fmt::format("<text class=\"text\" x=\"{}\" y=\"{}\" font-weight=\"600\">{}</text>\n", left,
                                begin - 10, escaped(title));
  const double step = round_step(y.high - y.low, 5);
  for (double k = std::ceil(y.low / step); k * step <= y.high; ++k) {
    const double at = begin + panel * (1 - y.share(k * step));
    svg += fmt::format("<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>\n", left,
                       left + plot_width, at);
    // Zero times a step may be -0.
    svg += fmt::format("<text class=\"text\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:.4g}</text>\n", left - 8,
                       at + 4, k == 0 ? 0.0 : k * step);
  }
  svg += fmt::format("<path class=\"axis\" fill=\"none\" d=\"M{0} {1}V{2}H{3}\"/>\n", left, begin, begin + panel,
                     left + plot_width);
  const double stride = std::max(1.0, round_step(x.high - x.low, 8));
  for (double epoch = stride; epoch <= x.high; epoch += stride) {
    if (epoch < x.low) continue;
    svg += fmt::format("<text class=\"text\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:.0f}</text>\n",
                       left + plot_width * x.share(epoch), begin + panel + 16, epoch);
  }
  return svg;
}

std::string line_of(const Curve& curve, const std::vector<double>& epochs, const Range& x, const Range& y,
                    double begin) {
  std::string path;
  bool pen_down = false;
  for (std::size_t i = 0; i < curve.values.size(); ++i) {
    if (!std::isfinite(curve.values[i])) {
      pen_down = false;
      continue;
    }
    path += fmt::format("{}{:.1f} {:.1f}", pen_down ? 'L' : 'M', left + plot_width * x.share(epochs[i]),
                        begin + panel * (1 - y.share(curve.values[i])));
    // A lone point shows as a dot only if a line begins and ends there.
    if (!pen_down) path += "h0.01";
    pen_down = true;
  }
  return fmt::format("<path class=\"curve c{}{}\" stroke-linecap=\"round\" d=\"{}\"/>\n", curve.colour,
                     curve.validation ? " validation" : "", path.empty() ? "M0 0" : path);
}

std::string legend(const std::vector<Curve>& curves, double begin) {
  std::string svg;
  double at = begin + 8;
  for (const Curve& curve : curves) {
    const double x = left + plot_width + 12;
    svg += fmt::format("<path class=\"curve c{}{}\" d=\"M{} {}h24\"/>\n", curve.colour,
                       curve.validation ? " validation" : "", x, at);
    svg += fmt::format("<text class=\"text\" x=\"{}\" y=\"{}\">{}</text>\n", x + 30, at + 4, escaped(curve.name));
    at += 18;
  }
  return svg;
}

/// The curves of a panel: the losses, or everything else.
std::vector<Curve> curves_of(const History& history, bool losses) {
  constexpr std::size_t colours = 4;
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
    const std::size_t colour = (2 * *known + (validation ? 1 : 0)) % colours;
    curves.push_back({column, history[column], validation, colour});
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
  std::vector<std::pair<std::string, std::vector<Curve>>> panels;
  for (const bool losses : {true, false})
    if (auto curves = curves_of(history, losses); !curves.empty())
      panels.emplace_back(losses ? "loss" : "metrics", std::move(curves));
  std::vector<double> epochs;
  if (history.has("epoch")) epochs = history["epoch"];
  const double last = epochs.empty() ? 1 : epochs.back();
  const double first = epochs.empty() ? 0 : epochs.front();
  const Range x{first, last > first ? last : first + 1};
  const double height = top + static_cast<double>(panels.size()) * (panel + gap) + 8;

  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" role=\"img\">\n"
      "<title>Learning curves over {2} epochs</title>\n",
      width, height, history.epochs());
  svg += style;
  svg += fmt::format("<rect class=\"back\" width=\"{}\" height=\"{}\"/>\n", width, height);
  double begin = top;
  for (const auto& [title, curves] : panels) {
    const Range y = range_of(curves);
    svg += axes(x, y, begin, title);
    for (const Curve& curve : curves) svg += line_of(curve, epochs, x, y, begin);
    svg += legend(curves, begin);
    svg += fmt::format("<text class=\"text\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">epoch</text>\n",
                       left + plot_width / 2, begin + panel + 34);
    begin += panel + gap;
  }
  return svg + "</svg>\n";
}

void write_svg(const History& history, const std::string& path) { write_file(path, to_svg(history)); }

}  // namespace thalweg
