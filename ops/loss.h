// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "thalweg/graph/graph.h"

namespace thalweg {

// Each loss is a number a sample: `mean` of it is the usual loss. weighted_mean weighs the samples. A loss never
// broadcasts: both sides have one shape and dtype, or, of sparse ones, the labels have that of the logits without the
// classes. Wrong targets are a RunError that names the sample (`check`).

/// Options of the two cross entropies.
struct CrossEntropyOptions {
  /// False: the prediction holds probabilities, as after a softmax. They are clipped to [1e-7, 1-1e-7] as tf.keras
  /// does; a prediction that is itself made by softmax over the last axis is instead taken back to its logits, which
  /// is more exact and faster, and shows in the graph's text.
  bool from_logits = true;
  /// s in [0,1): the target becomes (1-s) * target + s / C (Szegedy et al. 2016).
  double label_smoothing = 0;
  /// Samples of this label have loss and gradient 0 (sparse_cross_entropy; torch: ignore_index -100, Keras:
  /// ignore_class).
  std::optional<Dim> ignore_label = {};
  /// A factor for each class, at least 0, on its term of the sum, the smoothed ones included (torch's `weight`).
  std::vector<double> class_weights = {};
};

/// -log(softmax(logits)[label]) for each sample, never negative: logits [..,C], labels (i32, i64 or u8) [..], result
/// [..]. A label outside [0,C) is a RunError that names sample, label and range.
THALWEG_API Value sparse_cross_entropy(Operand logits, Operand labels, const CrossEntropyOptions& options = {});
/// The scalar that torch's cross_entropy means: the sum of sparse_cross_entropy, divided by the sum of the weights of
/// the labels that count (without weights: by how many count). 0 where none counts; torch has NaN there.
THALWEG_API Value mean_sparse_cross_entropy(Operand logits, Operand labels, const CrossEntropyOptions& options = {});
/// The weight of each label by `ignore_label` and `class_weights` of the options: what the mean above divides by.
THALWEG_API Value label_weights(Operand labels, Dim classes, const CrossEntropyOptions& options,
                                DType dtype = DType::f32);
/// -sum(target * log(softmax(logits))) over the last axis, for each sample: logits and target [..,C], result [..]. Each
/// line of the target is a distribution: at least 0, with sum 1 up to 2^-8.
THALWEG_API Value cross_entropy(Operand logits, Operand target, const CrossEntropyOptions& options = {});

struct BinaryCrossEntropyOptions {
  /// False: probabilities, clipped to [1e-7, 1-1e-7] (Keras); what sigmoid made is taken back to its logits.
  bool from_logits = true;
  double label_smoothing = 0;  ///< s in [0,1): the target becomes (1-s) * target + s/2
  double positive_weight = 1;  ///< factor on the term of the target itself, above 0 (torch's pos_weight)
};
/// mean(-t log p - (1-t) log(1-p)) over the last axis, p = sigmoid(logits), exact for every logit: [..,K] gives [..].
/// Targets are in [0,1].
THALWEG_API Value binary_cross_entropy(Operand prediction, Operand target,
    const BinaryCrossEntropyOptions& options = {});

struct FocalOptions {
  double gamma = 2;  ///< 0, or at least 1
  /// In [0,1]. Binary: factor on samples of target 1, and 1 - alpha on the others. Sparse: factor on all (Keras: 0.25).
  std::optional<double> alpha = {};
  bool from_logits = true;  ///< as in the cross entropies
  double label_smoothing = 0;
};
/// (1 - p_t)^gamma times binary_cross_entropy, p_t the probability of the truth (Lin et al. 2017): [..,K] gives [..].
THALWEG_API Value binary_focal_cross_entropy(Operand prediction, Operand target, const FocalOptions& options = {});
/// (1 - p_t)^gamma times sparse_cross_entropy, p_t = e^-loss: logits [..,C], labels [..].
THALWEG_API Value sparse_focal_cross_entropy(Operand logits, Operand labels, const FocalOptions& options = {});

struct KlOptions {
  /// False: probabilities; both sides are clipped to [1e-7, 1] (Keras). What softmax made is taken back to its logits.
  bool from_logits = true;
};
/// sum(t log(t / p)) over the last axis, p = softmax(logits), 0 log 0 = 0 (torch: kl_div, summed over classes). Each
/// line of the target is a distribution.
THALWEG_API Value kl_divergence(Operand prediction, Operand target, const KlOptions& options = {});

/// mean(max(1 - t p, 0)) over the last axis (Cortes, Vapnik 1995). Targets: all -1 and 1, or all 0 and 1: 0 means -1.
THALWEG_API Value hinge(Operand prediction, Operand target);
/// mean(max(1 - t p, 0)^2) over the last axis; targets as of hinge.
THALWEG_API Value squared_hinge(Operand prediction, Operand target);
/// max(0, 1 + max((1 - t) p) - sum(t p)) over the last axis (Keras); each line of the target is a distribution.
THALWEG_API Value categorical_hinge(Operand prediction, Operand target);

/// mean((prediction - target)^2) over the last axis, for each sample as in Keras: [..,K] gives [..]; of a scalar or of
/// one axis it is a scalar.
THALWEG_API Value mse(Operand prediction, Operand target);
/// mean(|prediction - target|) over the last axis.
THALWEG_API Value mae(Operand prediction, Operand target);
/// 100 * mean(|prediction - target| / max(|target|, 1e-7)) over the last axis.
THALWEG_API Value mape(Operand prediction, Operand target);
/// mean((log(1 + prediction) - log(1 + target))^2) over the last axis; both sides are first raised to 1e-7 (Keras).
THALWEG_API Value msle(Operand prediction, Operand target);
/// With e = |prediction - target|: mean of e^2/2 up to delta, delta*e - delta^2/2 beyond, over the last axis (Huber
/// 1964).
THALWEG_API Value huber(Operand prediction, Operand target, double delta = 1);
/// huber(beta) / beta (torch).
THALWEG_API Value smooth_l1(Operand prediction, Operand target, double beta = 1);
/// mean(log(cosh(prediction - target))) over the last axis, exact near 0 and far from it.
THALWEG_API Value log_cosh(Operand prediction, Operand target);

struct PoissonOptions {
  bool log_input = false;  ///< the prediction is the logarithm of the rate (torch's default)
};
/// mean(p - t log(p + 1e-7)) over the last axis (Keras), or mean(e^p - t p); targets are at least 0.
THALWEG_API Value poisson(Operand prediction, Operand target, const PoissonOptions& options = {});
/// -(cosine of the angle between prediction and target) along the last axis (Keras' CosineSimilarity loss; torch's is 1
/// more). A vector shorter than 1e-12 counts as one of that length.
THALWEG_API Value cosine_loss(Operand prediction, Operand target);

/// sum(losses * weights) / sum(weights), a scalar; 0 where the weights sum to 0 (Keras: mean_with_sample_weight).
/// Keras' usual sum_over_batch_size is mean(losses * weights).
THALWEG_API Value weighted_mean(Operand losses, Operand weights);

/// A label outside [0, classes): what every meaning and kernel throws. It knows where, so that whoever fed the labels
/// can say what they were.
class THALWEG_API LabelError : public RunError {
 public:
  /// `element` counts through labels of that shape; `sample` is what the message calls the first axis' index by.
  LabelError(std::string op, Shape labels, Dim element, Dim label, Dim classes, SourceLoc loc = {},
             std::string sample = {});
  /// The index along the labels' first axis.
  Dim row() const { return element_ / (labels_.elements() / labels_[0]); }
  const Shape& labels() const { return labels_; }
  /// The same with the line of the op.
  LabelError at(SourceLoc loc) const { return {op_, labels_, element_, label_, classes_, loc, {}}; }
  /// The same with another word for the row.
  LabelError called(std::string sample) const {
    return {op_, labels_, element_, label_, classes_, where(), std::move(sample)};
  }

 private:
  std::string op_;
  Shape labels_;
  Dim element_, label_, classes_;
};

}  // namespace thalweg
