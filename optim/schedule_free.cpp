// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/schedule_free.h"

#include "thalweg/optim/parts.h"
#include "thalweg/optim/ranges.h"
#include "thalweg/ops/pointwise.h"

namespace thalweg {
namespace {

/// c: how much of the average the newest z is.
Value weight_of_newest(const Schedule& rate, Slots& slots) {
  const Value greatest = slots.running("rate_max", 0, [&](const Value& before) {
    return max(before, slots.exact_rate(rate));
  });
  const Value squared = square(greatest);
  const Value sum = slots.running("weight_sum", 0, [&](const Value& before) { return before + squared; });
  // No weight yet means no step yet: z is where it began, and x is z.
  return slots.exact("newest", [&] { return select(greater(sum, 0.0), squared / sum, 1.0); });
}

/// y after z has moved from z_now against u: x is where y and z say, so that what else moves y (decay, a constraint)
/// moves the average too.
Value moved_on(const Value& y, const Value& z_now, const Value& u, const Value& eta, const Value& newest, double beta,
               Slots& slots) {
  const Value drawn = y + newest * (z_now - y);
  const Value step = eta * (slots.number(beta) * (1.0 - newest) - 1.0);
  const Value next_y = drawn + step * u;
  const Value next_z = z_now - eta * u;
  const Value next_x = (next_y - slots.number(1 - beta) * next_z) / slots.number(beta);
  slots.update(slots.slot("z"), next_z);
  slots.update(slots.average(), next_x);
  return next_y;
}

}  // namespace

void ScheduleFreeAdamW::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  settings.open("beta1", beta1, 0, 1);
  settings.half_open("beta2", beta2, 0, 1);
  settings.above("epsilon", epsilon, 0);
  settings.at_least("weight_decay", weight_decay, 0);
  settings.keras_or_torch(convention);
}

Value ScheduleFreeAdamW::next(Value w, Value g, Slots& slots) const {
  const bool keras = convention == Convention::keras;
  const Value next_v = moved("v", beta2, square(g), slots);
  const Value root = slots.shared("root", [&] { return sqrt(correction(beta2, slots)); });
  const Value spread = sqrt(next_v) / root, below = spread + slots.number(epsilon);
  const Value u = coupled(g / below, keras ? 0 : weight_decay, w, slots), eta = slots.rate(rate);
  const Value newest = slots.rounded(keras ? slots.exact("newest", [&] { return 1.0 / slots.t(); })
                                           : weight_of_newest(rate, slots));
  const Value z_now = slots.begun(slots.slot("z"), w);
  return moved_on(decoupled(w, keras ? weight_decay : 0, rate, slots), z_now, u, eta, newest, beta1, slots);
}

void ScheduleFreeSgd::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  settings.open("momentum", momentum, 0, 1);
  settings.at_least("weight_decay", weight_decay, 0);
}

Value ScheduleFreeSgd::next(Value w, Value g, Slots& slots) const {
  const Value u = coupled(g, weight_decay, w, slots), eta = slots.rate(rate);
  const Value newest = slots.rounded(weight_of_newest(rate, slots));
  return moved_on(w, slots.begun(slots.slot("z"), w), u, eta, newest, momentum, slots);
}

}  // namespace thalweg
