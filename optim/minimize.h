// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "thalweg/graph/function.h"
#include "thalweg/graph/graph.h"
#include "thalweg/optim/clip.h"
#include "thalweg/optim/constraint.h"
#include "thalweg/optim/optimizer.h"
#include "thalweg/optim/regularizer.h"

namespace thalweg {

/// Says of a variable whether something is for it.
using Which = Function<bool(const Value& variable)>;
/// Those whose name contains the text: `named("bias")`.
THALWEG_API Which named(std::string text);

/// Variables that learn otherwise than the rest.
struct ParameterGroup {
  Which of = {};                               ///< which they are; a group without any is an error
  double rate = 1;                             ///< multiplies the rate; above 0
  bool decay = true;                           ///< false: no weight decay, whoever asks for it
  bool frozen = false;                         ///< they do not learn at all: no gradient, no penalty, no slot
  std::optional<Optimizer> optimizer = {};     ///< in the place of minimize's
  std::optional<Regularizer> penalty = {};     ///< on each of them, in the place of MinimizeOptions::penalty
  std::optional<Constraint> constraint = {};   ///< on each of them, in the place of MinimizeOptions::constraint
};

/// What happens to a step whose loss or gradients (before clipping) are infinite or NaN.
enum class NonFinite : std::uint8_t {
  propagate,  ///< it goes on: weights become NaN, and fit() throws Diverged
  skip,       ///< none of the graph's updates is made, nor the step counted; the variable `skipped_steps` counts it
  fail        ///< RunError that names the loss or the variable; nothing is updated
};

/// By what the loss is multiplied before gradients are taken. They are divided by it again before anything looks at
/// them: what is small does not become 0 on its way through a narrow dtype (Micikevicius et al. 2018; Keras:
/// LossScaleOptimizer, torch: GradScaler).
struct LossScale {
  double initial = 32768;  ///< above 0; torch's is 65536
  /// So many finite steps in a row multiply the scale by `factor`; a step that is not finite is skipped, and divides by
  /// it. 0: the scale stays.
  int growth_steps = 2000;
  double factor = 2;  ///< above 1; powers of 2 round nothing
};

struct MinimizeOptions {
  /// Added to the loss once for each penalized variable, and so clipped with the gradients.
  Regularizer penalty = {};
  /// Which variables are penalized; without it those of rank 2 and more: kernels, not biases or scales.
  Which penalize = {};
  Clip clip = {};
  /// Decoupled weight decay of every variable, biases too (a ParameterGroup leaves some out): w −= rate·decay·w before
  /// the update, not clipped (Loshchilov & Hutter 2019). For any rule that has a rate; in addition to the rule's own.
  double weight_decay = 0;
  NonFinite non_finite = NonFinite::propagate;
  /// One that adapts lives in the variables `loss_scale` (f64[]) and `loss_scale/good_steps`, and takes
  /// NonFinite::skip for the policy.
  std::optional<LossScale> loss_scale = {};
  /// Keeps an average of each variable in `average/<variable>`: how much of the new weights, at that step, goes into
  /// it. inference() reads averages in the place of variables. `ema(0.999)`, `equal_average()`, or any Schedule.
  std::optional<Schedule> average = {};
  /// Where variables may be after the update.
  Constraint constraint = {};
  /// Which variables are constrained; without it those of rank 2 and more.
  Which constrain = {};
  /// Of several that a variable belongs to, the first counts.
  std::vector<ParameterGroup> groups = {};
  /// The variables that learn; empty: every trainable variable that the loss depends on (stop_gradient cuts).
  std::vector<Value> variables = {};
};

/// Exponential average: a = momentum·a + (1 − momentum)·w, w after the first update (Keras' use_ema; Polyak 1992).
/// Error: momentum not in [0, 1).
THALWEG_API Schedule ema(double momentum, SourceLoc loc = SourceLoc::current());
/// The mean of the weights after each update from step `from` on (stochastic weight averaging, Izmailov et al. 2018;
/// torch's AveragedModel); before that the weights themselves.
THALWEG_API Schedule equal_average(std::int64_t from = 0, SourceLoc loc = SourceLoc::current());

/// What `minimize` built, for outputs and further use.
struct Minimized {
  Value loss;                         ///< what is minimized: the data loss and the penalties
  Value penalty;                      ///< the sum of the penalties; empty without any
  Value rate;                         ///< the learning rate at this step, f64; empty if the rule asks for none
  Value finite;                       ///< bool: loss and gradients are finite; empty for NonFinite::propagate
  std::vector<Value> variables;       ///< what learns, in order of creation
  std::vector<Value> raw_gradients;   ///< of each variable, before clipping; without the loss scale
  std::vector<Value> gradients;       ///< of each variable, as the optimizer sees them
  /// What happens in a step, in order: `loss`, `penalty`, `loss scale`, `gradients`, `finite: skip`, `clip`, `decay`,
  /// `adam`, `average`, `constraint`, `step + 1`; those that were asked for. The graph's nodes come in this order.
  std::vector<std::string> order;
};

/// Makes a training graph: appends the gradients of `loss`, and says how each variable is updated at the end of a step.
/// Order: data loss; + penalties at the present weights; gradients of the sum, by way of the loss scale; whether they
/// are finite; clipping, of the penalties' gradients too; decoupled weight decay, which is not clipped; the update rule
/// with the rate at `step`; the average of the weights; their constraint; step + 1. All values of a step are those
/// before its updates, which commit together.
/// `loss` is a float scalar; a `note` in the graph says that it is the objective. Errors, at the caller's line: a loss
/// that is no float scalar or reaches no trainable variable, a variable that is already updated or given twice, a
/// setting out of its range, a penalty, update or constraint of the wrong type, a group without variables. A refused call
/// leaves the graph as it was.
THALWEG_API Minimized minimize(const Value& loss, const Optimizer& optimizer, const MinimizeOptions& options = {},
                               SourceLoc loc = SourceLoc::current());

}  // namespace thalweg
