// SPDX-License-Identifier: Apache-2.0
#include "zoo.h"

#include <thalweg/thalweg.h>

#include "../models.h"

namespace thalweg::zoo {

Graph digits(Dim batch) {
  Graph g("digits");
  const Value x = input(g, "x", f32(batch, 8, 8, 1));
  const Value label = input(g, "label", i32(batch));
  const Value scores = tool::convolutional_net(x, 10);
  const Value loss = mean(sparse_cross_entropy(scores, label));
  minimize(loss, Adam{.rate = 1e-3});
  g.output("loss", loss);
  return g;
}

}  // namespace thalweg::zoo
