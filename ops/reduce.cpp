// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/reduce.h"

#include <algorithm>
#include <cmath>

#include "thalweg/ops/make.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

constexpr AttrSpecs axes_attrs{
    {.name = "axes", .kind = AttrKind::integers},
    {.name = "keep_dims", .kind = AttrKind::flag},
};

std::vector<bool> marks_of(const std::vector<std::size_t>& axes, std::size_t rank) {
  std::vector<bool> marks(rank);
  for (const std::size_t axis : axes) marks[axis] = true;
  return marks;
}

/// The operand's shape with size 1 on the reduced axes.
Shape kept_shape(const Attrs& attrs, const Shape& shape) {
  std::vector<Dim> dims = shape.vector();
  for (const std::size_t axis : reduced_axes(attrs, shape.rank())) dims[axis] = 1;
  return Shape(dims);
}

Dim reduced_count(const Attrs& attrs, const Shape& shape) {
  return shape.elements() / kept_shape(attrs, shape).elements();
}

std::vector<TensorType> reduced_type(const Infer& i) {
  const Shape& shape = i.in[0].shape;
  const std::vector<bool> reduced = marks_of(reduced_axes(i.attrs, shape.rank()), shape.rank());
  std::vector<Dim> dims;
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    if (!reduced[axis]) dims.push_back(shape[axis]);
    else if (i.attrs.flag("keep_dims")) dims.push_back(1);
  }
  return {{i.in[0].dtype, Shape(dims)}};
}
std::vector<TensorType> reduced_numeric(const Infer& i) {
  need_numeric(i.in[0], "the operand");
  return reduced_type(i);
}
std::vector<TensorType> reduced_float(const Infer& i) {
  need_float(i.in[0], "the operand");
  return reduced_type(i);
}

/// A value of the result's shape, over the operand's shape.
Value spread_back(const Vjp& v, const Value& value) {
  return broadcast(reshape_to(value, kept_shape(v.attrs(), v.x(0).shape())), v.x(0).shape());
}

/// Adds element k of the operand to element at[k] of the result. The first one is taken as it is: 0 + -0 is not -0.
template <class E>
void accumulate(E& e, const std::vector<std::size_t>& at) {
  auto& out = e.out();
  std::vector<bool> begun(out.size());
  for (std::size_t k = 0; k < at.size(); ++k) {
    if (begun[at[k]]) out[at[k]] += e.in(0)[k];
    else out[at[k]] = e.in(0)[k];
    begun[at[k]] = true;
  }
  if (is_integer(e.out_type().dtype))
    for (auto& x : out.data) x = wrapped(value_of(x), e.out_type().dtype);
}

/// For each element of the operand, the element of the result that it goes into.
template <class E>
std::vector<std::size_t> targets(E& e) {
  const Shape& shape = e.in(0).shape;
  return E::spread(kept_shape(e.attrs, shape), shape);
}

/// A reduction over axes of size 1 only is a reshape.
Value unreduced(const Rebuild& r) {
  if (reduced_count(r.attrs, r.x[0].shape()) != 1) return {};
  return reshape_to(r.x[0], r.types[0].shape);
}

constexpr OpDef sum_op{
    .name = "sum", .arity = 1, .attrs = axes_attrs, .fusion = Fusion::reduction,
    .infer = reduced_numeric,
    .gradient = gradient_of([](const Vjp& v) { return spread_back(v, v.dy()); }),
    .eval = [](auto& e) { accumulate(e, targets(e)); },
    .simplify = unreduced,
};

constexpr OpDef mean_op{
    .name = "mean", .arity = 1, .attrs = axes_attrs, .fusion = Fusion::reduction,
    .infer = reduced_float,
    .gradient = gradient_of([](const Vjp& v) {
      return spread_back(v, v.dy() / static_cast<double>(reduced_count(v.attrs(), v.x(0).shape())));
    }),
    .eval = [](auto& e) {
      accumulate(e, targets(e));
      const auto count = static_cast<double>(reduced_count(e.attrs, e.in(0).shape));
      for (auto& x : e.out().data) x /= count;
    },
    .simplify = unreduced,
};

constexpr OpDef reduce_max_op{
    .name = "reduce_max", .arity = 1, .attrs = axes_attrs, .fusion = Fusion::reduction,
    .infer = reduced_numeric,
    .gradient = gradient_of([](const Vjp& v) {
      const Value largest = cast(equal(v.x(0), spread_back(v, v.y())), v.x(0).dtype());
      const Value count = sum(largest, {v.attrs().integers("axes"), v.attrs().flag("keep_dims")});
      return largest * spread_back(v, v.dy() / count);
    }),
    .eval = [](auto& e) {
      const std::vector<std::size_t> at = targets(e);
      auto& out = e.out();
      std::vector<double> count(out.size());
      auto tangents = out;
      for (std::size_t k = 0; k < at.size(); ++k) {
        const auto x = e.in(0)[k];
        auto& best = out[at[k]];
        double& n = count[at[k]];
        if (n == 0 || value_of(x) > value_of(best) || (std::isnan(value_of(x)) && !std::isnan(value_of(best)))) {
          best = tangents[at[k]] = x;
          n = 1;
        } else if (value_of(x) == value_of(best)) {
          tangents[at[k]] += x;
          n += 1;
        }
      }
      // Among equal ones a dual's tangent is their mean, as the gradient is split.
      for (std::size_t k = 0; k < out.size(); ++k)
        if constexpr (requires { out[k].d; }) out[k].d = tangents[k].d / count[k];
    },
    .simplify = unreduced,
};

constexpr OpDef argmax_op{
    .name = "argmax", .arity = 1, .attrs = {{.name = "axis", .kind = AttrKind::integer, .fallback = -1}},
    .fusion = Fusion::reduction,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_numeric(i.in[0], "the operand");
      std::vector<Dim> dims = i.in[0].shape.vector();
      dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(normal_axis(i.attrs.integer("axis"), dims.size())));
      return {{DType::i64, Shape(dims)}};
    },
    .gradient = no_gradient,
    .eval = [](auto& e) {
      const Shape& shape = e.in(0).shape;
      const std::size_t axis = normal_axis(e.attrs.integer("axis"), shape.rank());
      const auto size = static_cast<std::size_t>(shape[axis]);
      const auto stride = static_cast<std::size_t>(strides_of(shape)[axis]);
      for (std::size_t k = 0; k < e.out().size(); ++k) {
        const std::size_t first = k / stride * stride * size + k % stride;
        std::size_t best = 0;
        for (std::size_t i = 1; i < size; ++i) {
          const double x = value_of(e.in(0)[first + i * stride]), y = value_of(e.in(0)[first + best * stride]);
          if (x > y || (std::isnan(x) && !std::isnan(y))) best = i;
        }
        e.out()[k] = static_cast<double>(best);
      }
    },
};

constexpr OpDef sum_to_op{
    .name = "sum_to", .arity = 1, .fusion = Fusion::reduction, .declares = true,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_numeric(i.in[0], "the operand");
      need_same_dtype(i.in[0], *i.declared);
      if (!broadcasts_to(i.declared->shape, i.in[0].shape))
        rule_error("{} does not broadcast to {}", to_string(i.declared->shape), to_string(i.in[0].shape));
      return {*i.declared};
    },
    .gradient = gradient_of([](const Vjp& v) { return broadcast(v.dy(), v.x(0).shape()); }),
    .eval = [](auto& e) { accumulate(e, e.spread(e.out_type().shape, e.in(0).shape)); },
    .simplify = [](const Rebuild& r) -> Value {
      if (r.types[0].elements() != r.x[0].type().elements()) return {};
      return reshape_to(r.x[0], r.types[0].shape);
    },
};

std::vector<Attr> attrs_of(Axes over) {
  return {{"axes", std::move(over.axes)}, {"keep_dims", over.keep_dims}};
}

}  // namespace

std::vector<std::size_t> reduced_axes(const Attrs& attrs, std::size_t rank) {
  std::vector<std::size_t> axes;
  for (const Dim axis : attrs.integers("axes")) {
    axes.push_back(normal_axis(axis, rank));
    if (std::count(axes.begin(), axes.end(), axes.back()) > 1)
      rule_error("attribute axes is {}, names axis {} twice", to_string(AttrValue(attrs.integers("axes"))), axes.back());
  }
  if (axes.empty())
    for (std::size_t axis = 0; axis < rank; ++axis) axes.push_back(axis);
  std::sort(axes.begin(), axes.end());
  return axes;
}

Value sum(Operand x, Axes over) { return make(sum_op, {std::move(x)}, attrs_of(std::move(over))); }
Value mean(Operand x, Axes over) { return make(mean_op, {std::move(x)}, attrs_of(std::move(over))); }
Value max(Operand x, Axes over) { return make(reduce_max_op, {std::move(x)}, attrs_of(std::move(over))); }
Value min(Operand x, Axes over) {
  const SourceLoc loc = x.loc;
  return neg({max({neg(std::move(x)), loc}, std::move(over)), loc});
}
Value argmax(Operand x, Dim axis) { return make(argmax_op, {std::move(x)}, {{"axis", axis}}); }
Value sum_to(Operand x, const Shape& shape) {
  if (x.is_number()) graph_error(x.loc, "sum_to: a number has no shape");
  const TensorType type{x.value.dtype(), shape};
  return make(sum_to_op, {std::move(x)}, {}, type);
}

OpList reduce_ops() { return {&argmax_op, &mean_op, &reduce_max_op, &sum_op, &sum_to_op}; }

}  // namespace thalweg
