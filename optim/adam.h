// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "thalweg/optim/optimizer.h"

namespace thalweg {

/// Adam (Kingma & Ba 2015), with t = step + 1 and c1 = 1 − beta1^t, c2 = 1 − beta2^t:
///
///     m += (g − m)·(1 − beta1);   v += (g² − v)·(1 − beta2)
///     keras          w −= rate·√c2 / c1 · m / (√v + epsilon)          ("epsilon hat")
///     torch, optax   w −= rate / c1 · m / (√v / √c2 + epsilon)
///
/// AMSGrad (Reddi et al. 2018) puts the greatest v so far in the place of v (optax: the greatest v / c2).
struct THALWEG_API Adam {
  static constexpr std::string_view name = "adam";

  Schedule rate = 1e-3;
  double beta1 = 0.9;             ///< in [0, 1)
  double beta2 = 0.999;           ///< in [0, 1)
  std::optional<double> epsilon = {};  ///< above 0; 1e-7 for keras, else 1e-8
  Convention convention = Convention::keras;
  bool amsgrad = false;
  /// keras: w −= rate·decay·w before the update (decoupled); torch, optax: g += decay·w (that is l2(decay / 2)).
  double weight_decay = 0;
  bool bias_correction = true;  ///< false: c1 = c2 = 1, as MLX does by default

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

/// Adam with decoupled weight decay in every convention (Loshchilov & Hutter 2019): w −= rate·decay·w, then Adam.
struct THALWEG_API AdamW {
  static constexpr std::string_view name = "adamw";

  Schedule rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  std::optional<double> epsilon = {};  ///< 1e-7 for keras, else 1e-8
  Convention convention = Convention::keras;
  bool amsgrad = false;
  std::optional<double> weight_decay = {};  ///< 0.004 for keras, 0.01 for torch, 1e-4 for optax

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

}  // namespace thalweg
