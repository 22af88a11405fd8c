// SPDX-License-Identifier: Apache-2.0
#include "conv_norm.h"
#include "zoo.h"

#include <thalweg/thalweg.h>

namespace thalweg::zoo {
namespace {

/// relu(x + 1x1, 3x3 and 1x1 convolutions of x, the last with 4 * filters); x goes through a 1x1 convolution where they
/// change its shape.
Value bottleneck(const Value& x, Dim filters, Dim stride) {
  Value y = relu(conv_norm(x, filters, 1, 1));
  y = relu(conv_norm(y, filters, 3, stride));
  y = conv_norm(y, 4 * filters, 1, 1);
  const Value skip = y.type() == x.type() ? x : conv_norm(x, 4 * filters, 1, stride);
  return relu(y + skip);
}

}  // namespace

Graph resnet50(Dim batch) {
  Graph g("resnet50");
  const Value x = input(g, "x", f32(batch, 224, 224, 3));
  const Value label = input(g, "label", i32(batch));
  Value h = relu(conv_norm(x, 64, 7, 2));
  h = max_pool(h, 3, {.strides = 2, .pads = {1, 1, 1, 1}});
  const int blocks[] = {3, 4, 6, 3};
  for (int stage = 0; stage < 4; ++stage) {
    for (int k = 0; k < blocks[stage]; ++k) {
      const Scope scope(g, "stage" + std::to_string(stage + 1) + "/block" + std::to_string(k + 1));
      h = bottleneck(h, Dim{64} << stage, stage > 0 && k == 0 ? 2 : 1);
    }
  }
  const Value scores = dense(global_avg_pool(h), 1000);
  const Value loss = mean(sparse_cross_entropy(scores, label));
  minimize(loss, Sgd{.rate = 0.1, .momentum = 0.9});
  g.output("loss", loss);
  return g;
}

}  // namespace thalweg::zoo
