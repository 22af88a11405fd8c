// SPDX-License-Identifier: Apache-2.0
// Private: large matrix products in register tiles over packed panels.
#pragma once

#include <memory>

#include "thalweg/lib/kernels/kernel.h"

namespace thalweg {

/// A kernel for a matmul of f32 with one right matrix, or for a convolution of single pixels, large enough to pay for
/// its packing; null for others. Each element is summed in ascending k, rounded once a term, whatever the number of
/// threads.
std::unique_ptr<Kernel> packed_product(const KernelRequest& request, const Epilogue& epilogue = {});
/// Whether it is faster here than every other kernel, by the tables in lib/compile/candidates.cpp.
bool prefers_packed_product(const KernelRequest& request);

}  // namespace thalweg
