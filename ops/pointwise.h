// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>

#include "thalweg/graph/graph.h"

namespace thalweg {

// Elementwise ops. Those of two or three operands broadcast as numpy does, over equal dtypes; a number takes the dtype
// of its partner. NaN in gives NaN out.

/// a + b; numeric. Integers wrap around on overflow, here and below.
THALWEG_API Value add(Operand a, Operand b);
/// a - b; numeric.
THALWEG_API Value sub(Operand a, Operand b);
/// a * b; numeric.
THALWEG_API Value mul(Operand a, Operand b);
/// a / b; numeric. Integers are truncated toward zero; divided by 0 they give 0.
THALWEG_API Value div(Operand a, Operand b);
/// a * b, but 0 where a is 0, whatever b is; float. What gradients are made of where a slope may be infinite or NaN in a
/// branch that `select` did not take. (TensorFlow's multiply_no_nan with its operands exchanged.)
THALWEG_API Value mul_no_nan(Operand a, Operand b);
/// a to the power b; float. pow(x, 0) is 1 for every x, as in C. At a = 0 the slope by a is 0 where b is 0, and the
/// slope by b is 0 where b >= 0, as in torch.
THALWEG_API Value pow(Operand a, Operand b);
/// The larger of a and b; numeric. Equal ones share the gradient half and half, as in torch and JAX.
THALWEG_API Value max(Operand a, Operand b);
/// The smaller of a and b; otherwise as max.
THALWEG_API Value min(Operand a, Operand b);

/// How `compare` compares; the words in the text form are eq, ne, lt, le, gt and ge.
enum class Comparison : std::uint8_t { eq, ne, lt, le, gt, ge };
/// bool: a (mode) b, over equal dtypes; bool itself only for eq and ne. NaN equals nothing, not even NaN.
THALWEG_API Value compare(Operand a, Operand b, Comparison mode);
THALWEG_API Value equal(Operand a, Operand b);
THALWEG_API Value not_equal(Operand a, Operand b);
THALWEG_API Value less(Operand a, Operand b);
THALWEG_API Value less_equal(Operand a, Operand b);
THALWEG_API Value greater(Operand a, Operand b);
THALWEG_API Value greater_equal(Operand a, Operand b);
/// a and b; bool.
THALWEG_API Value logical_and(Operand a, Operand b);
/// a or b; bool.
THALWEG_API Value logical_or(Operand a, Operand b);
/// not x; bool.
THALWEG_API Value logical_not(Operand x);
/// a where `condition` (bool), else b; all three broadcast, a and b of one dtype. The branch not taken gets gradient 0.
THALWEG_API Value select(Operand condition, Operand a, Operand b);

/// -x; float or signed integer.
THALWEG_API Value neg(Operand x);
/// |x|; numeric. Slope 0 at 0.
THALWEG_API Value abs(Operand x);
/// -1, 0 or 1; numeric. Slope 0.
THALWEG_API Value sign(Operand x);
/// The largest whole number that is not above x; float. Slope 0.
THALWEG_API Value floor(Operand x);
/// bool: neither infinite nor NaN; float.
THALWEG_API Value is_finite(Operand x);
/// x * x; numeric.
THALWEG_API Value square(Operand x);
/// Square root; float. Slope infinite at 0.
THALWEG_API Value sqrt(Operand x);
/// 1 / sqrt(x); float.
THALWEG_API Value rsqrt(Operand x);
/// e^x; float.
THALWEG_API Value exp(Operand x);
/// e^x - 1, exact near 0; float.
THALWEG_API Value expm1(Operand x);
/// Natural logarithm; float.
THALWEG_API Value log(Operand x);
/// log(1 + x), exact near 0; float.
THALWEG_API Value log1p(Operand x);
/// Cosine of x in radians; float.
THALWEG_API Value cos(Operand x);
/// Sine of x in radians; float.
THALWEG_API Value sin(Operand x);
/// The error function; float.
THALWEG_API Value erf(Operand x);

struct ClipOptions {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
};
/// x held between low and high; float. Slope 1 between and at the bounds (torch), 0 outside. Errors: low > high, NaN.
THALWEG_API Value clip(Operand x, ClipOptions bounds);

/// max(x, 0); float. Slope 0 at 0 (Nair and Hinton 2010).
THALWEG_API Value relu(Operand x);
/// x where it is above 0, else slope * x; float. At 0 the slope is `slope` (torch) (Maas et al. 2013).
THALWEG_API Value leaky_relu(Operand x, double slope = 0.01);
/// x where it is above 0, else alpha * (e^x - 1); float, alpha >= 0 (Clevert et al. 2015).
THALWEG_API Value elu(Operand x, double alpha = 1);
struct GeluOptions {
  /// "none" for the exact function, "tanh" for the approximation of Hendrycks and Gimpel.
  std::string_view approximate = "none";
};
/// x * Phi(x), Phi the normal distribution (Hendrycks and Gimpel 2016); or, with tanh,
/// x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))); float.
THALWEG_API Value gelu(Operand x, GeluOptions options = {});
/// 1 / (1 + e^-x); float.
THALWEG_API Value sigmoid(Operand x);
/// Hyperbolic tangent; float.
THALWEG_API Value tanh(Operand x);
/// log(1 + e^x); float (Dugas et al. 2001).
THALWEG_API Value softplus(Operand x);
/// x * sigmoid(x), also called swish; float (Elfwing et al. 2018; Ramachandran et al. 2017).
THALWEG_API Value silu(Operand x);

// Activations that are written in the ops above, and show as those in a graph's text. All are float; at a kink the
// slope is torch's.

/// x where it is above 0, else slope * x, where `slope` is a value that broadcasts to x: learned, for each channel or
/// for all (He et al. 2015). At 0 the slope is `slope`. The layer of this name makes the variable.
THALWEG_API Value prelu(Operand x, Operand slope);
/// 1.0507 * elu(x, 1.6733): keeps mean 0 and variance 1 through many layers (Klambauer et al. 2017).
THALWEG_API Value selu(Operand x);
/// x * tanh(softplus(x)) (Misra 2019).
THALWEG_API Value mish(Operand x);
/// min(max(x, 0), 6). Slope 0 at 0 and at 6.
THALWEG_API Value relu6(Operand x);
/// relu6(x + 3) / 6, as Keras 3 and torch (Howard et al. 2019); Keras 2 had 0.2 x + 0.5. Slope 0 at -3 and at 3.
THALWEG_API Value hard_sigmoid(Operand x);
/// x * relu6(x + 3) / 6 (Howard et al. 2019). Slope -1/2 at -3 and 3/2 at 3 (torch).
THALWEG_API Value hard_swish(Operand x);
/// x held in [-1, 1]. Slope 0 at -1 and at 1 (torch); that of `clip` is 1 there.
THALWEG_API Value hard_tanh(Operand x);
/// x / (1 + |x|).
THALWEG_API Value softsign(Operand x);
/// log(sigmoid(x)), exact far from 0.
THALWEG_API Value log_sigmoid(Operand x);
/// x where |x| > threshold, else 0. Slope 0 at the threshold, which is at least 0.
THALWEG_API Value hard_shrink(Operand x, double threshold = 0.5);
/// x moved toward 0 by threshold, and 0 within it. Slope 0 at the threshold, which is at least 0.
THALWEG_API Value soft_shrink(Operand x, double threshold = 0.5);
/// (x + sqrt(x^2 + b)) / 2, without the cancellation left of 0; b > 0, 4 makes it meet softplus' slope (Barron 2021).
THALWEG_API Value squareplus(Operand x, double b = 4);

inline Value operator+(Operand a, Operand b) { return add(std::move(a), std::move(b)); }
inline Value operator-(Operand a, Operand b) { return sub(std::move(a), std::move(b)); }
inline Value operator*(Operand a, Operand b) { return mul(std::move(a), std::move(b)); }
inline Value operator/(Operand a, Operand b) { return div(std::move(a), std::move(b)); }
inline Value operator-(Operand x) { return neg(std::move(x)); }

}  // namespace thalweg
