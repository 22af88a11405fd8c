// SPDX-License-Identifier: Apache-2.0
#include <thalweg/thalweg.h>
#include <iostream>
using namespace thalweg;

int main() {
  Graph g("mlp");
  Value x = input(g, "image", f32(64, 28, 28, 1));
  Value t = input(g, "label", i32(64));
  Value h = dropout(dense(flatten(x), 128, {.init = he_normal(), .activation = relu}), 0.2);
  Value y = dense(h, 10);
  Value loss = mean(sparse_cross_entropy(y, t));
  minimize(loss, Adam{.rate = exponential_decay(1e-3, 0.96, 1000)}, {.penalty = l2(1e-4), .clip = by_global_norm(1.0)});
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));
  std::cout << print(g) << std::flush;
  fit(g, mnist("data"), {.epochs = 5, .validation = 0.1, .patience = 2});
}
