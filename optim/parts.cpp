// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/parts.h"

#include <fmt/format.h>

#include <cmath>

#include "thalweg/optim/clip.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"

namespace thalweg {

Value correction(double beta, Slots& slots) {
  if (beta == 0) return constant(slots.step().graph(), 1.0, f64());  // its logarithm is infinite
  return -expm1(std::log(beta) * slots.t());
}

Value averaged(std::string_view slot, double decay, const Value& x, Slots& slots) {
  const Value average = slots.slot(slot), keep = slots.number(decay), share = slots.number(1 - decay);
  const Value kept = keep * average;
  const Value next = kept + share * x;
  slots.update(average, next);
  return next;
}

Value moved(std::string_view slot, double beta, const Value& x, Slots& slots) {
  const Value m = slots.slot(slot), share = slots.number(1 - beta);
  const Value next = m + (x - m) * share;
  slots.update(m, next);
  return next;
}

Value coupled(const Value& g, double decay, const Value& w, Slots& slots) {
  const double own = slots.decay(decay);
  return own > 0 ? g + slots.number(own) * w : g;
}

Value decoupled(const Value& w, double decay, const Schedule& rate, Slots& slots) {
  const double own = slots.decay(decay);
  if (own == 0) return w;
  return w - slots.shared(fmt::format("decay {}", own), [&] { return own * slots.exact_rate(rate); }) * w;
}

Value root_mean_square(const Value& x) {
  return global_norm(std::span(&x, 1)) * (1 / std::sqrt(static_cast<double>(x.type().elements())));
}

Value trust_ratio(const Value& w_norm, const Value& u_norm) {
  const Value w_some = greater(w_norm, 0.0), u_some = greater(u_norm, 0.0);
  const Value both = logical_and(w_some, u_some), ratio = w_norm / u_norm;
  return select(both, ratio, 1.0);
}

}  // namespace thalweg
