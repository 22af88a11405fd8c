// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>
#include <vector>

#include "thalweg/graph/function.h"
#include "thalweg/graph/graph.h"

namespace thalweg {

/// Where a variable may be: anything that turns what the update rule gives into a value of the same type, at the end
/// of every step.
class THALWEG_API Constraint {
 public:
  /// Anywhere.
  Constraint() = default;
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, Constraint> && std::is_invocable_r_v<Value, F&, Value>)
  Constraint(F constrained) : constrained_(std::move(constrained)) {}  // NOLINT: `.constraint = [](Value w) { … }`

  explicit operator bool() const { return static_cast<bool>(constrained_); }
  Value operator()(Value w) const { return constrained_(std::move(w)); }

 private:
  Function<Value(Value)> constrained_;
};

/// Over which axes a norm goes. Empty: all but the last, which is the norm of each unit's weights in a kernel of dense
/// [K, units] and of each filter in one of conv [H, W, C, filters] (Keras' default is axis 0).
struct ConstraintOptions {
  std::vector<Dim> axes = {};
  double epsilon = 1e-7;  ///< in the divisor epsilon + norm, above 0
};

/// w · min(‖w‖, limit) / (epsilon + ‖w‖), Keras' MaxNorm (Srebro 2005): below it w shrinks by epsilon / ‖w‖ of itself.
/// Error: limit not finite or below 0.
THALWEG_API Constraint max_norm(double limit = 2, ConstraintOptions options = {}, SourceLoc loc = SourceLoc::current());
/// w / (epsilon + ‖w‖), as Keras' UnitNorm.
THALWEG_API Constraint unit_norm(ConstraintOptions options = {}, SourceLoc loc = SourceLoc::current());
/// max(w, 0), as Keras' NonNeg.
THALWEG_API Constraint non_neg();
/// w · (rate·clip(‖w‖, low, high) + (1−rate)·‖w‖) / (epsilon + ‖w‖), as Keras' MinMaxNorm. Errors: low below 0 or above
/// high, rate outside [0, 1].
THALWEG_API Constraint min_max_norm(double low, double high, double rate = 1, ConstraintOptions options = {},
                                    SourceLoc loc = SourceLoc::current());

}  // namespace thalweg
