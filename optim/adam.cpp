// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/adam.h"

#include <cmath>

#include "thalweg/optim/parts.h"
#include "thalweg/optim/ranges.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

double epsilon_of(const std::optional<double>& given, Convention convention) {
  return given.value_or(convention == Convention::keras ? 1e-7 : 1e-8);
}

struct Decay {
  double coupled = 0;    ///< g += coupled·w
  double decoupled = 0;  ///< w −= rate·decoupled·w
};

Value adam(const Adam& a, Decay decay, Value w, Value g, Slots& slots) {
  g = coupled(g, decay.coupled, w, slots);
  w = decoupled(w, decay.decoupled, a.rate, slots);
  const Value next_m = moved("m", a.beta1, g, slots), next_v = moved("v", a.beta2, square(g), slots);

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

void Nadam::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  check_moments(settings, beta1, beta2, epsilon);
  settings.keras_or_torch(convention);
  if (momentum_decay) settings.at_least("momentum_decay", *momentum_decay, 0);
  settings.at_least("weight_decay", weight_decay, 0);
}

Value Nadam::next(Value w, Value g, Slots& slots) const {
  const bool keras = convention == Convention::keras, apart = keras || decoupled;
  g = coupled(g, apart ? 0 : weight_decay, w, slots);
  w = thalweg::decoupled(w, apart ? weight_decay : 0, rate, slots);
  const Value next_m = moved("m", beta1, g, slots), next_v = moved("v", beta2, square(g), slots);

  const double psi = momentum_decay.value_or(keras ? 1 : 4e-3);
  const auto mu = [&](const Value& at) { return beta1 * (1.0 - 0.5 * pow(0.96, at * psi)); };
  const Value mu_now = slots.exact("mu", [&] { return mu(slots.t()); });
  const Value mu_next = slots.exact("mu_next", [&] { return mu(slots.t() + 1.0); });
  const Value product = slots.running("mu_product", 1, [&](const Value& before) { return before * mu_now; });
  const Value m_size = slots.shared("m_size", [&] {
    const Value left = 1.0 - product * mu_next;
    return slots.exact_rate(rate) * mu_next / left;
  });
  const Value g_size = slots.shared("g_size", [&] {
    const Value share = (1.0 - mu_now) / (1.0 - product);
    return slots.exact_rate(rate) * share;
  });
  const Value root = slots.shared("root", [&] { return sqrt(correction(beta2, slots)); });
  const Value spread = sqrt(next_v) / root;
  const Value below = spread + slots.number(epsilon_of(epsilon, convention));
  const Value along_m = m_size * next_m, along_g = g_size * g;
  return w - (along_m + along_g) / below;
}

void RAdam::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  check_moments(settings, beta1, beta2, epsilon);
  settings.at_least("weight_decay", weight_decay, 0);
}

Value RAdam::next(Value w, Value g, Slots& slots) const {
  g = coupled(g, decoupled ? 0 : weight_decay, w, slots);
  w = thalweg::decoupled(w, decoupled ? weight_decay : 0, rate, slots);
  const Value next_m = moved("m", beta1, g, slots), next_v = moved("v", beta2, square(g), slots);

  const double limit = 2 / (1 - beta2) - 1, scale = limit > 4 ? limit / ((limit - 4) * (limit - 2)) : 0;
  const Value c2 = slots.exact("c2", [&] { return correction(beta2, slots); });
  const Value length = slots.exact("length", [&] {
    const Value left = 1.0 / c2 - 1.0;  // beta2^t / c2
    return limit - 2.0 * slots.t() * left;
  });
  // 1 where the variance of 1/√v is bounded, and 0 where the step is that of momentum alone: then below is 1.
  const Value adapts = slots.exact("adapts", [&] { return cast(greater(length, 5.0), DType::f64); });
  const Value size = slots.shared("size", [&] {
    const Value eta = slots.exact_rate(rate), c1 = correction(beta1, slots);
    const Value plain = eta / c1, above = max(length - 4.0, 0.0);
    const Value rectified = sqrt(above * (length - 2.0) / length * scale * c2);
    return plain * select(greater(adapts, 0.0), rectified, 1.0);
  });
  const Value rest = slots.shared("rest", [&] {
    const Value small = constant(w.graph(), epsilon, f64());
    return select(greater(adapts, 0.0), small, 1.0);
  });
  const Value spread = sqrt(next_v), below = slots.rounded(adapts) * spread + rest;
  return w - size * next_m / below;
}

}  // namespace thalweg
