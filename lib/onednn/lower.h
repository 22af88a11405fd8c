// SPDX-License-Identifier: Apache-2.0
// Private: which ops oneDNN computes, and what it computes along with them.
#pragma once

#include <memory>
#include <optional>

#include "thalweg/lib/kernels/kernel.h"

namespace thalweg::onednn {

/// What follows a matmul or conv2d in the same kernel; a bias comes after the node's own operands.
/// There is no relu: oneDNN's turns NaN into 0, so that a diverged net would look healthy.
struct Epilogue {
  bool bias = false;      ///< adds a vector over the last axis
  std::optional<double> leaky_slope = {};  ///< then leaky_relu of this slope; never 0
  bool any() const { return bias || leaky_slope; }
};

/// oneDNN's kernel for the node, or null where it has none, would use its reference loops, or is known to be wrong.
std::unique_ptr<Kernel> kernel(const KernelRequest& request, const Epilogue& epilogue = {});
/// Whether the op takes an epilogue at all.
bool takes_epilogue(const Node& node, const TensorType& result);

}  // namespace thalweg::onednn
