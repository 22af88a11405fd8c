// SPDX-License-Identifier: Apache-2.0
#include "zoo.h"

#include <thalweg/thalweg.h>

namespace thalweg::zoo {

Graph lenet(Dim batch) {
  Graph g("lenet");
  const Value x = input(g, "x", f32(batch, 28, 28, 1));
  const Value label = input(g, "label", i32(batch));
  Value h = max_pool(conv(x, 6, 5, {.padding = "same", .activation = relu}), 2);
  h = max_pool(conv(h, 16, 5, {.activation = relu}), 2);
  h = dense(flatten(h), 120, {.activation = relu});
  h = dense(h, 84, {.activation = relu});
  const Value scores = dense(h, 10);
  const Value loss = mean(sparse_cross_entropy(scores, label));
  minimize(loss, Sgd{.rate = 0.01, .momentum = 0.9});
  g.output("loss", loss);
  return g;
}

}  // namespace thalweg::zoo
