// SPDX-License-Identifier: Apache-2.0
#include "curve.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace thalweg::tool {
namespace {

constexpr double panel_width = 440, panel_height = 320, left = 58, right = 16, top = 66, bottom = 44;
// Blue and vermilion of Okabe and Ito: they differ for every kind of colour vision; the second is dashed as well.
constexpr std::array colours = {"#0072b2", "#d55e00"};
constexpr std::array dashes = {"none", "6 4"};

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '&') result += "&amp;";
    else if (c == '<') result += "&lt;";
    else if (c == '>') result += "&gt;";
    else if (c == '"') result += "&quot;";
    else if (static_cast<unsigned char>(c) >= 0x20) result += c;
  }
  return result;
}

/// 1, 2 or 5 times a power of ten, so that about `count` steps cover `range`.
double nice_step(double range, int count) {
  const double raw = range / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= raw) return factor * power;
  return 10 * power;
}

/// An axis from data to pixels, with its ticks.
class Axis {
 public:
  Axis(double low, double high, double from, double to) : low_(low), high_(high), from_(from), to_(to) {}
  double at(double value) const { return from_ + (value - low_) / (high_ - low_) * (to_ - from_); }
  std::vector<double> ticks(int count, double smallest_step) const {
    const double step = std::max(nice_step(high_ - low_, count), smallest_step);
    std::vector<double> values;
    for (double i = std::ceil(low_ / step - 1e-9); i * step <= high_ + 1e-9 * step; ++i) values.push_back(i * step);
    return values;
  }

 private:
  double low_, high_, from_, to_;
};

Axis value_axis(const Panel& panel) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const Curve& curve : panel.curves) {
    for (const double value : curve.values) {
      if (!std::isfinite(value)) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  if (low > high) low = 0, high = 1;
  const double margin = high > low ? 0.05 * (high - low) : std::max(0.05, std::fabs(high) * 0.05);
  return {low - margin, high + margin, panel_height - bottom, top};
}

std::string polyline(const Curve& curve, const Axis& x, const Axis& y, std::size_t number) {
  std::string path;
  bool pen_down = false;
  for (std::size_t i = 0; i < curve.values.size(); ++i) {
    const double value = curve.values[i];
    if (!std::isfinite(value)) {
      pen_down = false;
      continue;
    }
    path += fmt::format("{}{:.1f} {:.1f}", pen_down ? " L" : path.empty() ? "M" : " M", x.at(static_cast<double>(i + 1)),
                        y.at(value));
    pen_down = true;
  }
  return fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-dasharray=\"{}\"/>\n", path,
                     colours[number], dashes[number]);
}

std::string panel_svg(const Panel& panel, double offset) {
  std::size_t epochs = 1;
  for (const Curve& curve : panel.curves) epochs = std::max(epochs, curve.values.size());
  const Axis x(1, std::max(2.0, static_cast<double>(epochs)), left, panel_width - right);
  const Axis y = value_axis(panel);
  std::string svg = fmt::format("<g transform=\"translate({:.0f} 0)\">\n", offset);
  svg += fmt::format("<text x=\"{:.0f}\" y=\"50\" font-weight=\"bold\">{}</text>\n", left, escaped(panel.title));
  for (const double tick : y.ticks(5, 0)) {
    svg += fmt::format("<line x1=\"{0:.0f}\" x2=\"{1:.0f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#ddd\"/>\n", left,
                       panel_width - right, y.at(tick));
    svg += fmt::format("<text x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">{:.4g}</text>\n", left - 6, y.at(tick) + 4,
                       std::fabs(tick) < 1e-12 ? 0.0 : tick);
  }
  for (const double tick : x.ticks(6, 1))
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.0f}\" text-anchor=\"middle\">{:.0f}</text>\n", x.at(tick),
                       panel_height - bottom + 18, tick);
  svg += fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"middle\">epoch</text>\n",
                     (left + panel_width - right) / 2, panel_height - 8);
  double legend = panel_width - right;
  for (std::size_t i = std::min(panel.curves.size(), colours.size()); i-- > 0;) {
    const Curve& curve = panel.curves[i];
    svg += polyline(curve, x, y, i);
    svg += fmt::format("<text x=\"{:.0f}\" y=\"50\" text-anchor=\"end\" fill=\"{}\">{}</text>\n", legend, colours[i],
                       escaped(curve.name));
    legend -= 7.5 * static_cast<double>(curve.name.size());
    svg += fmt::format("<line x1=\"{:.0f}\" x2=\"{:.0f}\" y1=\"46\" y2=\"46\" stroke=\"{}\" stroke-width=\"2\" "
                       "stroke-dasharray=\"{}\"/>\n", legend - 26, legend - 4, colours[i], dashes[i]);
    legend -= 40;
  }
  return svg + "</g>\n";
}

}  // namespace

std::string curves_svg(const std::string& title, const std::vector<Panel>& panels) {
  const double width = panel_width * static_cast<double>(std::max<std::size_t>(1, panels.size()));
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
      "font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
      "<text x=\"{2:.0f}\" y=\"24\" font-size=\"15\">{3}</text>\n",
      width, panel_height, left, escaped(title));
  double offset = 0;
  for (const Panel& panel : panels) {
    svg += panel_svg(panel, offset);
    offset += panel_width;
  }
  return svg + "</svg>\n";
}

}  // namespace thalweg::tool
