// SPDX-License-Identifier: Apache-2.0
// Private: small matrix products, written for their sizes.
#pragma once

#include <memory>
#include <optional>

#include "thalweg/lib/kernels/kernel.h"

namespace thalweg {

/// What follows a product in its kernel.
struct ProductEnd {
  bool bias = false;  ///< adds a vector over the last axis, the kernel's third operand
  bool relu = false;  ///< a NaN stays one
  std::optional<double> leaky_slope = {};
  /// Keeps what lies where the kernel's third operand, of the result's shape, is positive; the rest is 0. Not with a
  /// bias.
  bool gate = false;
  /// The sums of b's columns, added up in double, are the kernel's second result. Not for a transposed b.
  bool column_sums = false;
};

/// A kernel for a matmul of f32 matrices that are small enough to win against oneDNN (a tall stack of rows times one
/// matrix counts as one product); null for others. Each element is summed in ascending k, rounded once a term.
std::unique_ptr<Kernel> small_product(const KernelRequest& request, const ProductEnd& end = {});
/// Whether a product of these sizes is one.
bool is_small_product(std::size_t m, std::size_t n, std::size_t k);

}  // namespace thalweg
