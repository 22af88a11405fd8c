// SPDX-License-Identifier: Apache-2.0
// Private: bf16 by way of f32.
#pragma once

#include <functional>
#include <memory>

#include "thalweg/lib/kernels/kernel.h"

namespace thalweg {

/// A kernel for a node of bf16 tensors: reads them as f32, runs the kernel that `make` gives for f32, and rounds the
/// results to bf16 once. Null where nothing is bf16, or `make` has no kernel.
std::unique_ptr<Kernel> widened_kernel(const KernelRequest& request,
                                       const std::function<std::unique_ptr<Kernel>(const KernelRequest&)>& make);

}  // namespace thalweg
