// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// Options of the two cross entropies.
struct CrossEntropyOptions {
  /// False: the prediction holds probabilities, as after a softmax. They are clipped to [1e-7, 1-1e-7] as tf.keras
  /// does; a prediction that is itself made by softmax over the last axis is instead taken back to its logits, which
  /// is more exact and faster, and shows in the graph's text.
  bool from_logits = true;
  /// s in [0,1): the target becomes (1-s) * target + s / C.
  double label_smoothing = 0;
};

/// -log(softmax(logits)[label]) for each sample, never negative: logits [..,C], labels (i32, i64 or u8) [..], result
/// [..]. `mean` of it is the usual loss. A label outside [0,C) is a RunError that names sample, label and range.
THALWEG_API Value sparse_cross_entropy(Operand logits, Operand labels, const CrossEntropyOptions& options = {});
/// -sum(target * log(softmax(logits))) over the last axis, for each sample: logits and target [..,C], result [..].
THALWEG_API Value cross_entropy(Operand logits, Operand target, const CrossEntropyOptions& options = {});

/// mean((prediction - target)^2) over the last axis, for each sample as in Keras: [..,K] gives [..]; of a scalar or of
/// one axis it is a scalar. Both must be of one shape: a loss never broadcasts.
THALWEG_API Value mse(Operand prediction, Operand target);
/// mean(|prediction - target|) over the last axis, for each sample; shapes as for mse.
THALWEG_API Value mae(Operand prediction, Operand target);

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
