// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/finite.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <cstring>

namespace thalweg {
namespace {

/// An exponent of ones only, which is what nan and infinity have, carries into the sign when a one is added to it: a
/// sum and an OR for each element, which compilers do for many at once.
template <class Word>
bool none_carries(const void* elements, std::size_t n, Word exponent) {
  constexpr std::size_t block = 4096;  // so that a large array is left at the first hit
  const auto one = static_cast<Word>(exponent & (~exponent + 1));
  const auto* at = static_cast<const std::byte*>(elements);
  while (n > 0) {
    const std::size_t part = n < block ? n : block;
    Word carried = 0;
    for (std::size_t i = 0; i < part; ++i) {
      Word word;
      std::memcpy(&word, at + i * sizeof word, sizeof word);
      carried = static_cast<Word>(carried | static_cast<Word>((word & exponent) + one));
    }
    if ((carried >> (8 * sizeof(Word) - 1)) != 0) return false;
    at += part * sizeof(Word);
    n -= part;
  }
  return true;
}

}  // namespace

bool all_finite(DType dtype, const void* elements, std::size_t n) {
  switch (dtype) {
    case DType::f32: return none_carries<std::uint32_t>(elements, n, 0x7f800000u);
    case DType::f64: return none_carries<std::uint64_t>(elements, n, 0x7ff0000000000000u);
    case DType::bf16: return none_carries<std::uint16_t>(elements, n, 0x7f80u);
    default: return true;
  }
}

std::optional<std::size_t> first_not_finite(const Tensor& tensor) {
  const auto n = static_cast<std::size_t>(tensor.type().elements());
  if (all_finite(tensor.type().dtype, tensor.data(), n)) return {};
  for (std::size_t i = 0; i < n; ++i)
    if (!std::isfinite(tensor.number(i))) return i;
  return {};
}

std::string number_text(double x) { return std::isnan(x) ? "nan" : fmt::format("{:.6g}", x); }

}  // namespace thalweg
