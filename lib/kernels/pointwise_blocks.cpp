// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/pointwise_blocks.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <string_view>
#include <type_traits>
#include <utility>

#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/tensor.h"

namespace thalweg {
namespace {

template <class T>
constexpr bool whole_number = std::is_integral_v<T>;

// ---------------------------------------------------------------- loops

template <class R, class A, class F>
BlockFunction one(F) {
  return [](const BlockCall& c) {
    const auto* a = static_cast<const A*>(c.a);
    auto* out = static_cast<R*>(c.out);
    for (std::size_t i = 0; i < c.n; ++i) out[i] = static_cast<R>(F{}(a[i], c.parameters));
  };
}
template <class R, class A, class F>
BlockFunction two(F) {
  return [](const BlockCall& c) {
    const auto* a = static_cast<const A*>(c.a);
    const auto* b = static_cast<const A*>(c.b);
    auto* out = static_cast<R*>(c.out);
    for (std::size_t i = 0; i < c.n; ++i) out[i] = static_cast<R>(F{}(a[i], b[i]));
  };
}

/// Whole numbers wrap around, as machines do; a signed overflow would be undefined.
template <class T, class F>
T wrapped(T a, T b, F f) {
  using U = std::make_unsigned_t<std::common_type_t<T, int>>;
  return static_cast<T>(f(static_cast<U>(a), static_cast<U>(b)));
}

template <class T>
T power(T a, T b) {
  if constexpr (whole_number<T>) {
    // A negative power of a whole number is 1/a^|b|, cut to a whole number.
    if constexpr (std::is_signed_v<T>) {
      if (b < 0) return a == 1 ? T{1} : a == -1 ? (b % 2 == 0 ? T{1} : T{-1}) : T{0};
    }
    T result = 1, square = a;
    for (T left = b; left > 0; left = static_cast<T>(left / 2)) {
      if (left % 2 != 0) result = wrapped(result, square, [](auto x, auto y) { return x * y; });
      square = wrapped(square, square, [](auto x, auto y) { return x * y; });
    }
    return result;
  } else {
    return std::pow(a, b);
  }
}

template <class T>
T quotient(T a, T b) {
  if constexpr (whole_number<T>) {
    // No whole number is a/0, and none is the lowest / -1; neither may stop the process.
    if (b == 0) return 0;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return wrapped(T{0}, a, [](auto x, auto y) { return x - y; });
    }
    return static_cast<T>(a / b);
  } else {
    return a / b;
  }
}

template <class T>
bool is_nan(T x) {
  if constexpr (whole_number<T>) return false;
  else return std::isnan(x);
}

// ---------------------------------------------------------------- functions of any number

/// Names that mean something for whole numbers too.
template <class T>
BlockFunction any_number(std::string_view op) {
  if (op == "add") return two<T, T>([](T a, T b) {
    if constexpr (whole_number<T>) return wrapped(a, b, [](auto x, auto y) { return x + y; });
    else return a + b;
  });
  if (op == "sub") return two<T, T>([](T a, T b) {
    if constexpr (whole_number<T>) return wrapped(a, b, [](auto x, auto y) { return x - y; });
    else return a - b;
  });
  if (op == "mul") return two<T, T>([](T a, T b) {
    if constexpr (whole_number<T>) return wrapped(a, b, [](auto x, auto y) { return x * y; });
    else return a * b;
  });
  if (op == "div") return two<T, T>([](T a, T b) { return quotient(a, b); });
  if (op == "pow") return two<T, T>([](T a, T b) { return power(a, b); });
  if (op == "max") return two<T, T>([](T a, T b) { return a > b || is_nan(a) ? a : b; });
  if (op == "min") return two<T, T>([](T a, T b) { return a < b || is_nan(a) ? a : b; });
  if (op == "neg") return one<T, T>([](T x, const double*) {
    if constexpr (whole_number<T>) return wrapped(T{0}, x, [](auto a, auto b) { return a - b; });
    else return -x;
  });
  if (op == "abs") return one<T, T>([](T x, const double*) {
    if constexpr (!whole_number<T>) return std::fabs(x);
    else if constexpr (std::is_signed_v<T>) return x < 0 ? wrapped(T{0}, x, [](auto a, auto b) { return a - b; }) : x;
    else return x;
  });
  if (op == "square") return one<T, T>([](T x, const double*) {
    if constexpr (whole_number<T>) return wrapped(x, x, [](auto a, auto b) { return a * b; });
    else return x * x;
  });
  if (op == "sign") return one<T, T>([](T x, const double*) {
    if constexpr (whole_number<T>) return static_cast<T>((x > 0 ? 1 : 0) - (x < 0 ? 1 : 0));
    else return x == 0 || is_nan(x) ? x : std::copysign(T{1}, x);
  });
  if (op == "relu") return one<T, T>([](T x, const double*) { return x <= 0 ? T{0} : x; });
  if (op == "mul_no_nan") return two<T, T>([](T a, T b) {
    if constexpr (whole_number<T>) return wrapped(a, b, [](auto x, auto y) { return x * y; });
    else return a == 0 ? T{0} : a * b;
  });
  if (op == "floor") return one<T, T>([](T x, const double*) {
    if constexpr (whole_number<T>) return x;
    else return std::floor(x);
  });
  if (op == "cos")
    return one<T, T>([](T x, const double*) { return static_cast<T>(std::cos(static_cast<double>(x))); });
  if (op == "sin")
    return one<T, T>([](T x, const double*) { return static_cast<T>(std::sin(static_cast<double>(x))); });
  if (op == "clip") return one<T, T>([](T x, const double* p) {
    const auto value = static_cast<double>(x);
    return value < p[0] ? static_cast<T>(p[0]) : value > p[1] ? static_cast<T>(p[1]) : x;
  });
  return nullptr;
}

// ---------------------------------------------------------------- functions of doubles

double sigmoid(double x) {
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const double e = std::exp(x);
  return e / (1 + e);
}

BlockFunction of_double(std::string_view op) {
  using D = double;
  if (op == "sqrt") return one<D, D>([](D x, const D*) { return std::sqrt(x); });
  if (op == "rsqrt") return one<D, D>([](D x, const D*) { return 1 / std::sqrt(x); });
  if (op == "exp") return one<D, D>([](D x, const D*) { return std::exp(x); });
  if (op == "expm1") return one<D, D>([](D x, const D*) { return std::expm1(x); });
  if (op == "log") return one<D, D>([](D x, const D*) { return std::log(x); });
  if (op == "log1p") return one<D, D>([](D x, const D*) { return std::log1p(x); });
  if (op == "tanh") return one<D, D>([](D x, const D*) { return std::tanh(x); });
  if (op == "erf") return one<D, D>([](D x, const D*) { return std::erf(x); });
  if (op == "sigmoid") return one<D, D>([](D x, const D*) { return sigmoid(x); });
  if (op == "silu") return one<D, D>([](D x, const D*) {
    return x == -std::numeric_limits<D>::infinity() ? -0.0 : x * sigmoid(x);
  });
  if (op == "softplus") return one<D, D>([](D x, const D*) {
    return (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x))) + (std::isnan(x) ? x : 0);
  });
  if (op == "leaky_relu") return one<D, D>([](D x, const D* p) { return x > 0 ? x : p[0] * x; });
  if (op == "elu") return one<D, D>([](D x, const D* p) { return x > 0 ? x : p[0] * std::expm1(x); });
  if (op == "gelu") return one<D, D>([](D x, const D*) {
    return x < -40 ? -0.0 : 0.5 * x * std::erfc(-x * (std::numbers::sqrt2 / 2));
  });
  if (op == "gelu_tanh") return one<D, D>([](D x, const D*) {
    const D root = 0.7978845608028654;  // √(2/π)
    return x < -40 ? -0.0 : x * sigmoid(2 * root * (x + 0.044715 * x * x * x));
  });
  return nullptr;
}

// ---------------------------------------------------------------- comparisons, choices, casts

template <class T>
BlockFunction comparison(std::string_view kind) {
  using B = std::uint8_t;
  if (kind == "eq") return two<B, T>([](T a, T b) { return a == b; });
  if (kind == "ne") return two<B, T>([](T a, T b) { return a != b; });
  if (kind == "lt") return two<B, T>([](T a, T b) { return a < b; });
  if (kind == "le") return two<B, T>([](T a, T b) { return a <= b; });
  if (kind == "gt") return two<B, T>([](T a, T b) { return a > b; });
  if (kind == "ge") return two<B, T>([](T a, T b) { return a >= b; });
  return nullptr;
}

template <class T>
void choose(const BlockCall& c) {
  const auto* condition = static_cast<const std::uint8_t*>(c.a);
  const auto* yes = static_cast<const T*>(c.b);
  const auto* no = static_cast<const T*>(c.c);
  auto* out = static_cast<T*>(c.out);
  for (std::size_t i = 0; i < c.n; ++i) out[i] = condition[i] != 0 ? yes[i] : no[i];
}

/// Towards zero; what does not fit becomes the nearest that does, and NaN 0.
template <class T, class F>
T whole_of(F x) {
  if constexpr (whole_number<F>) {
    if (std::cmp_less(x, std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
    if (std::cmp_greater(x, std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
    return static_cast<T>(x);
  } else {
    constexpr F low = static_cast<F>(std::numeric_limits<T>::min());
    constexpr F past = static_cast<F>(std::numeric_limits<T>::max() / 2 + 1) * 2;
    if (std::isnan(x)) return 0;
    if (x < low) return std::numeric_limits<T>::min();
    if (x >= past) return std::numeric_limits<T>::max();
    return static_cast<T>(x);
  }
}

template <class F>
BlockFunction cast_from(DType to) {
  switch (to) {
    case DType::f32: return one<float, F>([](F x, const double*) { return static_cast<float>(x); });
    case DType::bf16:
      return one<float, F>([](F x, const double*) {
        // A float is rounded by its bits, the others by way of double, which holds them: never twice.
        if constexpr (std::is_same_v<F, float>) return float_of(bf16_of(x));
        else return static_cast<float>(rounded_to(DType::bf16, static_cast<double>(x)));
      });
    case DType::f64: return one<double, F>([](F x, const double*) { return static_cast<double>(x); });
    case DType::i32: return one<std::int32_t, F>([](F x, const double*) { return whole_of<std::int32_t>(x); });
    case DType::i64: return one<std::int64_t, F>([](F x, const double*) { return whole_of<std::int64_t>(x); });
    case DType::u8: return one<std::uint8_t, F>([](F x, const double*) { return whole_of<std::uint8_t>(x); });
    case DType::boolean: return one<std::uint8_t, F>([](F x, const double*) { return x != 0; });
  }
  return nullptr;
}

template <class T>
void copy(const BlockCall& c) {
  if (c.a != c.out) std::copy_n(static_cast<const T*>(c.a), c.n, static_cast<T*>(c.out));
}

/// Calls f with a value of the C++ type of a cell.
template <class F>
BlockFunction for_cell(DType cell, F f) {
  switch (cell) {
    case DType::f32: return f(float{});
    case DType::f64: return f(double{});
    case DType::i32: return f(std::int32_t{});
    case DType::i64: return f(std::int64_t{});
    default: return f(std::uint8_t{});
  }
}

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

BlockFunction logic(std::string_view op) {
  using B = std::uint8_t;
  if (op == "logical_and") return two<B, B>([](B a, B b) { return a != 0 && b != 0; });
  if (op == "logical_or") return two<B, B>([](B a, B b) { return a != 0 || b != 0; });
  if (op == "logical_not") return one<B, B>([](B x, const double*) { return x == 0; });
  return nullptr;
}

BlockFunction finiteness(DType cell) {
  return for_cell(cell, [](auto example) {
    using T = decltype(example);
    return one<std::uint8_t, T>([](T x, const double*) {
      if constexpr (whole_number<T>) return true;
      else return std::isfinite(x);
    });
  });
}

BlockFunction arithmetic(std::string_view name, DType cell) {
  if (cell == DType::f32)
    if (const BlockFunction f = simd_block(name)) return f;
  if (cell == DType::f64)
    if (const BlockFunction f = of_double(name)) return f;
  return for_cell(cell, [&](auto example) { return any_number<decltype(example)>(name); });
}

}  // namespace

PointwiseFunction pointwise_function(const Node& node) {
  const std::string_view op = node.op->name;
  if (op == "gelu" && node.attrs.text("approximate") == "tanh") return {"gelu_tanh"};
  if (op == "leaky_relu") return {op, {node.attrs.real("slope"), 0}};
  if (op == "elu") return {op, {node.attrs.real("alpha"), 0}};
  if (op == "clip") return {op, {node.attrs.real("low"), node.attrs.real("high")}};
  return {op};
}

PointwiseBlock pointwise_block(const Node& node, std::span<const DType> in, DType out) {
  const std::string_view op = node.op->name;
  if (in.empty()) return {};
  const DType cell = cell_of(in.back());
  if (op == "cast")
    return {for_cell(cell, [&](auto example) { return cast_from<decltype(example)>(out); })};
  if (is_one_of(op, {"broadcast", "stop_gradient", "by_mode", "note"}))
    return {for_cell(cell, [](auto example) -> BlockFunction { return copy<decltype(example)>; })};
  if (op == "select" && in.size() == 3)
    return {for_cell(cell, [](auto example) -> BlockFunction { return choose<decltype(example)>; })};
  if (op == "compare") {
    const std::string_view kind = node.attrs.text("mode");
    return {for_cell(cell, [&](auto example) { return comparison<decltype(example)>(kind); })};
  }
  if (op == "is_finite") return {finiteness(cell)};
  if (out == DType::boolean) return {logic(op)};
  if (in.size() > 2) return {};
  if (std::any_of(in.begin(), in.end(), [&](DType d) { return d != out; })) return {};
  const auto [name, parameters] = pointwise_function(node);
  const BlockFunction function = arithmetic(name, cell);
  return function == nullptr ? PointwiseBlock{} : PointwiseBlock{function, parameters};
}

void f32_from_bf16(const std::uint16_t* from, float* to, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) to[i] = float_of(from[i]);
}
void bf16_from_f32(const float* from, std::uint16_t* to, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) to[i] = bf16_of(from[i]);
}

}  // namespace thalweg
