// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "thalweg/graph/shared.h"
#include "thalweg/graph/type.h"

namespace thalweg {

/// The C++ type that holds one element: float, double, int32_t, int64_t, uint8_t, bool; bf16 as its uint16_t bits.
template <class T>
constexpr bool holds(DType dtype) {
  switch (dtype) {
    case DType::f32: return std::is_same_v<T, float>;
    case DType::bf16: return std::is_same_v<T, std::uint16_t>;
    case DType::f64: return std::is_same_v<T, double>;
    case DType::i32: return std::is_same_v<T, std::int32_t>;
    case DType::i64: return std::is_same_v<T, std::int64_t>;
    case DType::u8: return std::is_same_v<T, std::uint8_t>;
    case DType::boolean: return std::is_same_v<T, bool>;
  }
  return false;
}

/// A dense row-major tensor in host memory, 64-byte aligned. Copies share the bytes; `clone()` copies them.
class THALWEG_API Tensor {
 public:
  Tensor() = default;
  /// Zeros. Throws RunError if there is not enough memory.
  explicit Tensor(const TensorType& type);
  /// The numbers, rounded to the dtype (integers must be whole and in range). Throws RunError for a wrong count.
  Tensor(const TensorType& type, std::span<const double> numbers);

  const TensorType& type() const { return type_; }
  const Shape& shape() const { return type_.shape; }
  std::size_t bytes() const { return bytes_ ? type_.bytes() : 0; }
  explicit operator bool() const { return bool(bytes_); }
  void* data() { return bytes_.get(); }
  const void* data() const { return bytes_.get(); }
  /// The elements as T; throws RunError if T is not what the dtype holds.
  template <class T>
  std::span<T> as() {
    check(holds<T>(type_.dtype));
    return {static_cast<T*>(data()), static_cast<std::size_t>(type_.elements())};
  }
  template <class T>
  std::span<const T> as() const {
    check(holds<T>(type_.dtype));
    return {static_cast<const T*>(data()), static_cast<std::size_t>(type_.elements())};
  }
  /// Element i as a double, whatever the dtype.
  double number(std::size_t i) const;
  /// All elements as doubles.
  std::vector<double> numbers() const;
  Tensor clone() const;

 private:
  void check(bool right) const;
  TensorType type_;
  detail::Shared<std::byte> bytes_;
};

/// bf16 bits of a float, rounded to nearest even; NaN stays NaN.
THALWEG_API std::uint16_t bf16_of(float x);
THALWEG_API float float_of(std::uint16_t bf16_bits);
/// Writes `numbers` as dtype at `to`, rounding once; reads the other way. Errors count elements from `first` on.
THALWEG_API void store_numbers(DType dtype, std::span<const double> numbers, void* to, std::size_t first = 0);
THALWEG_API void load_numbers(DType dtype, const void* from, std::span<double> numbers);

}  // namespace thalweg
