// SPDX-License-Identifier: Apache-2.0
// What one writes in Keras, and below it what one writes here.
#include <thalweg/thalweg.h>
#include <iostream>
using namespace thalweg;

int main() {
  TrainTest data = split(digits(), 0.2, 1);
  Graph g("digits");
  // inputs = keras.Input((8, 8, 1))
  Value x = input(g, "image", f32(32, 8, 8, 1)), t = input(g, "label", i32(32));
  // x = layers.Conv2D(16, 3, padding="same", activation="relu", kernel_initializer="he_normal")(inputs)
  Value h = conv(x, 16, 3, {.padding = "same", .init = he_normal(), .activation = relu});
  // x = layers.MaxPooling2D()(layers.BatchNormalization()(x))
  h = max_pool(batch_norm(h), 2);
  // x = layers.Dense(32, activation="tanh")(layers.Dropout(0.2)(layers.Flatten()(x)))
  h = dense(dropout(flatten(h), 0.2), 32, {.activation = tanh});
  // outputs = layers.Dense(10)(x)
  Value y = dense(h, 10);
  // rate = PiecewiseConstantDecay([700, 900], [0.1, 0.05, 0.01])
  Schedule rate = piecewise_constant({700, 900}, {0.1, 0.05, 0.01});
  // model.compile(SGD(rate, momentum=0.9, global_clipnorm=1.0), SparseCategoricalCrossentropy(from_logits=True),
  //               ["accuracy"])   # with kernel_regularizer=L2(1e-4) in each layer
  Value loss = mean(sparse_cross_entropy(y, t));
  minimize(loss, Sgd{.rate = rate, .momentum = 0.9}, {.penalty = l2(1e-4), .clip = by_global_norm(1.0)});
  g.output("scores", y);
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));
  // history = model.fit(x_train, y_train, batch_size=32, epochs=10, validation_split=0.1, verbose=2,
  //                     callbacks=[EarlyStopping(patience=3, restore_best_weights=True)])
  History history = fit(g, data.train, {.epochs = 10, .batch = 32, .validation = 0.1, .verbose = 2, .patience = 3});
  // model.evaluate(x_test, y_test); model.predict(x_test)
  Scores scores = evaluate(g, history.variables, data.test);
  Tensor logits = predict(g, history.variables, data.test.inputs, "scores");
  // model.save_weights("digits.weights.h5")
  save_weights(history.variables, "digits.safetensors");
  std::cout << "test accuracy " << scores["accuracy"] << ", scores " << to_string(logits.type()) << "\n";
}
