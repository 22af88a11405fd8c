// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

#include "thalweg/graph/graph.h"

namespace thalweg {

/// A penalty on a variable, added to the loss: anything that turns the variable into a scalar of its dtype.
class THALWEG_API Regularizer {
 public:
  /// No penalty.
  Regularizer() = default;
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, Regularizer> && std::is_invocable_r_v<Value, F&, Value>)
  Regularizer(F penalty) : penalty_(std::move(penalty)) {}  // NOLINT: `.penalty = [](Value w) { … }`

  explicit operator bool() const { return static_cast<bool>(penalty_); }
  Value operator()(Value w) const { return penalty_(std::move(w)); }

 private:
  std::function<Value(Value)> penalty_;
};

/// lambda · Σ|w|; the gradient is lambda · sign(w), 0 at 0 (Keras' L1). Error: lambda not finite or below 0.
THALWEG_API Regularizer l1(double lambda, SourceLoc loc = SourceLoc::current());
/// lambda · Σw², without a half, as Keras' L2; torch's weight_decay d is l2(d / 2). Error: lambda not finite or below 0.
THALWEG_API Regularizer l2(double lambda, SourceLoc loc = SourceLoc::current());
/// lambda1 · Σ|w| + lambda2 · Σw² (Keras' L1L2). Error: a lambda not finite or below 0.
THALWEG_API Regularizer l1_l2(double lambda1, double lambda2, SourceLoc loc = SourceLoc::current());

}  // namespace thalweg
