// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/adaptive.h"

#include <cmath>

#include "thalweg/optim/ranges.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

/// decay·average + (1 − decay)·x, kept in the slot of that name.
Value averaged(std::string_view slot, double decay, const Value& x, Slots& slots) {
  const Value average = slots.slot(slot), keep = slots.number(decay), share = slots.number(1 - decay);
  const Value kept = keep * average;
  const Value next = kept + share * x;
  slots.update(average, next);
  return next;
}

bool is_keras(Convention convention) { return convention == Convention::keras; }

void need_keras_or_torch(const Settings& settings, Convention convention) {
  settings.need(convention != Convention::optax, "the convention must be keras or torch, got optax");
}

}  // namespace

void Adagrad::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  need_keras_or_torch(settings, convention);
  if (initial) settings.at_least("initial", *initial, 0);
  if (epsilon) settings.above("epsilon", *epsilon, 0);
}

Value Adagrad::next(Value w, Value g, Slots& slots) const {
  const bool keras = is_keras(convention);
  const Value eta = slots.rate(rate), eps = slots.number(epsilon.value_or(keras ? 1e-7 : 1e-10));
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
}

Value Adadelta::next(Value w, Value g, Slots& slots) const {
  const Value eta = slots.rate(rate), eps = slots.number(epsilon);
  const Value delta = slots.slot("accumulated_delta");
  const Value below = sqrt(averaged("accumulated_gradient", rho, square(g), slots) + eps);
  const Value move = sqrt(delta + eps) * g / below;
  averaged("accumulated_delta", rho, square(move), slots);
  return w - eta * move;
}

void RmsProp::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  need_keras_or_torch(settings, convention);
  if (rho) settings.half_open("rho", *rho, 0, 1);
  settings.closed("momentum", momentum, 0, 1);
  if (epsilon) settings.above("epsilon", *epsilon, 0);
}

Value RmsProp::next(Value w, Value g, Slots& slots) const {
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
  need_keras_or_torch(settings, convention);
  settings.half_open("beta1", beta1, 0, 1);
  settings.half_open("beta2", beta2, 0, 1);
  if (epsilon) settings.above("epsilon", *epsilon, 0);
}

Value Adamax::next(Value w, Value g, Slots& slots) const {
  const bool keras = is_keras(convention);
  const Value m = slots.slot("m"), u = slots.slot("u"), eps = slots.number(epsilon.value_or(keras ? 1e-7 : 1e-8));
  const Value share = slots.number(1 - beta1), kept = slots.number(beta2) * u;
  const Value next_m = m + (g - m) * share;
  const Value next_u = keras ? max(kept, abs(g)) : max(kept, abs(g) + eps);
  slots.update(m, next_m);
  slots.update(u, next_u);
  const Value size = slots.shared("size", [&] {
    const Value exact = slots.exact_rate(rate);
    return beta1 == 0 ? exact : exact / -expm1(std::log(beta1) * slots.t());
  });
  const Value below = keras ? next_u + eps : next_u;
  return w - size * next_m / below;
}

}  // namespace thalweg
