// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/init.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <tuple>

#include "run.h"
#include "thalweg/graph/philox.h"
#include "thalweg/ops/source.h"
#include "vectors.h"

namespace thalweg::testing {
namespace {

using Numbers = std::vector<double>;

Numbers drawn(const Init& init, const Shape& shape, const std::string& name = "w") {
  Graph g;
  return initial_values(variable(g, name, {DType::f32, shape}, init).node());
}
double largest(const Numbers& x) {
  double m = 0;
  for (const double v : x) m = std::fmax(m, std::fabs(v));
  return m;
}
double stddev(const Numbers& x) {
  double mean = 0, square = 0;
  for (const double v : x) mean += v / static_cast<double>(x.size());
  for (const double v : x) square += (v - mean) * (v - mean) / static_cast<double>(x.size());
  return std::sqrt(square);
}

TEST(Init, FansFollowKeras) {
  for (const auto& row : vectors("initializers").at("cases")) {
    const Shape shape(row.at("keras_shape").get<std::vector<Dim>>());
    EXPECT_EQ(fans(shape).in, row.at("keras_fans")[0].get<Dim>()) << row.at("layer");
    EXPECT_EQ(fans(shape).out, row.at("keras_fans")[1].get<Dim>()) << row.at("layer");
  }
  EXPECT_EQ(fans(Shape{}), (Fans{1, 1}));
  EXPECT_EQ(fans(Shape{7}), (Fans{7, 7}));
  // A depthwise kernel of Keras is HWC1. Ours is HW1C, a grouped convolution's, whose fans are torch's.
  EXPECT_EQ(fans(Shape{3, 3, 1, 16}), (Fans{9, 144}));
}

TEST(Init, LimitsAndDeviationsAreTheReference) {
  int checked = 0;
  for (const auto& row : vectors("initializers").at("cases")) {
    const Shape shape(row.at("keras_shape").get<std::vector<Dim>>());
    const auto n = static_cast<double>(shape.elements());
    const auto number = [&](const char* key) { return row.at(key).get<double>(); };
    const std::vector<std::pair<Init, const char*>> uniform = {{glorot_uniform(), "glorot_uniform_limit"},
                                                               {he_uniform(), "he_uniform_limit"},
                                                               {lecun_uniform(), "lecun_uniform_limit"}};
    for (const auto& [init, key] : uniform) {
      const double limit = number(key);
      // n uniform numbers come this close to the limit with probability 1 - e^-40.
      EXPECT_LE(largest(drawn(init, shape)), limit * (1 + 1e-15)) << key;
      EXPECT_GT(largest(drawn(init, shape)), limit * (1 - std::min(1.0, 40 / n))) << key;
      ++checked;
    }
    const std::vector<std::tuple<Init, Init, const char*, const char*>> normal = {
        {glorot_normal(), glorot_normal({.truncate = false}), "glorot_normal_target_std", "glorot_normal_pretrunc_std"},
        {he_normal(), he_normal({.truncate = false}), "he_normal_target_std", "he_normal_pretrunc_std"}};
    for (const auto& [keras, torch, target, cut] : normal) {
      const double error = 5 / std::sqrt(2 * n);
      EXPECT_NEAR(stddev(drawn(keras, shape)) / number(target), 1, error) << target;
      EXPECT_NEAR(stddev(drawn(torch, shape)) / number(target), 1, error) << target;
      EXPECT_LE(largest(drawn(keras, shape)), 2 * number(cut) * (1 + 1e-15)) << cut;
      if (n > 1000) {
        EXPECT_GT(largest(drawn(torch, shape)), 2.5 * number(target)) << target;
      }
    }
  }
  EXPECT_EQ(checked, 21);
}

TEST(Init, ExactScaleOfEachWord) {
  // One set of random numbers under all words: their ratios are the ratios of the reference, to the last digits.
  const auto& row = vectors("initializers").at("cases").at(0);
  const Shape shape(row.at("keras_shape").get<std::vector<Dim>>());
  const auto number = [&](const char* key) { return row.at(key).get<double>(); };
  const double unit = drawn(random_uniform_init({.low = -1, .high = 1}), shape)[5];
  EXPECT_NEAR(drawn(glorot_uniform(), shape)[5] / unit, number("glorot_uniform_limit"), 1e-12);
  EXPECT_NEAR(drawn(he_uniform(), shape)[5] / unit, number("he_uniform_limit"), 1e-12);
  EXPECT_NEAR(drawn(lecun_uniform(), shape)[5] / unit, number("lecun_uniform_limit"), 1e-12);
  EXPECT_NEAR(drawn(lecun_uniform({.gain = 1 / std::sqrt(3.0)}), shape)[5] / unit,
              number("torch_default_linear_conv_weight_bound (kaiming_uniform a=sqrt5)"), 1e-12);
  const double cut = drawn(truncated_normal({.stddev = 1}), shape)[5];
  EXPECT_NEAR(drawn(glorot_normal(), shape)[5] / cut, number("glorot_normal_pretrunc_std"), 1e-12);
  EXPECT_NEAR(drawn(he_normal(), shape)[5] / cut, number("he_normal_pretrunc_std"), 1e-12);
  const double normal = drawn(random_normal_init({.stddev = 1}), shape)[5];
  EXPECT_NEAR(drawn(he_normal({.truncate = false}), shape)[5] / normal, number("torch_kaiming_normal_std"), 1e-12);
}

TEST(Init, FansAndVariancesThatAreGiven) {
  const Shape shape{3, 3, 1, 16};
  EXPECT_EQ(drawn(he_uniform({.fans = Fans{144, 9}}), shape), drawn(lecun_uniform({.fans = Fans{72, 1}}), shape));
  EXPECT_EQ(drawn(with_fans(he_normal(), {144, 9}), shape), drawn(he_normal({.fans = Fans{144, 9}}), shape));
  EXPECT_EQ(drawn(with_fans(he_normal({.fans = Fans{9, 9}}), {144, 9}), shape),
      drawn(he_normal({.fans = Fans{9, 9}}), shape));
  EXPECT_EQ(drawn(with_fans(zeros(), {144, 9}), shape), drawn(zeros(), shape));
  // The named ones are cases of variance_scaling.
  EXPECT_EQ(drawn(variance_scaling({.scale = 2}), shape), drawn(he_normal(), shape));
  EXPECT_EQ(drawn(variance_scaling({.mode = FanMode::fan_avg, .distribution = Distribution::uniform}), shape),
            drawn(glorot_uniform(), shape));
  EXPECT_EQ(drawn(variance_scaling({.distribution = Distribution::untruncated_normal}), shape),
            drawn(lecun_normal({.truncate = false}), shape));
  EXPECT_EQ(drawn(variance_scaling({.mode = FanMode::fan_out}), shape),
      drawn(lecun_normal({.fans = Fans{144, 9}}), shape));
}

TEST(Init, BoundsOfATruncatedNormalAreTorchs) {
  // trunc_normal_ of torch: mean 0, stddev 1, from -2 to 2 is Keras' rule; else the bounds are not counted in stddevs.
  EXPECT_EQ(drawn(truncated_normal({.stddev = 1, .bounds = {{-2, 2}}}), {50}),
      drawn(truncated_normal({.stddev = 1}), {50}));
  struct Cut { double low, high; };
  for (const auto& [low, high] : {Cut{-2, 2}, Cut{0.5, 1}, Cut{8, 9}, Cut{-9, -8}, Cut{-1, 40}}) {
    const Numbers x = drawn(truncated_normal({.mean = 0, .stddev = 1, .bounds = {{low, high}}}), {4000});
    const auto density = [](double z) { return std::exp(-z * z / 2) / std::sqrt(2 * M_PI); };
    const double mean = (density(low) - density(high)) / normal_within(low, high);  // of the truncated distribution
    double got = 0;
    for (const double v : x) {
      EXPECT_TRUE(v >= low && v <= high) << v;
      got += v / 4000;
    }
    EXPECT_NEAR(got, mean, 5 * stddev(x) / std::sqrt(4000.0)) << low << " to " << high;
  }
}

TEST(Init, OrthogonalHasOrthonormalColumnsOrRows) {
  for (const auto& [shape, rows, columns] : {std::tuple{Shape{40, 24}, 40, 24}, std::tuple{Shape{24, 40}, 24, 40},
                                             std::tuple{Shape{9, 9}, 9, 9}, std::tuple{Shape{3, 3, 2, 5}, 18, 5}}) {
    const Numbers q = drawn(orthogonal_init({.seed = 4, .gain = 1.5}), shape);
    const bool tall = rows >= columns;
    const int wide = columns;
    const auto at = [&](int line, int k) {
      return q[static_cast<std::size_t>(tall ? k * wide + line : line * wide + k)];
    };
    for (int a = 0; a < std::min(rows, columns); ++a)
      for (int b = 0; b <= a; ++b) {
        double dot = 0;
        for (int k = 0; k < std::max(rows, columns); ++k) dot += at(a, k) * at(b, k);
        EXPECT_NEAR(dot, a == b ? 2.25 : 0, 1e-14) << to_string(shape);
      }
  }
  // Of a single column it is the column, to length one: the sign of r's diagonal is positive.
  const Numbers direction = drawn(orthogonal_init(), {5, 1}), normal = drawn(random_normal_init({.stddev = 1}), {5, 1});
  for (std::size_t k = 0; k < 5; ++k) EXPECT_NEAR(direction[k] / direction[0], normal[k] / normal[0], 1e-12);
  EXPECT_GT(direction[0] * normal[0], 0);
}

TEST(Init, IdentityAndGains) {
  EXPECT_EQ(drawn(identity_init(), {2, 3}), (Numbers{1, 0, 0, 0, 1, 0}));
  EXPECT_EQ(drawn(identity_init(2), {3, 2}), (Numbers{2, 0, 0, 2, 0, 0}));
  for (const auto& [name, gain] : vectors("initializers").at("torch_gains").items()) {
    const bool leaky = name.starts_with("leaky_relu");
    EXPECT_NEAR(leaky ? init_gain("leaky_relu", 0.01) : init_gain(name), gain.get<double>(), 1e-15) << name;
  }
  EXPECT_EQ(thrown<GraphError>([] { init_gain("rellu"); }),
            "init_gain: no gain is known for 'rellu' (did you mean relu, selu?); known are linear, sigmoid, tanh, "
            "relu, leaky_relu, selu");
}

TEST(Init, TruncatedNumbersAreTheFirstOfTheirOwnThatFit) {
  constexpr std::size_t count = 3000;  // blocks, and a part of one
  constexpr double reach = 1;  // a third of the numbers is drawn again
  const Numbers x = drawn(truncated_normal({.stddev = 1, .bounds = {{-reach, reach}}}), {count});
  const PhiloxKey key = philox_key(0, fnv1a("w"));
  std::size_t attempts = 0;
  for (std::size_t k = 0; k < count; ++k) {
    std::vector<double> tried;
    for (std::uint64_t attempt = 0; tried.empty() || std::fabs(tried.back()) > reach; ++attempt) {
      const PhiloxCounter words = philox(philox_counter(k, (std::uint64_t{0x494E4954} << 32) | attempt), key);
      tried.push_back(normal_of(words[0], words[1]));
      if (std::fabs(tried.back()) > reach) tried.push_back(normal_of(words[2], words[3]));
    }
    attempts = std::max(attempts, tried.size());
    ASSERT_EQ(x[k], tried.back()) << k;
  }
  EXPECT_GT(attempts, 4u);
}

TEST(Init, DependsOnSeedAndNameAndNothingElse) {
  const Shape shape{4, 4};
  const Numbers w = drawn(glorot_uniform(), shape);
  EXPECT_EQ(w, drawn(glorot_uniform(), shape));
  EXPECT_NE(w, drawn(glorot_uniform(), shape, "v"));
  EXPECT_NE(w, drawn(glorot_uniform({.seed = 1}), shape));
  Graph g;
  variable(g, "before", f32(100), he_normal());
  EXPECT_EQ(initial_values(variable(g, "w", f32(4, 4), glorot_uniform()).node()), w);
  Interpreter run(g);
  EXPECT_EQ(run.variable("w").data, w);
}

TEST(Init, PlainOnes) {
  EXPECT_EQ(drawn(zeros(), {2}), (Numbers{0, 0}));
  EXPECT_EQ(drawn(ones(), {2}), (Numbers{1, 1}));
  EXPECT_EQ(drawn(filled(-2.5), {2}), (Numbers{-2.5, -2.5}));
  EXPECT_EQ(drawn(values({1, 2, 3, 4}), {2, 2}), (Numbers{1, 2, 3, 4}));
  EXPECT_EQ(drawn(random_normal_init({.mean = 3, .stddev = 0}), {2}), (Numbers{3, 3}));
}

TEST(Init, Errors) {
  Graph g;
  const auto message = [&](TensorType type, const Init& init) {
    return thrown<GraphError>([&] { variable(g, "w", type, init); });
  };
  EXPECT_EQ(message(f32(3), values({1, 2})), "HERE: variable 'w': attribute values has 2 elements, f32[3] needs 3");
  EXPECT_EQ(message(i32(2), filled(0.5)), "HERE: variable 'w': 0.5 is not a value of i32");
  EXPECT_EQ(message(f32(2), filled(1e39)), "HERE: variable 'w': 1e+39 is out of the range of f32");
  EXPECT_EQ(message(boolean(1), values({2})), "HERE: variable 'w': 2 is out of the range of bool");
  EXPECT_EQ(message(i64(2), he_normal()),
            "HERE: variable 'w': a randomly initialized variable must be f32, bf16 or f64, is i64[2]");
  EXPECT_EQ(message(f32(2), random_uniform_init({.low = 1, .high = 0})),
            "HERE: variable 'w': attribute low is 1, must be at most high, 0");
  EXPECT_EQ(message(f32(2), Init{{{"init", "zeros"}, {"seed", 3}}}),
            "HERE: variable 'w': attribute seed does not belong to init=zeros");
  EXPECT_EQ(message(f32(2), Init{{{"init", "xavier"}}}).find("HERE: variable 'w': attribute init is 'xavier', must be one of "), 0u);
  EXPECT_EQ(message(f32(2), glorot_uniform({.gain = 0})).find("HERE: variable 'w': attribute gain is 0"), 0u);
  EXPECT_EQ(message(f32(2), orthogonal_init()), "HERE: variable 'w': init=orthogonal needs at least two axes, not [2]");
  EXPECT_EQ(message(f32(2, 2, 2), identity_init()), "HERE: variable 'w': init=identity needs two axes, not [2,2,2]");
  EXPECT_EQ(message(f32(2), truncated_normal({.bounds = {{1, 1}}})),
            "HERE: variable 'w': attribute bounds is [1,1], must be two numbers, the smaller one first");
  EXPECT_EQ(message(f32(2), truncated_normal({.stddev = 1, .bounds = {{50, 51}}})),
            "HERE: variable 'w': no number of mean 0 and standard deviation 1 lies within bounds=[50,51]");
  EXPECT_EQ(message(f32(2), Init{{{"init", "he_normal"}, {"fans", std::vector<Dim>{3}}}}),
            "HERE: variable 'w': attribute fans is [3], must be two numbers [in,out]");
  EXPECT_EQ(message(f32(2), he_normal({.fans = Fans{0, 1}})).find("HERE: variable 'w': attribute fans is [0,1]"), 0u);
  EXPECT_EQ(message(f32(2), variance_scaling({.scale = 0})).find("HERE: variable 'w': attribute scale is 0"), 0u);
  EXPECT_EQ(message(f32(2), random_normal_init({.stddev = -1})).find("HERE: variable 'w': attribute stddev is -1"), 0u);
}

}  // namespace
}  // namespace thalweg::testing
