// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/layerwise.h"

#include "thalweg/optim/clip.h"
#include "thalweg/optim/parts.h"
#include "thalweg/optim/ranges.h"
#include "thalweg/ops/pointwise.h"

namespace thalweg {
namespace {

Value norm(const Value& x) { return global_norm(std::span(&x, 1)); }

}  // namespace

void Lamb::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  settings.half_open("beta1", beta1, 0, 1);
  settings.half_open("beta2", beta2, 0, 1);
  if (epsilon) settings.above("epsilon", *epsilon, 0);
  settings.need(convention != Convention::torch, "the convention must be keras or optax, got torch");
  settings.at_least("weight_decay", weight_decay, 0);
}

Value Lamb::next(Value w, Value g, Slots& slots) const {
  const bool keras = convention == Convention::keras;
  w = decoupled(w, keras ? weight_decay : 0, rate, slots);
  const Value next_m = moved("m", beta1, g, slots), next_v = moved("v", beta2, square(g), slots);
  const Value c1 = slots.shared("c1", [&] { return correction(beta1, slots); });
  const Value c2 = slots.shared("c2", [&] { return correction(beta2, slots); });
  const Value mean = next_m / c1, spread = sqrt(next_v / c2);
  const Value below = spread + slots.number(epsilon.value_or(keras ? 1e-7 : 1e-6));
  const Value direction = coupled(mean / below, keras ? 0 : weight_decay, w, slots);
  const Value w_norm = norm(w), u_norm = norm(direction), eta = slots.exact_rate(rate);
  return w - slots.rounded(trust_ratio(w_norm, u_norm) * eta) * direction;
}

void Lars::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  settings.closed("momentum", momentum, 0, 1);
  settings.at_least("weight_decay", weight_decay, 0);
  settings.above("trust", trust, 0);
  settings.at_least("epsilon", epsilon, 0);
}

Value Lars::next(Value w, Value g, Slots& slots) const {
  const double decay = slots.decay(weight_decay);
  const Value pulled = coupled(g, weight_decay, w, slots);
  const Value w_norm = norm(w), g_norm = norm(separate_norms ? g : pulled);
  Value below = g_norm;
  if (separate_norms && decay > 0) below = below + decay * w_norm;
  if (epsilon > 0) below = below + epsilon;
  // trust·‖w‖ / below; 1 in its place where a norm is 0.
  const Value w_some = greater(w_norm, 0.0), g_some = greater(g_norm, 0.0);
  const Value both = logical_and(w_some, g_some), ratio = trust * w_norm / below;
  const Value size = slots.exact_rate(rate) * select(both, ratio, 1.0);
  const Value move = slots.rounded(size) * pulled;
  if (momentum == 0) return w - move;
  const Value v = slots.slot("velocity"), kept = slots.number(momentum) * v, next_v = kept + move;
  slots.update(v, next_v);
  return w - next_v;
}

}  // namespace thalweg
