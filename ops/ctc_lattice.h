// SPDX-License-Identifier: Apache-2.0
// Private: the forward-backward algorithm that the meanings and the kernels of `ctc` and `ctc_backward` run.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "thalweg/graph/attrs.h"
#include "thalweg/graph/dual.h"
#include "thalweg/graph/type.h"

namespace thalweg {

/// Sizes of a ctc, and what they say of one sample's lengths and labels.
struct THALWEG_API CtcSizes {
  std::size_t frames, classes, labels;  ///< T, K, S
  std::int32_t blank;
  bool zero_infinity;

  CtcSizes(const Attrs& attrs, const Shape& logits, const Shape& label_shape);
  /// Throws RunError for lengths or labels of sample n that are out of range. False where the frames cannot spell the
  /// labels and zero_infinity makes that 0; without it, an error.
  bool check(std::size_t n, const std::int32_t* sample_labels, std::int32_t input_length,
             std::int32_t label_length) const;
  /// How many numbers a lattice needs.
  std::size_t memory() const { return frames * classes + (frames + 2) * (2 * labels + 1); }
};

/// One sample, over doubles or duals, in memory that is given. Probabilities are kept as logarithms. State 2i+1 is
/// label i, the even ones are blanks.
template <class S>
class CtcLattice {
 public:
  CtcLattice(const CtcSizes& sizes, S* memory, const std::int32_t* labels, std::int32_t input_length,
             std::int32_t label_length)
      : sizes_(sizes), labels_(labels), frames_(static_cast<std::size_t>(input_length)),
        states_(2 * static_cast<std::size_t>(label_length) + 1), logs_(memory),
        alpha_(memory + sizes.frames * sizes.classes), beta_(alpha_ + frames_ * states_) {}

  /// log of the probability of the labels; `logit(t, k)` reads the sample's logits.
  template <class Logit>
  S forward(Logit logit) {
    normalize(logit);
    for (std::size_t s = 0; s < states_; ++s) alpha_[s] = s < 2 ? log_of(0, s) : never();
    for (std::size_t t = 1; t < frames_; ++t)
      for (std::size_t s = 0; s < states_; ++s) {
        const S* before = alpha_ + (t - 1) * states_;
        S sum = before[s];
        if (s > 0) sum = log_add(sum, before[s - 1]);
        if (skips(s)) sum = log_add(sum, before[s - 2]);
        alpha_[t * states_ + s] = sum + log_of(t, s);
      }
    if (frames_ == 0) return states_ == 1 ? S(0) : never();
    const S* last = alpha_ + (frames_ - 1) * states_;
    return states_ == 1 ? last[0] : log_add(last[states_ - 1], last[states_ - 2]);
  }

  /// After forward: `put(t, k, slope)` for the slope of the loss -log(probability) by each logit of the frames in use,
  /// softmax less the probability that frame t is spent in a state of class k.
  template <class Put>
  void backward(const S& log_probability, Put put) {
    using std::exp;
    S *beta = beta_, *next = beta_ + states_;
    for (std::size_t t = frames_; t-- > 0;) {
      for (std::size_t s = 0; s < states_; ++s) {
        if (t + 1 == frames_) {
          beta[s] = s + 2 >= states_ ? S(0) : never();
          continue;
        }
        S sum = next[s] + log_of(t + 1, s);
        if (s + 1 < states_) sum = log_add(sum, next[s + 1] + log_of(t + 1, s + 1));
        if (s + 2 < states_ && skips(s + 2)) sum = log_add(sum, next[s + 2] + log_of(t + 1, s + 2));
        beta[s] = sum;
      }
      for (std::size_t k = 0; k < sizes_.classes; ++k) {
        S slope = exp(logs_[t * sizes_.classes + k]);
        for (std::size_t s = 0; s < states_; ++s)
          if (class_of(s) == k) slope -= exp(alpha_[t * states_ + s] + beta[s] - log_probability);
        put(t, k, slope);
      }
      std::swap(beta, next);
    }
  }

 private:
  static S never() { return S(-std::numeric_limits<double>::infinity()); }
  static S log_add(S a, S b) {
    using std::exp;
    using std::log1p;
    if (value_of(a) < value_of(b)) std::swap(a, b);
    if (value_of(b) == -std::numeric_limits<double>::infinity()) return a;
    return a + log1p(exp(b - a));
  }
  std::size_t class_of(std::size_t s) const {
    return static_cast<std::size_t>(s % 2 == 0 ? sizes_.blank : labels_[s / 2]);
  }
  const S& log_of(std::size_t t, std::size_t s) const { return logs_[t * sizes_.classes + class_of(s)]; }
  /// Whether state s may follow s - 2: a label after another one.
  bool skips(std::size_t s) const { return s % 2 == 1 && s >= 3 && class_of(s) != class_of(s - 2); }

  /// Log-softmax of every frame in use.
  template <class Logit>
  void normalize(Logit logit) {
    using std::exp;
    using std::log;
    for (std::size_t t = 0; t < frames_; ++t) {
      S largest = logit(t, 0);
      for (std::size_t k = 1; k < sizes_.classes; ++k)
        if (value_of(logit(t, k)) > value_of(largest)) largest = logit(t, k);
      S total = largest - largest;
      for (std::size_t k = 0; k < sizes_.classes; ++k) total += exp(logit(t, k) - largest);
      const S shift = largest + log(total);
      for (std::size_t k = 0; k < sizes_.classes; ++k) logs_[t * sizes_.classes + k] = logit(t, k) - shift;
    }
  }

  const CtcSizes& sizes_;
  const std::int32_t* labels_;
  std::size_t frames_, states_;
  S *logs_, *alpha_, *beta_;
};

}  // namespace thalweg
