// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// What every number of a target must keep to.
enum class CheckRule : std::uint8_t {
  distribution,   ///< each line along the last axis is at least 0 everywhere and sums to 1, up to 2^-8
  unit_interval,  ///< in [0, 1]
  non_negative,   ///< at least 0
  signs           ///< all are -1 or 1, or all are 0 or 1
};

/// x itself, float; a number that breaks the rule is a RunError that names where it is. NaN breaks every rule. `what`
/// is the name of the loss that asks, and stands in the message. The gradient goes through.
THALWEG_API Value check_target(Operand x, CheckRule rule, std::string_view what);

}  // namespace thalweg
