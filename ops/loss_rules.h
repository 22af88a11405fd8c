// SPDX-License-Identifier: Apache-2.0
// Private: what the losses have in common.
#pragma once

#include <string_view>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// keras.config.epsilon(): probabilities are held this far from 0 and 1.
inline constexpr double probability_margin = 1e-7;

/// Throws GraphError at the line of the prediction unless both sides are values of one shape and one float dtype.
void need_match(std::string_view loss, const Operand& prediction, const Operand& target);
/// The same of a loss along the last axis: there must be one.
void need_lines(std::string_view loss, const Operand& prediction, const Operand& target);
/// Throws GraphError for a label smoothing outside [0,1).
void need_smoothing(double smoothing, std::string_view loss, SourceLoc loc);
/// Throws GraphError for a number that is not finite, or not above 0.
void need_above_zero(double x, std::string_view loss, std::string_view option, SourceLoc loc);

/// Mean over the last axis; of a scalar itself.
Value mean_last(const Value& x);
/// Sum over the last axis.
Value sum_last(const Value& x, bool keep = false);
/// What the activation of that name was applied to, where it made x (softmax: over the last axis); else empty.
Value before_activation(const Value& x, std::string_view op);

}  // namespace thalweg
