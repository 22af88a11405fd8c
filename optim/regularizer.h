// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "thalweg/graph/function.h"
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
  Function<Value(Value)> penalty_;
};

/// lambda · Σ|w|, slope lambda · sign(w), 0 at 0 (Keras' L1; Tibshirani 1996). Error: lambda not finite or below 0.
THALWEG_API Regularizer l1(double lambda, SourceLoc loc = SourceLoc::current());
/// lambda · Σw² without a half, Keras' L2; torch's weight_decay d is l2(d / 2) (Krogh, Hertz 1992). Error: as of l1.
THALWEG_API Regularizer l2(double lambda, SourceLoc loc = SourceLoc::current());
/// lambda1 · Σ|w| + lambda2 · Σw² (Keras' L1L2; Zou and Hastie 2005). Error: a lambda not finite or below 0.
THALWEG_API Regularizer l1_l2(double lambda1, double lambda2, SourceLoc loc = SourceLoc::current());

/// Whose inner products `orthogonal` keeps small.
enum class Between : std::uint8_t { rows, columns };
/// lambda · Σ_{i≠j} |⟨u_i, u_j⟩| / (n·(n−1)), over the n rows (or columns) of a matrix, each divided by its norm
/// (Keras' OrthogonalRegularizer); 0 for a single one. Errors: lambda not finite or below 0; a variable of
/// another rank than 2.
THALWEG_API Regularizer orthogonal(double lambda = 0.01, Between between = Between::rows,
                                   SourceLoc loc = SourceLoc::current());
/// A penalty on what a layer gives, [N, ..], divided by the number N of samples, as Keras' activity_regularizer: add it
/// to the loss. With l1 or l2 it is a mean over samples. Errors: an empty x or one without an axis, an empty penalty.
THALWEG_API Value activity(const Value& x, const Regularizer& penalty, SourceLoc loc = SourceLoc::current());

}  // namespace thalweg
