// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "thalweg/graph/attrs.h"
#include "thalweg/graph/type.h"

namespace thalweg {

/// Two whole numbers, for height and width; one number stands for both: `.strides = 2`, `.strides = {2, 1}`.
struct Extent {
  Dim height = 1;
  Dim width = 1;
  constexpr Extent(Dim both) : height(both), width(both) {}  // NOLINT: `.strides = 2`
  constexpr Extent(Dim h, Dim w) : height(h), width(w) {}
  friend bool operator==(const Extent&, const Extent&) = default;
};

/// How a window slides over height (axis 0) and width (axis 1): what convolution and pooling have in common, and what
/// their kernels need. Tap k of output o reads input `o * stride - pad_low + k * dilation`.
struct WindowGeometry {
  std::array<Dim, 2> in{};        ///< size of the input
  std::array<Dim, 2> size{};      ///< taps of the window
  std::array<Dim, 2> out{};       ///< size of the output
  std::array<Dim, 2> stride{};
  std::array<Dim, 2> dilation{};  ///< distance of two taps; 1 is a dense window
  std::array<Dim, 2> pad_low{};   ///< top, left
  std::array<Dim, 2> pad_high{};  ///< bottom, right

  /// Input position that tap k of output o reads; outside [0, in) it is padding.
  Dim position(std::size_t axis, Dim o, Dim k) const {
    return o * stride[axis] - pad_low[axis] + k * dilation[axis];
  }
  bool inside(std::size_t axis, Dim at) const { return at >= 0 && at < in[axis]; }
};

/// Fills in padding and output sizes from `padding` (valid, same or explicit) and `pads` ([top,bottom,left,right], with
/// explicit only). Keras' rules: same gives ceil(in/stride) outputs and pads an odd rest at the end; the others
/// floor((in + pads - dilation*(size-1) - 1) / stride) + 1. Throws RuleError, also where the window does not fit.
THALWEG_API WindowGeometry window_geometry(const Attrs& attrs, WindowGeometry sizes);
/// The two numbers of a list attribute; `fallback` where it is empty. Throws RuleError for any other count.
THALWEG_API std::array<Dim, 2> pair_of(const Attrs& attrs, std::string_view name, std::array<Dim, 2> fallback);
/// The attributes that say how a window moves, as the builders write them: defaults are left out.
THALWEG_API std::vector<Attr> window_attrs(std::string_view padding, const std::vector<Dim>& pads);

}  // namespace thalweg
