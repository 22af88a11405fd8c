// SPDX-License-Identifier: Apache-2.0
// Private: how the functions of the vocabulary make nodes and state their rules.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "thalweg/graph/dual.h"
#include "thalweg/graph/fail.h"
#include "thalweg/graph/graph.h"
#include "thalweg/graph/opdef.h"

namespace thalweg {

/// Adds a node to the graph of its operands, at the line of the first; the first result.
Value make(const OpDef& op, std::span<const Operand> operands, std::vector<Attr> attrs = {},
           std::optional<TensorType> declared = {});
inline Value make(const OpDef& op, std::initializer_list<Operand> operands, std::vector<Attr> attrs = {},
                  std::optional<TensorType> declared = {}) {
  return make(op, std::span<const Operand>(operands.begin(), operands.size()), std::move(attrs), std::move(declared));
}
/// The graph of the first operand that is a value; throws GraphError if all are numbers.
Graph graph_of(std::span<const Operand> operands);

// Type rules that many ops share.
std::vector<TensorType> same_float(const Infer& i);       ///< one float operand, same type
std::vector<TensorType> same_numeric(const Infer& i);     ///< one operand of any dtype but bool, same type
std::vector<TensorType> broadcast_numeric(const Infer& i);  ///< equal numeric dtypes, broadcast shapes
std::vector<TensorType> broadcast_float(const Infer& i);    ///< equal float dtypes, broadcast shapes
void need_float(const TensorType& type, std::string_view what);
void need_integer(const TensorType& type, std::string_view what);
void need_numeric(const TensorType& type, std::string_view what);
void need_same_dtype(const TensorType& a, const TensorType& b);
void need_rank(const TensorType& type, std::size_t rank, std::string_view what);

/// A whole number brought into the range of an integer dtype as two's complement does: what integer arithmetic gives on
/// overflow. Other dtypes: x itself.
double wrapped(double x, DType dtype);
/// The number in an i64 (numbers beyond its range are held at its ends).
std::int64_t whole_number(double x);

/// What each file of the vocabulary gives to op_table().
using OpList = std::vector<const OpDef*>;

}  // namespace thalweg
