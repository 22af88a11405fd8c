// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/adam.h"

#include <cmath>

#include "thalweg/optim/ranges.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

/// 1 − beta^t as −expm1(t·log(beta)): no digits are lost while beta^t is close to 1.
Value correction(double beta, Slots& slots) {
  if (beta == 0) return constant(slots.step().graph(), 1.0, f64());  // its logarithm is infinite
  return -expm1(std::log(beta) * slots.t());
}

double epsilon_of(const std::optional<double>& given, Convention convention) {
  return given.value_or(convention == Convention::keras ? 1e-7 : 1e-8);
}

struct Decay {
  double coupled = 0;    ///< g += coupled·w
  double decoupled = 0;  ///< w −= rate·decoupled·w
};

Value adam(const Adam& a, Decay decay, Value w, Value g, Slots& slots) {
  if (decay.coupled > 0) g = g + slots.number(decay.coupled) * w;
  if (decay.decoupled > 0)
    w = w - slots.shared("decay", [&] { return decay.decoupled * slots.exact_rate(a.rate); }) * w;

  const Value m = slots.slot("m"), v = slots.slot("v");
  const Value share1 = slots.number(1 - a.beta1), share2 = slots.number(1 - a.beta2);
  const Value next_m = m + (g - m) * share1;
  const Value next_v = v + (square(g) - v) * share2;
  slots.update(m, next_m);
  slots.update(v, next_v);

  // Every part has a name of its own: in which order C++ evaluates the two sides of `*` is the compiler's choice, and
  // a graph must not depend on it.
  const auto c2 = [&] { return correction(a.beta2, slots); };
  const auto rate_by_c1 = [&] {
    const Value rate = slots.exact_rate(a.rate), c1 = correction(a.beta1, slots);
    return rate / c1;
  };
  const Value epsilon = slots.number(epsilon_of(a.epsilon, a.convention));
  Value greatest = next_v;
  if (a.amsgrad) {
    const bool corrected = a.convention == Convention::optax && a.bias_correction;
    const Value so_far = slots.slot("vhat");
    greatest = max(so_far, corrected ? next_v / slots.shared("c2", c2) : next_v);
    slots.update(so_far, greatest);
    if (corrected) {
      const Value size = slots.shared("size", rate_by_c1), root = sqrt(greatest) + epsilon;
      return w - size * next_m / root;
    }
  }
  Value size, root = sqrt(greatest);
  if (!a.bias_correction) {
    size = slots.rate(a.rate);
  } else if (a.convention == Convention::keras) {
    size = slots.shared("size", [&] {
      const Value ratio = rate_by_c1();
      return ratio * sqrt(c2());
    });
  } else {
    size = slots.shared("size", rate_by_c1);
    root = root / slots.shared("root", [&] { return sqrt(c2()); });
  }
  const Value below = root + epsilon;
  return w - size * next_m / below;
}

void check_moments(const Settings& settings, double beta1, double beta2, const std::optional<double>& epsilon) {
  settings.half_open("beta1", beta1, 0, 1);
  settings.half_open("beta2", beta2, 0, 1);
  if (epsilon) settings.above("epsilon", *epsilon, 0);
}

double decay_of(const AdamW& a) {
  const double fallback = a.convention == Convention::keras ? 0.004 : a.convention == Convention::torch ? 0.01 : 1e-4;
  return a.weight_decay.value_or(fallback);
}

}  // namespace

void Adam::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  check_moments(settings, beta1, beta2, epsilon);
  settings.at_least("weight_decay", weight_decay, 0);
}

Value Adam::next(Value w, Value g, Slots& slots) const {
  const Decay decay = convention == Convention::keras ? Decay{.decoupled = weight_decay}
                                                      : Decay{.coupled = weight_decay};
  return adam(*this, decay, std::move(w), std::move(g), slots);
}

void AdamW::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  check_moments(settings, beta1, beta2, epsilon);
  settings.at_least("weight_decay", decay_of(*this), 0);
}

Value AdamW::next(Value w, Value g, Slots& slots) const {
  const Adam moments{.rate = rate, .beta1 = beta1, .beta2 = beta2, .epsilon = epsilon, .convention = convention,
                     .amsgrad = amsgrad};
  return adam(moments, {.decoupled = decay_of(*this)}, std::move(w), std::move(g), slots);
}

}  // namespace thalweg
