// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/clip.h"

#include <algorithm>
#include <limits>
#include <map>

#include "thalweg/optim/ranges.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

Value exact(const Value& x) { return x.dtype() == DType::f64 ? x : cast(x, DType::f64); }

/// The values of `each` folded with `join`, in order.
template <class Each, class Join>
Value over(std::span<const Value> gradients, Each each, Join join) {
  Value all;
  for (const Value& g : gradients) all = all ? join(all, each(g)) : each(g);
  return all;
}

Value sum_of_squares(std::span<const Value> gradients, const Value& unit) {
  return over(
      gradients, [&](const Value& g) { return sum(square(unit ? exact(g) / unit : exact(g))); },
      [](const Value& a, const Value& b) { return a + b; });
}

void need_gradients(std::span<const Value> gradients) {
  if (gradients.empty()) throw GraphError("global_norm: there are no gradients");
}

/// Each gradient times `factor`, an f64 scalar that is cast once for each dtype.
Values scaled(const Values& gradients, const Value& factor) {
  std::map<DType, Value> factors{{DType::f64, factor}};
  Values out;
  for (const Value& g : gradients) {
    Value& own = factors[g.dtype()];
    if (!own) own = cast(factor, g.dtype());
    out.push_back(g * own);
  }
  return out;
}

/// What the gradients are multiplied with when their norm is n.
Value factor_for(const Value& n, double limit, Convention convention) {
  if (convention == Convention::torch) return min(limit / (n + 1e-6), 1.0);
  const Value factor = limit / n;
  if (convention == Convention::optax) {
    const Value small = less(n, limit);
    return select(small, 1.0, factor);
  }
  const Value poison = n - n;  // NaN where n is infinite or NaN, else 0
  return min(factor, 1.0) + poison;
}

}  // namespace

Value global_max_norm(std::span<const Value> gradients) {
  need_gradients(gradients);
  return over(
      gradients, [](const Value& g) { return exact(max(abs(g), Axes{})); },
      [](const Value& a, const Value& b) { return max(a, b); });
}

Value global_norm(std::span<const Value> gradients) {
  need_gradients(gradients);
  const bool wide = std::any_of(gradients.begin(), gradients.end(),
                                [](const Value& g) { return g.dtype() == DType::f64; });
  if (!wide) return sqrt(sum_of_squares(gradients, {}));
  // A greatest element of infinity divides as the greatest finite number: the norm is then infinite, not NaN.
  const Value greatest = global_max_norm(gradients);
  const Value some = greater(greatest, 0.0), finite = min(greatest, std::numeric_limits<double>::max());
  const Value unit = select(some, finite, 1.0);
  return unit * sqrt(sum_of_squares(gradients, unit));
}

Clip by_global_norm(double limit, GlobalNormOptions options, SourceLoc loc) {
  Settings{"by_global_norm", loc}.above("the limit", limit, 0);
  return Clip([=](const Values& gradients) {
    const Value n = options.infinity ? global_max_norm(gradients) : global_norm(gradients);
    return scaled(gradients, factor_for(n, limit, options.convention));
  });
}

Clip by_norm(double limit, SourceLoc loc) {
  Settings{"by_norm", loc}.above("the limit", limit, 0);
  return Clip([=](const Values& gradients) {
    Values out;
    for (const Value& g : gradients) {
      const Value n = global_norm(std::span(&g, 1));
      out.push_back(scaled({g}, factor_for(n, limit, Convention::keras)).front());
    }
    return out;
  });
}

Clip by_value(double limit, SourceLoc loc) {
  Settings{"by_value", loc}.above("the limit", limit, 0);
  return Clip([=](Values gradients) {
    for (Value& g : gradients) g = clip(g, {.low = -limit, .high = limit});
    return gradients;
  });
}

}  // namespace thalweg
