// SPDX-License-Identifier: Apache-2.0
// Private: formulas that several update rules share.
//
// Every part of a formula that makes nodes has a name of its own: in which order C++ evaluates the two sides of `*` is
// the compiler's choice, and a graph must not depend on it.
#pragma once

#include <string_view>

#include "thalweg/optim/optimizer.h"

namespace thalweg {

/// 1 − beta^t in f64, as −expm1(t·log(beta)): no digits are lost while beta^t is close to 1.
Value correction(double beta, Slots& slots);
/// decay·average + (1 − decay)·x, kept in the slot of that name.
Value averaged(std::string_view slot, double decay, const Value& x, Slots& slots);
/// The same average as Adam writes it: m + (x − m)·(1 − beta).
Value moved(std::string_view slot, double beta, const Value& x, Slots& slots);
/// g + decay·w: the gradient of l2(decay / 2) too, unclipped. g itself without decay.
Value coupled(const Value& g, double decay, const Value& w, Slots& slots);
/// w − rate·decay·w. w itself without decay.
Value decoupled(const Value& w, double decay, const Schedule& rate, Slots& slots);
/// √(Σx² / n) over all elements, in f64.
Value root_mean_square(const Value& x);
/// ‖w‖ / ‖u‖ in f64, and 1 where either is 0: the trust ratio of LAMB and LARS.
Value trust_ratio(const Value& w_norm, const Value& u_norm);

}  // namespace thalweg
