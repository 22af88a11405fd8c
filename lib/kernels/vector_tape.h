// SPDX-License-Identifier: Apache-2.0
// Private: straight-line vector code as data: what a pointwise group does to one vector of elements, before registers.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace thalweg {

/// One operation on vectors. `f32` lanes fill one vector; `f64` lanes half as many, so that eight or sixteen elements
/// in double are two vectors, a low half and a high one.
enum class VectorOp : std::uint8_t {
  load,      ///< the next elements of stream `bits >> 1`, half `bits & 1`
  constant,  ///< `bits` in every lane
  add, sub, mul, div, min, max, sqrt,  ///< min and max as x86 has them: the second operand where one is NaN
  fma,       ///< x0 · x1 + x2, rounded once
  fnma,      ///< x2 - x0 · x1, rounded once
  bit_and, bit_or, bit_xor,
  bit_andnot,  ///< ~x0 & x1
  shift_left, shift_right,  ///< by `bits` bits, as whole numbers
  compare,   ///< all ones where it holds; `bits` is a VectorCompare
  blend,     ///< x1 where x0 is all ones, else x2
  nearest,   ///< to a whole number, halves to even
  floor,
  widen,     ///< f32 to f64: half `bits`
  narrow,    ///< two halves in f64 to f32
  widen_mask, narrow_mask  ///< the same for what compare gives
};
enum class VectorLane : std::uint8_t { f32, f64, u32, u64 };
enum class VectorCompare : std::uint8_t { eq, ne, lt, le, gt, ge };

struct VectorLine {
  VectorOp op = VectorOp::constant;
  VectorLane lane = VectorLane::f32;  ///< of the result (of a comparison: of the operands)
  std::array<int, 3> x{-1, -1, -1};   ///< earlier lines
  std::uint64_t bits = 0;
  friend bool operator==(const VectorLine&, const VectorLine&) = default;
};

/// Lines in order of execution; equal lines are one.
class VectorTape {
 public:
  int add(const VectorLine& line);
  int constant(float x) { return constant(VectorLane::f32, std::bit_cast<std::uint32_t>(x)); }
  int constant(double x) { return constant(VectorLane::f64, std::bit_cast<std::uint64_t>(x)); }
  int constant(VectorLane lane, std::uint64_t bits) { return add({VectorOp::constant, lane, {-1, -1, -1}, bits}); }
  std::span<const VectorLine> lines() const { return lines_; }

 private:
  std::size_t slot_of(const VectorLine& line) const;
  void widen();

  std::vector<VectorLine> lines_;
  /// Lines by their hash, -1 for none: as many slots as a power of two, at most half of them taken.
  std::vector<int> known_;
};

/// Puts the f32 function of an op (by simd_functions.h) on the tape, over the lines of its operands; nothing where
/// there is none. The lines are the operations that the function has under Highway, in its order: the same bits.
std::optional<int> record_function(VectorTape& tape, std::string_view name, std::span<const int> operands,
                                   const double* parameters);
/// The same over lines of f64, for the functions that take no series: arithmetic, roots, signs, choices.
std::optional<int> record_f64_function(VectorTape& tape, std::string_view name, std::span<const int> operands);

}  // namespace thalweg
