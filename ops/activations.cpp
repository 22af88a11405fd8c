// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <numbers>

#include "thalweg/ops/make.h"
#include "thalweg/ops/pointwise.h"

namespace thalweg {
namespace {

constexpr OpDef relu_op{
    .name = "relu", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_float,
    // By the result, so that the operand need not be kept for the way back.
    .gradient = gradient_of([](const Vjp& v) { return select(greater(v.y(), 0.0), v.dy(), 0.0); }),
    .eval = [](auto& e) { e.each([](auto x) { return value_of(x) <= 0 ? decltype(x)(0) : x; }); },
    .simplify = [](const Rebuild& r) { return r.x[0].node().op->name == "relu" ? r.x[0] : Value(); },
};

constexpr OpDef leaky_relu_op{
    .name = "leaky_relu", .arity = 1, .attrs = {{.name = "slope", .kind = AttrKind::real, .fallback = 0.01}},
    .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) {
      return select(greater(v.x(0), 0.0), v.dy(), v.dy() * v.attrs().real("slope"));
    }),
    .eval = [](auto& e) {
      const double slope = e.attrs.real("slope");
      e.each([&](auto x) { return value_of(x) > 0 ? x : x * slope; });
    },
};

constexpr OpDef elu_op{
    .name = "elu", .arity = 1, .attrs = {{.name = "alpha", .kind = AttrKind::real, .fallback = 1, .min = 0}},
    .fusion = Fusion::pointwise,
    .infer = same_float,
    // The slope left of 0 is alpha * e^x, which is y + alpha: bounded, whatever x is.
    .gradient = gradient_of([](const Vjp& v) {
      return v.dy() * select(greater(v.x(0), 0.0), 1.0, v.y() + v.attrs().real("alpha"));
    }),
    .eval = [](auto& e) {
      const double alpha = e.attrs.real("alpha");
      e.each([&](auto x) { using std::expm1; return value_of(x) > 0 ? x : expm1(x) * alpha; });
    },
};

// ---- gelu

constexpr double gelu_cubic = 0.044715;
const double gelu_scale = std::sqrt(2 / std::numbers::pi);

/// Phi(x) + x phi(x).
Value exact_gelu_slope(const Value& x) {
  const Value below = (erf(x * (1 / std::numbers::sqrt2)) + 1.0) * 0.5;
  const Value density = exp(square(x) * -0.5) * (0.5 * std::numbers::inv_sqrtpi * std::numbers::sqrt2);
  return below + x * density;
}

/// (1 + t)/2 + x/2 (1 - t^2) u', with t = tanh(u).
Value tanh_gelu_slope(const Value& x) {
  // Beyond 20 the second term is 0; held there, because 0 times an overflowing square would be NaN.
  const Value z = clip(x, {.low = -20, .high = 20});
  const Value squared = square(z);
  const Value t = tanh(z * (squared * gelu_cubic + 1.0) * gelu_scale);
  const Value inner = (squared * (3 * gelu_cubic) + 1.0) * gelu_scale;
  return (t + 1.0) * 0.5 + z * 0.5 * (1.0 - square(t)) * inner;
}

constexpr OpDef gelu_op{
    .name = "gelu", .arity = 1,
    .attrs = {{.name = "approximate", .kind = AttrKind::text, .fallback_text = "none", .choices = "none|tanh"}},
    .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) {
      return v.dy() * (v.attrs().text("approximate") == "tanh" ? tanh_gelu_slope(v.x(0)) : exact_gelu_slope(v.x(0)));
    }),
    .eval = [](auto& e) {
      using std::erf;
      using std::tanh;
      if (e.attrs.text("approximate") == "tanh")
        e.each([](auto x) { return 0.5 * x * (1.0 + tanh(gelu_scale * (x + gelu_cubic * x * x * x))); });
      else
        e.each([](auto x) { return 0.5 * x * (1.0 + erf(x * (1 / std::numbers::sqrt2))); });
    },
};

// ---- sigmoid and what is built on it; e^-|x| never overflows

constexpr OpDef sigmoid_op{
    .name = "sigmoid", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) { return v.dy() * (v.y() * (1.0 - v.y())); }),
    .eval = [](auto& e) {
      e.each([](auto x) {
        using std::exp;
        if (value_of(x) >= 0) return 1.0 / (1.0 + exp(-x));
        const auto small = exp(x);
        return small / (1.0 + small);
      });
    },
};

constexpr OpDef tanh_op{
    .name = "tanh", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) { return v.dy() * (1.0 - square(v.y())); }),
    .eval = [](auto& e) { e.each([](auto x) { using std::tanh; return tanh(x); }); },
};

constexpr OpDef softplus_op{
    .name = "softplus", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) { return v.dy() * sigmoid(v.x(0)); }),
    .eval = [](auto& e) {
      e.each([](auto x) {
        using std::exp;
        using std::log1p;
        return value_of(x) > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
      });
    },
};

constexpr OpDef silu_op{
    .name = "silu", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) {
      const Value s = sigmoid(v.x(0));
      return v.dy() * (s * (v.x(0) * (1.0 - s) + 1.0));
    }),
    .eval = [](auto& e) {
      e.each([](auto x) {
        using std::exp;
        if (value_of(x) >= 0) return x / (1.0 + exp(-x));
        const auto small = exp(x);
        return x * (small / (1.0 + small));
      });
    },
};

// ---- composites

/// f(x), its nodes at the line of x.
template <class F>
Value composed(const Operand& x, F f) {
  const Frame frame(graph_of({&x, 1}), {.loc = x.loc});
  return f(x.value);
}

// Klambauer et al. 2017, equation 14; the fixed point of mean 0 and variance 1.
constexpr double selu_alpha = 1.6732632423543772;
constexpr double selu_scale = 1.0507009873554805;

void need_threshold(double threshold, std::string_view what, SourceLoc loc) {
  if (!(threshold >= 0) || std::isinf(threshold))
    graph_error(loc, "{}: threshold is {}, must be finite and at least 0", what, threshold);
}

}  // namespace

Value relu(Operand x) { return make(relu_op, {std::move(x)}); }
Value leaky_relu(Operand x, double slope) { return make(leaky_relu_op, {std::move(x)}, {{"slope", slope}}); }
Value elu(Operand x, double alpha) { return make(elu_op, {std::move(x)}, {{"alpha", alpha}}); }
Value gelu(Operand x, GeluOptions options) {
  return make(gelu_op, {std::move(x)}, {{"approximate", options.approximate}});
}
Value sigmoid(Operand x) { return make(sigmoid_op, {std::move(x)}); }
Value tanh(Operand x) { return make(tanh_op, {std::move(x)}); }
Value softplus(Operand x) { return make(softplus_op, {std::move(x)}); }
Value silu(Operand x) { return make(silu_op, {std::move(x)}); }

// In the selects below NaN takes the branch that gives x back.

Value prelu(Operand x, Operand slope) {
  return composed(x, [&](const Value& v) { return select(greater(v, 0.0), v, slope * v); });
}
Value selu(Operand x) {
  return composed(x, [](const Value& v) { return elu(v, selu_alpha) * selu_scale; });
}
Value mish(Operand x) {
  return composed(x, [](const Value& v) { return v * tanh(softplus(v)); });
}
Value relu6(Operand x) {
  return composed(x, [](const Value& v) { return select(greater_equal(v, 6.0), 6.0, relu(v)); });
}
Value hard_sigmoid(Operand x) {
  return composed(x, [](const Value& v) { return relu6(v + 3.0) * (1.0 / 6); });
}
Value hard_swish(Operand x) {
  // With clip, whose slope is 1 at its bounds: that makes torch's slopes there.
  return composed(x, [](const Value& v) { return v * (clip(v + 3.0, {.low = 0, .high = 6}) * (1.0 / 6)); });
}
Value hard_tanh(Operand x) {
  return composed(x, [](const Value& v) {
    return select(greater_equal(v, 1.0), 1.0, select(less_equal(v, -1.0), -1.0, v));
  });
}
Value softsign(Operand x) {
  return composed(x, [](const Value& v) { return v / (abs(v) + 1.0); });
}
Value log_sigmoid(Operand x) {
  return composed(x, [](const Value& v) { return -softplus(-v); });
}
Value hard_shrink(Operand x, double threshold) {
  need_threshold(threshold, "hard_shrink", x.loc);
  return composed(x, [&](const Value& v) { return select(less_equal(abs(v), threshold), 0.0, v); });
}
Value soft_shrink(Operand x, double threshold) {
  need_threshold(threshold, "soft_shrink", x.loc);
  return composed(x, [&](const Value& v) { return v - clip(v, {.low = -threshold, .high = threshold}); });
}
Value squareplus(Operand x, double b) {
  if (!(b > 0) || std::isinf(b)) graph_error(x.loc, "squareplus: b is {}, must be finite and above 0", b);
  return composed(x, [&](const Value& v) {
    const Value root = sqrt(square(v) + b);
    return select(less(v, 0.0), (b / 2) / (root - v), (v + root) * 0.5);
  });
}

OpList activation_ops() {
  return {&elu_op, &gelu_op, &leaky_relu_op, &relu_op, &sigmoid_op, &silu_op, &softplus_op, &tanh_op};
}

}  // namespace thalweg
