// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "thalweg/optim/optimizer.h"

// Rules for large batches: each variable moves in proportion to its own norm.

namespace thalweg {

/// LAMB (You et al. 2020): Adam's direction u = m/c1 / (√(v/c2) + epsilon), and w −= rate · ‖w‖/‖u‖ · u, where the
/// ratio is 1 if a norm is 0:
///
///     keras   w −= rate·decay·w before that, outside the ratio      epsilon 1e-7
///     optax   u += decay·w, inside the ratio, as in the paper       epsilon 1e-6
struct THALWEG_API Lamb {
  static constexpr std::string_view name = "lamb";

  Schedule rate = 1e-3;
  double beta1 = 0.9;    ///< in [0, 1)
  double beta2 = 0.999;  ///< in [0, 1)
  std::optional<double> epsilon = {};  ///< above 0
  Convention convention = Convention::keras;
  double weight_decay = 0;

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

/// LARS (You et al. 2017): v = momentum·v + rate·r·(g + decay·w); w −= v, with the ratio r, 1 if a norm is 0:
///
///     optax            r = trust·‖w‖ / (‖g + decay·w‖ + epsilon)
///     separate_norms   r = trust·‖w‖ / (‖g‖ + decay·‖w‖ + epsilon)      (the paper)
struct THALWEG_API Lars {
  static constexpr std::string_view name = "lars";

  Schedule rate = 1;
  double momentum = 0.9;      ///< in [0, 1]
  double weight_decay = 0;
  double trust = 1e-3;        ///< above 0
  double epsilon = 0;
  bool separate_norms = false;

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

}  // namespace thalweg
