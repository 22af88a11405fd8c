// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/softmax.h"

#include <cmath>

#include "thalweg/ops/make.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"

namespace thalweg {
namespace {

std::vector<TensorType> along_axis(const Infer& i) {
  need_float(i.in[0], "the operand");
  static_cast<void>(normal_axis(i.attrs.integer("axis"), i.in[0].shape.rank()));
  return {i.in[0]};
}

Value sum_kept(const Value& x, Dim axis) { return sum(x, {.axes = {axis}, .keep_dims = true}); }

/// A line of elements along the axis: its first element, their distance and their number.
template <class E, class F>
void each_line(E& e, F f) {
  const Shape& shape = e.in(0).shape;
  const std::size_t axis = normal_axis(e.attrs.integer("axis"), shape.rank());
  const auto stride = static_cast<std::size_t>(strides_of(shape)[axis]), count = static_cast<std::size_t>(shape[axis]);
  for (std::size_t first = 0; first < e.in(0).size(); ++first)
    if (first / stride % count == 0) f(first, stride, count);
}

/// The largest of a line (NaN aside: it comes through by the sum), and the sum of exp(x - largest).
template <class A>
auto largest_and_sum(const A& x, std::size_t first, std::size_t stride, std::size_t count) {
  using std::exp;
  auto largest = x[first];
  for (std::size_t k = 1; k < count; ++k)
    if (x[first + k * stride] > largest) largest = x[first + k * stride];
  auto total = largest - largest;
  for (std::size_t k = 0; k < count; ++k) total += exp(x[first + k * stride] - largest);
  return std::pair(largest, total);
}

constexpr AttrSpecs axis_attrs = {{.name = "axis", .kind = AttrKind::integer, .fallback = -1}};

constexpr OpDef softmax_op{
    .name = "softmax", .arity = 1, .attrs = axis_attrs, .fusion = Fusion::heavy,
    .infer = along_axis,
    .gradient = gradient_of([](const Vjp& v) {
      return v.y() * (v.dy() - sum_kept(v.dy() * v.y(), v.attrs().integer("axis")));
    }),
    .eval = [](auto& e) {
      each_line(e, [&](std::size_t first, std::size_t stride, std::size_t count) {
        using std::exp;
        const auto [largest, total] = largest_and_sum(e.in(0), first, stride, count);
        for (std::size_t k = first; k < first + count * stride; k += stride)
          e.out()[k] = exp(e.in(0)[k] - largest) / total;
      });
    },
    .expand = [](const Rebuild& r) {
      const Dim axis = r.attrs.integer("axis");
      const Value powers = exp(r.x[0] - max(r.x[0], {.axes = {axis}, .keep_dims = true}));
      return std::vector{powers / sum_kept(powers, axis)};
    },
};

constexpr OpDef log_softmax_op{
    .name = "log_softmax", .arity = 1, .attrs = axis_attrs, .fusion = Fusion::heavy,
    .infer = along_axis,
    .gradient = gradient_of([](const Vjp& v) {
      return v.dy() - exp(v.y()) * sum_kept(v.dy(), v.attrs().integer("axis"));
    }),
    .eval = [](auto& e) {
      each_line(e, [&](std::size_t first, std::size_t stride, std::size_t count) {
        using std::log;
        const auto [largest, total] = largest_and_sum(e.in(0), first, stride, count);
        for (std::size_t k = first; k < first + count * stride; k += stride)
          e.out()[k] = e.in(0)[k] - largest - log(total);
      });
    },
    .expand = [](const Rebuild& r) {
      const Dim axis = r.attrs.integer("axis");
      const Value shifted = r.x[0] - max(r.x[0], {.axes = {axis}, .keep_dims = true});
      return std::vector{shifted - log(sum_kept(exp(shifted), axis))};
    },
};

}  // namespace

Value softmax(Operand x, Dim axis) { return make(softmax_op, {x}, {Attr("axis", axis)}); }
Value log_softmax(Operand x, Dim axis) { return make(log_softmax_op, {x}, {Attr("axis", axis)}); }

OpList softmax_ops() { return {&softmax_op, &log_softmax_op}; }

}  // namespace thalweg
