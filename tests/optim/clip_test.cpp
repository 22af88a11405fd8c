// SPDX-License-Identifier: Apache-2.0
#include "thalweg/optim/clip.h"

#include <cmath>
#include <limits>

#include "trajectory.h"

namespace thalweg {
namespace {

using testing::error_of;
using testing::near;
using testing::numbers;

constexpr double inf = std::numeric_limits<double>::infinity();

struct Clipped {
  std::vector<std::vector<double>> gradients;
  double norm;
};

/// Two gradients of 3 and 2 elements, clipped, and their norm before.
Clipped clipped(const Clip& clip, const std::vector<double>& a, const std::vector<double>& b, DType dtype = DType::f64,
                bool max_norm = false) {
  Graph g("clip");
  const Values in = {input(g, "a", TensorType{dtype, Shape{3}}), input(g, "b", TensorType{dtype, Shape{2}})};
  const Values out = clip(in);
  g.output("clipped_a", out.at(0));
  g.output("clipped_b", out.at(1));
  g.output("norm", max_norm ? global_max_norm(in) : global_norm(in));
  Interpreter run(g);
  run.set("a", {Shape{3}, a});
  run.set("b", {Shape{2}, b});
  run.evaluate();
  return {{run.output("clipped_a").data, run.output("clipped_b").data}, run.output("norm")[0]};
}

void expect_near(const std::vector<double>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_PRED3(near, got[i], want[i], 1e-12) << i;
}

TEST(Clip, EqualsTheReference) {
  const auto& v = testing::vectors("clipping");
  const auto a = numbers(v.at("grads").at(0)), b = numbers(v.at("grads").at(1));
  const auto expect = [&](const Clip& clip, const nlohmann::json& want) {
    for (const DType dtype : {DType::f64, DType::f32}) {
      const Clipped got = clipped(clip, a, b, dtype);
      expect_near(got.gradients[0], numbers(want.at(0)));
      expect_near(got.gradients[1], numbers(want.at(1)));
    }
  };
  const auto expect_global = [&](const std::string& key, const Clip& clip, bool max_norm = false) {
    SCOPED_TRACE(key);
    if (!max_norm) expect(clip, v.at(key).at(0));
    const Clipped got = clipped(clip, a, b, DType::f64, max_norm);
    expect_near(got.gradients[0], numbers(v.at(key).at(0).at(0)));
    expect_near(got.gradients[1], numbers(v.at(key).at(0).at(1)));
    EXPECT_PRED3(near, got.norm, v.at(key).at(1).get<double>(), 1e-12);
  };
  expect(by_value(1), v.at("clipvalue_1"));
  expect(by_norm(1), v.at("keras_clipnorm_1 (per variable)"));
  expect_global("keras_global_clipnorm_1", by_global_norm(1));
  expect_global("keras_global_clipnorm_1", by_global_norm(1, {.convention = Convention::optax}));
  expect_global("torch_clip_grad_norm_1", by_global_norm(1, {.convention = Convention::torch}));
  expect_global("torch_clip_grad_norm_inf_1", by_global_norm(1, {.convention = Convention::torch, .infinity = true}),
                true);
  expect_global("keras_global_clipnorm_100 (no-op)", by_global_norm(100));
  expect_global("torch_clip_grad_norm_100 (no-op)", by_global_norm(100, {.convention = Convention::torch}));
}

TEST(Clip, LeavesSmallAndZeroGradientsExactlyAlone) {
  const std::vector<double> a = {0.1, -0.2, 0.3}, b = {1e-300, 0.7}, none(3, 0.0), nothing(2, 0.0);
  for (const Convention convention : {Convention::keras, Convention::torch, Convention::optax}) {
    EXPECT_EQ(clipped(by_global_norm(1, {.convention = convention}), a, b).gradients[0], a);
    EXPECT_EQ(clipped(by_global_norm(1, {.convention = convention}), a, b).gradients[1], b);
    EXPECT_EQ(clipped(by_global_norm(1, {.convention = convention}), none, nothing).gradients[0], none);
  }
  EXPECT_EQ(clipped(by_norm(1), none, b).gradients[0], none);
}

TEST(Clip, SurvivesGradientsWhoseSquareOverflows) {
  const Clipped huge = clipped(by_global_norm(1), {3e300, -4e300, 0}, {0, 0});
  EXPECT_PRED3(near, huge.norm / 5e300, 1, 1e-12);
  expect_near(huge.gradients[0], {0.6, -0.8, 0});
  const Clipped tiny = clipped(by_global_norm(1e-320), {3e-310, 4e-310, 0}, {0, 0});
  EXPECT_PRED3(near, tiny.norm / 5e-310, 1, 1e-12);
  const Clipped f32_huge = clipped(by_global_norm(5), {3e38, 0, 0}, {0, -3e38}, DType::f32);
  expect_near(f32_huge.gradients[0], {5 / std::sqrt(2.0), 0, 0});
}

TEST(Clip, NeverHidesANormThatIsNotFinite) {
  const double nan = std::nan("");
  for (const DType dtype : {DType::f64, DType::f32}) {
    EXPECT_EQ(clipped({}, {1, inf, 2}, {3, 4}, dtype).norm, inf);
    EXPECT_TRUE(std::isnan(clipped({}, {1, nan, inf}, {3, 4}, dtype).norm));
    for (const double bad : {inf, -inf, nan}) {
      for (const auto& gradient : clipped(by_global_norm(1), {1, bad, 2}, {3, 4}, dtype).gradients)
        for (const double x : gradient) EXPECT_TRUE(std::isnan(x));
      for (const Convention convention : {Convention::torch, Convention::optax}) {
        const Clipped got = clipped(by_global_norm(1, {.convention = convention}), {1, bad, 2}, {3, 4}, dtype);
        EXPECT_TRUE(std::isnan(got.gradients[0][1]));
        if (std::isnan(bad))
          EXPECT_TRUE(std::isnan(got.gradients[1][0]));
        else
          EXPECT_EQ(got.gradients[1][0], 0.0);
      }
      const Clipped alone = clipped(by_norm(1), {1, bad, 2}, {3, 4}, dtype);
      EXPECT_TRUE(std::isnan(alone.gradients[0][0]));
      EXPECT_PRED3(near, alone.gradients[1][0], 0.6, 1e-12);
    }
    EXPECT_TRUE(std::isnan(clipped(by_value(1), {1, nan, 2}, {3, 4}, dtype).gradients[0][1]));
  }
}

TEST(Clip, RefusesALimitThatIsNotPositive) {
  for (const double limit : {0.0, -1.0, std::nan(""), inf}) {
    EXPECT_EQ(error_of([&] { by_global_norm(limit); }).find("clip_test.cpp:"), 0u);
    EXPECT_NE(error_of([&] { by_norm(limit); }).find(": by_norm: the limit must be finite and above 0, got "),
              std::string::npos);
    EXPECT_NE(error_of([&] { by_value(limit); }).find(": by_value: the limit must be finite and above 0, got "),
              std::string::npos);
  }
}

}  // namespace
}  // namespace thalweg
