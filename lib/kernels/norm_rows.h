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
  std::size_t rows, channels;
};

/// What is done to a normalized number, in this order; each result is rounded to T.
template <class T>
struct NormEnd {
  const T* added = nullptr;  ///< rows like x
  bool relu = false;         ///< NaN stays NaN
};

/// The gradient that reaches a norm, from rows like x: dy, or where there is a gate what lies where that is positive,
/// and zero elsewhere; of dy + more where that is not null.
template <class T>
struct NormSlope {
  const T* dy;
  const T* gate = nullptr;
  const T* more = nullptr;  ///< only with a gate
};

template <class T>
struct NormTable {
  /// mean[k] = the sum of x[r, k] over the rows, times 1 / rows; squares[k] = the sum of (x[r, k] - mean[k])^2.
  void (*moments)(const NormRows<T>& in, double* mean, double* squares);
  /// y[r, k] = (x[r, k] - mean[k]) * scale[k] + shift[k], and what follows. y may be any of the rows that are read.
  void (*normalize)(const NormRows<T>& in, const double* mean, const double* scale, const double* shift,
                    const NormEnd<T>& end, T* y);
  /// products[k] = the sum of g[r, k] * (x[r, k] - mean[k]); sums[k] = the sum of g[r, k]. The gradient g is stored
  /// unless `gated` is null; it may be any of the rows of the slope.
  void (*sums)(const NormRows<T>& in, const NormSlope<T>& slope, const double* mean, T* gated, double* products,
               double* sums);
  /// dx[r, k] = scale[k] * g[r, k] + slope[k] * (x[r, k] - mean[k]) + shift[k]. dx may be any of the rows that are
  /// read.
  void (*backward)(const NormRows<T>& in, const NormSlope<T>& from, const double* mean, const double* scale,
                   const double* slope, const double* shift, T* dx);
};
/// Of the best instruction set that this machine has.
template <class T>
const NormTable<T>& norm_rows();

}  // namespace thalweg
