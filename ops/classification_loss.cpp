// SPDX-License-Identifier: Apache-2.0
// Losses of yes and no, of margins and of distributions, in the vocabulary's ops.
#include <cmath>

#include "thalweg/ops/check.h"
#include "thalweg/ops/index.h"
#include "thalweg/ops/loss.h"
#include "thalweg/ops/loss_rules.h"
#include "thalweg/ops/make.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/softmax.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

Value clipped(const Value& p) { return clip(p, {.low = probability_margin, .high = 1 - probability_margin}); }

/// -t log(sigmoid(x)) * weight - (1-t) log(1 - sigmoid(x)): both logarithms are softplus, so nothing cancels, neither
/// here nor in the slope.
Value cross_entropy_of_logits(const Value& x, const Value& t, double positive_weight) {
  const Value yes = t * softplus(-x), no = (1.0 - t) * softplus(x);
  return (positive_weight == 1 ? yes : positive_weight * yes) + no;
}

/// What a binary loss sees: logits, or else probabilities.
struct Binary {
  Value logits, probabilities, target;
};

Binary binary_sides(std::string_view loss, const Operand& prediction, const Operand& target, bool from_logits,
                    double label_smoothing) {
  need_match(loss, prediction, target);
  need_smoothing(label_smoothing, loss, prediction.loc);
  Binary sides{.logits = {}, .probabilities = {}, .target = check_target(target, CheckRule::unit_interval, loss)};
  if (label_smoothing != 0) sides.target = (1 - label_smoothing) * sides.target + label_smoothing / 2;
  if (from_logits) sides.logits = prediction.value;
  else if (const Value before = before_activation(prediction.value, "sigmoid")) sides.logits = before;
  else sides.probabilities = clipped(prediction.value);
  return sides;
}

Value cross_entropy_of(const Binary& sides, double positive_weight) {
  if (sides.logits) return cross_entropy_of_logits(sides.logits, sides.target, positive_weight);
  const Value &p = sides.probabilities, &t = sides.target;
  const Value yes = t * log(p), no = (1.0 - t) * log(1.0 - p);
  return neg((positive_weight == 1 ? yes : positive_weight * yes) + no);
}

void need_focus(const FocalOptions& options, std::string_view loss, SourceLoc loc) {
  // Between 0 and 1 the slope is infinite where the prediction is certain.
  if (!(options.gamma == 0 || options.gamma >= 1) || std::isinf(options.gamma))
    graph_error(loc, "{}: gamma is {}, must be 0, or finite and at least 1", loss, options.gamma);
  if (options.alpha && !(*options.alpha >= 0 && *options.alpha <= 1))
    graph_error(loc, "{}: alpha is {}, must be in [0, 1]", loss, *options.alpha);
}

/// The labels -1 and 1 of a hinge, where 0 stands for -1.
Value signs_of(const Operand& target, std::string_view loss) {
  const Value t = check_target(target, CheckRule::signs, loss);
  return select(equal(t, 0.0), -1.0, t);
}

}  // namespace

Value binary_cross_entropy(Operand prediction, Operand target, const BinaryCrossEntropyOptions& options) {
  need_above_zero(options.positive_weight, "binary_cross_entropy", "positive_weight", prediction.loc);
  if (prediction.is_number() || target.is_number()) need_match("binary_cross_entropy", prediction, target);
  const Frame frame(prediction.value.graph(), {.loc = prediction.loc});
  const Binary sides =
      binary_sides("binary_cross_entropy", prediction, target, options.from_logits, options.label_smoothing);
  return mean_last(cross_entropy_of(sides, options.positive_weight));
}

Value binary_focal_cross_entropy(Operand prediction, Operand target, const FocalOptions& options) {
  constexpr std::string_view name = "binary_focal_cross_entropy";
  need_focus(options, name, prediction.loc);
  if (prediction.is_number() || target.is_number()) need_match(name, prediction, target);
  const Frame frame(prediction.value.graph(), {.loc = prediction.loc});
  const Binary sides = binary_sides(name, prediction, target, options.from_logits, options.label_smoothing);
  const Value& t = sides.target;
  // 1 less the probability of the truth.
  const Value missed = sides.logits ? t * sigmoid(-sides.logits) + (1.0 - t) * sigmoid(sides.logits)
                                    : t * (1.0 - sides.probabilities) + (1.0 - t) * sides.probabilities;
  Value loss = cross_entropy_of(sides, 1);
  if (options.gamma != 0) loss = pow(missed, options.gamma) * loss;
  if (options.alpha) loss = (t * *options.alpha + (1.0 - t) * (1 - *options.alpha)) * loss;
  return mean_last(loss);
}

Value sparse_focal_cross_entropy(Operand logits, Operand labels, const FocalOptions& options) {
  constexpr std::string_view name = "sparse_focal_cross_entropy";
  need_focus(options, name, logits.loc);
  const Value each = sparse_cross_entropy(
      logits, labels, {.from_logits = options.from_logits, .label_smoothing = options.label_smoothing});
  const Frame frame(logits.value.graph(), {.loc = logits.loc});
  Value loss = each;
  // The loss is -log of the probability of the label: 1 - p is -expm1(-loss), exact where p is near 1.
  if (options.gamma != 0) loss = pow(neg(expm1(-each)), options.gamma) * loss;
  return options.alpha ? *options.alpha * loss : loss;
}

Value kl_divergence(Operand prediction, Operand target, const KlOptions& options) {
  need_lines("kl_divergence", prediction, target);
  const Frame frame(prediction.value.graph(), {.loc = prediction.loc});
  const Value t = check_target(target, CheckRule::distribution, "kl_divergence");
  Value logits = options.from_logits ? prediction.value : before_activation(prediction.value, "softmax");
  // 0 log 0 is 0.
  if (logits) return sum_last(mul_no_nan(t, log(t)) - t * log_softmax(logits));
  const auto held = [](const Value& x) { return clip(x, {.low = probability_margin, .high = 1}); };
  return sum_last(held(t) * log(held(t) / held(prediction.value)));
}

Value hinge(Operand prediction, Operand target) {
  need_match("hinge", prediction, target);
  const Frame frame(prediction.value.graph(), {.loc = prediction.loc});
  return mean_last(relu(1.0 - signs_of(target, "hinge") * prediction.value));
}

Value squared_hinge(Operand prediction, Operand target) {
  need_match("squared_hinge", prediction, target);
  const Frame frame(prediction.value.graph(), {.loc = prediction.loc});
  return mean_last(square(relu(1.0 - signs_of(target, "squared_hinge") * prediction.value)));
}

Value categorical_hinge(Operand prediction, Operand target) {
  need_lines("categorical_hinge", prediction, target);
  const Frame frame(prediction.value.graph(), {.loc = prediction.loc});
  const Value t = check_target(target, CheckRule::distribution, "categorical_hinge"), p = prediction.value;
  return relu(max((1.0 - t) * p, {.axes = {-1}}) - sum_last(t * p) + 1.0);
}

Value weighted_mean(Operand losses, Operand weights) {
  need_match("weighted_mean", losses, weights);
  const Frame frame(losses.value.graph(), {.loc = losses.loc});
  const auto total = [](const Value& x) { return x.rank() == 0 ? x : sum(x); };
  const Value weight = total(weights.value);
  return total(losses.value * weights.value) / select(equal(weight, 0.0), 1.0, weight);
}

}  // namespace thalweg
