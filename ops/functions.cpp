// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of one variable.
#include <cmath>
#include <numbers>

#include "thalweg/ops/make.h"
#include "thalweg/ops/pointwise.h"

namespace thalweg {
namespace {

/// What made x, if it was the op of that name: its operand.
Value under(const Rebuild& r, std::string_view op) {
  if (r.x[0].node().op->name != op) return {};
  return r.graph.value(r.graph.operands(r.x[0].id().node)[0]);
}

constexpr OpDef neg_op{
    .name = "neg", .arity = 1, .fusion = Fusion::pointwise,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      if (i.in[0].dtype == DType::u8) rule_error("the operand must have a sign, is {}", to_string(i.in[0]));
      return same_numeric(i);
    },
    .gradient = gradient_of([](const Vjp& v) { return -v.dy(); }),
    .eval = [](auto& e) {
      const DType dtype = e.out_type().dtype;
      if (is_integer(dtype)) e.each([&](auto x) { return decltype(x)(wrapped(0 - value_of(x), dtype)); });
      else e.each([](auto x) { return -x; });
    },
    .simplify = [](const Rebuild& r) { return under(r, "neg"); },
};

constexpr OpDef abs_op{
    .name = "abs", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_numeric,
    .gradient = gradient_of([](const Vjp& v) { return v.dy() * sign(v.x(0)); }),
    .eval = [](auto& e) {
      const DType dtype = e.out_type().dtype;
      if (is_integer(dtype)) e.each([&](auto x) { return decltype(x)(wrapped(std::fabs(value_of(x)), dtype)); });
      else e.each([](auto x) { using std::abs; return abs(x); });
    },
    .simplify = [](const Rebuild& r) {
      // |-x| is |x|, and ||x|| too.
      const Value plain = under(r, "neg");
      if (plain && is_float(plain.dtype())) return abs(plain);
      return under(r, "abs") && is_float(r.x[0].dtype()) ? r.x[0] : Value();
    },
};

constexpr OpDef sign_op{
    .name = "sign", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_numeric,
    .gradient = zero_gradient,
    .eval = [](auto& e) {
      e.each([](auto x) {
        const double v = value_of(x);
        return decltype(x)(v > 0 ? 1 : v < 0 ? -1 : v);
      });
    },
};

constexpr OpDef floor_op{
    .name = "floor", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = zero_gradient,
    .eval = [](auto& e) { e.each([](auto x) { return decltype(x)(std::floor(value_of(x))); }); },
};

constexpr OpDef is_finite_op{
    .name = "is_finite", .arity = 1, .fusion = Fusion::pointwise,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      return {{DType::boolean, same_float(i)[0].shape}};
    },
    .gradient = zero_gradient,
    .eval = [](auto& e) { e.each([](auto x) { return decltype(x)(std::isfinite(value_of(x)) ? 1 : 0); }); },
};

constexpr OpDef square_op{
    .name = "square", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_numeric,
    .gradient = gradient_of([](const Vjp& v) { return v.dy() * (v.x(0) * 2.0); }),
    .eval = [](auto& e) {
      const DType dtype = e.out_type().dtype;
      e.each([&](auto x) {
        if (!is_integer(dtype)) return x * x;
        const auto bits = static_cast<std::uint64_t>(whole_number(value_of(x)));
        return decltype(x)(wrapped(static_cast<double>(static_cast<std::int64_t>(bits * bits)), dtype));
      });
    },
};

// In the slopes that may be infinite a cotangent of 0 stays 0: what `select` did not take must not become NaN.

constexpr OpDef sqrt_op{
    .name = "sqrt", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) { return mul_no_nan(v.dy(), 0.5 / v.y()); }),
    .eval = [](auto& e) { e.each([](auto x) { using std::sqrt; return sqrt(x); }); },
};

constexpr OpDef rsqrt_op{
    .name = "rsqrt", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) { return mul_no_nan(v.dy(), v.y() / v.x(0) * -0.5); }),
    .eval = [](auto& e) { e.each([](auto x) { using std::sqrt; return 1.0 / sqrt(x); }); },
};

constexpr OpDef exp_op{
    .name = "exp", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) { return mul_no_nan(v.dy(), v.y()); }),
    .eval = [](auto& e) { e.each([](auto x) { using std::exp; return exp(x); }); },
};

constexpr OpDef expm1_op{
    .name = "expm1", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) { return mul_no_nan(v.dy(), exp(v.x(0))); }),
    .eval = [](auto& e) { e.each([](auto x) { using std::expm1; return expm1(x); }); },
};

constexpr OpDef log_op{
    .name = "log", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) { return mul_no_nan(v.dy(), 1.0 / v.x(0)); }),
    .eval = [](auto& e) { e.each([](auto x) { using std::log; return log(x); }); },
};

constexpr OpDef log1p_op{
    .name = "log1p", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) { return mul_no_nan(v.dy(), 1.0 / (v.x(0) + 1.0)); }),
    .eval = [](auto& e) { e.each([](auto x) { using std::log1p; return log1p(x); }); },
};

constexpr OpDef erf_op{
    .name = "erf", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) {
      return v.dy() * (exp(-square(v.x(0))) * (2 * std::numbers::inv_sqrtpi));
    }),
    .eval = [](auto& e) { e.each([](auto x) { using std::erf; return erf(x); }); },
};

constexpr OpDef cos_op{
    .name = "cos", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) { return v.dy() * -sin(v.x(0)); }),
    .eval = [](auto& e) { e.each([](auto x) { using std::cos; return cos(x); }); },
};

constexpr OpDef sin_op{
    .name = "sin", .arity = 1, .fusion = Fusion::pointwise,
    .infer = same_float,
    .gradient = gradient_of([](const Vjp& v) { return v.dy() * cos(v.x(0)); }),
    .eval = [](auto& e) { e.each([](auto x) { using std::sin; return sin(x); }); },
};

constexpr OpDef clip_op{
    .name = "clip", .arity = 1,
    .attrs = {{.name = "low", .kind = AttrKind::real, .fallback = -std::numeric_limits<double>::infinity(),
               .allow_nonfinite = true},
              {.name = "high", .kind = AttrKind::real, .fallback = std::numeric_limits<double>::infinity(),
               .allow_nonfinite = true}},
    .fusion = Fusion::pointwise,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      const double low = i.attrs.real("low"), high = i.attrs.real("high");
      if (!(low <= high)) rule_error("attribute low is {}, must be at most high, {}", low, high);
      return same_float(i);
    },
    .gradient = gradient_of([](const Vjp& v) {
      const double low = v.attrs().real("low"), high = v.attrs().real("high");
      Value dx = v.dy();
      if (!std::isinf(high)) dx = select(greater(v.x(0), high), 0.0, dx);
      if (!std::isinf(low)) dx = select(less(v.x(0), low), 0.0, dx);
      return dx;
    }),
    .eval = [](auto& e) {
      const double low = e.attrs.real("low"), high = e.attrs.real("high");
      e.each([&](auto x) { return x < low ? decltype(x)(low) : x > high ? decltype(x)(high) : x; });
    },
};

}  // namespace

Value neg(Operand x) { return make(neg_op, {std::move(x)}); }
Value abs(Operand x) { return make(abs_op, {std::move(x)}); }
Value sign(Operand x) { return make(sign_op, {std::move(x)}); }
Value floor(Operand x) { return make(floor_op, {std::move(x)}); }
Value is_finite(Operand x) { return make(is_finite_op, {std::move(x)}); }
Value square(Operand x) { return make(square_op, {std::move(x)}); }
Value sqrt(Operand x) { return make(sqrt_op, {std::move(x)}); }
Value rsqrt(Operand x) { return make(rsqrt_op, {std::move(x)}); }
Value exp(Operand x) { return make(exp_op, {std::move(x)}); }
Value expm1(Operand x) { return make(expm1_op, {std::move(x)}); }
Value log(Operand x) { return make(log_op, {std::move(x)}); }
Value log1p(Operand x) { return make(log1p_op, {std::move(x)}); }
Value cos(Operand x) { return make(cos_op, {std::move(x)}); }
Value sin(Operand x) { return make(sin_op, {std::move(x)}); }
Value erf(Operand x) { return make(erf_op, {std::move(x)}); }
Value clip(Operand x, ClipOptions bounds) {
  return make(clip_op, {std::move(x)}, {{"low", bounds.low}, {"high", bounds.high}});
}

OpList function_ops() {
  return {&abs_op,   &clip_op, &cos_op, &erf_op,  &exp_op,  &expm1_op, &floor_op, &is_finite_op, &log1p_op,
          &log_op,   &neg_op,  &rsqrt_op, &sign_op, &sin_op, &sqrt_op, &square_op};
}

}  // namespace thalweg
