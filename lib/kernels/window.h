// SPDX-License-Identifier: Apache-2.0
// Private: the window of a convolution, as kernels see it that slide one over samples.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "thalweg/graph/opdef.h"
#include "thalweg/graph/type.h"
#include "thalweg/lib/kernels/makers.h"
#include "thalweg/ops/conv.h"

namespace thalweg {

/// A window that slides over samples: of x to y, or of dy to dx with its taps the other way round.
struct Window {
  std::size_t rows, columns;  ///< taps
  Dim above, left;            ///< pads
  std::size_t row_stride, column_stride;
  std::size_t in_rows, in_columns, channels;
  std::size_t out_rows, out_columns, outputs;
  std::size_t samples;

  /// With the border of zeros at both sides that the window reads.
  std::size_t all_columns() const { return (out_columns - 1) * column_stride + columns; }
  /// Numbers of a row with its border.
  std::size_t row() const { return all_columns() * channels; }
  std::size_t taps() const { return rows * columns * channels; }
  std::size_t sample_in() const { return in_rows * in_columns * channels; }
  std::size_t sample_out() const { return out_rows * out_columns * outputs; }
  /// The rows of taps that row h of the result reads rows of the source with: [first, second).
  std::pair<std::size_t, std::size_t> tap_rows(std::size_t h) const {
    const Dim top = static_cast<Dim>(h * row_stride) - above, bottom = static_cast<Dim>(in_rows) - top;
    const Dim first = std::max<Dim>(0, -top), last = std::min<Dim>(static_cast<Dim>(rows), bottom);
    return {count(first), count(std::max(first, last))};
  }
  /// The row of the source that tap row i of row h of the result reads.
  std::size_t source_row(std::size_t h, std::size_t i) const {
    return count(static_cast<Dim>(h * row_stride + i) - above);
  }
};

/// The window over x [samples, rows, columns, channels] with weights w.
inline Window window_of(const ConvGeometry& g, const Shape& x, const Shape& w) {
  return {.rows = count(g.size[0]), .columns = count(g.size[1]), .above = g.pad_low[0], .left = g.pad_low[1],
          .row_stride = count(g.stride[0]), .column_stride = count(g.stride[1]), .in_rows = count(x[1]),
          .in_columns = count(x[2]), .channels = count(x[3]), .out_rows = count(g.out[0]),
          .out_columns = count(g.out[1]), .outputs = count(w[3]), .samples = count(x[0])};
}

/// The window that turns dy into dx, of convolutions that move by one pixel.
inline Window turned_window(const ConvGeometry& g, const Shape& x, const Shape& w) {
  return {.rows = count(g.size[0]), .columns = count(g.size[1]), .above = g.size[0] - 1 - g.pad_low[0],
          .left = g.size[1] - 1 - g.pad_low[1], .row_stride = 1, .column_stride = 1, .in_rows = count(g.out[0]),
          .in_columns = count(g.out[1]), .channels = count(w[3]), .out_rows = count(x[1]), .out_columns = count(x[2]),
          .outputs = count(x[3]), .samples = count(x[0])};
}

/// The window of a convolution without groups and holes, whose border is narrower than it is; of conv2d_backward_data the
/// turned one, if it moves by one pixel.
inline std::optional<Window> dense_window(const KernelRequest& request) {
  const std::string_view op = request.node.op->name;
  const bool to_data = op == "conv2d_backward_data", to_weights = op == "conv2d_backward_weights";
  const Shape& x = to_data ? request.out[0].shape : request.in[0].shape;
  const Shape& w = to_weights ? request.out[0].shape : request.in[1].shape;
  const ConvGeometry g = conv_geometry(request.node.attrs, x, w);
  const std::array<Dim, 2> one = {1, 1};
  if (request.node.attrs.integer("groups") != 1 || g.dilation != one || (to_data && g.stride != one)) return {};
  for (std::size_t axis = 0; axis < 2; ++axis)
    if (g.pad_low[axis] < 0 || g.pad_low[axis] >= g.size[axis]) return {};
  return to_data ? turned_window(g, x, w) : window_of(g, x, w);
}

/// Pieces of `total`, none larger than `most` and as even as they can be.
struct Piece {
  std::size_t first, size;
};
inline std::vector<Piece> pieces_of(std::size_t total, std::size_t most) {
  std::vector<Piece> pieces;
  const std::size_t n = (total + most - 1) / most;
  for (std::size_t i = 0; i < n; ++i) pieces.push_back({total * i / n, total * (i + 1) / n - total * i / n});
  return pieces;
}

}  // namespace thalweg
