// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/adafactor.h"

#include "thalweg/optim/parts.h"
#include "thalweg/optim/ranges.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"

namespace thalweg {
namespace {

double distance_to_next(DType dtype) {
  return dtype == DType::f64 ? 0x1p-52 : dtype == DType::f32 ? 0x1p-23 : 0x1p-7;
}

/// (1 − share)·average + share·x in a slot of x's type.
Value followed(std::string_view name, const Value& x, const Value& keep, const Value& share, Slots& slots) {
  const Value average = slots.slot(name, x.type()), kept = keep * average;
  const Value next = kept + share * x;
  slots.update(average, next);
  return next;
}

/// What the factors say of the squares, broadcast: rows [.., R, 1] scaled, and columns [.., 1, C].
struct Factors {
  Value rows, columns, mean;
};

Factors factored(const Value& squares, const Value& keep, const Value& share, Slots& slots) {
  std::vector<Dim> down = squares.shape().vector(), across = down, one = down;
  down.back() = 1;
  across[across.size() - 2] = 1;
  one.back() = one[one.size() - 2] = 1;
  const Value row_means = mean(squares, {.axes = {-1}}), column_means = mean(squares, {.axes = {-2}});
  const Value r = followed("rows", row_means, keep, share, slots);
  const Value c = followed("columns", column_means, keep, share, slots);
  const Value rows = reshape_to(r, Shape(down)), columns = reshape_to(c, Shape(across));
  return {rows, columns, reshape_to(mean(r, {.axes = {-1}}), Shape(one))};
}

}  // namespace

void Adafactor::check(SourceLoc loc) const {
  const Settings settings{name, loc};
  settings.half_open("beta2_decay", beta2_decay, -1, 0);
  if (epsilon1) settings.above("epsilon1", *epsilon1, 0);
  settings.above("epsilon2", epsilon2, 0);
  settings.above("clip_threshold", clip_threshold, 0);
  settings.at_least("weight_decay", weight_decay, 0);
  settings.keras_or_torch(convention);
  settings.need(relative_step || convention == Convention::keras,
                "relative_step = false belongs to the convention keras");
}

Value Adafactor::next(Value w, Value g, Slots& slots) const {
  const bool keras = convention == Convention::keras;
  const Schedule eta = rate.value_or(Schedule(keras ? 1e-3 : 0.01));
  const double floor = epsilon1.value_or(keras ? 1e-30 : distance_to_next(w.dtype()));
  const Value weights = w;
  w = decoupled(w, weight_decay, eta, slots);
  const Value share = slots.shared("share", [&] { return pow(slots.t(), beta2_decay); }), keep = 1.0 - share;
  const Value squares = keras ? square(g) + floor : square(g);

  Value below;
  if (g.rank() < 2) {
    const Value v = followed("v", squares, keep, share, slots);
    below = sqrt(keras ? v : max(v, floor * floor));
  } else if (const Factors f = factored(squares, keep, share, slots); keras) {
    // Roots before the product: where a row and a column have no gradient, its factors are near 1e-30 both, their
    // product is 0 in f32, and 0 / 0 would be the step.
    below = sqrt(f.rows / f.mean) * sqrt(f.columns);
  } else {
    below = sqrt(max(f.rows * f.columns / max(f.mean, floor), floor * floor));
  }
  const Value direction = g / below;

  const Value pace = slots.exact("pace", [&] {
    const Value at = slots.exact_rate(eta);
    return relative_step ? min(at, rsqrt(slots.t())) : at;
  });
  const Value size = max(root_mean_square(keras ? w : weights), epsilon2) * pace;
  const Value most = max(root_mean_square(direction) / clip_threshold, 1.0);
  return w - slots.rounded(size / most) * direction;
}

}  // namespace thalweg
