// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/random.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <set>
#include <vector>

#include "run.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/philox.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"
#include "vectors.h"

namespace thalweg::testing {
namespace {

std::uint32_t word(const nlohmann::json& hex) {
  return static_cast<std::uint32_t>(std::stoul(hex.get<std::string>(), nullptr, 16));
}

TEST(Philox, KnownAnswers) {
  const nlohmann::json& rows = vectors("rng_known_answers").at("philox4x32_10");
  ASSERT_GE(rows.size(), 3u);
  for (const auto& row : rows) {
    PhiloxCounter counter{}, want{};
    for (std::size_t i = 0; i < 4; ++i) {
      counter[i] = word(row.at("ctr")[i]);
      want[i] = word(row.at("out")[i]);
    }
    EXPECT_EQ(philox(counter, {word(row.at("key")[0]), word(row.at("key")[1])}), want);
  }
}

TEST(Philox, UniformAndNormalEndsOfTheRange) {
  EXPECT_EQ(uniform24(0), 0);
  EXPECT_EQ(uniform24(0xFFFFFFFF), 1 - 0x1p-24);
  EXPECT_EQ(uniform53(0xFFFFFFFF, 0xFFFFFFFF), 1 - 0x1p-53);
  EXPECT_EQ(normal_of(0xFFFFFFFF, 0), 0);                              // u = 1
  EXPECT_NEAR(normal_of(0, 0), std::sqrt(64 * std::log(2.0)), 1e-14);  // u = 2^-32: the largest
  EXPECT_NEAR(normal_of(0, 0x80000000), -std::sqrt(64 * std::log(2.0)), 1e-14);
}

TEST(Philox, BlocksAreTheSameNumbers) {
  const PhiloxKey key = philox_key(7, 11);
  // Across the carry into the counter's second word.
  for (const std::uint64_t low : {std::uint64_t{0}, std::uint64_t{0xFFFFFF80}, std::uint64_t{1} << 40}) {
    const std::uint64_t high = 0x123456789ABCDEF0;
    const PhiloxBlock words = philox_block(low, high, key);
    std::array<double, 256> normals{};
    normals_of(words[0].data(), words[1].data(), normals.data(), 255);
    for (std::size_t i = 0; i < 256; ++i) {
      const PhiloxCounter w = philox(philox_counter(low + i, high), key);
      EXPECT_EQ((PhiloxCounter{words[0][i], words[1][i], words[2][i], words[3][i]}), w);
      EXPECT_EQ(normals[i], i < 255 ? normal_of(w[0], w[1]) : 0);
    }
  }
}

TEST(Philox, NormalIsExactToTheLastBits) {
  const auto exact = [](std::uint32_t a, std::uint32_t b) {
    const long double u = (static_cast<long double>(a) + 1) * 0x1p-32L, w = static_cast<long double>(b) * 0x1p-32L;
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi_v<long double> * w);
  };
  std::vector<PhiloxCounter> words;
  for (std::uint64_t k = 0; k < 100'000; ++k) words.push_back(philox(philox_counter(k, 0), philox_key(1, 2)));
  // Where the logarithm's and the cosine's parts meet, and the ends.
  for (const std::uint32_t a : {0U, 1U, 0x7FFFFFFFU, 0x80000000U, 0xB504F333U, 0xB504F334U, 0xFFFFFFFEU})
    for (const std::uint32_t b : {0U, 1U, 0x1FFFFFFFU, 0x20000000U, 0x3FFFFFFFU, 0x60000000U, 0x9FFFFFFFU, 0xE0000000U, 0xFFFFFFFFU})
      words.push_back({a, b, 0, 0});
  for (const PhiloxCounter& w : words) {
    const auto want = static_cast<double>(exact(w[0], w[1]));
    EXPECT_NEAR(normal_of(w[0], w[1]), want, 8e-16 * std::abs(want) + 4e-19) << w[0] << " " << w[1];
  }
}

TEST(Philox, NeighbouringSeedsAndStreamsDiffer) {
  std::set<PhiloxKey> keys;
  for (std::uint64_t seed = 0; seed < 30; ++seed)
    for (std::uint64_t stream = 0; stream < 30; ++stream) keys.insert(philox_key(seed, stream));
  EXPECT_EQ(keys.size(), 900u);
}

struct Moments {
  double mean = 0, variance = 0;
};
Moments moments(const std::vector<double>& x) {
  Moments m;
  for (const double v : x) m.mean += v / static_cast<double>(x.size());
  for (const double v : x) m.variance += (v - m.mean) * (v - m.mean) / static_cast<double>(x.size());
  return m;
}

TEST(Random, DistributionsHaveTheirMoments) {
  Graph g;
  const double n = 40000;
  const Value u = random_uniform(g, f32(200, 200), {.low = -1, .high = 3});
  const Value z = random_normal(g, f32(200, 200), {.mean = 2, .stddev = 0.5});
  const Value b = bernoulli(g, f32(200, 200), 0.3), never = bernoulli(g, boolean(200), 0), always = bernoulli(g, f64(200), 1);
  const Interpreter run = evaluated(g, {});
  const Moments mu = moments(run.at(u).data), mz = moments(run.at(z).data), mb = moments(run.at(b).data);
  // Five standard errors.
  EXPECT_NEAR(mu.mean, 1, 5 * std::sqrt(16.0 / 12 / n));
  EXPECT_NEAR(mu.variance, 16.0 / 12, 0.05);
  EXPECT_NEAR(mz.mean, 2, 5 * 0.5 / std::sqrt(n));
  EXPECT_NEAR(mz.variance, 0.25, 0.01);
  EXPECT_NEAR(mb.mean, 0.3, 5 * std::sqrt(0.21 / n));
  EXPECT_EQ(run.at(never).data, std::vector<double>(200, 0));
  EXPECT_EQ(run.at(always).data, std::vector<double>(200, 1));
  for (const double v : run.at(u).data) ASSERT_TRUE(v >= -1 && v <= 3 && v == static_cast<double>(static_cast<float>(v)));
  for (const double v : run.at(z).data) ASSERT_EQ(v, static_cast<double>(static_cast<float>(v)));
}

TEST(Random, FollowsTheRecipeOfTheHeader) {
  Graph g;
  const Value u = random_uniform(g, f64(3), {.draw = {.seed = 7, .key = 5}});
  Interpreter run(g);
  run.set("step", Array<double>(Shape{}, 4294967297.0));
  run.evaluate();
  for (std::uint64_t k = 0; k < 3; ++k)
    EXPECT_EQ(run.at(u)[k], uniform24(philox({static_cast<std::uint32_t>(k), 0, 1, 1}, philox_key(7, 5))[0]));
}

TEST(Random, StepSeedAndKeyEachChangeTheDraw) {
  Graph g;
  const Value a = random_uniform(g, f32(8)), b = random_uniform(g, f32(8));
  const Value c = random_uniform(g, f32(8), {.draw = {.seed = 1, .key = 0}});
  const Value again = random_uniform(g, f32(8), {.draw = {.key = 0}});
  g.update(step(g), step(g) + 1);
  Interpreter run(g);
  run.step();
  const std::vector<double> first = run.at(a).data;
  EXPECT_NE(first, run.at(b).data);
  EXPECT_NE(first, run.at(c).data);
  EXPECT_EQ(first, run.at(again).data);
  run.step();
  EXPECT_NE(first, run.at(a).data);
  run.set("step", Array<double>(Shape{}, 0.0));
  run.step();
  EXPECT_EQ(first, run.at(a).data);
}

TEST(Random, Bf16IsRoundedToNearestEven) {
  Graph g;
  const Value x = random_normal(g, bf16(1000)), wide = random_normal(g, f64(1000), {.draw = {.key = 0}});
  const Interpreter run = evaluated(g, {});
  for (std::size_t k = 0; k < 1000; ++k) {
    const double got = run.at(x)[k], exact = run.at(wide)[k];
    int exponent = 0;
    const double mantissa = std::frexp(got, &exponent) * 256;
    ASSERT_EQ(mantissa, std::trunc(mantissa)) << got;
    ASSERT_LE(std::fabs(got - exact), std::fabs(exact) * 0x1p-8);
  }
}

TEST(Random, TheStepIsOneVariable) {
  Graph g;
  const Value first = step(g);
  random_uniform(g, f32(1));
  EXPECT_EQ(step(g), first);
  EXPECT_EQ(first.type(), i64());
  EXPECT_FALSE(first.node().attrs.flag("trainable"));

  Graph taken;
  input(taken, "step", f32());
  EXPECT_EQ(thrown<GraphError>([&] { step(taken); }).find("HERE: variable: the name 'step' is taken"), 0u);
}

TEST(Random, NoGradientFlows) {
  Graph g;
  const Value x = input(g, "x", f64(3));
  const Value mask = bernoulli(g, f64(3), 0.5);
  const Value dx = gradients(sum(x * mask), {x})[0];
  const Interpreter run = evaluated(g, {{"x", {1, 2, 3}}});
  EXPECT_EQ(run.at(dx).data, run.at(mask).data);
}

TEST(Random, Errors) {
  Graph g;
  EXPECT_EQ(thrown<GraphError>([&] { bernoulli(g, f32(2), 1.5); }).find("HERE: bernoulli: attribute p is 1.5, must be in [0, 1]"), 0u)
      << thrown<GraphError>([&] { bernoulli(g, f32(2), 1.5); });
  EXPECT_EQ(thrown<GraphError>([&] { bernoulli(g, i32(2), 0.5); }).find("HERE: bernoulli: the result must be float or bool, is i32[2]"), 0u);
  EXPECT_EQ(thrown<GraphError>([&] { random_uniform(g, f32(2), {.low = 1, .high = 0}); })
                .find("HERE: random_uniform: attribute low is 1, must be at most high, 0"), 0u);
  EXPECT_EQ(thrown<GraphError>([&] { random_normal(g, f32(2), {.stddev = -1}); }).find("HERE: random_normal: attribute stddev is -1"), 0u);
  EXPECT_EQ(thrown<GraphError>([&] { random_normal(g, i64(2)); }).find("HERE: random_normal: the result must be f32, bf16 or f64"), 0u);
}

}  // namespace
}  // namespace thalweg::testing
