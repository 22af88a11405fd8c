// SPDX-License-Identifier: Apache-2.0
// Private: the f32 functions of a block, as functors. Included after simd_math-inl.h, where also `D32`, `V32`, `D64`
// and `V64` are the types of a vector and its tag.

/// A function of x without numbers of its own.
#define THALWEG_FUNCTION(Name, expression)                 \
  struct Name {                                            \
    template <class D>                                     \
    HWY_INLINE Name(D, const double*) {}                   \
    template <class D, class V>                            \
    HWY_INLINE V operator()([[maybe_unused]] D d, V x) const { \
      return expression;                                   \
    }                                                      \
  };
THALWEG_FUNCTION(Negate, hn::Neg(x))
THALWEG_FUNCTION(Absolute, hn::Abs(x))
THALWEG_FUNCTION(Square, hn::Mul(x, x))
THALWEG_FUNCTION(Root, hn::Sqrt(x))
THALWEG_FUNCTION(InverseRoot, hn::Div(hn::Set(d, 1.0), hn::Sqrt(x)))
THALWEG_FUNCTION(Exponential, exp(d, x))
THALWEG_FUNCTION(ExponentialLess1, expm1(d, x))
THALWEG_FUNCTION(Logarithm, log(d, x))
THALWEG_FUNCTION(LogarithmOf1More, log1p(d, x))
THALWEG_FUNCTION(HyperbolicTangent, tanh(d, x))
THALWEG_FUNCTION(Sigmoid, sigmoid(d, x))
THALWEG_FUNCTION(ErrorFunction, erf(d, x))
THALWEG_FUNCTION(GeluExact, gelu_exact(d, x))
THALWEG_FUNCTION(GeluTanh, gelu_tanh(d, x))
THALWEG_FUNCTION(Silu, silu(d, x))
THALWEG_FUNCTION(Softplus, softplus(d, x))
// Written so that NaN comes through.
THALWEG_FUNCTION(Relu, hn::IfThenElse(hn::Le(x, hn::Zero(d)), hn::Zero(d), x))
THALWEG_FUNCTION(Sign, hn::IfThenElse(hn::Or(hn::Eq(x, hn::Zero(d)), hn::IsNaN(x)), x,
                                      hn::CopySign(hn::Set(d, 1.0f), x)))
#undef THALWEG_FUNCTION

struct LeakyRelu {
  V32 slope;
  HWY_INLINE LeakyRelu(D32 d, const double* p) : slope(hn::Set(d, static_cast<float>(p[0]))) {}
  HWY_INLINE V32 operator()(D32 d, V32 x) const {
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, hn::Mul(x, slope));
  }
};
struct Elu {
  V64 alpha;
  HWY_INLINE Elu(D64 d, const double* p) : alpha(hn::Set(d, p[0])) {}
  HWY_INLINE V64 operator()(D64 d, V64 x) const {
    return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), x, hn::Mul(alpha, expm1(d, x)));
  }
};
struct Clip {
  V32 low, high;
  HWY_INLINE Clip(D32 d, const double* p)
      : low(hn::Set(d, static_cast<float>(p[0]))), high(hn::Set(d, static_cast<float>(p[1]))) {}
  HWY_INLINE V32 operator()(D32, V32 x) const {
    const V32 raised = hn::IfThenElse(hn::Lt(x, low), low, x);
    return hn::IfThenElse(hn::Gt(raised, high), high, raised);
  }
};

#define THALWEG_FUNCTION(Name, expression)                      \
  struct Name {                                                 \
    template <class D, class V>                                 \
    HWY_INLINE V operator()([[maybe_unused]] D d, V a, V b) const { \
      return expression;                                        \
    }                                                           \
  };
THALWEG_FUNCTION(Sum, hn::Add(a, b))
THALWEG_FUNCTION(Difference, hn::Sub(a, b))
THALWEG_FUNCTION(Product, hn::Mul(a, b))
THALWEG_FUNCTION(Quotient, hn::Div(a, b))
// A NaN on either side is the result: a, if a is one; else b, to which no comparison is true.
THALWEG_FUNCTION(Larger, hn::IfThenElse(hn::Or(hn::Gt(a, b), hn::IsNaN(a)), a, b))
THALWEG_FUNCTION(Smaller, hn::IfThenElse(hn::Or(hn::Lt(a, b), hn::IsNaN(a)), a, b))
THALWEG_FUNCTION(Power, pow(d, a, b))
THALWEG_FUNCTION(ProductWithoutNaN, hn::IfThenZeroElse(hn::Eq(a, hn::Zero(d)), hn::Mul(a, b)))
#undef THALWEG_FUNCTION
