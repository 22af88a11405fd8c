// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/regularizer.h"

#include <numeric>

#include "thalweg/optim/ranges.h"
#include "thalweg/ops/index.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg {

Regularizer l1(double lambda, SourceLoc loc) {
  Settings{"l1", loc}.at_least("lambda", lambda, 0);
  return Regularizer([=](const Value& w) { return lambda * sum(abs(w)); });
}

Regularizer l2(double lambda, SourceLoc loc) {
  Settings{"l2", loc}.at_least("lambda", lambda, 0);
  return Regularizer([=](const Value& w) { return lambda * sum(square(w)); });
}

Regularizer l1_l2(double lambda1, double lambda2, SourceLoc loc) {
  Settings{"l1_l2", loc}.at_least("lambda1", lambda1, 0);
  Settings{"l1_l2", loc}.at_least("lambda2", lambda2, 0);
  return Regularizer([=](const Value& w) {
    const Value absolute = lambda1 * sum(abs(w)), squared = lambda2 * sum(square(w));
    return absolute + squared;
  });
}

Regularizer orthogonal(double lambda, Between between, SourceLoc loc) {
  Settings{"orthogonal", loc}.at_least("lambda", lambda, 0);
  return Regularizer([=](const Value& w) {
    if (w.rank() != 2)
      graph_error(loc, "orthogonal: a penalized variable must be a matrix, is {}\n    {}", to_string(w.type()),
                  describe(w));
    const bool rows = between == Between::rows;
    const Dim n = w.shape()[rows ? 0 : 1];
    if (n == 1) return 0.0 * sum(w);
    const Value squares = sum(square(w), {.axes = {rows ? 1 : 0}, .keep_dims = true});
    const Value unit = w * rsqrt(max(squares, 1e-12));  // Keras' l2_normalize
    const Value products = matmul(unit, unit, {.ta = !rows, .tb = rows});
    // 1 beside the diagonal, 0 on it.
    std::vector<double> numbers(static_cast<std::size_t>(n));
    std::iota(numbers.begin(), numbers.end(), 0.0);
    const Value beside = 1.0 - one_hot(constant(w.graph(), numbers, i64(n)), n, w.dtype());
    const auto count = static_cast<double>(n);
    return lambda / (count * (count - 1)) * sum(abs(products * beside));
  });
}

Value activity(const Value& x, const Regularizer& penalty, SourceLoc loc) {
  if (!x) graph_error(loc, "activity: x is an empty Value");
  if (x.rank() == 0) graph_error(loc, "activity: x must have an axis of samples, is {}", to_string(x.type()));
  if (!penalty) graph_error(loc, "activity: there is no penalty");
  const Frame frame(x.graph(), {.loc = loc, .scope = "activity", .origin = Origin::regularizer});
  const Value all = penalty(x);
  if (!all || all.type() != TensorType{x.dtype(), {}})
    graph_error(loc, "activity: the penalty must be {} as x, got {}", to_string(TensorType{x.dtype(), {}}),
                all ? to_string(all.type()) : "an empty Value");
  // As many ones as samples, so that the number follows when the graph is brought to another batch size.
  return all / sum(constant(x.graph(), 1, {x.dtype(), Shape{x.shape()[0]}}));
}

}  // namespace thalweg
