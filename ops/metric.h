// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/graph.h"

namespace thalweg {

// What is watched while training, as scalars of the graph that `fit` and `evaluate` report for all samples of an epoch
// or data set: an output that is a mean over samples is averaged, each step weighing what it held. A quotient or a root
// of means is none; such metrics are written with `sample_mean`. Nothing of them is copied out of a step but these
// numbers.

/// x within a step. Where steps are put together, x is first averaged over all samples and what is computed from it is
/// computed from the average: sqrt(sample_mean(mean(mse(y, t)))) is the root mean square of the whole data set. Float.
/// The gradient goes through.
THALWEG_API Value sample_mean(Operand x);

/// Share of samples, as an f32 scalar, whose label is among the k largest scores: scores [..,C], labels (integers)
/// [..]. Of equal scores the first count. 1 <= k <= C.
THALWEG_API Value top_k_accuracy(Operand scores, Operand labels, Dim k = 5);
/// Share of samples whose largest score is where the largest of the target is: both [..,C]; the first of equal ones.
THALWEG_API Value categorical_accuracy(Operand scores, Operand target);

/// Shares of all elements, as f32 scalars, by what they are (target > 1/2) and what is predicted (score > threshold).
struct BinaryCounts {
  Value true_positives, false_positives, false_negatives, true_negatives;
};
/// scores and target of one shape, target a float or an integer; threshold 0.5 for probabilities, 0 for logits.
THALWEG_API BinaryCounts binary_counts(Operand scores, Operand target, double threshold = 0.5);
/// True positives among the predicted ones; 0 where none is predicted. Operands as of binary_counts.
THALWEG_API Value precision(Operand scores, Operand target, double threshold = 0.5);
/// True positives among the positives; 0 where there is none.
THALWEG_API Value recall(Operand scores, Operand target, double threshold = 0.5);
/// (1 + beta^2) * precision * recall / (beta^2 * precision + recall); 0 where both are 0. beta > 0.
THALWEG_API Value f_score(Operand scores, Operand target, double beta = 1, double threshold = 0.5);
/// Area under the receiver operating characteristic, by trapezoids between `thresholds` thresholds even in [0,1]
/// (Keras: AUC, 200): scores are probabilities. 0 where one of the two kinds is missing. thresholds >= 3.
THALWEG_API Value auc(Operand scores, Operand target, Dim thresholds = 200);

/// Shares of all samples, f32 [C,C], by label (row) and largest score (column): scores [..,C], labels (integers) [..].
THALWEG_API Value confusion_shares(Operand scores, Operand labels);
/// Precision, recall and F1 of each class against the others, averaged over all C classes; what a class lacks counts 0.
struct MacroScores {
  Value precision, recall, f1;
};
THALWEG_API MacroScores macro_scores(Operand scores, Operand labels);

/// Root of the mean of (prediction - target)^2 over all elements; one shape and float dtype.
THALWEG_API Value rmse(Operand prediction, Operand target);
/// 1 - sum((prediction - target)^2) / sum((target - mean(target))^2) over all elements: the share of the variance that
/// is explained. 0 where the target does not vary.
THALWEG_API Value r2(Operand prediction, Operand target);

}  // namespace thalweg
