// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/muon.h"

#include <algorithm>
#include <cmath>

#include "thalweg/optim/adam.h"
#include "thalweg/optim/clip.h"
#include "thalweg/optim/parts.h"
#include "thalweg/optim/ranges.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/pointwise.h"

namespace thalweg {
namespace {

constexpr double smallest_norm = 1e-7;

}  // namespace

Value newton_schulz(const Value& x, int steps) {
  const bool tall = x.shape()[0] > x.shape()[1];
  Value at = tall ? transpose(x) : x;
  for (int i = 0; i < steps; ++i) {
    const Value a = matmul(at, at, {.tb = true});
    const Value first = -4.775 * a, second = 2.0315 * matmul(a, a);
    const Value turned = matmul(first + second, at);
    at = 3.4445 * at + turned;
  }
  return tall ? transpose(at) : at;
}

void Muon::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  settings.half_open("momentum", momentum, 0, 1);
  settings.need(steps >= 1 && steps <= 100, fmt::format("steps must lie in [1, 100], got {}", steps));
  if (rms_rate) settings.above("rms_rate", *rms_rate, 0);
  if (weight_decay) settings.at_least("weight_decay", *weight_decay, 0);
  settings.keras_or_torch(convention);
}

Value Muon::next(Value w, Value g, Slots& slots) const {
  const bool keras = convention == Convention::keras;
  const double decay = weight_decay.value_or(keras ? 0.004 : 0.1);
  if (w.rank() != 2)
    return AdamW{.rate = rate, .convention = convention, .weight_decay = decay}.next(w, g, slots);
  w = decoupled(w, decay, rate, slots);

  const Value m = slots.slot("momentum"), mu = slots.number(momentum);
  Value next_m, u;
  if (keras) {
    next_m = mu * m + g;
    slots.update(m, next_m);
    u = nesterov ? g + mu * next_m : next_m;
  } else {
    next_m = averaged("momentum", momentum, g, slots);
    u = nesterov ? g + mu * (next_m - g) : next_m;
  }
  const Value norm = global_norm(std::span(&u, 1));
  const Value below = slots.rounded(keras ? norm + smallest_norm : max(norm, smallest_norm));
  const Value direction = newton_schulz(u / below, steps);

  const auto rows = static_cast<double>(w.shape()[0]), columns = static_cast<double>(w.shape()[1]);
  const std::optional<double> rms = keras ? rms_rate.value_or(0.2) : rms_rate;
  const double scale = rms ? *rms * std::sqrt(std::max(rows, columns)) : std::sqrt(std::max(1.0, rows / columns));
  return w - slots.shared(fmt::format("size {}", scale), [&] { return scale * slots.exact_rate(rate); }) * direction;
}

}  // namespace thalweg
