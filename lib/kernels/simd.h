// SPDX-License-Identifier: Apache-2.0
// Private: inner loops written with Highway, one version for each instruction set, chosen when a kernel is made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace thalweg {

/// One pass over a block: out[i] = f(a[i], b[i], c[i]). `parameters` are the op's numbers (a slope, two bounds).
/// `out` may be `a`, `b` or `c`; nothing else overlaps.
struct BlockCall {
  const void* a = nullptr;
  const void* b = nullptr;
  const void* c = nullptr;
  void* out = nullptr;
  std::size_t n = 0;
  const double* parameters = nullptr;
};
using BlockFunction = void (*)(const BlockCall&);

struct NamedBlock {
  std::string_view name;
  BlockFunction function;
};

/// A matrix as base, row stride and column stride in elements; one stride is 1.
template <class T>
struct Panel {
  T* data;
  std::ptrdiff_t row;
  std::ptrdiff_t column;
};

/// c[m,n] = a[m,k] · b[k,n]; c is row-major with its columns adjacent. Each element is summed in ascending k, whatever
/// m, n and the part of a larger product that this is. `room` has matmul_room elements.
template <class T>
using MatmulFunction = void (*)(std::size_t m, std::size_t n, std::size_t k, Panel<const T> a, Panel<const T> b,
                                T* c, std::ptrdiff_t c_row, T* room);
/// Elements of `room`: one panel of b.
inline constexpr std::size_t matmul_depth = 256;
inline constexpr std::size_t matmul_widest = 64;
inline constexpr std::size_t matmul_room = matmul_depth * matmul_widest;

/// Rows of logits with a label each: losses, gradients, or both.
struct CrossEntropyRows {
  const float* x;              ///< rows of `classes` logits
  const std::int64_t* labels;  ///< in [0, classes)
  std::size_t rows, classes;
  const float* dy;             ///< of the losses; for gradients
  std::size_t dy_step;         ///< 1, or 0 where dy is one number for all rows
  float* loss;                 ///< one a row, or null
  float* dx;                   ///< rows like x, or null
};
/// At most so many classes: the exponentials of a vector of rows are kept between two passes over them.
inline constexpr std::size_t cross_entropy_classes = 64;

inline constexpr std::size_t pooled_channels = 64;

/// The inner loops of one instruction set.
struct SimdTable {
  std::string_view target;
  std::span<const NamedBlock> blocks;  ///< f32 functions by name of the op
  MatmulFunction<float> matmul_f32;
  MatmulFunction<double> matmul_f64;
  /// The sum in double; element i is added to lane i % 16, and the lanes in one fixed tree, so that every
  /// instruction set adds in the same order.
  double (*sum_f32)(const float* x, std::size_t n);
  double (*sum_f64)(const double* x, std::size_t n);
  /// total[i] += x[i]
  void (*add_f32)(const float* x, double* total, std::size_t n);
  /// total[i] = the sum of x[r * step + i] over `rows` rows, in ascending r.
  void (*add_rows_f32)(const float* x, std::size_t rows, std::size_t step, double* total, std::size_t n);
  /// The largest element; NaN if there is one.
  float (*max_f32)(const float* x, std::size_t n);
  /// out[i] = exp(x[i] - shift); their sum in double, in the order of sum_f32. out may be x, or null.
  double (*exp_sum_f32)(const float* x, float shift, float* out, std::size_t n);
  /// Each row in a lane of its own, computed in double: its bits do not depend on the rows beside it.
  void (*cross_entropy_f32)(const CrossEntropyRows& rows);
  /// words[i] = philox(philox_counter(first + i, step), {key[0], key[1]})[0]
  void (*philox_first)(std::uint64_t first, std::uint64_t step, const std::uint32_t* key, std::uint32_t* words,
                       std::size_t n);
  /// The largest of each 2x2 window of two rows of pixels, NaN where there is one; windows do not overlap. At most
  /// pooled_channels channels, or a multiple of 8.
  void (*max_pool_2x2)(const float* top, const float* bottom, float* y, std::size_t windows, std::size_t channels);
  /// Writes dy where the first of the largest (or the first NaN) of its window is, and zeros elsewhere in it. Unless
  /// `gated` is null, dy counts as 0 where the largest is not positive, and what is left of it is written there.
  void (*max_pool_2x2_backward)(const float* top, const float* bottom, const float* dy, float* dtop, float* dbottom,
                                std::size_t windows, std::size_t channels, float* gated);
};
/// The table of the best instruction set that this machine has.
const SimdTable& simd();

/// The f32 function of that name in the table; null where there is none.
BlockFunction simd_block(std::string_view name);

}  // namespace thalweg
