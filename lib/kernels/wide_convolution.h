// SPDX-License-Identifier: Apache-2.0
// Private: convolutions of many channels, written for their sizes, for AVX-512.
#pragma once

#include <memory>

#include "thalweg/lib/kernels/kernel.h"

namespace thalweg {

/// The kernel of conv2d or conv2d_backward_data between f32 tensors, whose results have channels of whole vectors of 16;
/// null for others, for groups, dilation, few channels, many weights, gradients of data of windows that skip pixels, and
/// without AVX-512. Channels stay last and weights as the program keeps them. Each element is summed in one order,
/// whatever the number of threads.
std::unique_ptr<Kernel> wide_convolution(const KernelRequest& request, const Epilogue& epilogue = {});

}  // namespace thalweg
