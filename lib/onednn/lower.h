// SPDX-License-Identifier: Apache-2.0
// Private: which ops oneDNN computes, and what it computes along with them.
#pragma once

#include <memory>

#include "thalweg/lib/kernels/kernel.h"

namespace thalweg::onednn {

/// oneDNN's kernel for the node, or null where it has none, would use its reference loops, or is known to be wrong.
/// None ends in relu: oneDNN's turns NaN into 0, so that a diverged net would look healthy.
std::unique_ptr<Kernel> kernel(const KernelRequest& request, const Epilogue& epilogue = {});
/// The kernel of a convolution that Winograd's algorithm makes faster on this processor: 3x3, of stride 1, in f32 and with
/// 64 channels or more. Null for others, where oneDNN has none, or with an epilogue that ends in relu.
std::unique_ptr<Kernel> winograd_kernel(const KernelRequest& request, const Epilogue& epilogue = {});
/// Whether oneDNN has kernels for 512-bit vectors here, and Winograd's among them.
bool has_wide_kernels();
/// Whether this processor multiplies bf16, so that it is faster than f32.
bool multiplies_bf16();
/// Whether the op takes an epilogue at all.
bool takes_epilogue(const Node& node, const TensorType& result);

}  // namespace thalweg::onednn
