// SPDX-License-Identifier: Apache-2.0
// The model zoo: whole training steps of known nets, each in a file of its own, for inspection, benchmarks and tests.
// All have an input `x` and an output `loss`; those that classify have an input `label`, an i32 for each sample.
#pragma once

#include <span>
#include <string_view>

#include "thalweg/graph/graph.h"

namespace thalweg::zoo {

/// 4-16-3 on the Iris flowers, ReLU, SGD with momentum at one rate: the smallest net that learns something.
Graph tiny(Dim batch = 15);
/// The same net as a lecture trains it: the rate falls in steps, and the accuracy is an output.
Graph lecture(Dim batch = 15);
/// 784-512-512-10, ReLU, Adam.
Graph mlp(Dim batch = 128);
/// LeNet-5 (LeCun et al. 1998) on 28x28 images, with ReLU and maximum pooling as it is taught today; SGD with momentum.
Graph lenet(Dim batch = 128);
/// The convolutional net of `thalweg train digits`, on 8x8 images, with dropout and Adam.
Graph digits(Dim batch = 32);
/// ResNet-20 for 32x32x3 images (He et al. 2016, section 4.2) with 1x1 convolutions where the size changes; SGD with
/// momentum.
Graph resnet20(Dim batch = 64);
/// ResNet-50 for 224x224x3 images and 1000 classes (He et al. 2016), stride in the 3x3 convolution as in torchvision;
/// SGD with momentum.
Graph resnet50(Dim batch = 8);
/// 784-256-64-256-784: images squeezed through 64 numbers and drawn again; squared error, Adam.
Graph autoencoder(Dim batch = 128);
/// A deep belief net unrolled for fine-tuning: 784-500-500-2000-10, sigmoid (Hinton, Osindero and Teh 2006), SGD.
Graph dbn(Dim batch = 64);

/// A net of the zoo by its name.
struct Model {
  std::string_view name;
  std::string_view about;  ///< one line
  Dim batch;               ///< the samples a step that it is known with
  Graph (*build)(Dim batch);
};
/// Every net, from small to large.
std::span<const Model> models();
/// The net of that name; nullptr if there is none.
const Model* find(std::string_view name);

}  // namespace thalweg::zoo
