// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "thalweg/graph/export.h"

namespace thalweg {

/// A line through points. A point with a number that is not finite (or, on a logarithmic axis, not above 0) is a gap.
struct Curve {
  std::string name = {};        ///< in the legend; empty: not there
  std::vector<double> x = {};   ///< empty: 1, 2, 3, …
  std::vector<double> y = {};
  int colour = -1;              ///< of `chart_colours`; below 0: the curve's place among the curves
  bool dashed = false;
  bool faint = false;           ///< thin and grey: what others are compared with
  bool ends = false;            ///< a ring where it begins and a dot where it ends
};
inline constexpr int chart_colours = 8;

/// Numbers over a grid: values[j * x.size() + i] at (x[i], y[j]). Both ascend.
struct Field {
  std::vector<double> x, y;
  std::vector<double> values;
  double at(std::size_t i, std::size_t j) const { return values[j * x.size() + i]; }
};

/// Lines where a field has one value, each a chain of points; a closed one ends where it begins. By linear
/// interpolation on the cells' edges (marching squares); cells with a number that is not finite hold none.
THALWEG_API std::vector<std::vector<std::array<double, 2>>> contour(const Field& field, double level);
/// About `count` levels, ascending, that cut the field into parts of equal area, rounded to two digits.
THALWEG_API std::vector<double> contour_levels(const Field& field, std::size_t count);

/// A picture of curves, over the contour lines of a field if there is one; readable on dark and on light.
struct THALWEG_API Chart {
  std::string title = {};
  std::string x_label = {};
  std::string y_label = {};
  bool log_y = false;
  bool whole_x = false;  ///< numbers on the x axis are whole: epochs, steps
  std::vector<Curve> curves = {};
  std::optional<Field> field = {};
  std::vector<double> levels = {};  ///< of the contour lines; empty: contour_levels(*field, 14)
  struct Mark {
    double x, y;
    std::string name;  ///< beside it; may be empty
  };
  std::vector<Mark> marks = {};     ///< crosses
  /// What the axes show; by default all finite numbers, with a margin, or the field.
  std::optional<std::array<double, 2>> x_range = {};
  std::optional<std::array<double, 2>> y_range = {};
  double width = 640, height = 340;  ///< of the whole, in pixels
  bool legend = true;

  /// A file of its own.
  std::string svg() const;
  /// The element alone, for a page that holds chart_style() once.
  std::string element() const;
};
/// The style sheet of charts, for light and for dark.
THALWEG_API std::string chart_style();

}  // namespace thalweg
