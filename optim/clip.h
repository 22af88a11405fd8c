// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "thalweg/graph/function.h"
#include "thalweg/graph/graph.h"
#include "thalweg/ops/convention.h"

namespace thalweg {

using Values = std::vector<Value>;

/// What happens to the gradients before the optimizer sees them: anything that turns the gradients of all variables
/// into as many of the same types.
class THALWEG_API Clip {
 public:
  /// Leaves the gradients alone.
  Clip() = default;
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, Clip> && std::is_invocable_r_v<Values, F&, Values>)
  Clip(F clip) : clip_(std::move(clip)) {}  // NOLINT: `.clip = [](Values g) { … }`

  explicit operator bool() const { return static_cast<bool>(clip_); }
  Values operator()(Values gradients) const { return clip_ ? clip_(std::move(gradients)) : gradients; }

 private:
  Function<Values(Values)> clip_;
};

/// √Σ g² over all elements of all gradients, as an f64 scalar. It does not overflow where the norm itself is finite:
/// f32 and bf16 are squared in f64, f64 is first divided by the greatest |g|. NaN if an element is NaN, otherwise
/// infinite if one is.
THALWEG_API Value global_norm(std::span<const Value> gradients);
/// max |g| over all elements of all gradients, as an f64 scalar.
THALWEG_API Value global_max_norm(std::span<const Value> gradients);

struct GlobalNormOptions {
  Convention convention = Convention::keras;
  bool infinity = false;  ///< the greatest |g| in the place of the square norm (torch's norm_type=inf)
};

/// Scales all gradients together so that their norm n is at most `limit` (Pascanu et al. 2013):
///
///     keras   g · min(limit / n, 1)
///     torch   g · min(limit / (n + 1e-6), 1)
///     optax   g where n < limit, else g / n · limit
///
/// A norm that is not finite is never hidden. keras: every gradient becomes NaN. torch and optax: for an infinite
/// norm the infinite elements become NaN and the finite ones 0; for a NaN norm every gradient becomes NaN.
/// Error: limit not finite or not above 0.
THALWEG_API Clip by_global_norm(double limit, GlobalNormOptions options = {}, SourceLoc loc = SourceLoc::current());
/// Scales each gradient alone to a norm of at most `limit`: g · limit / max(‖g‖, limit) (Keras' clipnorm). A zero
/// gradient stays zero; one whose norm is not finite becomes NaN. Error: limit not finite or not above 0.
THALWEG_API Clip by_norm(double limit, SourceLoc loc = SourceLoc::current());
/// Each element to [-limit, limit] (Keras' clipvalue); NaN stays NaN. Error: limit not finite or not above 0.
THALWEG_API Clip by_value(double limit, SourceLoc loc = SourceLoc::current());

}  // namespace thalweg
