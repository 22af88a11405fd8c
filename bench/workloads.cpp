// SPDX-License-Identifier: Apache-2.0
#include "workloads.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "../tools/zoo/zoo.h"
#include "thalweg/graph/fail.h"
#include "thalweg/thalweg.h"

namespace thalweg::bench {
namespace {

/// Adam on n parameters whose gradient is an input.
Graph adam(std::string name, Dim n) {
  Graph g(std::move(name));
  const Value w = variable(g, "w", f32(n), random_uniform_init({.low = -1, .high = 1}));
  const Value dw = input(g, "dw", f32(n));
  Slots slots(g, "adam", SourceLoc::current());
  g.update(w, slots.next(Adam{}, w, dw));
  slots.count();
  return g;
}

/// Many layers whose activations take more room than their weights.
Graph deep(Dim batch) {
  Graph g("deep");
  Value h = input(g, "x", f32(batch, 256));
  for (int layer = 0; layer < 24; ++layer) h = dense(h, 256, {.init = he_normal(), .activation = relu});
  const Value loss = mean(sparse_cross_entropy(dense(h, 10), input(g, "label", i32(batch))));
  minimize(loss, Sgd{.rate = 0.01, .momentum = 0.9});
  g.output("loss", loss);
  return g;
}

constexpr Dim largest_labels = 10;

constexpr std::array list = {
    Workload{"tiny", "4-16-3, batch 15, SGD with momentum", [] { return zoo::tiny(15); }},
    Workload{"tiny1", "4-16-3, batch 1, SGD with momentum", [] { return zoo::tiny(1); }},
    Workload{"adam1k", "Adam alone, 1,000 parameters", [] { return adam("adam1k", 1000); }, true},
    Workload{"digits", "2 convolutions on 8x8, batch 32, dropout, Adam", [] { return zoo::digits(32); }},
    Workload{"mlp", "784-512-512-10, batch 128, Adam", [] { return zoo::mlp(128); }},
    Workload{"deep", "24 layers of 256, batch 1024, SGD with momentum", [] { return deep(1024); }},
    Workload{"lenet", "LeNet-5 on 28x28, batch 128, SGD with momentum", [] { return zoo::lenet(128); }},
    Workload{"adam10m", "Adam alone, 10,000,000 parameters", [] { return adam("adam10m", 10'000'000); }, true},
    Workload{"resnet20", "ResNet-20 on 32x32x3, batch 64, SGD with momentum", [] { return zoo::resnet20(64); }},
    Workload{"resnet50", "ResNet-50 on 224x224x3, batch 8, SGD with momentum", [] { return zoo::resnet50(8); }},
};

}  // namespace

std::span<const Workload> workloads() { return list; }

const Workload& workload(std::string_view name) {
  const auto found = std::find_if(list.begin(), list.end(), [&](const Workload& w) { return w.name == name; });
  if (found != list.end()) return *found;
  std::string known;
  for (const Workload& w : list) known.append(known.empty() ? "" : ", ").append(w.name);
  run_error("there is no workload '{}'; there are {}", name, known);
}

void fill_inputs(Program& program, const Workload& workload) {
  std::uint32_t state = 1;
  for (const std::string& name : program.input_names()) {
    if (is_float(program.input_type(name).dtype)) {
      for (float& value : program.input<float>(name)) {
        state = state * 1664525U + 1013904223U;
        const float unit = static_cast<float>(state >> 8) * 0x1p-24F;
        value = workload.update_only ? 2 * unit - 1 : unit;
      }
    } else {
      const Dim classes = workload.name.starts_with("tiny") ? 3 : largest_labels;
      std::int32_t label = 0;
      for (std::int32_t& value : program.input<std::int32_t>(name))
        value = label++ % static_cast<std::int32_t>(classes);
    }
  }
}

double measure(const Program& program, const Workload& workload) {
  if (!workload.update_only) return program.scalar("loss");
  const Tensor w = program.variables().at("w");
  double sum = 0;
  for (const float x : w.as<float>()) sum += static_cast<double>(x) * static_cast<double>(x);
  return sum / static_cast<double>(w.type().elements());
}

}  // namespace thalweg::bench
