// SPDX-License-Identifier: Apache-2.0
// Private: the inner loops of batch norm over rows of channels (f32 or f64), one version for each instruction set. All
// of them compute in double; a channel's sums take the rows in ascending order.
#pragma once

#include <cstddef>

namespace thalweg {

/// Rows of `channels` adjacent numbers.
template <class T>
struct NormRows {
  const T* x;
  const T* dy;  ///< rows like x; for gradients
  std::size_t rows, channels;
};

template <class T>
struct NormTable {
  /// mean[k] = the sum of x[r, k] over the rows, times 1 / rows; squares[k] = the sum of (x[r, k] - mean[k])^2.
  void (*moments)(const NormRows<T>& in, double* mean, double* squares);
  /// y[r, k] = (x[r, k] - mean[k]) * scale[k] + shift[k].
  void (*normalize)(const NormRows<T>& in, const double* mean, const double* scale, const double* shift, T* y);
  /// products[k] = the sum of dy[r, k] * (x[r, k] - mean[k]); sums[k] = the sum of dy[r, k].
  void (*sums)(const NormRows<T>& in, const double* mean, double* products, double* sums);
  /// dx[r, k] = scale[k] * dy[r, k] + slope[k] * (x[r, k] - mean[k]) + shift[k].
  void (*backward)(const NormRows<T>& in, const double* mean, const double* scale, const double* slope,
                   const double* shift, T* dx);
};
/// Of the best instruction set that this machine has.
template <class T>
const NormTable<T>& norm_rows();

}  // namespace thalweg
