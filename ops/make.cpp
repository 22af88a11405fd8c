// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/make.h"

#include <cmath>

namespace thalweg {

Graph graph_of(std::span<const Operand> operands) {
  for (const Operand& operand : operands)
    if (!operand.is_number()) return operand.value.graph();
  graph_error(operands.empty() ? SourceLoc{} : operands.front().loc,
              "an op needs at least one value of a graph among its operands");
}

Value make(const OpDef& op, std::span<const Operand> operands, std::vector<Attr> attrs,
           std::optional<TensorType> declared) {
  Graph graph = graph_of(operands);
  return graph.add(op, operands, std::move(attrs), std::move(declared), {}, operands.front().loc);
}

void need_float(const TensorType& type, std::string_view what) {
  if (!is_float(type.dtype)) rule_error("{} must be f32, bf16 or f64, is {}", what, to_string(type));
}
void need_integer(const TensorType& type, std::string_view what) {
  if (!is_integer(type.dtype)) rule_error("{} must be i32, i64 or u8, is {}", what, to_string(type));
}
void need_numeric(const TensorType& type, std::string_view what) {
  if (type.dtype == DType::boolean) rule_error("{} must be numeric, is {}", what, to_string(type));
}
void need_same_dtype(const TensorType& a, const TensorType& b) {
  if (a.dtype != b.dtype)
    rule_error("dtypes differ: {} and {} (there is no implicit cast; use cast)", to_string(a.dtype),
               to_string(b.dtype));
}
void need_rank(const TensorType& type, std::size_t rank, std::string_view what) {
  if (type.shape.rank() != rank) rule_error("{} must have {} axes, is {}", what, rank, to_string(type));
}

std::vector<TensorType> same_float(const Infer& i) {
  need_float(i.in[0], "the operand");
  return {i.in[0]};
}
std::vector<TensorType> same_numeric(const Infer& i) {
  need_numeric(i.in[0], "the operand");
  return {i.in[0]};
}
std::vector<TensorType> broadcast_numeric(const Infer& i) {
  Shape shape = i.in[0].shape;
  for (const TensorType& type : i.in) {
    need_numeric(type, "an operand");
    need_same_dtype(i.in[0], type);
    shape = broadcast_shapes(shape, type.shape);
  }
  return {{i.in[0].dtype, shape}};
}
std::vector<TensorType> broadcast_float(const Infer& i) {
  for (const TensorType& type : i.in) need_float(type, "an operand");
  return broadcast_numeric(i);
}

std::int64_t whole_number(double x) {
  if (!(x > -0x1p63)) return std::numeric_limits<std::int64_t>::min();
  if (x >= 0x1p63) return std::numeric_limits<std::int64_t>::max();
  return static_cast<std::int64_t>(x);
}

double wrapped(double x, DType dtype) {
  switch (dtype) {
    case DType::i32: return static_cast<std::int32_t>(whole_number(x));
    case DType::u8: return static_cast<std::uint8_t>(whole_number(x));
    case DType::i64: return static_cast<double>(whole_number(x));
    default: return x;
  }
}

}  // namespace thalweg
