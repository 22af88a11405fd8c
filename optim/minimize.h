// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/optim/clip.h"
#include "thalweg/optim/optimizer.h"
#include "thalweg/optim/regularizer.h"

namespace thalweg {

struct MinimizeOptions {
  /// Added to the loss once for each penalized variable, and so clipped with the gradients.
  Regularizer penalty = {};
  /// Which variables are penalized; without it those of rank 2 and more: kernels, not biases or scales.
  std::function<bool(const Value& variable)> penalize = {};
  Clip clip = {};
  /// The variables that learn; empty: every trainable variable that the loss depends on (stop_gradient cuts).
  std::vector<Value> variables = {};
};

/// What `minimize` built, for outputs and further use.
struct Minimized {
  Value loss;                         ///< what is minimized: the data loss and the penalties
  Value penalty;                      ///< the sum of the penalties; empty without any
  Value rate;                         ///< the learning rate at this step, f64; empty if the rule asks for none
  std::vector<Value> variables;       ///< what learns, in order of creation
  std::vector<Value> raw_gradients;   ///< of each variable, before clipping
  std::vector<Value> gradients;       ///< of each variable, as the optimizer sees them
};

/// Makes a training graph: appends the gradients of `loss`, and says how each variable is updated at the end of a step.
/// Order: data loss, + penalties at the present weights, gradients of the sum, clipping, the update rule with the rate
/// at `step`, step + 1. All values of a step are from before its updates, which commit together.
/// `loss` is a float scalar. Errors, at the caller's line: a loss that is no float scalar or reaches no trainable
/// variable, a variable that is already updated or given twice, a setting of the optimizer out of its range, a penalty
/// or an update of the wrong type. A refused call leaves the graph as it was.
THALWEG_API Minimized minimize(const Value& loss, const Optimizer& optimizer, const MinimizeOptions& options = {},
                               SourceLoc loc = SourceLoc::current());

}  // namespace thalweg
