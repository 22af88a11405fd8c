// SPDX-License-Identifier: Apache-2.0
// Private: convolutions with few channels, written for their sizes.
#pragma once

#include <memory>

#include "thalweg/lib/kernels/kernel.h"
#include "thalweg/lib/kernels/product_code.h"

namespace thalweg {

/// A kernel for conv2d, conv2d_backward_data or conv2d_backward_weights between f32 tensors of few channels, where
/// oneDNN leaves most lanes empty; null for others. Channels stay last, and each sample is computed by one thread.
/// `end` is for conv2d alone.
std::unique_ptr<Kernel> small_convolution(const KernelRequest& request, const ProductEnd& end = {});

}  // namespace thalweg
