// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "thalweg/optim/optimizer.h"

// Schedule-free learning (Defazio et al. 2024): no schedule, but three sequences: gradients are taken at y (the
// variable), steps are made from z (a slot), and what is kept is the average x (the variable `average/…`, which
// inference() reads in the place of y):
//
//     z −= rate·u;   x += c·(z − x);   y = beta·x + (1 − beta)·z,    c = ρ_t² / (ρ_1² + … + ρ_t²)
//
// where ρ_t is the greatest rate up to t (the authors' code). Warm up with a schedule: `linear(rate / 10, rate, 9)`.

namespace thalweg {

/// Schedule-free AdamW: u = g / (√(v / c2) + epsilon) + decay·y, v and c2 as Adam's. keras: c = 1 / t whatever the
/// rate, and the decay is decoupled: y −= rate·decay·y first. Keras itself predicts from y; here it is x.
struct THALWEG_API ScheduleFreeAdamW {
  static constexpr std::string_view name = "schedule_free_adamw";

  Schedule rate = 0.0025;
  double beta1 = 0.9;     ///< in (0, 1)
  double beta2 = 0.999;   ///< in [0, 1)
  double epsilon = 1e-8;  ///< above 0
  double weight_decay = 0;
  Convention convention = Convention::torch;  ///< keras, or the authors' for torch

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

/// Schedule-free SGD: u = g + decay·y.
struct THALWEG_API ScheduleFreeSgd {
  static constexpr std::string_view name = "schedule_free_sgd";

  Schedule rate = 1;
  double momentum = 0.9;  ///< beta, in (0, 1)
  double weight_decay = 0;

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

}  // namespace thalweg
