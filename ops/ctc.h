// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "thalweg/graph/graph.h"

namespace thalweg {

struct CtcOptions {
  Dim blank = 0;  ///< the class that stands for "no label"
  /// How many of the T frames, and of the S labels, a sample has: integers [N]. Left out, all.
  std::optional<Value> input_lengths = {};
  std::optional<Value> label_lengths = {};
  /// Loss and gradient 0 for a sample with too few frames for its labels, as torch's zero_infinity; else it is an
  /// error.
  bool zero_infinity = false;
};

/// Connectionist temporal classification (Graves et al. 2006), for each sample: -log of the probability that the frames
/// spell the labels, summed over all alignments. logits [N,T,K] (not yet normalized, unlike torch's log_probs), labels
/// [N,S] of integers in [0,K) other than `blank`, result [N]. There is a first derivative, by an op of its own, and no
/// second one. Errors at the run name the sample: a label out of range, a length out of range, and too few frames (one
/// a label, and one between two equal ones). Keras and torch: blank 0.
THALWEG_API Value ctc(Operand logits, Operand labels, const CtcOptions& options = {});

}  // namespace thalweg
