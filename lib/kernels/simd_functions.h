// SPDX-License-Identifier: Apache-2.0
// Private: which functor of simd_functions-inl.h computes which op on f32, and in what: Single on f32 vectors as they
// are, Wide in double between f32 in memory.
#pragma once

#define THALWEG_UNARY_FUNCTIONS(X) \
  X("neg", Single, Negate) \
  X("abs", Single, Absolute) \
  X("square", Single, Square) \
  X("sqrt", Single, Root) \
  X("rsqrt", Wide, InverseRoot) \
  X("exp", Wide, Exponential) \
  X("expm1", Wide, ExponentialLess1) \
  X("log", Wide, Logarithm) \
  X("log1p", Wide, LogarithmOf1More) \
  X("tanh", Wide, HyperbolicTangent) \
  X("sigmoid", Wide, Sigmoid) \
  X("erf", Wide, ErrorFunction) \
  X("gelu", Wide, GeluExact) \
  X("gelu_tanh", Wide, GeluTanh) \
  X("silu", Wide, Silu) \
  X("softplus", Wide, Softplus) \
  X("relu", Single, Relu) \
  X("sign", Single, Sign) \
  X("leaky_relu", Single, LeakyRelu) \
  X("elu", Wide, Elu) \
  X("clip", Single, Clip)

#define THALWEG_BINARY_FUNCTIONS(X) \
  X("add", Single, Sum) \
  X("sub", Single, Difference) \
  X("mul", Single, Product) \
  X("div", Single, Quotient) \
  X("max", Single, Larger) \
  X("min", Single, Smaller) \
  X("pow", Wide, Power) \
  X("mul_no_nan", Single, ProductWithoutNaN)
