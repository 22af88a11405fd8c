// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/compile/precision.h"

#include <algorithm>

#include "thalweg/graph/opdef.h"
#include "thalweg/graph/rewrite.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

bool is_product(const Node& node) { return node.op->name == "matmul" || node.op->name.starts_with("conv2d"); }

/// Whether each axis of a product is long enough to fill vectors of bf16: below, oneDNN's kernels for it are slower than
/// ours in f32 (lenet's step: 1.5 times).
bool fills_vectors(const Site& site) {
  constexpr Dim least = 16;
  const Node& node = site.node();
  const Shape &x = site.to.type(site.x[0]).shape, &other = site.to.type(site.x[1]).shape, &y = node.types[0].shape;
  if (node.op->name != "matmul")
    return std::min({x.back(), other.back(), y.back()}) >= least && node.attrs.integer("groups") == 1;
  const Dim columns = y.back(), depth = other[other.rank() - (node.attrs.flag("tb") ? 1 : 2)];
  // Where the right matrix is one for all, the batch is more rows.
  const Dim rows = other.rank() == 2 ? y.elements() / columns : y[y.rank() - 2];
  return std::min({rows, columns, depth}) >= least;
}

std::vector<ValueId> in_bf16(const Site& site) {
  const Node& node = site.node();
  const auto is_f32 = [&](ValueId v) { return site.to.type(v).dtype == DType::f32; };
  if (!is_product(node) || node.types.size() != 1 || !std::all_of(site.x.begin(), site.x.end(), is_f32) ||
      !fills_vectors(site))
    return {};
  std::vector<Operand> operands;
  for (const ValueId v : site.x)
    operands.emplace_back(cast(Operand(site.to.value(v), node.loc), DType::bf16), node.loc);
  const std::vector<Attr> attrs(node.attrs.begin(), node.attrs.end());
  const TensorType type{DType::bf16, node.types[0].shape};
  const Value product = site.to.add(*node.op, operands, attrs, type, {}, node.loc);
  return {cast(Operand(product, node.loc), DType::f32).id()};
}

}  // namespace

bool use_bf16_products(Graph& graph) { return rewrite(graph, in_bf16); }

}  // namespace thalweg
