// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "thalweg/optim/optimizer.h"

namespace thalweg {

/// Adagrad (Duchi et al. 2011): steps shrink with the sum of all squared gradients, a += g²:
///
///     keras   w −= rate·g / √(a + epsilon)       a from 0.1, epsilon 1e-7
///     torch   w −= rate·g / (√a + epsilon)       a from 0, epsilon 1e-10
struct THALWEG_API Adagrad {
  static constexpr std::string_view name = "adagrad";

  Schedule rate = 1e-3;
  Convention convention = Convention::keras;
  std::optional<double> initial = {};  ///< of a, at least 0
  std::optional<double> epsilon = {};  ///< above 0
  double rate_decay = 0;    ///< torch's lr_decay: the rate is divided by 1 + step·rate_decay
  double weight_decay = 0;  ///< g += decay·w, as torch; MinimizeOptions::weight_decay is decoupled

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

/// Adadelta (Zeiler 2012): a = ρ·a + (1−ρ)·g²; Δ = −√(d + ε)·g / √(a + ε); d = ρ·d + (1−ρ)·Δ²; w += rate·Δ.
/// Defaults are Keras'; torch's are rate 1, rho 0.9, epsilon 1e-6.
struct THALWEG_API Adadelta {
  static constexpr std::string_view name = "adadelta";

  Schedule rate = 1e-3;
  double rho = 0.95;  ///< in [0, 1)
  double epsilon = 1e-7;
  double weight_decay = 0;  ///< g += decay·w

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

/// RMSProp (Tieleman and Hinton 2012), v = ρ·v + (1−ρ)·g²; centered (Graves 2013): v − a² stands for v, where
/// a = ρ·a + (1−ρ)·g. With momentum μ:
///
///     keras   m = μ·m + rate·g / √(v + epsilon);   w −= m           ρ 0.9, epsilon 1e-7
///     torch   m = μ·m + g / (√v + epsilon);        w −= rate·m      ρ 0.99, epsilon 1e-8
struct THALWEG_API RmsProp {
  static constexpr std::string_view name = "rmsprop";

  Schedule rate = 1e-3;
  std::optional<double> rho = {};  ///< in [0, 1)
  double momentum = 0;        ///< in [0, 1]
  bool centered = false;
  Convention convention = Convention::keras;
  std::optional<double> epsilon = {};  ///< above 0
  double weight_decay = 0;             ///< g += decay·w

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

/// Adamax (Kingma & Ba 2015, section 7.1), m += (g − m)·(1 − beta1), c1 = 1 − beta1^t:
///
///     keras   u = max(beta2·u, |g|);             w −= rate / c1 · m / (u + epsilon)      epsilon 1e-7
///     torch   u = max(beta2·u, |g| + epsilon);   w −= rate / c1 · m / u                  epsilon 1e-8
struct THALWEG_API Adamax {
  static constexpr std::string_view name = "adamax";

  Schedule rate = 1e-3;
  double beta1 = 0.9;    ///< in [0, 1)
  double beta2 = 0.999;  ///< in [0, 1)
  Convention convention = Convention::keras;
  std::optional<double> epsilon = {};  ///< above 0
  double weight_decay = 0;             ///< g += decay·w

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

/// Follow the regularized leader, proximally (McMahan et al. 2013), as Keras, for sparse linear models. With the
/// accumulated n += g² and q = −rate_power:
///
///     z += g + 2·l2_shrinkage·w − (n_t^q − n_{t−1}^q) / rate · w
///     w  = (clip(z, −l1, l1) − z) / (n_t^q / rate + 2·l2 + beta / rate)
///
/// The variable is computed anew from z: where training begins is forgotten at the first update. A rate of 0 changes
/// nothing (Keras divides by it).
struct THALWEG_API Ftrl {
  static constexpr std::string_view name = "ftrl";

  Schedule rate = 1e-3;
  double rate_power = -0.5;  ///< at most 0
  double initial = 0.1;      ///< of n, above 0
  double l1 = 0;             ///< this and the following at least 0
  double l2 = 0;
  double l2_shrinkage = 0;
  double beta = 0;

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

}  // namespace thalweg
