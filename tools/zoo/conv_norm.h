// SPDX-License-Identifier: Apache-2.0
// What the residual nets are made of.
#pragma once

#include <thalweg/thalweg.h>

namespace thalweg::zoo {

/// A convolution and its batch norm; padded so that a stride of 1 keeps the size.
inline Value conv_norm(const Value& x, Dim filters, Dim window, Dim stride) {
  const Dim pad = window / 2;
  const Value y = conv(x, filters, window,
                       {.strides = stride, .pads = {pad, pad, pad, pad}, .init = he_normal(), .bias = false});
  return batch_norm(y, {.convention = Convention::torch});
}

}  // namespace thalweg::zoo
