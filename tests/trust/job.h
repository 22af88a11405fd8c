// SPDX-License-Identifier: Apache-2.0
// Trainings that have everything in them that could forget something: dropout, running statistics, slots, schedules,
// shuffling, a short last batch, early stopping.
#pragma once

#include <string>

#include "../train/models.h"
#include "thalweg/lib/train/fit.h"
#include "thalweg/ops/random.h"
#include "thalweg/optim/adaptive.h"
#include "thalweg/optim/clip.h"

namespace thalweg::testing {

/// A net for the spiral, with dropout and batch norm.
inline Graph job_mlp(Dim batch, const Optimizer& optimizer) {
  Graph g("job");
  const Value x = input(g, "x", f32(batch, 2)), t = input(g, "t", i32(batch));
  const Value h = dropout(relu(batch_norm(dense(x, 12))), 0.25);
  finish(g, dense(h, 3), t, optimizer, {.penalty = l2(1e-4), .clip = by_global_norm(1.0)});
  return g;
}

/// Pictures of 8x8 with a bright spot in one of four corners.
inline Dataset corners(Dim n) {
  Dataset data;
  data.inputs = Tensor(f32(n, 8, 8, 1));
  data.labels = Tensor(i32(n));
  const auto pixels = data.inputs.as<float>();
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    const std::size_t label = i % 4;
    data.labels.as<std::int32_t>()[i] = static_cast<std::int32_t>(label);
    for (std::size_t p = 0; p < 64; ++p) pixels[i * 64 + p] = static_cast<float>((i * 37 + p * 11) % 17) / 34.0f;
    pixels[i * 64 + (label / 2 * 5 + 1) * 8 + label % 2 * 5 + 1] += 1.0f;
  }
  return data;
}

/// Convolution, pooling, batch norm and dropout.
inline Graph job_cnn(Dim batch, const Optimizer& optimizer = Adam{.rate = 0.01}) {
  Graph g("cnn");
  const Value x = input(g, "x", f32(batch, 8, 8, 1)), t = input(g, "t", i32(batch));
  const Value h = max_pool(relu(batch_norm(conv(x, 8, 3))), 2);
  finish(g, dense(dropout(flatten(h), 0.2), 4), t, optimizer);
  return g;
}

/// Every number of the variables and of the history (but the time), as text that is equal only if all bits are.
inline std::string bits_of(const History& history) {
  std::string text;
  for (const std::string& name : history.variables.names()) {
    const Tensor value = history.variables.at(name);
    text += name + " " + to_string(value.type());
    const auto* bytes = static_cast<const unsigned char*>(value.data());
    for (std::size_t i = 0; i < value.bytes(); ++i) {
      constexpr char digits[] = "0123456789abcdef";
      if (i % 8 == 0) text += ' ';
      text += digits[bytes[i] / 16];
      text += digits[bytes[i] % 16];
    }
    text += '\n';
  }
  History timeless = history;
  for (std::vector<double>& row : timeless.rows) row.back() = 0;
  return text + to_csv(timeless) + std::to_string(history.best_epoch) + (history.stopped_early ? " stopped\n" : "\n");
}

}  // namespace thalweg::testing
