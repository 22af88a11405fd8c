// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/ops/window.h"

namespace thalweg {

/// Attributes of the convolutions. `padding` is "valid", "same" or "explicit"; left out it is explicit where `pads`
/// ([top,bottom,left,right]; of conv1d [left,right]) are given, else valid. conv1d reads the widths of the extents.
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

/// conv2d along one axis: x [N,L,C], w [k,C/groups,O], y [N,L',O].
THALWEG_API Value conv1d(Operand x, Operand w, const Conv2dOptions& options = {});

struct ConvTranspose2dOptions {
  Extent strides = 1;
  Extent dilation = 1;
  std::string_view padding = {};  ///< as in Conv2dOptions, of the convolution that this one transposes
  std::vector<Dim> pads = {};
  /// Rows and columns more at the bottom and right of the result: below the stride. Not with padding=same.
  std::optional<Extent> output_padding = {};
  Dim groups = 1;
};
/// The transpose of conv2d: x [N,H,W,C] and w [kh,kw,O/groups,C] give y [N,H',W',O], the gradient of a convolution
/// whose result has the sizes of x. With e = dilation*(k-1)+1 and stride s, n becomes n*s for padding=same;
/// (n-1)*s + max(e, s) for valid (Keras), or (n-1)*s + e + output_padding where that is given; and
/// (n-1)*s + e - pads + output_padding for explicit pads (torch). Errors: as conv2d, and an empty result.
THALWEG_API Value conv2d_transpose(Operand x, Operand w, const ConvTranspose2dOptions& options = {});

}  // namespace thalweg
