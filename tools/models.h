// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/graph.h"

namespace thalweg::tool {

/// Scores [N,classes] of images [N,H,W,C] by two 3x3 convolutions, pooling, a hidden layer and dropout. Images of 16
/// pixels and more are pooled after each convolution, smaller ones once.
Value convolutional_net(const Value& images, Dim classes);
/// Scores of images or rows by two hidden layers of `width` units with dropout.
Value dense_net(const Value& x, Dim classes, Dim width, double dropout_rate);

}  // namespace thalweg::tool
