// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "thalweg/optim/optimizer.h"

namespace thalweg {

/// Stochastic gradient descent with momentum (Polyak 1964) and Nesterov's look-ahead (in the form of Sutskever et al.
/// 2013). Without momentum w -= rate·g. With momentum μ, where the frameworks differ as soon as the rate changes:
///
///     keras   v = μ·v − rate·g;   w += v            nesterov:  w += μ·v − rate·g
///     torch   v = μ·v + g;        w −= rate·v       nesterov:  w −= rate·(g + μ·v)
struct THALWEG_API Sgd {
  static constexpr std::string_view name = "sgd";

  Schedule rate = 0.01;
  double momentum = 0;    ///< μ in [0, 1]
  bool nesterov = false;  ///< needs momentum
  Convention convention = Convention::keras;
  /// torch: v = μ·v + (1 − dampening)·g after the first update; in [0, 1], 0 with nesterov.
  double dampening = 0;
  /// CNTK's unit gain: (1 − μ)·g enters the velocity, so that it is a mean of gradients and not a sum.
  bool unit_gain = false;
  /// keras: w −= rate·decay·w before the update (decoupled); torch: g += decay·w (that is l2(decay / 2)).
  double weight_decay = 0;

  Value next(Value w, Value dw, Slots& slots) const;
  void check(SourceLoc loc) const;
};

}  // namespace thalweg
