// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/type.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "thalweg/graph/fail.h"

namespace thalweg {
namespace {

constexpr std::array<std::string_view, 7> dtype_names = {"f32", "bf16", "f64", "i32", "i64", "u8", "bool"};
constexpr std::array<std::size_t, 7> dtype_sizes = {4, 2, 8, 4, 8, 1, 1};

double rounded_to_bf16(double x) {
  if (!std::isfinite(x)) return x;
  if (std::fabs(x) < 0x1p-126) {
    // Subnormal: a whole multiple of 2^-133, which is the distance of doubles at this one.
    constexpr double coarse = 0x1.8p-81;
    return std::copysign((std::fabs(x) + coarse) - coarse, x);
  }
  // 45 of a double's 52 bits go; half of the last bit that stays is added, less one where that bit is even.
  constexpr int dropped = 45;
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const std::uint64_t half = (std::uint64_t{1} << (dropped - 1)) - 1 + ((bits >> dropped) & 1U);
  const auto rounded = std::bit_cast<double>((bits + half) >> dropped << dropped);
  return std::fabs(rounded) < 0x1p128 ? rounded : std::copysign(std::numeric_limits<double>::infinity(), x);
}

}  // namespace

std::string_view to_string(DType dtype) { return dtype_names[static_cast<std::size_t>(dtype)]; }

DType dtype_named(std::string_view name) {
  for (std::size_t i = 0; i < dtype_names.size(); ++i)
    if (dtype_names[i] == name) return static_cast<DType>(i);
  graph_error({}, "no dtype is called '{}': f32, bf16, f64, i32, i64, u8 or bool", name);
}

double rounded_to(DType dtype, double x) {
  if (dtype == DType::f32) return static_cast<double>(static_cast<float>(x));
  return dtype == DType::bf16 ? rounded_to_bf16(x) : x;
}

std::size_t size_of(DType dtype) { return dtype_sizes[static_cast<std::size_t>(dtype)]; }

Shape::Shape(std::span<const Dim> dims, SourceLoc loc) {
  if (dims.size() > max_rank)
    graph_error(framed_line(loc), "shape [{}] has {} axes; at most {} are allowed", fmt::join(dims, ","), dims.size(),
                max_rank);
  Dim elements = 1;
  for (const Dim d : dims) {
    if (d < 1)
      graph_error(framed_line(loc), "shape [{}] has a size of {}: every size must be at least 1", fmt::join(dims, ","),
                  d);
    if (__builtin_mul_overflow(elements, d, &elements) || elements > max_elements)
      graph_error(framed_line(loc), "shape [{}] has more than 2^44 elements", fmt::join(dims, ","));
    dims_[rank_++] = d;
  }
}

Dim Shape::elements() const {
  Dim n = 1;
  for (const Dim d : *this) n *= d;
  return n;
}

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape.begin(), shape.end(), ","));
}

namespace {
TensorType sized(DType dtype, std::initializer_list<AxisSize> axes) {
  std::vector<Dim> dims;
  SourceLoc loc;
  for (const AxisSize& axis : axes) {
    if (!axis.given) break;
    dims.push_back(axis.size);
    loc = axis.loc;
  }
  return {dtype, Shape(dims, loc)};
}
}  // namespace

TensorType f32(AxisSize a, AxisSize b, AxisSize c, AxisSize d, AxisSize e, AxisSize f, AxisSize g, AxisSize h) {
  return sized(DType::f32, {a, b, c, d, e, f, g, h});
}
TensorType bf16(AxisSize a, AxisSize b, AxisSize c, AxisSize d, AxisSize e, AxisSize f, AxisSize g, AxisSize h) {
  return sized(DType::bf16, {a, b, c, d, e, f, g, h});
}
TensorType f64(AxisSize a, AxisSize b, AxisSize c, AxisSize d, AxisSize e, AxisSize f, AxisSize g, AxisSize h) {
  return sized(DType::f64, {a, b, c, d, e, f, g, h});
}
TensorType i32(AxisSize a, AxisSize b, AxisSize c, AxisSize d, AxisSize e, AxisSize f, AxisSize g, AxisSize h) {
  return sized(DType::i32, {a, b, c, d, e, f, g, h});
}
TensorType i64(AxisSize a, AxisSize b, AxisSize c, AxisSize d, AxisSize e, AxisSize f, AxisSize g, AxisSize h) {
  return sized(DType::i64, {a, b, c, d, e, f, g, h});
}
TensorType u8(AxisSize a, AxisSize b, AxisSize c, AxisSize d, AxisSize e, AxisSize f, AxisSize g, AxisSize h) {
  return sized(DType::u8, {a, b, c, d, e, f, g, h});
}
TensorType boolean(AxisSize a, AxisSize b, AxisSize c, AxisSize d, AxisSize e, AxisSize f, AxisSize g, AxisSize h) {
  return sized(DType::boolean, {a, b, c, d, e, f, g, h});
}

std::string to_string(const TensorType& type) {
  return fmt::format("{}{}", to_string(type.dtype), to_string(type.shape));
}

Shape broadcast_shapes(const Shape& a, const Shape& b) {
  const std::size_t rank = std::max(a.rank(), b.rank());
  std::vector<Dim> dims(rank);
  for (std::size_t i = 0; i < rank; ++i) {  // from the last axis
    const Dim x = i < a.rank() ? a[a.rank() - 1 - i] : 1;
    const Dim y = i < b.rank() ? b[b.rank() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1)
      rule_error("shapes {} and {} do not broadcast: sizes {} and {} at axis -{}", to_string(a), to_string(b), x, y,
                 i + 1);
    dims[rank - 1 - i] = std::max(x, y);
  }
  return Shape(dims);
}

bool broadcasts_to(const Shape& from, const Shape& to) {
  if (from.rank() > to.rank()) return false;
  for (std::size_t i = 0; i < from.rank(); ++i) {
    const Dim d = from[from.rank() - 1 - i];
    if (d != 1 && d != to[to.rank() - 1 - i]) return false;
  }
  return true;
}

std::vector<Dim> strides_of(const Shape& shape) {
  std::vector<Dim> strides(shape.rank());
  Dim stride = 1;
  for (std::size_t axis = shape.rank(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

std::size_t normal_axis(Dim axis, std::size_t rank) {
  const Dim n = static_cast<Dim>(rank);
  if (axis < -n || axis >= n) rule_error("axis {} is out of range for rank {}: [{}, {})", axis, rank, -n, n);
  return static_cast<std::size_t>(axis < 0 ? axis + n : axis);
}

}  // namespace thalweg
