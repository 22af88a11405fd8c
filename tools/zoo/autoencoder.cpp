// SPDX-License-Identifier: Apache-2.0
#include "zoo.h"

#include <thalweg/thalweg.h>

namespace thalweg::zoo {

Graph autoencoder(Dim batch) {
  Graph g("autoencoder");
  const Value x = input(g, "x", f32(batch, 784));
  Value h = dense(x, 256, {.activation = relu, .name = "encoder/hidden"});
  const Value code = dense(h, 64, {.activation = relu, .name = "encoder/code"});
  h = dense(code, 256, {.activation = relu, .name = "decoder/hidden"});
  const Value image = dense(h, 784, {.activation = sigmoid, .name = "decoder/image"});
  const Value loss = mean(mse(image, x));
  minimize(loss, Adam{.rate = 1e-3});
  g.output("loss", loss);
  return g;
}

}  // namespace thalweg::zoo
