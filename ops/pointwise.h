// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/graph.h"

namespace thalweg {

/// a + b, elementwise with numpy broadcasting; equal numeric dtypes.
THALWEG_API Value add(Operand a, Operand b);
/// a * b, elementwise with numpy broadcasting; equal numeric dtypes.
THALWEG_API Value mul(Operand a, Operand b);
/// tanh(x); float.
THALWEG_API Value tanh(Operand x);

inline Value operator+(Operand a, Operand b) { return add(std::move(a), std::move(b)); }
inline Value operator*(Operand a, Operand b) { return mul(std::move(a), std::move(b)); }

}  // namespace thalweg
