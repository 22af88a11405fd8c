// SPDX-License-Identifier: Apache-2.0
// Private: what a pointwise op does to one block of numbers, for every op and dtype.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "thalweg/graph/graph.h"
#include "thalweg/lib/kernels/simd.h"

namespace thalweg {

/// How a dtype lies in a block: bf16 as f32, bool as u8.
constexpr DType cell_of(DType dtype) {
  if (dtype == DType::bf16) return DType::f32;
  return dtype == DType::boolean ? DType::u8 : dtype;
}

/// The function that a pointwise op is: its name, with the variant where an attribute chooses one, and its numbers.
struct PointwiseFunction {
  std::string_view name;
  std::array<double, 2> parameters{};
};
PointwiseFunction pointwise_function(const Node& node);

struct PointwiseBlock {
  BlockFunction function = nullptr;
  std::array<double, 2> parameters{};
};
/// The function of a node over operands of these dtypes, in cells; null where the op is not pointwise or the dtypes
/// are not covered.
PointwiseBlock pointwise_block(const Node& node, std::span<const DType> in, DType out);

void f32_from_bf16(const std::uint16_t* from, float* to, std::size_t n);
void bf16_from_f32(const float* from, std::uint16_t* to, std::size_t n);

}  // namespace thalweg
