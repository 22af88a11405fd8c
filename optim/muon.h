// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "thalweg/optim/optimizer.h"

namespace thalweg {

/// A matrix [.., R, C] brought near to the closest one with orthonormal rows (or columns, whichever are fewer) by
/// Newton–Schulz steps X = a·X + (b·A + c·A²)·X, A = X·Xᵀ, with (a, b, c) = (3.4445, −4.775, 2.0315) (Jordan et al.
/// 2024): singular values up to 1 go to between 0.7 and 1.2. x is divided by its norm first: the caller does it.
THALWEG_API Value newton_schulz(const Value& x, int steps = 5);

/// Muon (Jordan et al. 2024): momentum whose direction is made orthogonal, X = newton_schulz(u / ‖u‖), for matrices:
///
///     keras   m = μ·m + g;              u = g + μ·m (nesterov) or m;   w −= rate·rms_rate·√max(R, C) · X
///     torch   m = μ·m + (1−μ)·g;        u = g + μ·(m − g);             w −= rate·√max(1, R/C) · X
///
/// with w −= rate·decay·w before it; torch with `rms_rate` scales as keras. Everything runs in the variable's dtype
/// (torch: in bf16). Variables of another rank than 2 learn by AdamW with the same rate and decay, and their slots are
/// `muon/m/…`, `muon/v/…`; give embeddings and the last layer to another optimizer by a ParameterGroup.
struct THALWEG_API Muon {
  static constexpr std::string_view name = "muon";

  Schedule rate = 1e-3;
  double momentum = 0.95;  ///< μ in [0, 1)
  bool nesterov = true;
  int steps = 5;           ///< from 1 to 100
  std::optional<double> rms_rate = {};      ///< above 0; 0.2 for keras
  std::optional<double> weight_decay = {};  ///< decoupled; 0.004 for keras, 0.1 for torch
  Convention convention = Convention::keras;

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

}  // namespace thalweg
