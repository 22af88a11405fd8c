// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/sgd.h"

#include "thalweg/optim/parts.h"
#include "thalweg/optim/ranges.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"

namespace thalweg {

void Sgd::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  settings.closed("momentum", momentum, 0, 1);
  settings.closed("dampening", dampening, 0, 1);
  settings.at_least("weight_decay", weight_decay, 0);
  settings.keras_or_torch(convention);
  settings.need(!nesterov || momentum > 0, "nesterov needs momentum above 0");
  settings.need(!nesterov || dampening == 0, "nesterov and dampening exclude each other");
  settings.need(dampening == 0 || convention == Convention::torch, "dampening belongs to the convention torch");
  settings.need(dampening == 0 || momentum > 0, "dampening needs momentum above 0");
  settings.need(dampening == 0 || !unit_gain, "dampening and unit_gain exclude each other");
  settings.need(!unit_gain || momentum > 0, "unit_gain needs momentum above 0");
}

Value Sgd::next(Value w, Value g, Slots& slots) const {
  const Value eta = slots.rate(rate);
  const bool keras = convention == Convention::keras;
  g = coupled(g, keras ? 0 : weight_decay, w, slots);
  w = decoupled(w, keras ? weight_decay : 0, rate, slots);
  if (momentum == 0) return w - eta * g;

  const Value mu = slots.number(momentum);
  const Value v = slots.slot("velocity");
  if (unit_gain) g = slots.number(1 - momentum) * g;
  if (keras) {
    const Value move = eta * g;
    const Value next = mu * v - move;
    slots.update(v, next);
    return nesterov ? w + (mu * next - move) : w + next;
  }
  Value weighed = g;
  if (dampening > 0) {
    // torch starts the buffer with the whole gradient; the buffer is 0 then, so that a first weight of 1 says it all.
    weighed = g * slots.shared("gain", [&] {
      const Value first = equal(slots.step(), 0);
      return select(first, 1.0, constant(slots.step().graph(), 1 - dampening, f64()));
    });
  }
  const Value next = mu * v + weighed;
  slots.update(v, next);
  return w - eta * (nesterov ? g + mu * next : next);
}

}  // namespace thalweg
