// SPDX-License-Identifier: Apache-2.0
#include "zoo.h"

#include <thalweg/thalweg.h>

namespace thalweg::zoo {

Graph dbn(Dim batch) {
  Graph g("dbn");
  const Value x = input(g, "x", f32(batch, 784));
  const Value label = input(g, "label", i32(batch));
  Value h = x;
  int k = 0;
  for (const Dim units : {500, 500, 2000})
    h = dense(h, units, {.activation = sigmoid, .name = "rbm" + std::to_string(++k)});
  const Value scores = dense(h, 10, {.init = zeros(), .name = "scores"});
  const Value loss = mean(sparse_cross_entropy(scores, label));
  minimize(loss, Sgd{.rate = 1e-3});
  g.output("loss", loss);
  return g;
}

}  // namespace thalweg::zoo
