// SPDX-License-Identifier: Apache-2.0
// Random numbers are the same at every width of vectors, and one at a time as many.
#include "thalweg/graph/philox.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>

// philox_baseline.cpp
namespace thalweg_baseline {
void normals_of(const std::uint32_t* a, const std::uint32_t* b, double* out, std::size_t count);
thalweg::PhiloxBlock philox_block(std::uint64_t low, std::uint64_t high, thalweg::PhiloxKey key);
}  // namespace thalweg_baseline

namespace thalweg {
namespace {

TEST(Philox, IsTheSameAtEveryWidth) {
  constexpr std::uint64_t blocks = 2000;
  for (std::uint64_t block = 0; block < blocks; ++block) {
    const std::uint64_t low = block * 0x123456789abcdef, high = block << 40;
    const PhiloxKey key = philox_key(block, ~block);
    const PhiloxBlock words = philox_block(low, high, key);
    ASSERT_EQ(words, thalweg_baseline::philox_block(low, high, key));
    const std::size_t count = words[0].size() - block % 7;  // tails too
    std::array<double, std::tuple_size_v<PhiloxBlock::value_type>> here{}, there{};
    normals_of(words[0].data(), words[1].data(), here.data(), count);
    thalweg_baseline::normals_of(words[0].data(), words[1].data(), there.data(), count);
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(std::bit_cast<std::uint64_t>(here[i]), std::bit_cast<std::uint64_t>(there[i])) << block << ", " << i;
      ASSERT_EQ(std::bit_cast<std::uint64_t>(here[i]), std::bit_cast<std::uint64_t>(normal_of(words[0][i], words[1][i])));
    }
  }
}

TEST(Philox, ItsEndsAreTheSameAtEveryWidth) {
  constexpr std::array<std::uint32_t, 8> ends{0, 1, 0x1fffffff, 0x20000000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
  for (const std::uint32_t a : ends) {
    std::array<std::uint32_t, 8> same;
    same.fill(a);
    std::array<double, 8> here{}, there{};
    normals_of(same.data(), ends.data(), here.data(), 8);
    thalweg_baseline::normals_of(same.data(), ends.data(), there.data(), 8);
    EXPECT_EQ(here, there) << a;
  }
}

}  // namespace
}  // namespace thalweg
