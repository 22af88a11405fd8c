// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <compare>
#include <map>
#include <string_view>

#include "thalweg/lib/base/xml_text.h"

namespace thalweg {
namespace {

using Point = std::array<double, 2>;
using Chain = std::vector<Point>;

// ---- contour lines

/// An edge between two neighbours of the grid: from node (i, j) to the right, or up.
struct Edge {
  std::size_t i, j;
  bool up;
  friend auto operator<=>(const Edge&, const Edge&) = default;
};

class Contour {
 public:
  Contour(const Field& field, double level) : field_(field), level_(level) {}

  std::vector<Chain> run() {
    for (std::size_t j = 0; j + 1 < field_.y.size(); ++j)
      for (std::size_t i = 0; i + 1 < field_.x.size(); ++i) cut(i, j);
    std::vector<Chain> chains;
    // Lines that reach the border begin there; what is left after them is closed.
    for (const auto& [edge, near] : neighbours_)
      if (near.size() == 1 && !visited_[edge]) chains.push_back(walk(edge));
    for (const auto& [edge, near] : neighbours_)
      if (!visited_[edge]) {
        chains.push_back(walk(edge));
        chains.back().push_back(chains.back().front());
      }
    return chains;
  }

 private:
  void cut(std::size_t i, std::size_t j) {
    const std::array<double, 4> corners = {field_.at(i, j), field_.at(i + 1, j), field_.at(i + 1, j + 1),
                                           field_.at(i, j + 1)};
    if (!std::all_of(corners.begin(), corners.end(), [](double z) { return std::isfinite(z); })) return;
    const std::array<Edge, 4> sides = {Edge{i, j, false}, Edge{i + 1, j, true}, Edge{i, j + 1, false}, Edge{i, j,
        true}};
    std::vector<Edge> crossed;
    for (std::size_t side = 0; side < 4; ++side)
      if ((corners[side] >= level_) != (corners[(side + 1) % 4] >= level_)) crossed.push_back(sides[side]);
    if (crossed.size() == 2) return join(crossed[0], crossed[1]);
    if (crossed.size() != 4) return;
    // A saddle: the mean says which corners belong together.
    const bool middle = (corners[0] + corners[1] + corners[2] + corners[3]) / 4 >= level_;
    const bool apart = middle == (corners[0] >= level_);
    join(crossed[0], crossed[apart ? 1 : 3]);
    join(crossed[2], crossed[apart ? 3 : 1]);
  }

  void join(const Edge& a, const Edge& b) {
    neighbours_[a].push_back(b);
    neighbours_[b].push_back(a);
  }

  Chain walk(Edge at) {
    Chain chain;
    for (bool more = true; more;) {
      visited_[at] = true;
      chain.push_back(crossing(at));
      more = false;
      for (const Edge& next : neighbours_[at])
        if (!visited_[next]) {
          at = next;
          more = true;
          break;
        }
    }
    return chain;
  }

  Point crossing(const Edge& e) const {
    const double a = field_.at(e.i, e.j), b = e.up ? field_.at(e.i, e.j + 1) : field_.at(e.i + 1, e.j);
    const double share = (level_ - a) / (b - a);
    if (e.up) return {field_.x[e.i], field_.y[e.j] + share * (field_.y[e.j + 1] - field_.y[e.j])};
    return {field_.x[e.i] + share * (field_.x[e.i + 1] - field_.x[e.i]), field_.y[e.j]};
  }

  const Field& field_;
  double level_;
  std::map<Edge, std::vector<Edge>> neighbours_;
  std::map<Edge, bool> visited_;
};

/// To two digits.
double rounded(double x) {
  if (x == 0 || !std::isfinite(x)) return x;
  const double unit = std::pow(10.0, std::floor(std::log10(std::fabs(x))) - 1);
  return std::round(x / unit) * unit;
}

// ---- axes

/// 1, 2 or 5 times a power of ten.
double round_step(double span, int most) {
  const double raw = span / most;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double step : {1.0, 2.0, 5.0})
    if (step * power >= raw * (1 - 1e-9)) return step * power;
  return 10 * power;
}

struct Axis {
  double low = 0, high = 1;  ///< of a logarithmic axis: the logarithms
  bool log = false;
  double coordinate(double x) const { return log ? std::log10(x) : x; }
  bool shows(double x) const { return std::isfinite(x) && (!log || x > 0); }
  double share(double x) const { return (coordinate(x) - low) / (high - low); }
};

Axis axis_of(const std::vector<const std::vector<double>*>& numbers, bool log,
             const std::optional<std::array<double, 2>>& asked, double margin) {
  Axis axis{.low = INFINITY, .high = -INFINITY, .log = log};
  if (asked) {
    axis.low = axis.coordinate((*asked)[0]);
    axis.high = axis.coordinate((*asked)[1]);
  } else {
    for (const auto* list : numbers)
      for (const double x : *list)
        if (axis.shows(x)) {
          axis.low = std::min(axis.low, axis.coordinate(x));
          axis.high = std::max(axis.high, axis.coordinate(x));
        }
  }
  if (!(axis.low <= axis.high)) return {.low = 0, .high = 1, .log = log};
  const double least = std::max(1e-6 * std::max(std::fabs(axis.low), std::fabs(axis.high)), 1e-12);
  if (axis.high - axis.low < least) return {.low = axis.low - least, .high = axis.high + least, .log = log};
  if (asked) return axis;
  const double more = margin * (axis.high - axis.low);
  return {.low = axis.low - more, .high = axis.high + more, .log = log};
}

struct Tick {
  double at;  ///< as a share of the axis
  std::string text;
};

std::vector<Tick> ticks(const Axis& axis, int most, bool whole = false) {
  std::vector<Tick> found;
  const double span = axis.high - axis.low;
  if (axis.log && span >= 2.2) {
    const double step = std::max(1.0, std::ceil(span / most));
    for (double k = std::ceil(axis.low / step) * step; k <= axis.high; k += step)
      found.push_back({(k - axis.low) / span, std::fabs(k) < 4 ? fmt::format("{:g}", std::pow(10, k))
          : fmt::format("1e{:g}", k)});
    if (found.size() > 1) return found;
    found.clear();
  }
  if (axis.log) {
    // Less than a decade or two: a few round numbers between.
    for (double k = std::floor(axis.low); k <= axis.high; ++k)
      for (const double digit : {1.0, 2.0, 5.0}) {
        const double x = digit * std::pow(10, k);
        if (const double at = axis.share(x); at >= 0 && at <= 1) found.push_back({at, fmt::format("{:.3g}", x)});
      }
    return found;
  }
  const double step = std::max(round_step(span, most), whole ? 1.0 : 0.0);
  for (double k = std::ceil(axis.low / step - 1e-9); k * step <= axis.high + 1e-9 * span; ++k)
    found.push_back({(k * step - axis.low) / span, fmt::format("{:.5g}", k == 0 ? 0.0 : k * step)});
  return found;
}

// ---- the picture

/// As wide as a wide font (DejaVu Sans at 12 px) sets it, so that names are never cut off.
double width_of(std::string_view name) {
  double width = 0;
  for (const char c : name) width += c == 'm' || c == 'w' || c == '%' || (c >= 'A' && c <= 'Z') ? 11.7 : 7.7;
  return width;
}

constexpr std::string_view light[chart_colours] = {"#0969da", "#bc4c00", "#1a7f37", "#8250df",
                                                   "#bf3989", "#00838f", "#9a6700", "#57606a"};
constexpr std::string_view dark[chart_colours] = {"#58a6ff", "#f0883e", "#3fb950", "#bc8cff",
                                                  "#f778ba", "#39c5cf", "#e3b341", "#b1bac4"};

std::string colours(const std::string_view (&palette)[chart_colours], std::string_view back) {
  std::string css;
  for (int i = 0; i < chart_colours; ++i)
    css += fmt::format(".chart .k{0} {{ stroke: {1}; }} .chart .f{0} {{ fill: {1}; }}\n", i, palette[i]);
  return css + fmt::format(".chart .hole {{ fill: {0}; }} .chart .halo {{ stroke: {0}; }} .chart .back {{ fill: {0}; }}\n", back);
}

class Picture {
 public:
  explicit Picture(const Chart& chart) : chart_(chart) {
    std::vector<const std::vector<double>*> xs, ys;
    for (const Curve& curve : chart.curves) {
      xs_.push_back(curve.x.empty() ? counted(curve.y.size()) : curve.x);
      ys.push_back(&curve.y);
    }
    for (const auto& x : xs_) xs.push_back(&x);
    const bool map = chart.field.has_value();
    if (map) {
      xs = {&chart.field->x};
      ys = {&chart.field->y};
    }
    x_ = axis_of(xs, false, chart.x_range, map ? 0 : 0.01);
    y_ = axis_of(ys, chart.log_y, chart.y_range, map ? 0 : 0.05);
    y_ticks_ = ticks(y_, chart.height < 200 ? 3 : 6);
    std::size_t widest = 2;
    for (const Tick& tick : y_ticks_) widest = std::max(widest, tick.text.size());
    left_ = 6.6 * static_cast<double>(widest) + (chart.y_label.empty() ? 16 : 36);
    top_ = chart.title.empty() ? 12 : 30;
    bottom_ = chart.x_label.empty() ? 26 : 44;
    double name = 0;
    for (const Curve& curve : chart.curves) name = std::max(name, width_of(curve.name));
    has_legend_ = chart.legend && name > 0;
    right_ = has_legend_ ? 44 + name : 14;
    wide_ = std::max(40.0, chart.width - left_ - right_);
    high_ = std::max(30.0, chart.height - top_ - bottom_);
  }

  std::string run(std::string_view style) {
    svg_ = fmt::format("<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:g}\" height=\"{1:g}\" "
                       "viewBox=\"0 0 {0:g} {1:g}\" role=\"img\">\n<title>{2}</title>\n{3}",
                       chart_.width, chart_.height, xml_text(chart_.title), style);
    svg_ += fmt::format("<rect class=\"back\" width=\"{:g}\" height=\"{:g}\"/>\n", chart_.width, chart_.height);
    draw_axes();
    // An inner picture cuts off what lies outside the axes.
    svg_ += fmt::format("<svg x=\"{0:.1f}\" y=\"{1:g}\" width=\"{2:.1f}\" height=\"{3:g}\" viewBox=\"0 0 {2:.1f} {3:g}\">\n",
                        left_, top_, wide_, high_);
    if (chart_.field) draw_contours();
    for (const Chart::Mark& mark : chart_.marks) draw_mark(mark);
    // Those that others are compared with lie below them.
    for (const bool faint : {true, false})
      for (std::size_t i = 0; i < chart_.curves.size(); ++i)
        if (chart_.curves[i].faint == faint) draw_curve(i);
    for (const Chart::Mark& mark : chart_.marks) draw_name(mark);
    svg_ += "</svg>\n";
    if (has_legend_) draw_legend();
    return svg_ + "</svg>\n";
  }

 private:
  static std::vector<double> counted(std::size_t n) {
    std::vector<double> list(n);
    for (std::size_t i = 0; i < n; ++i) list[i] = static_cast<double>(i + 1);
    return list;
  }

  double px(double x) const { return wide_ * x_.share(x); }
  double py(double y) const { return high_ * (1 - y_.share(y)); }

  std::string stroke(std::size_t i) const {
    const Curve& curve = chart_.curves[i];
    const int colour = (curve.colour < 0 ? static_cast<int>(i) : curve.colour) % chart_colours;
    return fmt::format("curve {}{}", curve.faint ? "faint" : fmt::format("k{}", colour), curve.dashed ? " dashed" : "");
  }

  void draw_axes() {
    if (!chart_.title.empty())
      svg_ += fmt::format("<text class=\"title\" x=\"{:.1f}\" y=\"18\">{}</text>\n", chart_.height < 200 ? 8 : left_,
                          xml_text(chart_.title));
    for (const Tick& tick : y_ticks_) {
      const double y = top_ + high_ * (1 - tick.at);
      if (!chart_.field) svg_ += fmt::format("<path class=\"grid\" d=\"M{:.1f} {:.1f}h{:.1f}\"/>", left_, y, wide_);
      svg_ += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", left_ - 6,
          y + 4,
                          tick.text);
    }
    for (const Tick& tick : ticks(x_, std::clamp(static_cast<int>(wide_ / 60), 2, 10), chart_.whole_x)) {
      const double x = left_ + wide_ * tick.at;
      svg_ += fmt::format("<path class=\"axis\" d=\"M{:.1f} {:.1f}v4\"/>", x, top_ + high_);
      svg_ += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", x,
                          top_ + high_ + 17, tick.text);
    }
    svg_ += fmt::format("<path class=\"axis\" d=\"M{:.1f} {:g}v{:g}h{:.1f}\"/>\n", left_, top_, high_, wide_);
    if (!chart_.x_label.empty())
      svg_ += fmt::format("<text class=\"label\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                          left_ + wide_ / 2, chart_.height - 8, xml_text(chart_.x_label));
    if (!chart_.y_label.empty())
      svg_ += fmt::format("<text class=\"label\" transform=\"translate(14 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}"
                          "</text>\n", top_ + high_ / 2, xml_text(chart_.y_label));
  }

  void draw_contours() {
    const Field& field = *chart_.field;
    const std::vector<double> levels = chart_.levels.empty() ? contour_levels(field, 14) : chart_.levels;
    std::string labels;
    std::vector<Point> taken;
    for (const Chart::Mark& mark : chart_.marks) taken.push_back({px(mark.x), py(mark.y)});
    for (std::size_t k = 0; k < levels.size(); ++k) {
      std::string path;
      const std::vector<Chain> chains = contour(field, levels[k]);
      for (const Chain& chain : chains) path += path_of(chain);
      const double share = levels.size() < 2 ? 0 : static_cast<double>(k) / static_cast<double>(levels.size() - 1);
      svg_ += fmt::format("<path class=\"contour\" stroke-opacity=\"{:.2f}\" d=\"{}\"/>\n", 1 - 0.7 * share, path);
      if (!chains.empty()) labels += level_label(levels[k], chains, taken);
    }
    svg_ += labels;
  }

  std::string path_of(const Chain& chain) const {
    std::string path;
    for (std::size_t i = 0; i < chain.size(); ++i)
      path += fmt::format("{}{:.1f} {:.1f}", i == 0 ? 'M' : 'L', px(chain[i][0]), py(chain[i][1]));
    return path;
  }

  /// The level's number on its longest line, away from other numbers; nothing where no place is free.
  std::string level_label(double level, const std::vector<Chain>& chains, std::vector<Point>& taken) const {
    const Chain& longest = *std::max_element(chains.begin(), chains.end(),
                                             [](const Chain& a, const Chain& b) { return a.size() < b.size(); });
    if (longest.size() < 8) return "";
    for (std::size_t step = 1; step < 8; ++step) {
      const Point& at = longest[longest.size() * step / 8];
      const double x = px(at[0]), y = py(at[1]);
      const bool inside = x > 24 && x < wide_ - 24 && y > 10 && y < high_ - 10;
      const bool free = std::none_of(taken.begin(), taken.end(), [&](const Point& p) {
        return std::fabs(p[0] - x) < 46 && std::fabs(p[1] - y) < 16;
      });
      if (!inside || !free) continue;
      taken.push_back({x, y});
      // A halo would leave the line to be seen above a decimal point, which would read as a colon.
      const std::string number = fmt::format("{:.3g}", level);
      const double width = 6.5 * static_cast<double>(number.size()) + 2;
      return fmt::format("<rect class=\"back\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"12\" rx=\"2\"/>"
                         "<text class=\"level\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                         x - width / 2, y - 6, width, x, y + 3.5, number);
    }
    return "";
  }

  void draw_curve(std::size_t i) {
    const Curve& curve = chart_.curves[i];
    const std::vector<double>& xs = xs_[i];
    std::string path;
    bool down = false;
    Point last = {}, first = {};
    bool any = false;
    for (std::size_t k = 0; k < std::min(xs.size(), curve.y.size()); ++k) {
      if (!x_.shows(xs[k]) || !y_.shows(curve.y[k])) {
        down = false;
        continue;
      }
      // Far outside, numbers would be longer than any line needs.
      const Point at = {std::clamp(px(xs[k]), -1e4, 1e4), std::clamp(py(curve.y[k]), -1e4, 1e4)};
      if (down && std::hypot(at[0] - last[0], at[1] - last[1]) < 0.3) continue;
      path += fmt::format("{}{:.1f} {:.1f}", down ? 'L' : 'M', at[0], at[1]);
      if (!down) path += "h0.01";  // a lone point shows as a dot only if a line begins and ends there
      if (!any) first = at;
      any = down = true;
      last = at;
    }
    if (!any) return;
    svg_ += fmt::format("<path class=\"{}\" d=\"{}\"/>\n", stroke(i), path);
    if (!curve.ends) return;
    svg_ += fmt::format("<circle class=\"{0} hole\" cx=\"{1:.1f}\" cy=\"{2:.1f}\" r=\"4\"/>\n", stroke(i), first[0],
        first[1]);
    const int colour = (curve.colour < 0 ? static_cast<int>(i) : curve.colour) % chart_colours;
    svg_ += fmt::format("<circle class=\"f{0}\" cx=\"{1:.1f}\" cy=\"{2:.1f}\" r=\"4.5\"/>\n", colour, last[0], last[1]);
  }

  void draw_mark(const Chart::Mark& mark) {
    const double x = px(mark.x), y = py(mark.y);
    svg_ += fmt::format("<path class=\"mark halo\" d=\"M{0:.1f} {1:.1f}m-7 -7l14 14m0 -14l-14 14\"/>"
                        "<path class=\"mark\" d=\"M{0:.1f} {1:.1f}m-7 -7l14 14m0 -14l-14 14\"/>\n", x, y);
  }

  /// Above everything, so that no curve goes through it.
  void draw_name(const Chart::Mark& mark) {
    if (mark.name.empty()) return;
    const double x = px(mark.x), y = py(mark.y);
    const bool flipped = x > wide_ - 10 - width_of(mark.name);
    svg_ += fmt::format("<text class=\"name halo\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n",
                        flipped ? x - 9 : x + 9, y < 18 ? y + 14 : y - 6, flipped ? "end" : "start",
                            xml_text(mark.name));
  }

  void draw_legend() {
    double y = top_ + 8;
    for (std::size_t i = 0; i < chart_.curves.size(); ++i) {
      const Curve& curve = chart_.curves[i];
      if (curve.name.empty()) continue;
      const double x = left_ + wide_ + 10;
      svg_ += fmt::format("<path class=\"{}\" d=\"M{:.1f} {:.1f}h22\"/>", stroke(i), x, y);
      svg_ += fmt::format("<text class=\"label\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", x + 28, y + 4,
          xml_text(curve.name));
      y += 17;
    }
  }

  const Chart& chart_;
  std::vector<std::vector<double>> xs_;
  Axis x_, y_;
  std::vector<Tick> y_ticks_;
  double left_ = 0, right_ = 0, top_ = 0, bottom_ = 0, wide_ = 0, high_ = 0;
  bool has_legend_ = false;
  std::string svg_;
};

}  // namespace

std::vector<std::vector<std::array<double, 2>>> contour(const Field& field, double level) {
  return Contour(field, level).run();
}

std::vector<double> contour_levels(const Field& field, std::size_t count) {
  std::vector<double> sorted;
  for (const double z : field.values)
    if (std::isfinite(z)) sorted.push_back(z);
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> levels;
  for (std::size_t k = 0; k < count && !sorted.empty(); ++k) {
    const double share = (static_cast<double>(k) + 0.5) / static_cast<double>(count);
    const double level = rounded(sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size()))]);
    if (levels.empty() || level > levels.back()) levels.push_back(level);
  }
  return levels;
}

std::string chart_style() {
  return fmt::format(
      ".chart {{ font: 12px system-ui, sans-serif; }}\n"
      ".chart text {{ fill: #24292f; }} .chart .title {{ font-weight: 600; font-size: 13px; }}\n"
      ".chart .tick, .chart .level {{ font-size: 11px; }} .chart .tick, .chart .label {{ fill: #57606a; }}\n"
      ".chart .level {{ fill: #57606a; font-size: 10px; }} .chart text.halo {{ paint-order: stroke; stroke-width: 3px; }}\n"
      ".chart .grid {{ stroke: #e1e4e8; fill: none; }} .chart .axis {{ stroke: #8c959f; fill: none; }}\n"
      ".chart .curve {{ fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }}\n"
      ".chart .faint {{ stroke: #afb8c1; stroke-width: 1.5; }} .chart .dashed {{ stroke-dasharray: 6 4; }}\n"
      ".chart .contour {{ fill: none; stroke: #7d8fa3; stroke-width: 1; }}\n"
      ".chart .mark {{ fill: none; stroke: #24292f; stroke-width: 1.8; }} .chart path.halo {{ stroke-width: 5; }}\n"
      "{}"
      "@media (prefers-color-scheme: dark) {{\n"
      ".chart text {{ fill: #e6edf3; }} .chart .tick, .chart .label, .chart .level {{ fill: #9ea7b3; }}\n"
      ".chart .grid {{ stroke: #262c36; }} .chart .axis {{ stroke: #6e7681; }} .chart .faint {{ stroke: #565e69; }}\n"
      ".chart .contour {{ stroke: #8fa3ba; }} .chart .mark {{ stroke: #e6edf3; }}\n"
      "{}}}\n",
      colours(light, "#ffffff"), colours(dark, "#0d1117"));
}

std::string Chart::svg() const { return Picture(*this).run("<style>\n" + chart_style() + "</style>\n"); }
std::string Chart::element() const { return Picture(*this).run(""); }

}  // namespace thalweg
