// SPDX-License-Identifier: Apache-2.0
// Private: reading numbers out of bytes of a stranger's, and sums and products of sizes that do not wrap.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "thalweg/graph/fail.h"

namespace thalweg {

/// a + b and a * b of sizes; false where the result does not fit.
inline bool checked_add(std::uint64_t a, std::uint64_t b, std::uint64_t& sum) {
  return !__builtin_add_overflow(a, b, &sum);
}
inline bool checked_mul(std::uint64_t a, std::uint64_t b, std::uint64_t& product) {
  return !__builtin_mul_overflow(a, b, &product);
}

/// Reads a block of bytes from its beginning. Whatever is asked for is first compared with what is left, so that no
/// size out of a file reaches an allocation unchecked. Throws RunError with the source's name and the byte offset.
class ByteReader {
 public:
  /// `source` is what messages call the bytes: a path.
  ByteReader(std::span<const std::byte> bytes, std::string source) : bytes_(bytes), source_(std::move(source)) {}

  std::size_t offset() const { return offset_; }
  std::size_t remaining() const { return bytes_.size() - offset_; }

  std::span<const std::byte> take(std::uint64_t count, std::string_view what) {
    if (count > remaining())
      run_error("{}: byte {}: {} needs {} bytes, and {} are left", source_, offset_, what, count, remaining());
    const auto part = bytes_.subspan(offset_, static_cast<std::size_t>(count));
    offset_ += static_cast<std::size_t>(count);
    return part;
  }
  template <std::unsigned_integral T>
  T big_endian(std::string_view what) {
    T x = 0;
    for (const std::byte b : take(sizeof(T), what)) x = static_cast<T>((x << 8) | std::to_integer<T>(b));
    return x;
  }
  template <std::unsigned_integral T>
  T little_endian(std::string_view what) {
    T x = 0;
    int shift = 0;
    for (const std::byte b : take(sizeof(T), what)) {
      x = static_cast<T>(x | static_cast<T>(std::to_integer<T>(b) << shift));
      shift += 8;
    }
    return x;
  }

 private:
  std::span<const std::byte> bytes_;
  std::string source_;
  std::size_t offset_ = 0;
};

/// The bytes of a text.
inline std::span<const std::byte> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace thalweg
