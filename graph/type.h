// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "thalweg/graph/error.h"

namespace thalweg {

/// The element types. `boolean` prints as `bool`.
enum class DType : std::uint8_t { f32, bf16, f64, i32, i64, u8, boolean };

THALWEG_API std::string_view to_string(DType dtype);
/// The dtype of that name; throws GraphError for any other text.
THALWEG_API DType dtype_named(std::string_view name);
THALWEG_API std::size_t size_of(DType dtype);
constexpr bool is_float(DType d) { return d == DType::f32 || d == DType::bf16 || d == DType::f64; }
constexpr bool is_integer(DType d) { return d == DType::i32 || d == DType::i64 || d == DType::u8; }
/// The number of a float dtype that is nearest to x, ties to even, rounded once: not first to f32 and then to bf16.
/// NaN stays NaN; what is beyond the largest number becomes infinite. Other dtypes: x itself.
THALWEG_API double rounded_to(DType dtype, double x);

using Dim = std::int64_t;

/// Sizes of the axes, outermost first; rank 0 is a scalar. Every size is at least 1, and at most `max_rank` axes.
class THALWEG_API Shape {
 public:
  static constexpr std::size_t max_rank = 8;
  /// Eight bytes an element then stay within the 47 bits of a user address.
  static constexpr Dim max_elements = Dim{1} << 44;

  Shape() = default;
  /// Throws GraphError for more than `max_rank` axes, a size below 1, or more than 2^44 elements.
  Shape(std::initializer_list<Dim> dims, SourceLoc loc = SourceLoc::current())
      : Shape(std::span<const Dim>(dims.begin(), dims.size()), loc) {}
  explicit Shape(std::span<const Dim> dims, SourceLoc loc = {});
  explicit Shape(const std::vector<Dim>& dims, SourceLoc loc = {}) : Shape(std::span<const Dim>(dims), loc) {}

  std::size_t rank() const { return rank_; }
  Dim operator[](std::size_t axis) const { return dims_[axis]; }
  const Dim* begin() const { return dims_.data(); }
  const Dim* end() const { return dims_.data() + rank_; }
  Dim back() const { return dims_[rank_ - 1]; }
  /// Number of elements: the product of the sizes, 1 for a scalar.
  Dim elements() const;
  std::vector<Dim> vector() const { return {begin(), end()}; }
  friend bool operator==(const Shape& a, const Shape& b) {
    return a.rank_ == b.rank_ && std::equal(a.begin(), a.end(), b.begin());
  }

 private:
  std::array<Dim, max_rank> dims_{};
  std::size_t rank_ = 0;
};

/// `[64,784]`, `[]` for a scalar.
THALWEG_API std::string to_string(const Shape& shape);

/// dtype and shape, printed `f32[64,784]`.
struct TensorType {
  DType dtype = DType::f32;
  Shape shape;

  Dim elements() const { return shape.elements(); }
  /// Bytes of a dense row-major tensor of this type.
  std::size_t bytes() const { return static_cast<std::size_t>(elements()) * size_of(dtype); }
  friend bool operator==(const TensorType& a, const TensorType& b) = default;
};

THALWEG_API std::string to_string(const TensorType& type);

/// The size of one axis in `f32(64, 784)`, with the line that gave it; left out: there is no such axis.
struct AxisSize {
  AxisSize() = default;
  template <std::integral N>
  AxisSize(N n, SourceLoc l = SourceLoc::current()) : size(static_cast<Dim>(n)), given(true), loc(l) {}  // NOLINT

  Dim size = 0;
  bool given = false;
  SourceLoc loc;
};

/// `f32(64, 784)` is the type f32[64,784]; `f32()` a scalar. Likewise for the other dtypes. Throws GraphError, at the
/// caller's line, for a size below 1 or more than 2^44 elements.
THALWEG_API TensorType f32(AxisSize a = {}, AxisSize b = {}, AxisSize c = {}, AxisSize d = {}, AxisSize e = {},
                           AxisSize f = {}, AxisSize g = {}, AxisSize h = {});
THALWEG_API TensorType bf16(AxisSize a = {}, AxisSize b = {}, AxisSize c = {}, AxisSize d = {}, AxisSize e = {},
                            AxisSize f = {}, AxisSize g = {}, AxisSize h = {});
THALWEG_API TensorType f64(AxisSize a = {}, AxisSize b = {}, AxisSize c = {}, AxisSize d = {}, AxisSize e = {},
                           AxisSize f = {}, AxisSize g = {}, AxisSize h = {});
THALWEG_API TensorType i32(AxisSize a = {}, AxisSize b = {}, AxisSize c = {}, AxisSize d = {}, AxisSize e = {},
                           AxisSize f = {}, AxisSize g = {}, AxisSize h = {});
THALWEG_API TensorType i64(AxisSize a = {}, AxisSize b = {}, AxisSize c = {}, AxisSize d = {}, AxisSize e = {},
                           AxisSize f = {}, AxisSize g = {}, AxisSize h = {});
THALWEG_API TensorType u8(AxisSize a = {}, AxisSize b = {}, AxisSize c = {}, AxisSize d = {}, AxisSize e = {},
                          AxisSize f = {}, AxisSize g = {}, AxisSize h = {});
THALWEG_API TensorType boolean(AxisSize a = {}, AxisSize b = {}, AxisSize c = {}, AxisSize d = {}, AxisSize e = {},
                               AxisSize f = {}, AxisSize g = {}, AxisSize h = {});

/// The numpy broadcast of two shapes; throws RuleError naming the axis where they do not fit.
THALWEG_API Shape broadcast_shapes(const Shape& a, const Shape& b);
/// Whether a tensor of shape `from` broadcasts to `to` without changing `to`.
THALWEG_API bool broadcasts_to(const Shape& from, const Shape& to);
/// Row-major strides in elements.
THALWEG_API std::vector<Dim> strides_of(const Shape& shape);
/// Axis in [-rank, rank) to [0, rank); throws RuleError otherwise.
THALWEG_API std::size_t normal_axis(Dim axis, std::size_t rank);

}  // namespace thalweg
