// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/movement.h"

#include <algorithm>
#include <numeric>

#include "thalweg/ops/make.h"
#include "thalweg/ops/reduce.h"

namespace thalweg {
namespace {

/// Operand 0 of the node that made `value`.
Value operand_of(const Value& value) {
  const Graph graph = value.graph();
  return graph.value(graph.operands(value.id().node)[0]);
}
bool made_by(const Value& value, std::string_view op) { return value.node().op->name == op; }

constexpr OpDef broadcast_op{
    .name = "broadcast", .arity = 1, .fusion = Fusion::pointwise, .declares = true,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_same_dtype(i.in[0], *i.declared);
      if (!broadcasts_to(i.in[0].shape, i.declared->shape))
        rule_error("{} does not broadcast to {}", to_string(i.in[0].shape), to_string(i.declared->shape));
      return {*i.declared};
    },
    .gradient = gradient_of([](const Vjp& v) { return sum_to(v.dy(), v.x(0).shape()); }),
    .eval = [](auto& e) {
      const auto from = e.spread(0);
      for (std::size_t k = 0; k < from.size(); ++k) e.out()[k] = e.in(0)[from[k]];
    },
    .simplify = [](const Rebuild& r) -> Value {
      if (r.x[0].type() == r.types[0]) return r.x[0];
      return made_by(r.x[0], "broadcast") ? broadcast(operand_of(r.x[0]), r.types[0].shape) : Value();
    },
};

constexpr OpDef reshape_op{
    .name = "reshape", .arity = 1, .fusion = Fusion::movement, .declares = true,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_same_dtype(i.in[0], *i.declared);
      if (i.in[0].elements() != i.declared->elements())
        rule_error("{} has {} elements, {} has {}", to_string(i.in[0].shape), i.in[0].elements(),
                   to_string(i.declared->shape), i.declared->elements());
      return {*i.declared};
    },
    .gradient = gradient_of([](const Vjp& v) { return reshape_to(v.dy(), v.x(0).shape()); }),
    .eval = [](auto& e) { e.out().data = e.in(0).data; },
    .simplify = [](const Rebuild& r) -> Value {
      if (r.x[0].type() == r.types[0]) return r.x[0];
      return made_by(r.x[0], "reshape") ? reshape_to(operand_of(r.x[0]), r.types[0].shape) : Value();
    },
};

TensorType typed_as(const Operand& x, const Shape& shape, std::string_view op) {
  if (x.is_number()) graph_error(x.loc, "{}: a number has no shape", op);
  return {x.value.dtype(), shape};
}

/// The sizes with -1 filled in.
Shape completed(const Operand& x, std::vector<Dim> sizes) {
  const auto open = std::find(sizes.begin(), sizes.end(), -1);
  try {
    if (open == sizes.end()) return Shape(sizes);
    *open = 1;
    const Dim known = Shape(sizes).elements();
    *open = x.value.type().elements() / known;
    if (*open * known == x.value.type().elements()) return Shape(sizes);
    *open = -1;
  } catch (const GraphError& error) {
    graph_error(x.loc, "reshape: {}\n    a  {}", error.what(), describe(x.value));
  }
  graph_error(x.loc, "reshape: {} elements do not divide into [{}]\n    a  {}", x.value.type().elements(),
              fmt::join(sizes, ","), describe(x.value));
}

}  // namespace

Value broadcast(Operand x, const Shape& shape) {
  const TensorType type = typed_as(x, shape, "broadcast");
  return make(broadcast_op, {std::move(x)}, {}, type);
}
Value reshape_to(Operand x, const Shape& shape) {
  const TensorType type = typed_as(x, shape, "reshape");
  return make(reshape_op, {std::move(x)}, {}, type);
}
Value reshape(Operand x, const std::vector<Dim>& sizes) {
  if (x.is_number()) graph_error(x.loc, "reshape: a number has no shape");
  const Shape shape = completed(x, sizes);
  return reshape_to(std::move(x), shape);
}

OpList movement_ops() { return {&broadcast_op, &reshape_op}; }

}  // namespace thalweg
