// SPDX-License-Identifier: Apache-2.0
// How far the f32 functions are from the true value, over bit patterns of every size, on every instruction set.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

#include "targets.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/kernels/simd.h"

namespace thalweg {
namespace {

using testing::on_every_target;

/// Distance in units of the last place of f32 at `want` (of the smallest f32 below its normal range).
double ulps(float got, double want) {
  const double largest = static_cast<double>(std::numeric_limits<float>::max());
  if (std::isnan(want)) return std::isnan(got) ? 0 : 1e9;
  if (std::isinf(got)) return (got > 0) == (want > 0) && std::fabs(want) > largest * (1 - 0x1p-24) ? 0 : 1e9;
  if (std::isnan(got)) return 1e9;
  if (std::fabs(want) > largest) return 1e9;
  const int exponent = want == 0 ? -126 : std::max(std::ilogb(want), -126);
  return std::fabs(static_cast<double>(got) - want) / std::ldexp(1.0, exponent - 23);
}

/// About a million bit patterns: every exponent, both signs, mantissas spread over their range, and the edges.
std::vector<float> patterns() {
  std::vector<float> all;
  std::uint32_t noise = 12345;
  for (std::uint32_t exponent = 0; exponent < 256; ++exponent)
    for (std::uint32_t i = 0; i < 2048; ++i) {
      noise = noise * 1664525u + 1013904223u;
      const std::uint32_t mantissa = (i << 12) | (noise >> 20);
      for (const std::uint32_t sign : {0u, 1u}) all.push_back(std::bit_cast<float>(sign << 31 | exponent << 23 | mantissa));
    }
  for (const float edge : {0.0f, -0.0f, 1.0f, -1.0f, 88.72283f, 88.72284f, -87.33655f, -103.9721f, -104.0f, 0.5f, 2.0f,
                           std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                           std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::max(),
                           std::numeric_limits<float>::min(), std::numeric_limits<float>::denorm_min()})
    all.push_back(edge);
  return all;
}

struct Row {
  const char* name;
  double (*meaning)(double);
  double bound;
};

double sigmoid(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }

const Row rows[] = {
    {"exp", [](double x) { return std::exp(x); }, 0.51},
    {"expm1", [](double x) { return std::expm1(x); }, 0.51},
    {"log", [](double x) { return std::log(x); }, 0.51},
    {"log1p", [](double x) { return std::log1p(x); }, 0.51},
    {"tanh", [](double x) { return std::tanh(x); }, 0.51},
    {"sigmoid", [](double x) { return std::isnan(x) ? x : sigmoid(x); }, 0.51},
    {"erf", [](double x) { return std::erf(x); }, 0.51},
    {"rsqrt", [](double x) { return 1 / std::sqrt(x); }, 0.51},
    {"sqrt", [](double x) { return std::sqrt(x); }, 0.5},
    {"gelu", [](double x) { return x < -40 ? -0.0 : 0.5 * x * std::erfc(-x * (std::numbers::sqrt2 / 2)); }, 0.51},
    {"gelu_tanh",
     [](double x) {
       return x < -40 ? -0.0 : x * sigmoid(2 * std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x));
     },
     0.51},
    {"silu", [](double x) { return x < -700 ? -0.0 : x * sigmoid(x); }, 0.51},
    {"softplus",
     [](double x) { return std::isnan(x) ? x : (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x))); }, 0.51},
    {"relu", [](double x) { return x <= 0 ? 0 : x; }, 0},
    {"abs", [](double x) { return std::fabs(x); }, 0},
    {"neg", [](double x) { return -x; }, 0},
    {"square", [](double x) { return x * x; }, 0.5},
    {"sign", [](double x) { return x > 0 ? 1 : x < 0 ? -1 : x; }, 0},
};

TEST(Functions, AreRightToTheLastPlace) {
  const std::vector<float> x = patterns();
  on_every_target([&] {
    std::vector<float> y(x.size());
    for (const Row& row : rows) {
      const BlockFunction function = simd_block(row.name);
      ASSERT_NE(function, nullptr) << row.name;
      function({.a = x.data(), .out = y.data(), .n = x.size()});
      double worst = 0;
      float at = 0, got = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double u = ulps(y[i], row.meaning(static_cast<double>(x[i])));
        if (u > worst) {
          worst = u;
          at = x[i];
          got = y[i];
        }
      }
      EXPECT_LE(worst, row.bound + 1e-9) << row.name << "(" << at << ") = " << got;
    }
  });
}

TEST(Functions, PowIsRightToTheLastPlace) {
  const std::vector<float> all = patterns();
  std::vector<float> a, b;
  for (std::size_t i = 0; i < all.size(); i += 3) {
    a.push_back(all[i]);
    b.push_back(all[(i * 7919 + 13) % all.size()]);
    a.push_back(std::fabs(all[i]));
    b.push_back(static_cast<float>(static_cast<int>(i % 41) - 20) / 4);
  }
  const float edges[] = {0.0f, -0.0f, 1.0f, -1.0f, 2.0f, -2.0f, 3.0f, 0.5f, -0.5f, -3.0f, INFINITY, -INFINITY, NAN};
  for (const float x : edges)
    for (const float y : edges) {
      a.push_back(x);
      b.push_back(y);
    }
  on_every_target([&] {
    std::vector<float> y(a.size());
    simd_block("pow")({.a = a.data(), .b = b.data(), .out = y.data(), .n = y.size()});
    for (std::size_t i = 0; i < y.size(); ++i)
      ASSERT_LE(ulps(y[i], std::pow(static_cast<double>(a[i]), static_cast<double>(b[i]))), 0.51)
          << "pow(" << a[i] << ", " << b[i] << ") = " << y[i];
  });
}

TEST(Functions, GiveTheSameBitsWhereverABlockIsCut) {
  std::vector<float> x = patterns(), whole(1000), cut(1000);
  on_every_target([&] {
    for (const Row& row : rows) {
      const BlockFunction function = simd_block(row.name);
      const float* from = x.data() + 127 * 4096;
      function({.a = from, .out = whole.data(), .n = 1000});
      for (std::size_t i = 0; i < 1000;) {
        const std::size_t n = std::min<std::size_t>(1 + i % 37, 1000 - i);
        function({.a = from + i, .out = cut.data() + i, .n = n});
        i += n;
      }
      for (std::size_t i = 0; i < 1000; ++i)
        ASSERT_EQ(std::bit_cast<std::uint32_t>(whole[i]), std::bit_cast<std::uint32_t>(cut[i])) << row.name;
    }
  });
}

TEST(Functions, SumsHaveTheSameBitsOnEveryTarget) {
  std::vector<float> x(4099);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i)) * 1e3f;
  double sum = 0;
  bool first = true;
  on_every_target([&] {
    const double here = simd().sum_f32(x.data(), x.size());
    if (first) sum = here;
    first = false;
    EXPECT_EQ(here, sum);
    for (const std::size_t n : {1u, 2u, 15u, 17u, 4099u}) {
      float largest = x[0];
      for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, x[i]);
      EXPECT_EQ(simd().max_f32(x.data(), n), largest);
    }
    const float before = x[4000];
    x[4000] = NAN;
    EXPECT_TRUE(std::isnan(simd().max_f32(x.data(), x.size())));
    x[4000] = before;
  });
}

TEST(Functions, MatmulIsExactOnWholeNumbersOnEveryTarget) {
  on_every_target([&] {
    for (const std::size_t m : {1u, 3u, 4u, 5u, 9u})
      for (const std::size_t n : {1u, 7u, 16u, 17u, 33u, 70u})
        for (const std::size_t k : {1u, 5u, 256u, 300u})
          for (const bool tb : {false, true}) {
            std::vector<float> a(m * k), b(k * n), c(m * n, -1), room(matmul_room);
            for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i * 7 % 11) - 5;
            for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i * 5 % 13) - 6;
            const auto s = [](std::size_t i) { return static_cast<std::ptrdiff_t>(i); };
            simd().matmul_f32(m, n, k, {a.data(), s(k), 1}, {b.data(), tb ? 1 : s(n), tb ? s(k) : 1}, c.data(), s(n),
                              room.data());
            for (std::size_t i = 0; i < m; ++i)
              for (std::size_t j = 0; j < n; ++j) {
                float want = 0;
                for (std::size_t l = 0; l < k; ++l) want += a[i * k + l] * b[tb ? j * k + l : l * n + j];
                ASSERT_EQ(c[i * n + j], want) << m << "x" << n << "x" << k << (tb ? " tb" : "");
              }
          }
  });
}

}  // namespace
}  // namespace thalweg
