// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/adaptive.h"

#include "thalweg/optim/parts.h"
#include "thalweg/optim/ranges.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

bool is_keras(Convention convention) { return convention == Convention::keras; }

}  // namespace

void Adagrad::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  settings.keras_or_torch(convention);
  if (initial) settings.at_least("initial", *initial, 0);
  if (epsilon) settings.above("epsilon", *epsilon, 0);
  settings.at_least("rate_decay", rate_decay, 0);
  settings.at_least("weight_decay", weight_decay, 0);
}

Value Adagrad::next(Value w, Value g, Slots& slots) const {
  const bool keras = is_keras(convention);
  const Value eps = slots.number(epsilon.value_or(keras ? 1e-7 : 1e-10));
  const Value eta = rate_decay == 0 ? slots.rate(rate) : slots.shared("rate", [&] {
    const Value slowed = 1.0 + rate_decay * cast(slots.step(), DType::f64);
    return slots.exact_rate(rate) / slowed;
  });
  g = coupled(g, weight_decay, w, slots);
  const Value sum = slots.slot("accumulator", initial.value_or(keras ? 0.1 : 0));
  const Value next = sum + square(g);
  slots.update(sum, next);
  const Value below = keras ? sqrt(next + eps) : sqrt(next) + eps;
  return w - eta * g / below;
}

void Adadelta::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  settings.half_open("rho", rho, 0, 1);
  settings.above("epsilon", epsilon, 0);
  settings.at_least("weight_decay", weight_decay, 0);
}

Value Adadelta::next(Value w, Value g, Slots& slots) const {
  g = coupled(g, weight_decay, w, slots);
  const Value eta = slots.rate(rate), eps = slots.number(epsilon);
  const Value delta = slots.slot("accumulated_delta");
  const Value below = sqrt(averaged("accumulated_gradient", rho, square(g), slots) + eps);
  const Value move = sqrt(delta + eps) * g / below;
  averaged("accumulated_delta", rho, square(move), slots);
  return w - eta * move;
}

void RmsProp::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  settings.keras_or_torch(convention);
  if (rho) settings.half_open("rho", *rho, 0, 1);
  settings.closed("momentum", momentum, 0, 1);
  if (epsilon) settings.above("epsilon", *epsilon, 0);
  settings.at_least("weight_decay", weight_decay, 0);
}

Value RmsProp::next(Value w, Value g, Slots& slots) const {
  g = coupled(g, weight_decay, w, slots);
  const bool keras = is_keras(convention);
  const double decay = rho.value_or(keras ? 0.9 : 0.99);
  const Value eta = slots.rate(rate), eps = slots.number(epsilon.value_or(keras ? 1e-7 : 1e-8));
  Value spread = averaged("velocity", decay, square(g), slots);
  if (centered) spread = spread - square(averaged("average_gradient", decay, g, slots));
  const Value below = keras ? sqrt(spread + eps) : sqrt(spread) + eps;
  Value move = keras ? eta * g / below : g / below;
  if (momentum > 0) {
    const Value m = slots.slot("momentum");
    const Value kept = slots.number(momentum) * m;
    move = kept + move;
    slots.update(m, move);
  }
  return keras ? w - move : w - eta * move;
}

void Adamax::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  settings.keras_or_torch(convention);
  settings.half_open("beta1", beta1, 0, 1);
  settings.half_open("beta2", beta2, 0, 1);
  if (epsilon) settings.above("epsilon", *epsilon, 0);
  settings.at_least("weight_decay", weight_decay, 0);
}

Value Adamax::next(Value w, Value g, Slots& slots) const {
  g = coupled(g, weight_decay, w, slots);
  const bool keras = is_keras(convention);
  const Value u = slots.slot("u"), eps = slots.number(epsilon.value_or(keras ? 1e-7 : 1e-8));
  const Value kept = slots.number(beta2) * u, next_m = moved("m", beta1, g, slots);
  const Value next_u = keras ? max(kept, abs(g)) : max(kept, abs(g) + eps);
  slots.update(u, next_u);
  const Value size = slots.shared("size", [&] {
    const Value exact = slots.exact_rate(rate);
    return exact / correction(beta1, slots);
  });
  const Value below = keras ? next_u + eps : next_u;
  return w - size * next_m / below;
}

void Ftrl::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  settings.need(std::isfinite(rate_power) && rate_power <= 0,
                fmt::format("rate_power must be finite and at most 0, got {}", rate_power));
  settings.above("initial", initial, 0);
  settings.at_least("l1", l1, 0);
  settings.at_least("l2", l2, 0);
  settings.at_least("l2_shrinkage", l2_shrinkage, 0);
  settings.at_least("beta", beta, 0);
  settings.need(!rate.number() || *rate.number() > 0, "the rate must be above 0");
}

Value Ftrl::next(Value w, Value g, Slots& slots) const {
  const Value eta = slots.rate(rate), n = slots.slot("accumulator", initial), z = slots.slot("linear");
  const auto root = [&](const Value& x) { return rate_power == -0.5 ? sqrt(x) : pow(x, -rate_power); };
  const Value next_n = n + square(g);
  const Value root_now = root(next_n), root_before = root(n);
  const Value shrunk = l2_shrinkage > 0 ? g + slots.number(2 * l2_shrinkage) * w : g;
  const Value pull = (root_now - root_before) / eta * w;
  const Value next_z = z + shrunk - pull;
  // Schedules end at 0, by which the formula divides.
  const Value moves = greater(eta, 0.0);
  slots.update(n, select(moves, next_n, n));
  slots.update(z, select(moves, next_z, z));
  const Value ridge = slots.shared("ridge", [&] { return 2 * l2 + beta / slots.exact_rate(rate); });
  const Value above = clip(next_z, {.low = -l1, .high = l1}) - next_z, below = root_now / eta + ridge;
  return select(moves, above / below, w);
}

}  // namespace thalweg
