// SPDX-License-Identifier: Apache-2.0
// Arithmetic, comparison and selection. The functions of one variable are in functions.cpp, activations in
// activations.cpp.
#include "thalweg/ops/pointwise.h"

#include <cmath>

#include "thalweg/ops/make.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

/// Arithmetic on doubles or duals, or on the 64 bits of whole numbers where the result is an integer.
template <class E, class Real, class Whole>
void arithmetic(E& e, Real real, Whole whole) {
  const DType dtype = e.out_type().dtype;
  if (!is_integer(dtype)) return e.each(real);
  e.each([&](auto a, auto b) {
    const auto bits = static_cast<std::uint64_t>(whole(static_cast<std::uint64_t>(whole_number(value_of(a))),
                                                       static_cast<std::uint64_t>(whole_number(value_of(b)))));
    double result = static_cast<double>(static_cast<std::int64_t>(bits));
    if (dtype == DType::i32) result = static_cast<std::int32_t>(bits);
    if (dtype == DType::u8) result = static_cast<std::uint8_t>(bits);
    return decltype(a)(result);
  });
}

bool is_number(const Value& value, double number) {
  const std::optional<double> known = constant_number(value);
  return known && *known == number && std::signbit(*known) == std::signbit(number);
}

/// x itself if it has the result's type (so that the other operand did not widen it).
Value unless_widened(const Rebuild& r, std::size_t i) { return r.x[i].type() == r.types[0] ? r.x[i] : Value(); }

Value select_half(const Vjp& v, const Value& loses) {
  return select(loses, 0.0, select(equal(v.x(0), v.x(1)), v.dy() * 0.5, v.dy()));
}

// On equal operands a dual's tangent is the mean of both, as the gradient is split.
double either(double a, double) { return a; }
Dual either(Dual a, Dual b) { return {a.v, (a.d + b.d) / 2}; }

constexpr OpDef add_op{
    .name = "add", .arity = 2, .fusion = Fusion::pointwise, .commutative = true,
    .infer = broadcast_numeric,
    .gradient = gradient_of([](const Vjp& v) { return v.dy(); }, [](const Vjp& v) { return v.dy(); }),
    .eval = [](auto& e) {
      arithmetic(e, [](auto a, auto b) { return a + b; }, [](std::uint64_t a, std::uint64_t b) { return a + b; });
    },
    .simplify = [](const Rebuild& r) -> Value {
      // Only -0 leaves every x as it is: -0 + 0 is 0. Integers have one zero.
      const double zero = is_integer(r.types[0].dtype) ? 0.0 : -0.0;
      if (is_number(r.x[1], zero)) return unless_widened(r, 0);
      return is_number(r.x[0], zero) ? unless_widened(r, 1) : Value();
    },
};

constexpr OpDef sub_op{
    .name = "sub", .arity = 2, .fusion = Fusion::pointwise,
    .infer = broadcast_numeric,
    .gradient = gradient_of([](const Vjp& v) { return v.dy(); }, [](const Vjp& v) { return -v.dy(); }),
    .eval = [](auto& e) {
      arithmetic(e, [](auto a, auto b) { return a - b; }, [](std::uint64_t a, std::uint64_t b) { return a - b; });
    },
    .simplify = [](const Rebuild& r) { return is_number(r.x[1], 0) ? unless_widened(r, 0) : Value(); },
};

constexpr OpDef mul_op{
    .name = "mul", .arity = 2, .fusion = Fusion::pointwise, .commutative = true,
    .infer = broadcast_numeric,
    .gradient = gradient_of([](const Vjp& v) { return v.dy() * v.x(1); }, [](const Vjp& v) { return v.dy() * v.x(0); }),
    .eval = [](auto& e) {
      arithmetic(e, [](auto a, auto b) { return a * b; }, [](std::uint64_t a, std::uint64_t b) { return a * b; });
    },
    .simplify = [](const Rebuild& r) -> Value {
      if (is_number(r.x[1], 1)) return unless_widened(r, 0);
      return is_number(r.x[0], 1) ? unless_widened(r, 1) : Value();
    },
};

/// Two's complement: i64's smallest number divided by -1 is itself.
std::uint64_t divided(std::uint64_t a, std::uint64_t b) {
  if (b == 0) return 0;
  if (b == ~std::uint64_t{0}) return 0 - a;
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(a) / static_cast<std::int64_t>(b));
}

/// A divisor that may be 0 where `select` looks away must not turn a gradient of 0 into NaN.
Value divided_slope(const Value& dy, const Value& divisor) {
  const std::optional<double> number = constant_number(divisor);
  return number && *number != 0 ? dy / divisor : mul_no_nan(dy, 1.0 / divisor);
}

constexpr OpDef div_op{
    .name = "div", .arity = 2, .fusion = Fusion::pointwise,
    .infer = broadcast_numeric,
    .gradient = gradient_of([](const Vjp& v) { return divided_slope(v.dy(), v.x(1)); },
                            [](const Vjp& v) { return -mul_no_nan(v.dy(), v.y() / v.x(1)); }),
    .eval = [](auto& e) { arithmetic(e, [](auto a, auto b) { return a / b; }, divided); },
    .simplify = [](const Rebuild& r) { return is_number(r.x[1], 1) ? unless_widened(r, 0) : Value(); },
};

constexpr OpDef mul_no_nan_op{
    .name = "mul_no_nan", .arity = 2, .fusion = Fusion::pointwise,
    .infer = broadcast_float,
    .gradient = gradient_of([](const Vjp& v) { return mul_no_nan(v.dy(), v.x(1)); },
                            [](const Vjp& v) { return mul_no_nan(v.dy(), v.x(0)); }),
    .eval = [](auto& e) {
      const auto product = [](double a, double b) { return a == 0 ? 0.0 : a * b; };
      e.each([&](auto a, auto b) {
        const double value = product(value_of(a), value_of(b));
        if constexpr (requires { a.d; }) return Dual(value, product(a.d, b.v) + product(b.d, a.v));
        else return value;
      });
    },
    .simplify = [](const Rebuild& r) { return is_number(r.x[1], 1) ? unless_widened(r, 0) : Value(); },
    .expand = [](const Rebuild& r) -> std::vector<Value> {
      return {select(equal(r.x[0], 0.0), 0.0, r.x[0] * r.x[1])};
    },
};

Value pow_slope_by_base(const Vjp& v) {
  const Value a = v.x(0), b = v.x(1);
  const std::optional<double> number = constant_number(b);
  // A power known not to be 0 needs no care of pow(0, 0).
  if (number && *number != 0) return mul_no_nan(v.dy(), b * pow(a, b - 1.0));
  const Value safe = select(logical_and(equal(a, 0.0), equal(b, 0.0)), 1.0, a);
  return mul_no_nan(v.dy(), b * pow(safe, b - 1.0));
}

Value pow_slope_by_power(const Vjp& v) {
  const Value a = v.x(0), b = v.x(1);
  const Value safe = select(logical_and(equal(a, 0.0), greater_equal(b, 0.0)), 1.0, a);
  return mul_no_nan(v.dy(), v.y() * log(safe));
}

constexpr OpDef pow_op{
    .name = "pow", .arity = 2, .fusion = Fusion::pointwise,
    .infer = broadcast_float,
    .gradient = gradient_of(pow_slope_by_base, pow_slope_by_power),
    .eval = [](auto& e) { e.each([](auto a, auto b) { using std::pow; return pow(a, b); }); },
    .simplify = [](const Rebuild& r) -> Value {
      if (!unless_widened(r, 0)) return {};
      if (is_number(r.x[1], 1)) return r.x[0];
      return is_number(r.x[1], 2) ? square(r.x[0]) : Value();
    },
};

constexpr OpDef max_op{
    .name = "max", .arity = 2, .fusion = Fusion::pointwise, .commutative = true,
    .infer = broadcast_numeric,
    .gradient = gradient_of([](const Vjp& v) { return select_half(v, less(v.x(0), v.x(1))); },
                            [](const Vjp& v) { return select_half(v, less(v.x(1), v.x(0))); }),
    .eval = [](auto& e) {
      e.each([](auto a, auto b) {
        if (value_of(a) == value_of(b)) return either(a, b);
        return value_of(a) > value_of(b) || std::isnan(value_of(a)) ? a : b;
      });
    },
    .simplify = [](const Rebuild& r) { return r.x[0] == r.x[1] ? r.x[0] : Value(); },
};

constexpr OpDef min_op{
    .name = "min", .arity = 2, .fusion = Fusion::pointwise, .commutative = true,
    .infer = broadcast_numeric,
    .gradient = gradient_of([](const Vjp& v) { return select_half(v, greater(v.x(0), v.x(1))); },
                            [](const Vjp& v) { return select_half(v, greater(v.x(1), v.x(0))); }),
    .eval = [](auto& e) {
      e.each([](auto a, auto b) {
        if (value_of(a) == value_of(b)) return either(a, b);
        return value_of(a) < value_of(b) || std::isnan(value_of(a)) ? a : b;
      });
    },
    .simplify = [](const Rebuild& r) { return r.x[0] == r.x[1] ? r.x[0] : Value(); },
};

// ---- comparison, logic, selection

bool holds(std::string_view mode, double a, double b) {
  if (mode == "eq") return a == b;
  if (mode == "ne") return a != b;
  if (mode == "lt") return a < b;
  if (mode == "le") return a <= b;
  if (mode == "gt") return a > b;
  return a >= b;
}

constexpr OpDef compare_op{
    .name = "compare", .arity = 2,
    .attrs = {{.name = "mode", .kind = AttrKind::text, .required = true, .choices = "eq|ne|lt|le|gt|ge"}},
    .fusion = Fusion::pointwise,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_same_dtype(i.in[0], i.in[1]);
      const std::string& mode = i.attrs.text("mode");
      if (mode != "eq" && mode != "ne") need_numeric(i.in[0], "an operand of an order");
      return {{DType::boolean, broadcast_shapes(i.in[0].shape, i.in[1].shape)}};
    },
    .gradient = zero_gradient,
    .eval = [](auto& e) {
      const std::string& mode = e.attrs.text("mode");
      e.each([&](auto a, auto b) { return decltype(a)(holds(mode, value_of(a), value_of(b)) ? 1 : 0); });
    },
};

std::vector<TensorType> booleans(const Infer& i) {
  Shape shape;
  for (const TensorType& type : i.in) {
    if (type.dtype != DType::boolean) rule_error("an operand must be bool, is {}", to_string(type));
    shape = broadcast_shapes(shape, type.shape);
  }
  return {{DType::boolean, shape}};
}

constexpr OpDef logical_and_op{
    .name = "logical_and", .arity = 2, .fusion = Fusion::pointwise, .commutative = true,
    .infer = booleans,
    .gradient = zero_gradient,
    .eval = [](auto& e) {
      e.each([](auto a, auto b) { return decltype(a)(value_of(a) != 0 && value_of(b) != 0 ? 1 : 0); });
    },
};

constexpr OpDef logical_or_op{
    .name = "logical_or", .arity = 2, .fusion = Fusion::pointwise, .commutative = true,
    .infer = booleans,
    .gradient = zero_gradient,
    .eval = [](auto& e) {
      e.each([](auto a, auto b) { return decltype(a)(value_of(a) != 0 || value_of(b) != 0 ? 1 : 0); });
    },
};

constexpr OpDef logical_not_op{
    .name = "logical_not", .arity = 1, .fusion = Fusion::pointwise,
    .infer = booleans,
    .gradient = zero_gradient,
    .eval = [](auto& e) { e.each([](auto x) { return decltype(x)(value_of(x) != 0 ? 0 : 1); }); },
    .simplify = [](const Rebuild& r) -> Value {
      if (r.x[0].node().op->name != "logical_not") return {};
      return r.graph.value(r.graph.operands(r.x[0].id().node)[0]);
    },
};

constexpr OpDef select_op{
    .name = "select", .arity = 3, .fusion = Fusion::pointwise,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      if (i.in[0].dtype != DType::boolean) rule_error("the condition must be bool, is {}", to_string(i.in[0]));
      need_same_dtype(i.in[1], i.in[2]);
      return {{i.in[1].dtype,
               broadcast_shapes(broadcast_shapes(i.in[0].shape, i.in[1].shape), i.in[2].shape)}};
    },
    .gradient = gradient_of(nullptr, [](const Vjp& v) { return select(v.x(0), v.dy(), 0.0); },
                            [](const Vjp& v) { return select(v.x(0), 0.0, v.dy()); }),
    .eval = [](auto& e) { e.each([](auto c, auto a, auto b) { return value_of(c) != 0 ? a : b; }); },
    .simplify = [](const Rebuild& r) { return r.x[1] == r.x[2] ? unless_widened(r, 1) : Value(); },
};

constexpr std::string_view word_of(Comparison mode) {
  constexpr std::string_view words[] = {"eq", "ne", "lt", "le", "gt", "ge"};
  return words[static_cast<std::size_t>(mode)];
}

}  // namespace

Value add(Operand a, Operand b) { return make(add_op, {std::move(a), std::move(b)}); }
Value sub(Operand a, Operand b) { return make(sub_op, {std::move(a), std::move(b)}); }
Value mul(Operand a, Operand b) { return make(mul_op, {std::move(a), std::move(b)}); }
Value div(Operand a, Operand b) { return make(div_op, {std::move(a), std::move(b)}); }
Value mul_no_nan(Operand a, Operand b) { return make(mul_no_nan_op, {std::move(a), std::move(b)}); }
Value pow(Operand a, Operand b) { return make(pow_op, {std::move(a), std::move(b)}); }
Value max(Operand a, Operand b) { return make(max_op, {std::move(a), std::move(b)}); }
Value min(Operand a, Operand b) { return make(min_op, {std::move(a), std::move(b)}); }

Value compare(Operand a, Operand b, Comparison mode) {
  return make(compare_op, {std::move(a), std::move(b)}, {{"mode", word_of(mode)}});
}
Value equal(Operand a, Operand b) { return compare(std::move(a), std::move(b), Comparison::eq); }
Value not_equal(Operand a, Operand b) { return compare(std::move(a), std::move(b), Comparison::ne); }
Value less(Operand a, Operand b) { return compare(std::move(a), std::move(b), Comparison::lt); }
Value less_equal(Operand a, Operand b) { return compare(std::move(a), std::move(b), Comparison::le); }
Value greater(Operand a, Operand b) { return compare(std::move(a), std::move(b), Comparison::gt); }
Value greater_equal(Operand a, Operand b) { return compare(std::move(a), std::move(b), Comparison::ge); }
Value logical_and(Operand a, Operand b) { return make(logical_and_op, {std::move(a), std::move(b)}); }
Value logical_or(Operand a, Operand b) { return make(logical_or_op, {std::move(a), std::move(b)}); }
Value logical_not(Operand x) { return make(logical_not_op, {std::move(x)}); }
Value select(Operand condition, Operand a, Operand b) {
  return make(select_op, {std::move(condition), std::move(a), std::move(b)});
}

OpList pointwise_ops() {
  return {&add_op,         &compare_op,    &div_op, &logical_and_op, &logical_not_op, &logical_or_op, &max_op, &min_op,
          &mul_no_nan_op,  &mul_op,        &pow_op, &select_op,      &sub_op};
}

}  // namespace thalweg
