// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "thalweg/optim/optimizer.h"

namespace thalweg {

/// Adafactor (Shazeer & Stern 2018): Adam's v of a matrix [.., R, C] (its last two axes) from the means r [.., R] and
/// c [.., C] of its rows and columns alone. With s = t^beta2_decay, ρ = min(rate, 1/√t), α = max(epsilon2, RMS(w))·ρ,
/// and q = g² (keras: + epsilon1):
///
///     r = (1−s)·r + s·mean_C(q);   c = (1−s)·c + s·mean_R(q)
///     keras   v = r / mean(r) ⊗ c;                         u = g / √v
///     torch   v = r ⊗ c / max(mean(r), epsilon1);          u = g / √max(v, epsilon1²)
///     w −= α / max(1, RMS(u) / clip_threshold) · u
///
/// Variables of rank 0 and 1 keep v = (1−s)·v + s·q whole.
struct THALWEG_API Adafactor {
  static constexpr std::string_view name = "adafactor";

  std::optional<Schedule> rate = {};   ///< 1e-3 for keras, 0.01 for torch
  double beta2_decay = -0.8;           ///< in [-1, 0)
  std::optional<double> epsilon1 = {};  ///< above 0; 1e-30 for keras, the dtype's distance from 1 to the next for torch
  double epsilon2 = 1e-3;              ///< above 0
  double clip_threshold = 1;           ///< above 0
  bool relative_step = true;           ///< false: ρ = rate, a choice of Keras only
  double weight_decay = 0;             ///< decoupled
  Convention convention = Convention::keras;

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

}  // namespace thalweg
