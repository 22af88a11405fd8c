// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/matmul.h"

#include "thalweg/ops/make.h"
#include "thalweg/ops/movement.h"

namespace thalweg {
namespace {

Shape batch_of(const Shape& shape) { return Shape(std::span(shape.begin(), shape.rank() - 2)); }

/// Rows and columns of an operand as the product sees it.
struct Matrix {
  Dim rows, columns;
  Matrix(const Shape& shape, bool transposed) : rows(shape[shape.rank() - 2]), columns(shape.back()) {
    if (transposed) std::swap(rows, columns);
  }
};

std::vector<TensorType> product_type(const Infer& i) {
  for (const TensorType& type : i.in) {
    need_float(type, "an operand");
    if (type.shape.rank() < 2) rule_error("an operand must have at least 2 axes, is {}", to_string(type));
  }
  need_same_dtype(i.in[0], i.in[1]);
  const Matrix a(i.in[0].shape, i.attrs.flag("ta")), b(i.in[1].shape, i.attrs.flag("tb"));
  if (a.columns != b.rows) rule_error("inner dimensions differ: {} and {}", a.columns, b.rows);
  std::vector<Dim> dims = broadcast_shapes(batch_of(i.in[0].shape), batch_of(i.in[1].shape)).vector();
  dims.insert(dims.end(), {a.rows, b.columns});
  return {{i.in[0].dtype, Shape(dims)}};
}

template <class E>
void product_meaning(E& e) {
  const bool ta = e.attrs.flag("ta"), tb = e.attrs.flag("tb");
  const Matrix a(e.in(0).shape, ta), b(e.in(1).shape, tb);
  const auto m = static_cast<std::size_t>(a.rows), k = static_cast<std::size_t>(a.columns),
             n = static_cast<std::size_t>(b.columns);
  const Shape batch = batch_of(e.out().shape);
  const auto in_a = e.spread(batch_of(e.in(0).shape), batch), in_b = e.spread(batch_of(e.in(1).shape), batch);
  for (std::size_t item = 0; item < in_a.size(); ++item) {
    const auto* pa = e.in(0).data.data() + in_a[item] * m * k;
    const auto* pb = e.in(1).data.data() + in_b[item] * k * n;
    auto* py = e.out().data.data() + item * m * n;
    for (std::size_t i = 0; i < m; ++i)
      for (std::size_t c = 0; c < k; ++c) {
        const auto left = pa[ta ? c * m + i : i * k + c];
        for (std::size_t j = 0; j < n; ++j) py[i * n + j] += left * pb[tb ? j * k + c : c * n + j];
      }
  }
}

/// [..,m,n] as one matrix of all its rows.
Value rows_of(const Value& x) {
  const Dim columns = x.shape().back();
  return x.rank() == 2 ? x : reshape_to(x, Shape{x.type().elements() / columns, columns});
}

Value left_gradient(const Vjp& v) {
  const bool ta = v.attrs().flag("ta"), tb = v.attrs().flag("tb");
  return ta ? matmul(v.x(1), v.dy(), {.ta = tb, .tb = true}) : matmul(v.dy(), v.x(1), {.ta = false, .tb = !tb});
}

Value right_gradient(const Vjp& v) {
  const bool ta = v.attrs().flag("ta"), tb = v.attrs().flag("tb");
  Value a = v.x(0), dy = v.dy();
  // One matrix met a batch: summing over the batch is part of one long product, not a sum of many small ones.
  if (v.x(1).rank() == 2 && !ta) {
    a = rows_of(a);
    dy = rows_of(dy);
  }
  return tb ? matmul(dy, a, {.ta = true, .tb = ta}) : matmul(a, dy, {.ta = !ta, .tb = false});
}

constexpr OpDef matmul_op{
    .name = "matmul", .arity = 2,
    .attrs = {{.name = "ta", .kind = AttrKind::flag}, {.name = "tb", .kind = AttrKind::flag}},
    .fusion = Fusion::heavy,
    .infer = product_type,
    .gradient = gradient_of(left_gradient, right_gradient),
    .eval = [](auto& e) { product_meaning(e); },
};

}  // namespace

Value matmul(Operand a, Operand b, MatmulOptions options) {
  return make(matmul_op, {a, b}, {Attr("ta", options.ta), Attr("tb", options.tb)});
}

OpList matmul_ops() { return {&matmul_op}; }

}  // namespace thalweg
