// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <string_view>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/ops/window.h"

namespace thalweg {

/// Attributes of pooling. `strides` left out are the window, `padding` left out is explicit where `pads`
/// ([top,bottom,left,right], each smaller than the window) are given, else valid.
struct PoolOptions {
  static constexpr Extent as_window = std::numeric_limits<Dim>::min();
  Extent strides = as_window;
  std::string_view padding = {};
  std::vector<Dim> pads = {};
  /// avg_pool only: divide by the whole window (torch) instead of by its part that lies in the input (Keras).
  bool count_include_pad = false;
};

using PoolGeometry = WindowGeometry;
/// The sizes of a pooling over x [N,H,W,C]. Throws RuleError for a window or pads that do not fit.
THALWEG_API PoolGeometry pool_geometry(const Attrs& attrs, const Shape& x);

/// The largest element of each window of x [N,H,W,C], channel by channel. Padding never wins; NaN does. Of equal
/// elements the first (row by row) gets the gradient, as in torch and TensorFlow.
THALWEG_API Value max_pool(Operand x, Extent window, const PoolOptions& options = {});
/// The mean of each window of x [N,H,W,C], channel by channel.
THALWEG_API Value avg_pool(Operand x, Extent window, const PoolOptions& options = {});

/// The gradient of max_pool with respect to x: each element of dy added where the largest of its window was.
THALWEG_API Value max_pool_backward(Operand x, Operand dy, Extent window, const PoolOptions& options = {});
/// For each window of x the element of g where the largest of x was: the derivative of max_pool along g.
THALWEG_API Value max_pool_pick(Operand x, Operand g, Extent window, const PoolOptions& options = {});
/// The gradient of avg_pool with respect to its operand, which is of type `x`.
THALWEG_API Value avg_pool_backward(Operand dy, const TensorType& x, Extent window, const PoolOptions& options = {});

/// Mean over height and width: [N,H,W,C] gives [N,C].
THALWEG_API Value global_avg_pool(Operand x);
/// Maximum over height and width: [N,H,W,C] gives [N,C]; the gradient goes to the first of equal elements.
THALWEG_API Value global_max_pool(Operand x);

}  // namespace thalweg
