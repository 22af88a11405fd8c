// SPDX-License-Identifier: Apache-2.0
// Private: convolutions in register tiles over channels-last f32 tensors and weights as the program keeps them.
#pragma once

#include <memory>

#include "thalweg/lib/kernels/kernel.h"

namespace thalweg {

/// The kernel of conv2d, conv2d_backward_data or conv2d_backward_weights; null for groups, for dtypes other than f32
/// and for results whose channels are no multiple of 8.
std::unique_ptr<Kernel> tiled_convolution(const KernelRequest& request, const Epilogue& epilogue = {});

}  // namespace thalweg
