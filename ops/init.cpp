// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/init.h"

#include <cmath>

#include "thalweg/graph/philox.h"

namespace thalweg {
namespace {

/// Standard deviation of a standard normal number cut at +-2: what Keras divides by.
constexpr double truncated_stddev = 0.87962566103423978;
/// Last counter word of first values; a random op would have to reach step 2^62 to meet it.
constexpr std::uint64_t init_tag = std::uint64_t{0x494E4954} << 32;

std::vector<Attr> fan_attrs(const char* word, std::int64_t seed, double gain) {
  std::vector<Attr> attrs{{"init", word}};
  if (seed != 0) attrs.emplace_back("seed", seed);
  if (gain != 1) attrs.emplace_back("gain", gain);
  return attrs;
}

Init fan_uniform(const char* word, FanInit options) { return {fan_attrs(word, options.seed, options.gain)}; }

Init fan_normal(const char* word, FanNormalInit options) {
  Init init{fan_attrs(word, options.seed, options.gain)};
  if (!options.truncate) init.attrs.emplace_back("truncate", false);
  return init;
}

Init normal_init(const char* word, NormalInit options) {
  return {{{"init", word}, {"seed", options.seed}, {"mean", options.mean}, {"stddev", options.stddev}}};
}

/// The random numbers of one variable, by element.
class Draws {
 public:
  Draws(std::int64_t seed, std::string_view name) : key_(philox_key(static_cast<std::uint64_t>(seed), fnv1a(name))) {}

  double uniform(std::uint64_t k) const {
    const PhiloxCounter words = at(k, 0);
    return uniform53(words[0], words[1]);
  }
  double normal(std::uint64_t k) const {
    const PhiloxCounter words = at(k, 0);
    return normal_of(words[0], words[1]);
  }
  double truncated(std::uint64_t k) const {
    for (std::uint64_t attempt = 0;; ++attempt) {
      const PhiloxCounter words = at(k, attempt);
      const double first = normal_of(words[0], words[1]);
      if (std::fabs(first) <= 2) return first;
      const double second = normal_of(words[2], words[3]);
      if (std::fabs(second) <= 2) return second;
    }
  }

 private:
  PhiloxCounter at(std::uint64_t k, std::uint64_t attempt) const {
    return philox(philox_counter(k, init_tag | attempt), key_);
  }
  PhiloxKey key_;
};

/// What the fan initializers' variance is divided by, and multiplied with: 1/fan_in, 2/fan_in, 2/(fan_in+fan_out).
double fan_variance(std::string_view word, const Shape& shape) {
  const auto [in, out] = fans(shape);
  if (word.starts_with("glorot")) return 2 / (in + out);
  return (word.starts_with("he") ? 2.0 : 1.0) / in;
}

}  // namespace

std::pair<double, double> fans(const Shape& shape) {
  if (shape.rank() == 0) return {1, 1};
  const auto last = static_cast<double>(shape.back());
  if (shape.rank() == 1) return {last, last};
  double field = 1;
  for (std::size_t axis = 0; axis + 2 < shape.rank(); ++axis) field *= static_cast<double>(shape[axis]);
  return {field * static_cast<double>(shape[shape.rank() - 2]), field * last};
}

std::vector<double> initial_values(const Attrs& attrs, std::string_view name, const TensorType& type) {
  const std::string_view word = attrs.text("init");
  const auto count = static_cast<std::size_t>(type.elements());
  if (word == "zeros") return std::vector<double>(count, 0.0);
  if (word == "ones") return std::vector<double>(count, 1.0);
  if (word == "constant") return std::vector<double>(count, attrs.real("value"));
  if (word == "values") return attrs.reals("values");

  const Draws draws(attrs.integer("seed"), name);
  std::vector<double> out(count);
  const auto fill = [&](auto draw) {
    for (std::size_t k = 0; k < count; ++k) out[k] = draw(k);
    return out;
  };
  if (word == "random_uniform") {
    const double low = attrs.real("low"), high = attrs.real("high");
    return fill([&](std::size_t k) { return low + (high - low) * draws.uniform(k); });
  }
  if (word == "random_normal" || word == "truncated_normal") {
    const double mean = attrs.real("mean"), stddev = attrs.real("stddev");
    const bool cut = word == "truncated_normal";
    return fill([&](std::size_t k) { return mean + stddev * (cut ? draws.truncated(k) : draws.normal(k)); });
  }
  const double stddev = attrs.real("gain") * std::sqrt(fan_variance(word, type.shape));
  if (word.ends_with("uniform")) {
    const double limit = std::sqrt(3.0) * stddev;
    return fill([&](std::size_t k) { return limit * (2 * draws.uniform(k) - 1); });
  }
  if (!attrs.flag("truncate")) return fill([&](std::size_t k) { return stddev * draws.normal(k); });
  return fill([&](std::size_t k) { return stddev / truncated_stddev * draws.truncated(k); });
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
Init random_normal_init(NormalInit options) { return normal_init("random_normal", options); }
Init truncated_normal(NormalInit options) { return normal_init("truncated_normal", options); }

}  // namespace thalweg
