// SPDX-License-Identifier: Apache-2.0
#include "zoo.h"

#include <algorithm>

namespace thalweg::zoo {
namespace {

constexpr Model list[] = {
    {"tiny", "4-16-3 on Iris, SGD with momentum", 15, tiny},
    {"lecture", "4-16-3 on Iris, SGD with momentum and a rate that falls in steps", 15, lecture},
    {"digits", "two convolutions and a hidden layer on 8x8 images, dropout, Adam", 32, digits},
    {"lenet", "LeNet-5 on 28x28 images, SGD with momentum", 128, lenet},
    {"autoencoder", "784-256-64-256-784, squared error, Adam", 128, autoencoder},
    {"mlp", "784-512-512-10, Adam", 128, mlp},
    {"dbn", "784-500-500-2000-10, sigmoid: a deep belief net unrolled for fine-tuning, SGD", 64, dbn},
    {"resnet20", "ResNet-20 on 32x32x3 images, batch norm, SGD with momentum", 64, resnet20},
    {"resnet50", "ResNet-50 on 224x224x3 images, batch norm, SGD with momentum", 8, resnet50},
};

}  // namespace

std::span<const Model> models() { return list; }

const Model* find(std::string_view name) {
  const auto* found = std::find_if(std::begin(list), std::end(list), [&](const Model& m) { return m.name == name; });
  return found == std::end(list) ? nullptr : found;
}

}  // namespace thalweg::zoo
