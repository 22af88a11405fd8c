// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "thalweg/lib/compile/program.h"

namespace thalweg {

/// What training has measured, a row an epoch: `epoch` (from 1), the scalar outputs (loss first), the same with `val_`
/// before their names, and `seconds`. All are means over samples.
struct THALWEG_API History {
  std::vector<std::string> columns;
  std::vector<std::vector<double>> rows;
  /// The trained variables: what evaluate() and predict() take.
  Variables variables;
  int best_epoch = 0;          ///< whose weights the variables hold, if patience was asked for; else 0
  bool stopped_early = false;  ///< patience ran out, or a callback asked to stop
  bool diverged = false;       ///< it ended so, and `when_diverged` asked to restore
  bool interrupted = false;    ///< SIGINT or SIGTERM came; an epoch that it cut short has no row
  std::vector<std::string> warnings = {};  ///< what fit() found odd: a schedule longer than the training

  std::size_t epochs() const { return rows.size(); }
  bool has(std::string_view column) const;
  /// A column; throws RunError with the nearest names for an unknown one.
  std::vector<double> operator[](std::string_view column) const;
  /// The column's value in the last row; throws RunError also if there is no row.
  double last(std::string_view column) const;
};

/// The history as a table with a header; numbers are the shortest that read back equal.
THALWEG_API std::string to_csv(const History& history);
/// Writes to_csv() to a file, completely or not at all; throws RunError.
THALWEG_API void write_csv(const History& history, const std::string& path);
/// The learning curves as an SVG picture: losses above, other measures below, training solid and validation dashed;
/// readable on dark and on light. A value that is not finite is left out.
THALWEG_API std::string to_svg(const History& history);
/// Writes to_svg() to a file, completely or not at all; throws RunError.
THALWEG_API void write_svg(const History& history, const std::string& path);

}  // namespace thalweg
