// SPDX-License-Identifier: Apache-2.0
// Private: how an update rule refuses settings out of their range.
#pragma once

#include <cmath>
#include <string_view>

#include "thalweg/graph/fail.h"
#include "thalweg/ops/convention.h"

namespace thalweg {

/// The settings of one rule, at the user's line: `sgd: momentum must lie in [0, 1], got 1.5`.
struct Settings {
  std::string_view rule;
  SourceLoc loc;

  void need(bool fine, std::string_view otherwise) const {
    if (!fine) graph_error(loc, "{}: {}", rule, otherwise);
  }
  void keras_or_torch(Convention convention) const {
    need(convention != Convention::optax, "the convention must be keras or torch, got optax");
  }
  void closed(std::string_view what, double value, double min, double max) const {
    if (!(value >= min && value <= max)) graph_error(loc, "{}: {} must lie in [{}, {}], got {}", rule, what, min, max, value);
  }
  void half_open(std::string_view what, double value, double min, double max) const {
    if (!(value >= min && value < max)) graph_error(loc, "{}: {} must lie in [{}, {}), got {}", rule, what, min, max, value);
  }
  void open(std::string_view what, double value, double min, double max) const {
    if (!(value > min && value < max)) graph_error(loc, "{}: {} must lie in ({}, {}), got {}", rule, what, min, max, value);
  }
  void at_least(std::string_view what, double value, double min) const {
    if (!std::isfinite(value) || value < min)
      graph_error(loc, "{}: {} must be finite and at least {}, got {}", rule, what, min, value);
  }
  void above(std::string_view what, double value, double min) const {
    if (!std::isfinite(value) || value <= min)
      graph_error(loc, "{}: {} must be finite and above {}, got {}", rule, what, min, value);
  }
};

}  // namespace thalweg
