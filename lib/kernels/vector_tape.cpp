// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/vector_tape.h"

#include <algorithm>
#include <limits>

#include "thalweg/lib/kernels/simd_functions.h"

namespace thalweg {

/// Where a line is, or would be put.
std::size_t VectorTape::slot_of(const VectorLine& line) const {
  std::uint64_t hash = line.bits ^ static_cast<std::uint64_t>(line.op) << 8 ^ static_cast<std::uint64_t>(line.lane);
  for (const int x : line.x) hash = (hash ^ static_cast<std::uint32_t>(x)) * 0x9e3779b97f4a7c15U;
  const std::size_t mask = known_.size() - 1;
  std::size_t slot = static_cast<std::size_t>(hash >> 32) & mask;
  while (known_[slot] >= 0 && lines_[static_cast<std::size_t>(known_[slot])] != line) slot = (slot + 1) & mask;
  return slot;
}

void VectorTape::widen() {
  known_.assign(std::max<std::size_t>(64, 4 * lines_.size()), -1);
  known_.resize(std::bit_ceil(known_.size()), -1);
  for (std::size_t i = 0; i < lines_.size(); ++i) known_[slot_of(lines_[i])] = static_cast<int>(i);
}

int VectorTape::add(const VectorLine& given) {
  VectorLine line = given;
  if (line.op == VectorOp::blend) {
    // A choice against zero is one instruction on the bits.
    const auto is_zero = [&](int x) {
      const VectorLine& l = lines_[static_cast<std::size_t>(x)];
      return l.op == VectorOp::constant && l.bits == 0;
    };
    if (is_zero(line.x[1])) line = {VectorOp::bit_andnot, line.lane, {line.x[0], line.x[2], -1}};
    else if (is_zero(line.x[2])) line = {VectorOp::bit_and, line.lane, {line.x[0], line.x[1], -1}};
  }
  if (2 * (lines_.size() + 1) > known_.size()) widen();
  int& known = known_[slot_of(line)];
  if (known < 0) {
    known = static_cast<int>(lines_.size());
    lines_.push_back(line);
  }
  return known;
}

namespace {

/// The tape that vector operations of this thread go to.
thread_local VectorTape* tape = nullptr;

/// A vector or a mask on the tape; an operation of `hn` on it is a line.
struct Recorded {
  int line = -1;
  VectorLane lane = VectorLane::f32;
};

Recorded put(VectorOp op, VectorLane lane, std::array<int, 3> x, std::uint64_t bits = 0) {
  return {tape->add({op, lane, x, bits}), lane};
}
Recorded put(VectorOp op, Recorded a) { return put(op, a.lane, {a.line, -1, -1}); }
Recorded put(VectorOp op, Recorded a, Recorded b) { return put(op, a.lane, {a.line, b.line, -1}); }
Recorded put(VectorOp op, Recorded a, Recorded b, Recorded c) { return put(op, a.lane, {a.line, b.line, c.line}); }

#define HWY_INLINE inline

/// Highway's operations, as far as the functions use them; each the instruction that Highway has for it on x86.
namespace hn {

template <VectorLane lane_of>
struct Tag {
  static constexpr VectorLane lane = lane_of;
};
using D32 = Tag<VectorLane::f32>;
using D64 = Tag<VectorLane::f64>;
using U64 = Tag<VectorLane::u64>;
template <class D>
using RebindToUnsigned = U64;

Recorded Set(D32, float x) { return {tape->constant(x), VectorLane::f32}; }
Recorded Set(D64, double x) { return {tape->constant(x), VectorLane::f64}; }
Recorded Set(U64, std::uint64_t x) { return put(VectorOp::constant, VectorLane::u64, {-1, -1, -1}, x); }
template <class D>
Recorded Zero(D) {
  return put(VectorOp::constant, D::lane, {-1, -1, -1});
}
Recorded sign_bit(Recorded like) {
  return like.lane == VectorLane::f32 ? Set(D32(), -0.0f) : Set(D64(), -0.0);
}

Recorded Add(Recorded a, Recorded b) { return put(VectorOp::add, a, b); }
Recorded Sub(Recorded a, Recorded b) { return put(VectorOp::sub, a, b); }
Recorded Mul(Recorded a, Recorded b) { return put(VectorOp::mul, a, b); }
Recorded Div(Recorded a, Recorded b) { return put(VectorOp::div, a, b); }
Recorded Min(Recorded a, Recorded b) { return put(VectorOp::min, a, b); }
Recorded Max(Recorded a, Recorded b) { return put(VectorOp::max, a, b); }
Recorded Sqrt(Recorded a) { return put(VectorOp::sqrt, a); }
Recorded Round(Recorded a) { return put(VectorOp::nearest, a); }
Recorded MulAdd(Recorded a, Recorded b, Recorded c) { return put(VectorOp::fma, a, b, c); }
Recorded NegMulAdd(Recorded a, Recorded b, Recorded c) { return put(VectorOp::fnma, a, b, c); }
Recorded And(Recorded a, Recorded b) { return put(VectorOp::bit_and, a, b); }
Recorded Or(Recorded a, Recorded b) { return put(VectorOp::bit_or, a, b); }
Recorded AndNot(Recorded a, Recorded b) { return put(VectorOp::bit_andnot, a, b); }
Recorded Not(Recorded a) {
  return put(VectorOp::bit_xor, a, put(VectorOp::constant, a.lane, {-1, -1, -1}, ~std::uint64_t{0}));
}
Recorded Neg(Recorded a) { return put(VectorOp::bit_xor, a, sign_bit(a)); }
Recorded Abs(Recorded a) { return put(VectorOp::bit_andnot, sign_bit(a), a); }
Recorded CopySign(Recorded size, Recorded sign) { return Or(Abs(size), And(sign_bit(size), sign)); }

Recorded compared(Recorded a, Recorded b, VectorCompare how) {
  return put(VectorOp::compare, a.lane, {a.line, b.line, -1}, static_cast<std::uint64_t>(how));
}
Recorded Eq(Recorded a, Recorded b) { return compared(a, b, VectorCompare::eq); }
Recorded Lt(Recorded a, Recorded b) { return compared(a, b, VectorCompare::lt); }
Recorded Le(Recorded a, Recorded b) { return compared(a, b, VectorCompare::le); }
Recorded Gt(Recorded a, Recorded b) { return compared(a, b, VectorCompare::gt); }
Recorded Ge(Recorded a, Recorded b) { return compared(a, b, VectorCompare::ge); }
Recorded IsNaN(Recorded a) { return compared(a, a, VectorCompare::ne); }
Recorded IfThenElse(Recorded mask, Recorded yes, Recorded no) {
  return put(VectorOp::blend, yes.lane, {mask.line, yes.line, no.line});
}
Recorded IfThenZeroElse(Recorded mask, Recorded no) { return put(VectorOp::bit_andnot, mask, no); }

template <class D>
Recorded BitCast(D, Recorded a) {
  return {a.line, D::lane};
}
template <int count>
Recorded ShiftLeft(Recorded a) {
  return put(VectorOp::shift_left, a.lane, {a.line, -1, -1}, count);
}
template <int count>
Recorded ShiftRight(Recorded a) {
  return put(VectorOp::shift_right, a.lane, {a.line, -1, -1}, count);
}

}  // namespace hn

using hn::D32;
using hn::D64;
using V32 = Recorded;
using V64 = Recorded;
#include "thalweg/lib/kernels/simd_math-inl.h"
//
#include "thalweg/lib/kernels/simd_functions-inl.h"

struct Single {};
struct Wide {};

Recorded half(int line, std::uint64_t which) { return put(VectorOp::widen, VectorLane::f64, {line, -1, -1}, which); }
int joined(Recorded low, Recorded high) {
  return put(VectorOp::narrow, VectorLane::f32, {low.line, high.line, -1}).line;
}

template <class F>
int unary(Single, int x, const double* parameters) {
  const D32 d;
  return F(d, parameters)(d, Recorded{x, VectorLane::f32}).line;
}
template <class F>
int unary(Wide, int x, const double* parameters) {
  const D64 d;
  const F f(d, parameters);
  const Recorded low = f(d, half(x, 0));
  return joined(low, f(d, half(x, 1)));
}
template <class F>
int binary(Single, int x, int y) {
  return F()(D32(), Recorded{x, VectorLane::f32}, Recorded{y, VectorLane::f32}).line;
}
template <class F>
int binary(Wide, int x, int y) {
  const Recorded low = F()(D64(), half(x, 0), half(y, 0));
  return joined(low, F()(D64(), half(x, 1), half(y, 1)));
}

}  // namespace

std::optional<int> record_function(VectorTape& to, std::string_view name, std::span<const int> operands,
                                   const double* parameters) {
  tape = &to;
#define THALWEG_RECORD(op, lane, function) \
  if (name == op && operands.size() == 1) return unary<function>(lane(), operands[0], parameters);
  THALWEG_UNARY_FUNCTIONS(THALWEG_RECORD)
#undef THALWEG_RECORD
#define THALWEG_RECORD(op, lane, function) \
  if (name == op && operands.size() == 2) return binary<function>(lane(), operands[0], operands[1]);
  THALWEG_BINARY_FUNCTIONS(THALWEG_RECORD)
#undef THALWEG_RECORD
  return {};
}

std::optional<int> record_f64_function(VectorTape& to, std::string_view name, std::span<const int> operands) {
  tape = &to;
  const D64 d;
  const auto x = [&](std::size_t i) { return Recorded{operands[i], VectorLane::f64}; };
#define THALWEG_RECORD(op, function) \
  if (name == op && operands.size() == 1) return function(d, nullptr)(d, x(0)).line;
  THALWEG_RECORD("neg", Negate)
  THALWEG_RECORD("abs", Absolute)
  THALWEG_RECORD("square", Square)
  THALWEG_RECORD("sqrt", Root)
  THALWEG_RECORD("rsqrt", InverseRoot)
  THALWEG_RECORD("relu", Relu)
  THALWEG_RECORD("sign", Sign)
#undef THALWEG_RECORD
#define THALWEG_RECORD(op, function) \
  if (name == op && operands.size() == 2) return function()(d, x(0), x(1)).line;
  THALWEG_RECORD("add", Sum)
  THALWEG_RECORD("sub", Difference)
  THALWEG_RECORD("mul", Product)
  THALWEG_RECORD("div", Quotient)
  THALWEG_RECORD("max", Larger)
  THALWEG_RECORD("min", Smaller)
  THALWEG_RECORD("mul_no_nan", ProductWithoutNaN)
#undef THALWEG_RECORD
  return {};
}

}  // namespace thalweg
