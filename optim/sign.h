// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "thalweg/optim/optimizer.h"

// Rules whose steps follow the signs of gradients.

namespace thalweg {

/// Lion (Chen et al. 2023): w −= rate·decay·w, then w −= rate·sign(beta1·m + (1−beta1)·g), then
/// m = beta2·m + (1−beta2)·g. The sign of 0 is 0. Keras, MLX and optax agree.
struct THALWEG_API Lion {
  static constexpr std::string_view name = "lion";

  Schedule rate = 1e-3;
  double beta1 = 0.9;   ///< in [0, 1]
  double beta2 = 0.99;  ///< in [0, 1)
  double weight_decay = 0;  ///< decoupled

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

/// Resilient backpropagation (Riedmiller & Braun 1993) in torch's form, for full batches. Every element has a step s,
/// first the rate at the first update, and p = g · previous g:
///
///     s = clip(s · (p > 0 ? grow : p < 0 ? shrink : 1), smallest, largest);   g = 0 where p < 0;   w −= s·sign(g)
struct THALWEG_API Rprop {
  static constexpr std::string_view name = "rprop";

  Schedule rate = 0.01;
  double shrink = 0.5;  ///< in (0, 1)
  double grow = 1.2;    ///< above 1
  double smallest = 1e-6;
  double largest = 50;

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

}  // namespace thalweg
