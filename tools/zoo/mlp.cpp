// SPDX-License-Identifier: Apache-2.0
#include "zoo.h"

#include <thalweg/thalweg.h>

namespace thalweg::zoo {

Graph mlp(Dim batch) {
  Graph g("mlp");
  const Value x = input(g, "x", f32(batch, 784));
  const Value label = input(g, "label", i32(batch));
  Value h = dense(x, 512, {.init = he_normal(), .activation = relu});
  h = dense(h, 512, {.init = he_normal(), .activation = relu});
  const Value scores = dense(h, 10);
  const Value loss = mean(sparse_cross_entropy(scores, label));
  minimize(loss, Adam{.rate = 1e-3});
  g.output("loss", loss);
  return g;
}

}  // namespace thalweg::zoo
