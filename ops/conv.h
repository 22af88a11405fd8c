// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/ops/window.h"

namespace thalweg {

/// Attributes of the convolutions. `padding` is "valid", "same" or "explicit"; left out it is explicit where `pads`
/// ([top,bottom,left,right]) are given, else valid.
struct Conv2dOptions {
  Extent strides = 1;
  Extent dilation = 1;
  std::string_view padding = {};
  std::vector<Dim> pads = {};
  Dim groups = 1;
};

using ConvGeometry = WindowGeometry;
/// The sizes of a convolution of x [N,H,W,C] with w [kh,kw,C/groups,O]. Throws RuleError for shapes that do not fit.
THALWEG_API ConvGeometry conv_geometry(const Attrs& attrs, const Shape& x, const Shape& w);

/// y[n,i,j,o] = sum over h,w,c of x[n, i*s-p+h*d, j*s-p+w*d, c] * w[h,w,c,o] (a correlation, as in every framework):
/// x [N,H,W,C], w [kh,kw,C/groups,O], y [N,H',W',O]; output channel o sees the input channels of its group only.
/// Padding as Keras computes it (`window_geometry`). Errors: other ranks or dtypes, groups that do not divide the
/// channels, a window larger than the padded input.
THALWEG_API Value conv2d(Operand x, Operand w, const Conv2dOptions& options = {});
/// The gradient of conv2d with respect to x, which is of type `x`; linear in dy and in w (a transposed convolution).
THALWEG_API Value conv2d_backward_data(Operand dy, Operand w, const TensorType& x, const Conv2dOptions& options = {});
/// The gradient of conv2d with respect to w, which is of type `w`; linear in x and in dy.
THALWEG_API Value conv2d_backward_weights(Operand x, Operand dy, const TensorType& w,
                                          const Conv2dOptions& options = {});

}  // namespace thalweg
