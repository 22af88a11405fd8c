// SPDX-License-Identifier: Apache-2.0
#include "conv_norm.h"
#include "zoo.h"

#include <thalweg/thalweg.h>

namespace thalweg::zoo {
namespace {

/// relu(x + two convolutions of x); x goes through a 1x1 convolution where they change its shape.
Value block(const Value& x, Dim filters, Dim stride) {
  const Value h = relu(conv_norm(x, filters, 3, stride));
  const Value y = conv_norm(h, filters, 3, 1);
  const Value skip = y.type() == x.type() ? x : conv_norm(x, filters, 1, stride);
  return relu(y + skip);
}

}  // namespace

Graph resnet20(Dim batch) {
  Graph g("resnet20");
  const Value x = input(g, "x", f32(batch, 32, 32, 3));
  const Value label = input(g, "label", i32(batch));
  Value h = relu(conv_norm(x, 16, 3, 1));
  for (int stage = 1; stage <= 3; ++stage) {
    for (int k = 1; k <= 3; ++k) {
      const Scope scope(g, "stage" + std::to_string(stage) + "/block" + std::to_string(k));
      h = block(h, Dim{8} << stage, stage > 1 && k == 1 ? 2 : 1);
    }
  }
  const Value scores = dense(global_avg_pool(h), 10);
  const Value loss = mean(sparse_cross_entropy(scores, label));
  minimize(loss, Sgd{.rate = 0.1, .momentum = 0.9});
  g.output("loss", loss);
  return g;
}

}  // namespace thalweg::zoo
