// SPDX-License-Identifier: Apache-2.0
// Private: one function an op family, each null where oneDNN cannot do it well.
#pragma once

#include "thalweg/lib/onednn/lower.h"

namespace thalweg::onednn {

std::unique_ptr<Kernel> matmul_kernel(const KernelRequest& request, const Epilogue& epilogue);
std::unique_ptr<Kernel> conv2d_kernel(const KernelRequest& request, const Epilogue& epilogue);
std::unique_ptr<Kernel> conv2d_backward_data_kernel(const KernelRequest& request);
std::unique_ptr<Kernel> conv2d_backward_weights_kernel(const KernelRequest& request);

}  // namespace thalweg::onednn
