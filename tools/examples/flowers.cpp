// SPDX-License-Identifier: Apache-2.0
#include <thalweg/thalweg.h>
#include <iostream>
using namespace thalweg;

int main(int argc, char** argv) try {
  Dataset table = csv(argc > 1 ? argv[1] : "flowers.csv", {.label = "species"});
  TrainTest data = standardized(split(table, 0.2, 1));
  Dim columns = table.inputs.shape()[1], kinds = static_cast<Dim>(table.classes.size());

  Graph g("flowers");
  Value x = input(g, "flower", f32(16, columns));
  Value t = input(g, "species", i32(16));
  Value y = dense(dense(x, 16, {.activation = tanh}), kinds);
  Value loss = mean(sparse_cross_entropy(y, t));
  minimize(loss, Adam{.rate = 0.01});
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));
  g.output("probabilities", softmax(y));

  History history = fit(g, data.train, {.epochs = 40, .validation = 0.2, .patience = 5});
  std::cout << "test accuracy " << evaluate(g, history.variables, data.test)["accuracy"] << "\n";
  save_weights(history.variables, "flowers.safetensors");

  Variables weights = load_weights(g, "flowers.safetensors");  // in another process, say
  Tensor flower = rows(data.test, 0, 1).inputs, probabilities = predict(g, weights, flower, "probabilities");
  for (std::size_t k = 0; k < table.classes.size(); ++k)
    std::cout << table.classes[k] << " " << probabilities.as<float>()[k] << "\n";
} catch (const Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
