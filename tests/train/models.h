// SPDX-License-Identifier: Apache-2.0
// Small nets and data sets that the tests of training share.
#pragma once

#include <cmath>
#include <csignal>

#include "thalweg/graph/print.h"
#include "thalweg/lib/data/dataset.h"
#include "thalweg/ops/conv.h"
#include "thalweg/ops/layers.h"
#include "thalweg/ops/loss.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/pool.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"
#include "thalweg/optim/adam.h"
#include "thalweg/optim/minimize.h"
#include "thalweg/optim/regularizer.h"
#include "thalweg/optim/sgd.h"

namespace thalweg::testing {

/// Whoever starts a test in the background may let it ignore Ctrl-C, and what a process ignores stays ignored.
inline const auto interrupt_is_heard = std::signal(SIGINT, SIG_DFL);

/// Three classes in a plane, by angle: learned by a small net, and not by a linear one.
inline Dataset spiral(Dim n) {
  std::vector<double> x, t;
  for (Dim i = 0; i < n; ++i) {
    const double radius = 0.1 + 0.9 * static_cast<double>(i / 3) / (static_cast<double>(n) / 3);
    const double angle = 2.1 * static_cast<double>(i % 3) + 2 * radius;
    x.push_back(radius * std::cos(angle));
    x.push_back(radius * std::sin(angle));
    t.push_back(static_cast<double>(i % 3));
  }
  Dataset data;
  data.inputs = Tensor(f32(n, 2), x);
  data.labels = Tensor(i32(n), t);
  data.classes = {"a", "b", "c"};
  return data;
}

inline void finish(Graph& g, const Value& y, const Value& t, const Optimizer& optimizer,
                   const MinimizeOptions& options = {}) {
  const Value loss = mean(sparse_cross_entropy(y, t));
  g.output("logits", y);
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));
  minimize(loss, optimizer, options);
}

inline Graph mlp(Dim batch, const Optimizer& optimizer = Adam{.rate = 0.01}) {
  Graph g("mlp");
  const Value x = input(g, "x", f32(batch, 2));
  const Value t = input(g, "t", i32(batch));
  finish(g, dense(relu(dense(x, 16)), 3), t, optimizer);
  return g;
}

}  // namespace thalweg::testing
