// SPDX-License-Identifier: Apache-2.0
// What one writes in PyTorch, and below it what one writes here.
#include <thalweg/thalweg.h>
#include <cmath>
#include <iostream>
using namespace thalweg;

int main() {
  constexpr Convention torch = Convention::torch;
  TrainTest data = split(digits(), 0.2, 1);
  Graph g("digits");
  Value x = input(g, "image", f32(32, 8, 8, 1)), t = input(g, "label", i32(32));
  // nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)   # channels last, biases from 0
  Init linear_init = lecun_uniform({.gain = 1 / std::sqrt(3.0)});
  Value h = conv(x, 16, 3, {.pads = {1, 1, 1, 1}, .init = linear_init});
  h = max_pool(relu(batch_norm(h, {.convention = torch})), 2);
  // nn.Flatten(), nn.Dropout(0.2), nn.Linear(256, 10)
  Value y = dense(dropout(flatten(h), 0.2), 10, {.init = linear_init});
  // loss = F.cross_entropy(y, t, label_smoothing=0.1)
  Value loss = mean(sparse_cross_entropy(y, t, {.label_smoothing = 0.1}));
  // optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
  // scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, epochs=10, steps_per_epoch=len(loader),
  //                                                 cycle_momentum=False)
  Optimizer optimizer = AdamW{.rate = one_cycle(0.01, Epochs(10)), .convention = torch, .weight_decay = 0.01};
  // for x, t in loader: optimizer.zero_grad(); loss.backward(); clip_grad_norm_(model.parameters(), 1.0)
  //                     optimizer.step(); scheduler.step()
  minimize(loss, optimizer, {.clip = by_global_norm(1.0, {.convention = torch})});
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));
  History history = fit(g, data.train, {.epochs = 10, .batch = 32, .validation = 0.1, .verbose = 2});
  // model.eval(); with torch.no_grad(): ...
  Scores scores = evaluate(g, history.variables, data.test);
  // torch.save(model.state_dict(), "digits.pt")
  save_weights(history.variables, "digits.safetensors");
  std::cout << "test accuracy " << scores["accuracy"] << "\n";
}
