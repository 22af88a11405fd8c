// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "thalweg/optim/optimizer.h"

// Adam and its family. All keep m += (g − m)·(1 − beta1) and v += (g² − v)·(1 − beta2), with t = step + 1,
// c1 = 1 − beta1^t and c2 = 1 − beta2^t.

namespace thalweg {

/// Adam (Kingma & Ba 2015):
///
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

/// Adam with Nesterov's look-ahead (Dozat 2016), μ_t = beta1·(1 − 0.96^(t·momentum_decay) / 2), U = μ_1·…·μ_t:
///
///     w −= rate · (μ_{t+1}·m / (1 − U·μ_{t+1}) + (1 − μ_t)·g / (1 − U)) / (√(v / c2) + epsilon)
///
/// keras: momentum_decay 1, epsilon 1e-7; torch (2.x): 4e-3 and 1e-8. (torch 1.13 multiplies μ_t into the first
/// denominator twice; its numbers differ.)
struct THALWEG_API Nadam {
  static constexpr std::string_view name = "nadam";

  Schedule rate = 1e-3;
  double beta1 = 0.9;    ///< in [0, 1)
  double beta2 = 0.999;  ///< in [0, 1)
  std::optional<double> epsilon = {};         ///< above 0
  std::optional<double> momentum_decay = {};  ///< at least 0
  Convention convention = Convention::keras;
  /// keras: decoupled; torch: g += decay·w, unless `decoupled`.
  double weight_decay = 0;
  bool decoupled = false;

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

/// Rectified Adam (Liu et al. 2020), as torch: L = 2 / (1 − beta2) − 1, l = L − 2·t·beta2^t / c2,
///
///     l > 5     w −= rate · m / c1 · r·√c2 / (√v + epsilon),   r = √((l−4)·(l−2)·L / ((L−4)·(L−2)·l))
///     else      w −= rate · m / c1
struct THALWEG_API RAdam {
  static constexpr std::string_view name = "radam";

  Schedule rate = 1e-3;
  double beta1 = 0.9;    ///< in [0, 1)
  double beta2 = 0.999;  ///< in [0, 1)
  double epsilon = 1e-8;  ///< above 0
  double weight_decay = 0;  ///< g += decay·w, unless `decoupled`
  bool decoupled = false;

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

}  // namespace thalweg
