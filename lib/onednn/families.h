// SPDX-License-Identifier: Apache-2.0
// Private: one function an op family, each null where oneDNN cannot do it well.
#pragma once

#include <cstdint>

#include "thalweg/lib/onednn/lower.h"

namespace thalweg::onednn {

/// Of a convolution. oneDNN's own choice between them (`auto`) changes with the thread count.
enum class Algorithm : std::uint8_t { direct, winograd };

std::unique_ptr<Kernel> matmul_kernel(const KernelRequest& request, const Epilogue& epilogue);
std::unique_ptr<Kernel> conv2d_kernel(const KernelRequest& request, const Epilogue& epilogue, Algorithm algorithm);
std::unique_ptr<Kernel> conv2d_backward_data_kernel(const KernelRequest& request, Algorithm algorithm);
std::unique_ptr<Kernel> conv2d_backward_weights_kernel(const KernelRequest& request, Algorithm algorithm);

}  // namespace thalweg::onednn
