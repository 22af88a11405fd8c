// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/compile/precision.h"

#include <algorithm>

#include "thalweg/graph/opdef.h"
#include "thalweg/graph/rewrite.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

bool is_product(const Node& node) { return node.op->name == "matmul" || node.op->name.starts_with("conv2d"); }

std::vector<ValueId> in_bf16(const Site& site) {
  const Node& node = site.node();
  const auto is_f32 = [&](ValueId v) { return site.to.type(v).dtype == DType::f32; };
  if (!is_product(node) || node.types.size() != 1 || !std::all_of(site.x.begin(), site.x.end(), is_f32)) return {};
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
