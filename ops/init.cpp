// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/init.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <span>
#include <tuple>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/ops/draws.h"

namespace thalweg {
namespace {

/// Standard deviation of a standard normal number cut at +-2: what Keras divides by.
constexpr double truncated_stddev = 0.87962566103423978;

Init seeded(const char* word, std::int64_t seed, double gain = 1, const std::optional<Fans>& fans = {}) {
  Init init{{{"init", word}}};
  if (seed != 0) init.attrs.emplace_back("seed", seed);
  if (gain != 1) init.attrs.emplace_back("gain", gain);
  if (fans) init.attrs.emplace_back("fans", std::vector<std::int64_t>{fans->in, fans->out});
  return init;
}

bool looks_at_fans(std::string_view word) {
  return word.starts_with("glorot_") || word.starts_with("he_") || word.starts_with("lecun_") ||
         word == "variance_scaling";
}

Init fan_uniform(const char* word, const FanInit& options) {
  return seeded(word, options.seed, options.gain, options.fans);
}

Init fan_normal(const char* word, const FanNormalInit& options) {
  Init init = seeded(word, options.seed, options.gain, options.fans);
  if (!options.truncate) init.attrs.emplace_back("truncate", false);
  return init;
}

constexpr std::array<std::string_view, 3> mode_names = {"fan_in", "fan_out", "fan_avg"};
constexpr std::array<std::string_view, 3> distribution_names = {"truncated_normal", "untruncated_normal", "uniform"};

/// What a fan initializer asks for: numbers of that variance.
struct FanRule {
  double variance;
  std::string_view distribution;
};

FanRule fan_rule(const Attrs& attrs, const Shape& shape) {
  const std::vector<std::int64_t>& given = attrs.integers("fans");
  const Fans f = given.empty() ? fans(shape) : Fans{given[0], given[1]};
  const auto in = static_cast<double>(f.in), out = static_cast<double>(f.out);
  const std::string& word = attrs.text("init");
  if (word == "variance_scaling") {
    const std::string& mode = attrs.text("mode");
    const double fan = mode == "fan_in" ? in : mode == "fan_out" ? out : (in + out) / 2;
    return {attrs.real("scale") / fan, attrs.text("distribution")};
  }
  const double gain = attrs.real("gain");
  const double share = word.starts_with("glorot") ? 2 / (in + out) : (word.starts_with("he") ? 2.0 : 1.0) / in;
  if (word.ends_with("uniform")) return {gain * gain * share, "uniform"};
  return {gain * gain * share, attrs.flag("truncate") ? "truncated_normal" : "untruncated_normal"};
}

/// The columns of a matrix: each of `length` numbers, one behind the other.
using Columns = std::vector<std::vector<double>>;

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  // Four sums that do not wait for each other.
  std::array<double, 4> part{};
  const std::size_t body = a.size() - a.size() % part.size();
  for (std::size_t i = 0; i < body; i += part.size())
    for (std::size_t lane = 0; lane < part.size(); ++lane) part[lane] += a[i + lane] * b[i + lane];
  for (std::size_t i = body; i < a.size(); ++i) part[0] += a[i] * b[i];
  return (part[0] + part[1]) + (part[2] + part[3]);
}

/// q of the QR decomposition with a positive diagonal of r: Gram and Schmidt's process. It goes over every column
/// twice, which makes the columns orthogonal to the last bits (Giraud et al. 2005).
void orthonormalize(Columns& columns) {
  for (std::size_t j = 0; j < columns.size(); ++j) {
    std::vector<double>& column = columns[j];
    for (int round = 0; round < 2; ++round)
      for (std::size_t i = 0; i < j; ++i) {
        const double along = dot(columns[i], column);
        for (std::size_t k = 0; k < column.size(); ++k) column[k] -= along * columns[i][k];
      }
    const double length = std::sqrt(dot(column, column));
    for (double& x : column) x /= length;
  }
}

template <class F>
void in_blocks(std::size_t count, F take) {
  for (std::size_t first = 0; first < count; first += Draws::most) take(first, std::min(Draws::most, count - first));
}

std::vector<double> orthogonal_values(const Draws& draws, double gain, const Shape& shape) {
  const auto wide = static_cast<std::size_t>(shape.back());
  const auto high = static_cast<std::size_t>(shape.elements()) / wide;
  const std::size_t length = std::max(high, wide), count = std::min(high, wide);
  Columns columns(count, std::vector<double>(length));
  // As numpy's normal((length, count)): row by row.
  std::vector<double> drawn(length * count);
  in_blocks(drawn.size(),
            [&](std::size_t first, std::size_t n) { draws.normal(first, std::span(drawn).subspan(first, n)); });
  for (std::size_t k = 0; k < drawn.size(); ++k) columns[k % count][k / count] = drawn[k];
  orthonormalize(columns);
  std::vector<double> out(high * wide);
  for (std::size_t i = 0; i < high; ++i)
    for (std::size_t j = 0; j < wide; ++j) out[i * wide + j] = gain * (high < wide ? columns[i][j] : columns[j][i]);
  return out;
}

}  // namespace

Fans fans(const Shape& shape) {
  if (shape.rank() == 0) return {1, 1};
  const Dim last = shape.back();
  if (shape.rank() == 1) return {last, last};
  Dim field = 1;
  for (std::size_t axis = 0; axis + 2 < shape.rank(); ++axis) field *= shape[axis];
  return {field * shape[shape.rank() - 2], field * last};
}

Init with_fans(Init init, Fans fans) {
  const auto attr = [&](std::string_view name) {
    return std::find_if(init.attrs.begin(), init.attrs.end(), [&](const Attr& a) { return a.name == name; });
  };
  const auto word = attr("init");
  if (word == init.attrs.end() || attr("fans") != init.attrs.end()) return init;
  if (looks_at_fans(word->value.text()))
    init.attrs.emplace_back("fans", std::vector<std::int64_t>{fans.in, fans.out});
  return init;
}

double init_gain(std::string_view activation, double slope) {
  if (activation == "linear" || activation == "sigmoid") return 1;
  if (activation == "tanh") return 5.0 / 3;
  if (activation == "relu") return std::numbers::sqrt2;
  if (activation == "leaky_relu") return std::sqrt(2 / (1 + slope * slope));
  if (activation == "selu") return 0.75;
  static const std::vector<std::string> known = {"linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"};
  graph_error({}, "init_gain: no gain is known for '{}'{}; known are {}", activation, suggestion(activation, known),
              fmt::join(known, ", "));
}

void initial_values(const Attrs& attrs, std::string_view name, const TensorType& type, const TakeNumbers& take) {
  const std::string_view word = attrs.text("init");
  const auto count = static_cast<std::size_t>(type.elements());
  const auto fill = [&](auto draw) {
    std::array<double, Draws::most> numbers{};
    in_blocks(count, [&](std::size_t first, std::size_t n) {
      const std::span block(numbers.data(), n);
      draw(first, block);
      take(first, block);
    });
  };
  const auto same = [&](double value) { fill([=](std::size_t, std::span<double> x) { std::ranges::fill(x, value); }); };
  if (word == "zeros") return same(0);
  if (word == "ones") return same(1);
  if (word == "constant") return same(attrs.real("value"));
  if (word == "values") return take(0, attrs.reals("values"));

  // An average of a variable begins as the variable does.
  constexpr std::string_view average = "average/";
  const Draws draws(attrs.integer("seed"), name.starts_with(average) ? name.substr(average.size()) : name);
  const Draws::Bounds usual(-2, 2);
  const auto moved = [&](double by, double scale, auto draw) {
    fill([&](std::size_t first, std::span<double> x) {
      draw(first, x);
      affine(x, by, scale);
    });
  };
  const auto normal = [&](double mean, double stddev) {
    moved(mean, stddev, [&](std::size_t first, std::span<double> x) { draws.normal(first, x); });
  };
  const auto truncated = [&](double mean, double stddev) {
    moved(mean, stddev, [&](std::size_t first, std::span<double> x) { draws.truncated(first, usual, x); });
  };
  if (word == "random_uniform")
    return moved(attrs.real("low"), attrs.real("high") - attrs.real("low"),
                 [&](std::size_t first, std::span<double> x) { draws.uniform(first, x); });
  if (word == "random_normal") return normal(attrs.real("mean"), attrs.real("stddev"));
  if (word == "truncated_normal") {
    const double mean = attrs.real("mean"), stddev = attrs.real("stddev");
    const std::vector<double>& bounds = attrs.reals("bounds");
    if (bounds.empty()) return truncated(mean, stddev);
    const Draws::Bounds own((bounds[0] - mean) / stddev, (bounds[1] - mean) / stddev);
    return fill([&](std::size_t first, std::span<double> x) {
      draws.truncated(first, own, x);
      for (double& z : x) z = std::clamp(mean + stddev * z, bounds[0], bounds[1]);
    });
  }
  if (word == "orthogonal") return take(0, orthogonal_values(draws, attrs.real("gain"), type.shape));
  if (word == "identity") {
    const auto wide = static_cast<std::size_t>(type.shape.back());
    const double gain = attrs.real("gain");
    return fill([=](std::size_t first, std::span<double> x) {
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = (first + i) % wide == (first + i) / wide ? gain : 0;
    });
  }
  const FanRule rule = fan_rule(attrs, type.shape);
  const double stddev = std::sqrt(rule.variance);
  if (rule.distribution == "uniform") {
    const double limit = std::sqrt(3.0) * stddev;
    return fill([&](std::size_t first, std::span<double> x) {
      draws.uniform(first, x);
      spread(x, limit);
    });
  }
  if (rule.distribution == "untruncated_normal") return normal(0, stddev);
  return truncated(0, stddev / truncated_stddev);
}

std::vector<double> initial_values(const Attrs& attrs, std::string_view name, const TensorType& type) {
  std::vector<double> all(static_cast<std::size_t>(type.elements()));
  initial_values(attrs, name, type, [&](std::size_t first, std::span<const double> x) {
    std::ranges::copy(x, all.begin() + static_cast<std::ptrdiff_t>(first));
  });
  return all;
}

std::vector<double> initial_values(const Node& variable) {
  return initial_values(variable.attrs, variable.name, variable.types.front());
}

Init zeros() { return {{{"init", "zeros"}}}; }
Init ones() { return {{{"init", "ones"}}}; }
Init filled(double value) { return {{{"init", "constant"}, {"value", value}}}; }
Init values(std::vector<double> list) { return {{{"init", "values"}, {"values", std::move(list)}}}; }
Init glorot_uniform(FanInit options) { return fan_uniform("glorot_uniform", options); }
Init glorot_normal(FanNormalInit options) { return fan_normal("glorot_normal", options); }
Init he_uniform(FanInit options) { return fan_uniform("he_uniform", options); }
Init he_normal(FanNormalInit options) { return fan_normal("he_normal", options); }
Init lecun_uniform(FanInit options) { return fan_uniform("lecun_uniform", options); }
Init lecun_normal(FanNormalInit options) { return fan_normal("lecun_normal", options); }
Init random_uniform_init(UniformInit options) {
  return {{{"init", "random_uniform"}, {"seed", options.seed}, {"low", options.low}, {"high", options.high}}};
}
Init random_normal_init(NormalInit options) {
  return {{{"init", "random_normal"}, {"seed", options.seed}, {"mean", options.mean}, {"stddev", options.stddev}}};
}
Init truncated_normal(TruncatedNormalInit options) {
  Init init{{{"init", "truncated_normal"}, {"seed", options.seed}, {"mean", options.mean}, {"stddev", options.stddev}}};
  if (options.bounds) init.attrs.emplace_back("bounds", std::vector<double>{options.bounds->first, options.bounds->second});
  return init;
}
Init variance_scaling(VarianceScalingInit options) {
  Init init = seeded("variance_scaling", options.seed, 1, options.fans);
  init.attrs.emplace_back("scale", options.scale);
  init.attrs.emplace_back("mode", mode_names[static_cast<std::size_t>(options.mode)]);
  init.attrs.emplace_back("distribution", distribution_names[static_cast<std::size_t>(options.distribution)]);
  return init;
}
Init orthogonal_init(MatrixInit options) { return seeded("orthogonal", options.seed, options.gain); }
Init identity_init(double gain) { return seeded("identity", 0, gain); }

}  // namespace thalweg
