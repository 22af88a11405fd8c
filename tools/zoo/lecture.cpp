// SPDX-License-Identifier: Apache-2.0
#include "zoo.h"

#include <thalweg/thalweg.h>

namespace thalweg::zoo {

Graph lecture(Dim batch) {
  Graph g("lecture");
  const Value x = input(g, "x", f32(batch, 4));
  const Value label = input(g, "label", i32(batch));
  const Value scores = dense(dense(x, 16, {.activation = relu}), 3);
  const Value loss = mean(sparse_cross_entropy(scores, label));
  minimize(loss, Sgd{.rate = piecewise_constant({700, 900}, {0.1, 0.05, 0.01}), .momentum = 0.9});
  g.output("loss", loss);
  g.output("accuracy", accuracy(scores, label));
  return g;
}

}  // namespace thalweg::zoo
