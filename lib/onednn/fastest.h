// SPDX-License-Identifier: Apache-2.0
// Private, for benchmarks only: not part of the library.
#pragma once

#include <optional>
#include <string>

#include "thalweg/lib/kernels/kernel.h"

namespace thalweg::onednn {

/// One primitive alone, its operands already where and how it wants them.
struct TimedPrimitive {
  double seconds = 0;  ///< median of warm runs
  std::string implementation;
};
/// The fastest of oneDNN's primitives for a matmul or a convolution (or one of its gradients), over plain,
/// channels-last and free layouts; nothing for any other op, and where it has only its reference loops. Takes some tens
/// of milliseconds, and at least three runs each. Runs in the caller's team of threads.
std::optional<TimedPrimitive> fastest_primitive(const KernelRequest& request);

}  // namespace thalweg::onednn
