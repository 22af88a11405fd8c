// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/tensor.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/block.h"
#include "thalweg/lib/base/memory.h"

namespace thalweg {
namespace {

template <class F>
decltype(auto) with_element(DType dtype, F f) {
  switch (dtype) {
    case DType::f32: return f(float{});
    case DType::bf16: return f(std::uint16_t{});
    case DType::f64: return f(double{});
    case DType::i32: return f(std::int32_t{});
    case DType::i64: return f(std::int64_t{});
    case DType::u8: return f(std::uint8_t{});
    case DType::boolean: break;
  }
  return f(bool{});
}

template <class T>
T element_of(double x, std::size_t i, DType dtype) {
  if constexpr (std::is_same_v<T, float>) {
    return static_cast<float>(x);
  } else if constexpr (std::is_same_v<T, double>) {
    return x;
  } else if constexpr (std::is_same_v<T, std::uint16_t>) {
    return bf16_of(static_cast<float>(rounded_to(dtype, x)));
  } else {
    // 2^63 as a double is one past the largest i64; the largest i64 itself is no double.
    constexpr double low = static_cast<double>(std::numeric_limits<T>::min());
    constexpr double past = std::is_same_v<T, std::int64_t> ? 0x1p63
                                                            : static_cast<double>(std::numeric_limits<T>::max()) + 1;
    if (!(x >= low && x < past) || x != std::trunc(x))
      run_error("element {} is {}, which no {} holds", i, x, to_string(dtype));
    return static_cast<T>(x);
  }
}

detail::Shared<std::byte> shared(Block block, std::size_t bytes) {
  if (!block) throw OutOfMemory(fmt::format("not enough memory for {} bytes", bytes));
  auto* const home = new detail::Housed<Block>(std::move(block));
  return {home->object.get(), home};
}

}  // namespace

Tensor::Tensor(const TensorType& type) : type_(type), bytes_(shared(zeros_of(type.bytes()), type.bytes())) {}

Tensor::Tensor(const TensorType& type, std::span<const double> numbers) : type_(type) {
  if (numbers.size() != static_cast<std::size_t>(type.elements()))
    run_error("{} has {} elements, and {} numbers were given", to_string(type), type.elements(), numbers.size());
  bytes_ = shared(block_of(type.bytes()), type.bytes());
  store_numbers(type.dtype, numbers, data());
}

double Tensor::number(std::size_t i) const {
  if (!bytes_ || i >= static_cast<std::size_t>(type_.elements()))
    run_error("element {} of a tensor {} was asked for", i, bytes_ ? to_string(type_) : "without memory");
  double x = 0;
  load_numbers(type_.dtype, bytes_.get() + i * size_of(type_.dtype), {&x, 1});
  return x;
}

std::vector<double> Tensor::numbers() const {
  std::vector<double> all(bytes_ ? static_cast<std::size_t>(type_.elements()) : 0);
  if (bytes_) load_numbers(type_.dtype, data(), all);
  return all;
}

Tensor Tensor::clone() const {
  if (!bytes_) return {};
  Tensor copy;
  copy.type_ = type_;
  copy.bytes_ = shared(block_of(bytes()), bytes());
  std::memcpy(copy.data(), data(), bytes());
  return copy;
}

void Tensor::check(bool right) const {
  if (!bytes_) throw RunError("a tensor without memory was read");
  if (!right) run_error("a tensor {} was read as another element type", to_string(type_));
}

std::uint16_t bf16_of(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  // The quiet bit keeps a NaN whose payload is in the low half from becoming infinity.
  if (x != x) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float float_of(std::uint16_t bf16_bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bf16_bits) << 16); }

void store_numbers(DType dtype, std::span<const double> numbers, void* to, std::size_t first) {
  with_element(dtype, [&](auto example) {
    using T = decltype(example);
    auto* out = static_cast<T*>(to);
    const double* const from = numbers.data();
    for (std::size_t i = 0; i < numbers.size(); ++i) out[i] = element_of<T>(from[i], first + i, dtype);
  });
}

void load_numbers(DType dtype, const void* from, std::span<double> numbers) {
  with_element(dtype, [&](auto example) {
    using T = decltype(example);
    const auto* in = static_cast<const T*>(from);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      if constexpr (std::is_same_v<T, std::uint16_t>) numbers[i] = static_cast<double>(float_of(in[i]));
      else numbers[i] = static_cast<double>(in[i]);
    }
  });
}

}  // namespace thalweg
