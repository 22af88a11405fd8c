// SPDX-License-Identifier: Apache-2.0
// Losses of numbers against numbers: each the mean over the last axis, for each sample.
#include <cmath>
#include <numbers>

#include "thalweg/ops/check.h"
#include "thalweg/ops/loss.h"
#include "thalweg/ops/loss_rules.h"
#include "thalweg/ops/make.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"

namespace thalweg {
namespace {

/// mean_last(f(prediction, target)), its nodes at the line of the prediction.
template <class F>
Value mean_of(std::string_view loss, const Operand& prediction, const Operand& target, F f) {
  need_match(loss, prediction, target);
  const Frame frame(prediction.value.graph(), {.loc = prediction.loc});
  return mean_last(f(prediction.value, target.value));
}

/// e^2/2 up to delta, from there on a line: of e = |p - t|. q is the part of e that counts squared.
Value huber_of(const Value& p, const Value& t, double delta) {
  const Value e = abs(p - t), q = clip(e, {.high = delta});
  return 0.5 * square(q) + delta * (e - q);
}

}  // namespace

Value mse(Operand prediction, Operand target) {
  return mean_of("mse", prediction, target, [](const Value& p, const Value& t) { return square(p - t); });
}

Value mae(Operand prediction, Operand target) {
  return mean_of("mae", prediction, target, [](const Value& p, const Value& t) { return abs(p - t); });
}

Value mape(Operand prediction, Operand target) {
  return mean_of("mape", prediction, target, [](const Value& p, const Value& t) {
    return abs(p - t) / clip(abs(t), {.low = probability_margin}) * 100.0;
  });
}

Value msle(Operand prediction, Operand target) {
  return mean_of("msle", prediction, target, [](const Value& p, const Value& t) {
    const auto log_of = [](const Value& x) { return log1p(clip(x, {.low = probability_margin})); };
    return square(log_of(p) - log_of(t));
  });
}

Value huber(Operand prediction, Operand target, double delta) {
  need_above_zero(delta, "huber", "delta", prediction.loc);
  return mean_of("huber", prediction, target, [&](const Value& p, const Value& t) { return huber_of(p, t, delta); });
}

Value smooth_l1(Operand prediction, Operand target, double beta) {
  need_above_zero(beta, "smooth_l1", "beta", prediction.loc);
  return mean_of("smooth_l1", prediction, target,
                 [&](const Value& p, const Value& t) { return huber_of(p, t, beta) * (1 / beta); });
}

Value log_cosh(Operand prediction, Operand target) {
  return mean_of("log_cosh", prediction, target, [](const Value& p, const Value& t) {
    // |e| + log(1 + e^-2|e|) - log 2 loses all digits near 0; there cosh^2 = 1 / (1 - tanh^2) keeps them.
    const Value e = p - t, size = abs(e);
    const Value far = size + softplus(size * -2.0) - std::numbers::ln2;
    const Value close = log1p(-square(tanh(clip(e, {.low = -1, .high = 1})))) * -0.5;
    return select(less(size, 1.0), close, far);
  });
}

Value poisson(Operand prediction, Operand target, const PoissonOptions& options) {
  need_match("poisson", prediction, target);
  const Frame frame(prediction.value.graph(), {.loc = prediction.loc});
  const Value p = prediction.value, t = check_target(target, CheckRule::non_negative, "poisson");
  return mean_last(options.log_input ? exp(p) - t * p : p - t * log(p + probability_margin));
}

Value cosine_loss(Operand prediction, Operand target) {
  need_lines("cosine_loss", prediction, target);
  const Frame frame(prediction.value.graph(), {.loc = prediction.loc});
  const auto unit = [](const Value& x) {
    // A vector shorter than 1e-12 counts as one of that length: nothing is divided by 0.
    return x * rsqrt(clip(sum_last(square(x), true), {.low = 1e-24}));
  };
  return neg(sum_last(unit(prediction.value) * unit(target.value)));
}

}  // namespace thalweg
