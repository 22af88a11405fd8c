// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/metric.h"

#include <cmath>

#include "thalweg/ops/index.h"
#include "thalweg/ops/loss_rules.h"
#include "thalweg/ops/make.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

constexpr OpDef sample_mean_op{
    .name = "sample_mean", .arity = 1, .fusion = Fusion::movement,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) { return v.dy(); }),
    .eval = [](auto& e) { e.each([](auto x) { return x; }); },
};

/// a / b, or 0 where b is 0.
Value quotient(const Value& a, const Value& b) { return a / select(equal(b, 0.0), 1.0, b); }

Value mean_of_all(const Value& x) { return x.rank() == 0 ? x : mean(x); }
/// The share of the elements that are true, over all samples.
Value share_of(const Value& truth) { return sample_mean(mean_of_all(cast(truth, DType::f32))); }

void need_values(std::string_view what, const Operand& scores, const Operand& target) {
  for (const Operand& operand : {scores, target})
    if (operand.is_number()) graph_error(scores.loc, "{}: both sides must be values of a graph, one is a number", what);
}

void need_equal_shapes(std::string_view what, const Operand& scores, const Operand& target) {
  need_values(what, scores, target);
  if (scores.value.shape() != target.value.shape())
    graph_error(scores.loc, "{}: shapes do not match: {} and {}\n    a  {}\n    b  {}", what,
                to_string(scores.value.shape()), to_string(target.value.shape()), describe(scores.value),
                describe(target.value));
}

void need_labels(std::string_view what, const Operand& scores, const Operand& labels) {
  need_values(what, scores, labels);
  const Shape& shape = scores.value.shape();
  if (shape.rank() < 1)
      graph_error(scores.loc, "{}: scores must have a last axis of classes\n    a  {}", what, describe(scores.value));
  const Shape samples(std::span(shape.begin(), shape.rank() - 1));
  if (labels.value.shape() != samples || !is_integer(labels.value.dtype()))
    graph_error(scores.loc, "{}: labels must be integers {}, are {}\n    a  {}\n    b  {}", what, to_string(samples),
                to_string(labels.value.type()), describe(scores.value), describe(labels.value));
}

/// What is so (target > 1/2), as bool: integers by way of f32.
Value truth_of(const Value& target) {
  return greater(is_float(target.dtype()) ? target : cast(target, DType::f32), 0.5);
}

}  // namespace

Value sample_mean(Operand x) { return make(sample_mean_op, {std::move(x)}); }

Value top_k_accuracy(Operand scores, Operand labels, Dim k) {
  need_labels("top_k_accuracy", scores, labels);
  const Dim classes = scores.value.shape().back();
  if (k < 1 || k > classes) graph_error(scores.loc, "top_k_accuracy: k is {}, must be in [1, {}]", k, classes);
  const Frame frame(scores.value.graph(), {.loc = scores.loc, .scope = "top_k_accuracy"});
  const Value& x = scores.value;
  std::vector<Dim> dims = labels.value.shape().vector();
  dims.push_back(1);
  const Value label = reshape_to(cast(labels.value, DType::i32), Shape(dims));
  const Value at_label = sum(select(one_hot(labels, classes, DType::boolean), x, 0.0),
      {.axes = {-1}, .keep_dims = true});
  // Who stands before the label: larger scores, and equal ones of classes before it. Not being at most the label's
  // score also holds of all where that is NaN.
  std::vector<double> numbers;
  for (Dim c = 0; c < classes; ++c) numbers.push_back(static_cast<double>(c));
  const Value before = less(constant(x.graph(), numbers, {DType::i32, Shape{classes}}), label);
  const Value ahead = logical_or(logical_not(less_equal(x, at_label)), logical_and(equal(x, at_label), before));
  const Value rank = sum(cast(ahead, DType::f32), {.axes = {-1}});
  return share_of(less(rank, static_cast<double>(k)));
}

Value categorical_accuracy(Operand scores, Operand target) {
  need_equal_shapes("categorical_accuracy", scores, target);
  if (scores.value.rank() == 0)
    graph_error(scores.loc, "categorical_accuracy: scores must have a last axis of classes\n    a  {}",
        describe(scores.value));
  const Frame frame(scores.value.graph(), {.loc = scores.loc, .scope = "categorical_accuracy"});
  const Value truth = argmax(target), guess = argmax(scores);
  return share_of(equal(guess, truth));
}

namespace {

/// What the metrics of two kinds are given.
void need_two_kinds(std::string_view what, const Operand& scores, const Operand& target, double threshold) {
  need_equal_shapes(what, scores, target);
  if (!std::isfinite(threshold)) graph_error(scores.loc, "{}: threshold is {}, must be finite", what, threshold);
}

}  // namespace

BinaryCounts binary_counts(Operand scores, Operand target, double threshold) {
  need_two_kinds("binary_counts", scores, target, threshold);
  const Frame frame(scores.value.graph(), {.loc = scores.loc});
  const Value said = greater(scores, threshold), is = truth_of(target.value);
  const Value denied = logical_not(said), is_not = logical_not(is);
  return {share_of(logical_and(said, is)), share_of(logical_and(said, is_not)), share_of(logical_and(denied, is)),
          share_of(logical_and(denied, is_not))};
}

Value precision(Operand scores, Operand target, double threshold) {
  need_two_kinds("precision", scores, target, threshold);
  const Frame frame(scores.value.graph(), {.loc = scores.loc, .scope = "precision"});
  const BinaryCounts n = binary_counts(scores, target, threshold);
  return quotient(n.true_positives, n.true_positives + n.false_positives);
}

Value recall(Operand scores, Operand target, double threshold) {
  need_two_kinds("recall", scores, target, threshold);
  const Frame frame(scores.value.graph(), {.loc = scores.loc, .scope = "recall"});
  const BinaryCounts n = binary_counts(scores, target, threshold);
  return quotient(n.true_positives, n.true_positives + n.false_negatives);
}

Value f_score(Operand scores, Operand target, double beta, double threshold) {
  need_two_kinds("f_score", scores, target, threshold);
  need_above_zero(beta, "f_score", "beta", scores.loc);
  const Frame frame(scores.value.graph(), {.loc = scores.loc, .scope = "f_score"});
  const BinaryCounts n = binary_counts(scores, target, threshold);
  const Value hits = n.true_positives * (1 + beta * beta);
  return quotient(hits, hits + n.false_negatives * (beta * beta) + n.false_positives);
}

Value auc(Operand scores, Operand target, Dim thresholds) {
  need_equal_shapes("auc", scores, target);
  if (thresholds < 3 || thresholds > 100000)
    graph_error(scores.loc, "auc: thresholds is {}, must be in [3, 100000]", thresholds);
  const Frame frame(scores.value.graph(), {.loc = scores.loc, .scope = "auc"});
  const Dim elements = scores.value.shape().elements();
  // The ends lie outside of [0,1], so that the first threshold passes everything and the last nothing.
  std::vector<double> at{-probability_margin};
  for (Dim i = 1; i + 1 < thresholds; ++i) at.push_back(static_cast<double>(i) / static_cast<double>(thresholds - 1));
  at.push_back(1 + probability_margin);
  const Value lines = constant(scores.value.graph(), at, {scores.value.dtype(), Shape{thresholds}});
  const Value passed = greater(reshape_to(scores, Shape{elements, 1}), lines);
  const Value is = reshape_to(truth_of(target.value), Shape{elements, 1});
  const auto rate = [&](const Value& kind) {
    const Value share = sample_mean(mean(cast(kind, DType::f32)));
    return quotient(sample_mean(mean(cast(logical_and(passed, kind), DType::f32), {.axes = {0}})), share);
  };
  const Value hits = rate(is), alarms = rate(logical_not(is));
  const auto part = [&](const Value& x, Dim first) { return slice(x, {first}, {first + thresholds - 1}); };
  return sum((part(alarms, 0) - part(alarms, 1)) * (part(hits, 0) + part(hits, 1))) * 0.5;
}

Value confusion_shares(Operand scores, Operand labels) {
  need_labels("confusion_shares", scores, labels);
  const Frame frame(scores.value.graph(), {.loc = scores.loc, .scope = "confusion_shares"});
  const Dim classes = scores.value.shape().back(), samples = labels.value.shape().elements();
  const auto marked = [&](const Value& which) { return reshape_to(one_hot(which, classes), Shape{samples, classes}); };
  const Value is = marked(labels.value);
  return sample_mean(matmul(is, marked(argmax(scores)), {.ta = true}) / sum(is));
}

MacroScores macro_scores(Operand scores, Operand labels) {
  need_labels("macro_scores", scores, labels);
  const Frame frame(scores.value.graph(), {.loc = scores.loc, .scope = "macro_scores"});
  const Value shares = confusion_shares(scores, labels);
  const Dim classes = shares.shape()[0];
  std::vector<double> diagonal(static_cast<std::size_t>(classes * classes));
  for (Dim c = 0; c < classes; ++c) diagonal[static_cast<std::size_t>(c * (classes + 1))] = 1;
  const Value hits = sum(shares * constant(shares.graph(), diagonal, shares.type()), {.axes = {0}});
  const Value said = sum(shares, {.axes = {0}}), is = sum(shares, {.axes = {1}});
  return {mean(quotient(hits, said)), mean(quotient(hits, is)), mean(quotient(hits * 2, said + is))};
}

Value rmse(Operand prediction, Operand target) {
  need_match("rmse", prediction, target);
  const Frame frame(prediction.value.graph(), {.loc = prediction.loc, .scope = "rmse"});
  return sqrt(sample_mean(mean_of_all(square(prediction.value - target.value))));
}

Value r2(Operand prediction, Operand target) {
  need_match("r2", prediction, target);
  const Frame frame(prediction.value.graph(), {.loc = prediction.loc, .scope = "r2"});
  const Value &p = prediction.value, &t = target.value;
  const Value left = sample_mean(mean_of_all(square(p - t)));
  const Value variance = sample_mean(mean_of_all(square(t))) - square(sample_mean(mean_of_all(t)));
  return select(equal(variance, 0.0), 0.0, 1.0 - quotient(left, variance));
}

OpList metric_ops() { return {&sample_mean_op}; }

}  // namespace thalweg
