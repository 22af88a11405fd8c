// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/tensor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "thalweg/graph/fold.h"
#include "thalweg/lib/compile/program.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

TEST(Tensor, HoldsAndSharesItsBytes) {
  Tensor a(f32(2, 3));
  EXPECT_EQ(a.bytes(), 24u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.data()) % 64, 0u);
  for (const float x : a.as<float>()) EXPECT_EQ(x, 0.0f);
  const Tensor shared = a;
  const Tensor own = a.clone();
  a.as<float>()[4] = 2.5f;
  EXPECT_EQ(shared.number(4), 2.5);
  EXPECT_EQ(own.number(4), 0.0);
  EXPECT_THROW(a.as<double>(), RunError);
  EXPECT_THROW(a.number(6), RunError);
  EXPECT_FALSE(Tensor());
  EXPECT_THROW(Tensor().as<float>(), RunError);
}

TEST(Tensor, AreZerosAndLinesOfAnySize) {
  for (const Dim bytes : {1, 64, 4097, 262143, 262144, 262145, 5'000'001}) {
    for (int round = 0; round < 2; ++round) {  // the second where the first was written
      Tensor a({DType::u8, Shape{bytes}});
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.data()) % 64, 0u);
      const auto numbers = a.as<std::uint8_t>();
      EXPECT_EQ(std::ranges::count(numbers, 0), bytes);
      std::ranges::fill(numbers, std::uint8_t{7});
      const Tensor own = a.clone();
      EXPECT_EQ(std::ranges::count(own.as<std::uint8_t>(), 7), bytes);
    }
  }
}

TEST(Tensor, RoundsNumbersOnceAndRefusesWhatADtypeDoesNotHold) {
  const double numbers[] = {1.0 / 3, -2, 7e-46, 1e300};
  const Tensor single(f32(4), numbers);
  EXPECT_EQ(single.as<float>()[0], 1.0f / 3);
  EXPECT_TRUE(std::isinf(single.as<float>()[3]));
  const double whole[] = {-3, 250};
  EXPECT_EQ(Tensor(i32(2), whole).numbers(), (std::vector<double>{-3, 250}));
  EXPECT_THROW(Tensor(u8(2), whole), RunError);
  EXPECT_THROW(Tensor(boolean(2), whole), RunError);
  EXPECT_THROW(Tensor(i64(4), numbers), RunError);
  EXPECT_THROW(Tensor(i32(3), whole), RunError);
  const double edges[] = {-0x1p63, 0x1.fffffffffffffp62};
  EXPECT_EQ(Tensor(i64(2), edges).as<std::int64_t>()[0], std::numeric_limits<std::int64_t>::min());
  const double past[] = {0x1p63};
  EXPECT_THROW(Tensor(i64(1), past), RunError);
}

TEST(Bf16, RoundsToNearestEvenAndKeepsNaN) {
  EXPECT_EQ(float_of(bf16_of(1.0f)), 1.0f);
  EXPECT_EQ(float_of(bf16_of(1.0f + 0x1p-8f)), 1.0f);                 // the middle: to even
  EXPECT_EQ(float_of(bf16_of(1.0f + 0x1p-7f + 0x1p-8f)), 1.0f + 0x1p-6f);
  EXPECT_EQ(float_of(bf16_of(1.0f + 0x1p-8f + 0x1p-20f)), 1.0f + 0x1p-7f);
  EXPECT_TRUE(std::isinf(float_of(bf16_of(std::numeric_limits<float>::max()))));
  EXPECT_TRUE(std::isnan(float_of(bf16_of(std::bit_cast<float>(0x7f800001u)))));
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float x = float_of(static_cast<std::uint16_t>(bits));
    if (std::isnan(x)) continue;
    EXPECT_EQ(bf16_of(x), bits);
  }
}

TEST(Bf16, ADoubleIsRoundedOnce) {
  // Just above the middle of two bf16, but nearer to it than f32 can say.
  const double above = 1.0 + 0x1p-8 + 0x1p-40, below = 1.0 + 0x1p-7 + 0x1p-8 - 0x1p-40;
  const std::vector<double> numbers = {above, below, -above, -below};
  const std::vector<double> once = {1.0 + 0x1p-7, 1.0 + 0x1p-7, -1.0 - 0x1p-7, -1.0 - 0x1p-7};
  EXPECT_EQ(Tensor(bf16(4), numbers).numbers(), once);
  // So does a constant that is folded, and a cast that is computed.
  Graph g;
  const Value x = constant(g, numbers, f64(4));
  g.output("y", cast(x, DType::bf16));
  Graph folded = g.clone();
  EXPECT_TRUE(fold(folded));
  EXPECT_EQ(folded.node(folded.outputs()[0].value.node).attrs.reals("values"), once);
  Graph plain;
  plain.output("y", cast(input(plain, "x", f64(4)), DType::bf16));
  CompileOptions options;
  options.variables = Variables();
  Program program = compile(plain, options);
  program.feed("x", Tensor(f64(4), numbers));
  program.run();
  EXPECT_EQ(program.fetch("y").numbers(), once);
}

TEST(Bf16, EveryBitPatternIsItsOwnNearest) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const double x = float_of(static_cast<std::uint16_t>(bits));
    if (std::isnan(x)) continue;
    ASSERT_EQ(rounded_to(DType::bf16, x), x);
    ASSERT_EQ(std::signbit(rounded_to(DType::bf16, x)), std::signbit(x));
    const double next = float_of(static_cast<std::uint16_t>(bits + 1));
    if (!std::isfinite(x) || !std::isfinite(next)) continue;
    // The middle of two goes to the even one, and what is not the middle to the nearer one.
    const double middle = (x + next) / 2, nudge = std::fabs(next - x) * 0x1p-30;
    const double smaller = std::fabs(x) < std::fabs(next) ? x : next, larger = smaller == x ? next : x;
    ASSERT_EQ(rounded_to(DType::bf16, middle), bits % 2 == 0 ? x : next);
    ASSERT_EQ(rounded_to(DType::bf16, std::copysign(std::fabs(middle) + nudge, x)), larger);
    ASSERT_EQ(rounded_to(DType::bf16, std::copysign(std::fabs(middle) - nudge, x)), smaller);
  }
}

}  // namespace
}  // namespace thalweg
