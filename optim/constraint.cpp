// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/constraint.h"

#include "thalweg/optim/ranges.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"

namespace thalweg {
namespace {

/// The norms that the options name, spread so that they multiply w.
Value norms(const Value& w, const ConstraintOptions& options) {
  std::vector<Dim> axes = options.axes;
  for (Dim axis = 0; options.axes.empty() && axis + 1 < static_cast<Dim>(w.rank()); ++axis) axes.push_back(axis);
  // One number to a unit is its own norm. (An empty list would mean all axes.)
  return axes.empty() ? abs(w) : sqrt(sum(square(w), {.axes = axes, .keep_dims = true}));
}

/// w scaled so that its norms n become `wanted(n)`.
template <class F>
Constraint with_norms(ConstraintOptions options, F wanted) {
  return Constraint([=](const Value& w) {
    const Value n = norms(w, options), target = wanted(n);
    return w * (target / (n + options.epsilon));
  });
}

}  // namespace

Constraint max_norm(double limit, ConstraintOptions options, SourceLoc loc) {
  const Settings settings{"max_norm", loc};
  settings.at_least("the limit", limit, 0);
  settings.above("epsilon", options.epsilon, 0);
  return with_norms(std::move(options), [=](const Value& n) { return min(n, limit); });
}

Constraint unit_norm(ConstraintOptions options, SourceLoc loc) {
  Settings{"unit_norm", loc}.above("epsilon", options.epsilon, 0);
  return Constraint([=](const Value& w) { return w / (norms(w, options) + options.epsilon); });
}

Constraint non_neg() {
  return Constraint([](const Value& w) { return relu(w); });
}

Constraint min_max_norm(double low, double high, double rate, ConstraintOptions options, SourceLoc loc) {
  const Settings settings{"min_max_norm", loc};
  settings.at_least("low", low, 0);
  settings.at_least("high", high, low);
  settings.closed("rate", rate, 0, 1);
  settings.above("epsilon", options.epsilon, 0);
  return with_norms(std::move(options), [=](const Value& n) {
    const Value held = rate * clip(n, {.low = low, .high = high});
    return rate == 1 ? held : held + (1 - rate) * n;
  });
}

}  // namespace thalweg
