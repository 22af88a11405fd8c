// SPDX-License-Identifier: Apache-2.0
#include <thalweg/thalweg.h>
#include <cstdlib>
#include <iostream>
using namespace thalweg;

int main(int argc, char** argv) try {
  const char* folder = std::getenv("THALWEG_DATA");
  if (argc < 2 && !folder) throw RunError("usage: iris FILE (or set THALWEG_DATA)");
  TrainTest data = split(sklearn_csv(argc > 1 ? argv[1] : std::string(folder) + "/tabular/iris.csv"), 0.2, 1);

  Graph g("iris");
  Value x = input(g, "flower", f32(15, 4));
  Value t = input(g, "species", i32(15));
  Value y = dense(dense(x, 16, {.activation = relu}), 3);
  Value loss = mean(sparse_cross_entropy(y, t));
  minimize(loss, Sgd{.rate = piecewise_constant({700, 900}, {0.1, 0.05, 0.01}), .momentum = 0.9});
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));

  History history = fit(g, data.train, {.epochs = 1000, .validation = data.test, .verbose = verbose_silent});
  std::cout << "loss " << history.last("loss") << "\nvalidation accuracy " << history.last("val_accuracy") << "\n";
} catch (const Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
