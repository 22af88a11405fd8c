// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/sign.h"

#include "thalweg/optim/parts.h"
#include "thalweg/optim/ranges.h"
#include "thalweg/ops/pointwise.h"

namespace thalweg {

void Lion::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  settings.closed("beta1", beta1, 0, 1);
  settings.half_open("beta2", beta2, 0, 1);
  settings.at_least("weight_decay", weight_decay, 0);
}

Value Lion::next(Value w, Value g, Slots& slots) const {
  w = decoupled(w, weight_decay, rate, slots);
  const Value m = slots.slot("m"), eta = slots.rate(rate), keep = slots.number(beta1), share = slots.number(1 - beta1);
  const Value kept = keep * m;
  const Value blend = kept + share * g;
  averaged("m", beta2, g, slots);
  return w - eta * sign(blend);
}

void Rprop::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  settings.open("shrink", shrink, 0, 1);
  settings.above("grow", grow, 1);
  settings.above("smallest", smallest, 0);
  settings.at_least("largest", largest, smallest);
}

Value Rprop::next(Value w, Value g, Slots& slots) const {
  const Value previous = slots.slot("previous"), size = slots.slot("step_size");
  const Value now = slots.begun(size, slots.rate(rate)), agreement = g * previous;
  const Value same = greater(agreement, 0.0), turned = less(agreement, 0.0);
  const Value less_or_same = select(turned, shrink, slots.number(1));
  const Value factor = select(same, grow, less_or_same);
  const Value next_size = clip(now * factor, {.low = smallest, .high = largest});
  const Value used = select(turned, 0.0, g);
  slots.update(size, next_size);
  slots.update(previous, used);
  return w - next_size * sign(used);
}

}  // namespace thalweg
