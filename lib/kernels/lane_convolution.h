// SPDX-License-Identifier: Apache-2.0
// Private: convolutions of few channels, several samples at a time, one in each lane of a vector.
#pragma once

#include <memory>

#include "thalweg/lib/kernels/kernel.h"

namespace thalweg {

/// The kernel of conv2d, conv2d_backward_data or conv2d_backward_weights; null for groups, dilation, dtypes other than
/// f32, many channels, fewer samples than lanes, and gradients of data of windows that skip pixels.
std::unique_ptr<Kernel> lane_convolution(const KernelRequest& request, const Epilogue& epilogue = {});

}  // namespace thalweg
