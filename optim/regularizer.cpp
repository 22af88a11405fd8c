// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/regularizer.h"

#include "thalweg/optim/ranges.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"

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

}  // namespace thalweg
