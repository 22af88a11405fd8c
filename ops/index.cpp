// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/index.h"

#include "thalweg/ops/make.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

/// Index number k, checked.
std::size_t checked_index(std::string_view op, double index, std::size_t k, Dim bound) {
  if (!(index >= 0 && index < static_cast<double>(bound)))
    run_error("{}: index {} is {}, must be in [0, {})", op, k, to_string(AttrValue(index)), bound);
  return static_cast<std::size_t>(index);
}

/// The shape of gather(table, indices).
Shape taken_shape(const Shape& table, const Shape& indices, std::size_t axis) {
  std::vector<Dim> dims(table.begin(), table.begin() + axis);
  dims.insert(dims.end(), indices.begin(), indices.end());
  dims.insert(dims.end(), table.begin() + axis + 1, table.end());
  return Shape(dims);
}

/// Calls f(place in the table, place in what is taken) for every element of what is taken.
template <class S, class F>
void each_taken(std::string_view op, const Shape& table, const Array<S>& indices, std::size_t axis, F f) {
  const auto inner = static_cast<std::size_t>(strides_of(table)[axis]), size = static_cast<std::size_t>(table[axis]);
  const std::size_t outer = static_cast<std::size_t>(table.elements()) / (inner * size);
  for (std::size_t o = 0; o < outer; ++o)
    for (std::size_t k = 0; k < indices.size(); ++k) {
      const std::size_t at = checked_index(op, value_of(indices[k]), k, table[axis]);
      for (std::size_t i = 0; i < inner; ++i) f((o * size + at) * inner + i, (o * indices.size() + k) * inner + i);
    }
}

constexpr AttrSpecs axis_attr{{.name = "axis", .kind = AttrKind::integer}};

constexpr OpDef gather_op{
    .name = "gather", .arity = 2, .attrs = axis_attr, .fusion = Fusion::opaque,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_integer(i.in[1], "the indices");
      const std::size_t axis = normal_axis(i.attrs.integer("axis"), i.in[0].shape.rank());
      return {{i.in[0].dtype, taken_shape(i.in[0].shape, i.in[1].shape, axis)}};
    },
    .gradient = gradient_of([](const Vjp& v) {
      return scatter_add(constant(v.graph(), 0, v.x(0).type()), v.x(1), v.dy(), v.attrs().integer("axis"));
    }, nullptr),
    .eval = [](auto& e) {
      const Shape& table = e.in(0).shape;
      each_taken("gather", table, e.in(1), normal_axis(e.attrs.integer("axis"), table.rank()),
                 [&](std::size_t from, std::size_t to) { e.out()[to] = e.in(0)[from]; });
    },
};

constexpr OpDef scatter_add_op{
    .name = "scatter_add", .arity = 3, .attrs = axis_attr, .fusion = Fusion::opaque,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_numeric(i.in[0], "the base");
      need_integer(i.in[1], "the indices");
      need_same_dtype(i.in[0], i.in[2]);
      const std::size_t axis = normal_axis(i.attrs.integer("axis"), i.in[0].shape.rank());
      const Shape taken = taken_shape(i.in[0].shape, i.in[1].shape, axis);
      if (i.in[2].shape != taken)
        rule_error("the updates must be {}, are {}", to_string(taken), to_string(i.in[2].shape));
      return {i.in[0]};
    },
    .gradient = gradient_of([](const Vjp& v) { return v.dy(); }, nullptr,
                            [](const Vjp& v) { return gather(v.dy(), v.x(1), v.attrs().integer("axis")); }),
    .eval = [](auto& e) {
      const DType dtype = e.out_type().dtype;
      const Shape& base = e.in(0).shape;
      e.out() = e.in(0);
      each_taken("scatter_add", base, e.in(1), normal_axis(e.attrs.integer("axis"), base.rank()),
                 [&](std::size_t to, std::size_t from) {
                   e.out()[to] += e.in(2)[from];
                   if (is_integer(dtype)) e.out()[to] = wrapped(value_of(e.out()[to]), dtype);
                 });
    },
};

constexpr OpDef one_hot_op{
    .name = "one_hot", .arity = 1, .fusion = Fusion::opaque, .declares = true,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_integer(i.in[0], "the labels");
      const Shape& shape = i.declared->shape;
      if (shape.rank() != i.in[0].shape.rank() + 1 || !std::equal(i.in[0].shape.begin(), i.in[0].shape.end(), shape.begin()))
        rule_error("labels {} need a result with one axis more, not {}", to_string(i.in[0].shape), to_string(shape));
      return {*i.declared};
    },
    .gradient = zero_gradient,
    .eval = [](auto& e) {
      const Dim classes = e.out_type().shape.back();
      for (std::size_t k = 0; k < e.in(0).size(); ++k)
        e.out()[k * static_cast<std::size_t>(classes) + checked_index("one_hot", value_of(e.in(0)[k]), k, classes)] = 1;
    },
};

}  // namespace

Value gather(Operand table, Operand indices, Dim axis) {
  return make(gather_op, {std::move(table), std::move(indices)}, {{"axis", axis}});
}
Value scatter_add(Operand base, Operand indices, Operand updates, Dim axis) {
  return make(scatter_add_op, {std::move(base), std::move(indices), std::move(updates)}, {{"axis", axis}});
}
Value one_hot(Operand labels, Dim classes, DType dtype) {
  if (labels.is_number()) graph_error(labels.loc, "one_hot: labels must be a value of a graph");
  std::vector<Dim> dims = labels.value.shape().vector();
  dims.push_back(classes);
  try {
    const TensorType type{dtype, Shape(dims)};
    return make(one_hot_op, {labels}, {}, type);
  } catch (const GraphError& error) {
    if (error.where().known()) throw;
    graph_error(labels.loc, "one_hot: {}", error.what());
  }
}

OpList index_ops() { return {&gather_op, &one_hot_op, &scatter_add_op}; }

}  // namespace thalweg
