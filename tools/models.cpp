// SPDX-License-Identifier: Apache-2.0
#include "models.h"

#include "thalweg/ops/init.h"
#include "thalweg/ops/layers.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/pool.h"

namespace thalweg::tool {

Value convolutional_net(const Value& images, Dim classes) {
  const bool small = images.shape()[1] < 16;
  Value h = conv(images, 32, 3, {.padding = "same", .init = he_normal(), .activation = relu});
  if (!small) h = max_pool(h, 2);
  h = conv(h, 64, 3, {.padding = "same", .init = he_normal(), .activation = relu});
  h = dropout(flatten(max_pool(h, 2)), 0.25);
  h = dropout(dense(h, 128, {.init = he_normal(), .activation = relu}), 0.5);
  return dense(h, classes);
}

Value dense_net(const Value& x, Dim classes, Dim width, double dropout_rate) {
  Value h = x.rank() > 2 ? flatten(x) : x;
  for (int layer = 0; layer < 2; ++layer)
    h = dropout(dense(h, width, {.init = he_normal(), .activation = relu}), dropout_rate);
  return dense(h, classes);
}

}  // namespace thalweg::tool
