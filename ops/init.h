// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "thalweg/graph/attrs.h"
#include "thalweg/graph/function.h"
#include "thalweg/graph/graph.h"

namespace thalweg {

/// How a variable gets its first value. Printed in the text form, so that a text alone can train.
/// Element k of a random one is a pure function of (seed, variable's name, k): neither the order of creation nor
/// threads matter.
struct Init {
  std::vector<Attr> attrs;  ///< those of the op `variable` that describe it
};

/// How many inputs one output sums, and how many outputs one input feeds: what fan initializers divide by.
struct Fans {
  std::int64_t in = 0;
  std::int64_t out = 0;
  friend bool operator==(const Fans&, const Fans&) = default;
};

/// Options of the uniform initializers that look at the shape.
struct FanInit {
  std::int64_t seed = 0;
  /// Factor on the standard deviation, as torch's `gain` (see `init_gain`): above 0.
  double gain = 1;
  std::optional<Fans> fans = {};  ///< instead of those of the shape; both at least 1
};
/// Options of the normal initializers that look at the shape.
struct FanNormalInit {
  std::int64_t seed = 0;
  double gain = 1;
  /// Keras: drawn again beyond two standard deviations, and widened by 1/0.8796 so that the standard deviation of
  /// what is left is the one that is asked for. torch: `.truncate = false`.
  bool truncate = true;
  std::optional<Fans> fans = {};
};
/// Which of the fans a variance is divided by; `fan_avg` is their mean.
enum class FanMode : std::uint8_t { fan_in, fan_out, fan_avg };
enum class Distribution : std::uint8_t {
  truncated_normal,    ///< cut at two standard deviations and widened, as FanNormalInit::truncate
  untruncated_normal,
  uniform
};
/// Options of variance_scaling; the defaults are Keras'.
struct VarianceScalingInit {
  double scale = 1;  ///< above 0
  FanMode mode = FanMode::fan_in;
  Distribution distribution = Distribution::truncated_normal;
  std::int64_t seed = 0;
  std::optional<Fans> fans = {};
};
struct UniformInit {
  double low = -0.05;
  double high = 0.05;
  std::int64_t seed = 0;
};
struct NormalInit {
  double mean = 0;
  double stddev = 0.05;
  std::int64_t seed = 0;
};
struct TruncatedNormalInit {
  double mean = 0;
  double stddev = 0.05;
  std::int64_t seed = 0;
  /// torch's `a` and `b` (trunc_normal_: -2 and 2): the ends themselves, not counted in standard deviations. Left out,
  /// Keras' rule: two standard deviations to each side of the mean. Between them must lie some probability.
  std::optional<std::pair<double, double>> bounds = {};
};
struct MatrixInit {
  std::int64_t seed = 0;
  double gain = 1;  ///< factor on the matrix, above 0
};

THALWEG_API Init zeros();
THALWEG_API Init ones();
/// Every element is `value` (in the text: init=constant).
THALWEG_API Init filled(double value);
/// These values, in row-major order: as many as the variable has elements.
THALWEG_API Init values(std::vector<double> list);

/// Uniform in +-gain*sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010; torch: xavier_uniform_).
THALWEG_API Init glorot_uniform(FanInit options = {});
/// Normal of standard deviation gain*sqrt(2 / (fan_in + fan_out)).
THALWEG_API Init glorot_normal(FanNormalInit options = {});
/// Uniform in +-gain*sqrt(6 / fan_in) (He et al. 2015; torch: kaiming_uniform_(a=0)).
THALWEG_API Init he_uniform(FanInit options = {});
/// Normal of standard deviation gain*sqrt(2 / fan_in).
THALWEG_API Init he_normal(FanNormalInit options = {});
/// Uniform in +-gain*sqrt(3 / fan_in) (LeCun et al. 1998). With gain 1/sqrt(3) it is what torch's Linear and Conv use.
THALWEG_API Init lecun_uniform(FanInit options = {});
/// Normal of standard deviation gain*sqrt(1 / fan_in).
THALWEG_API Init lecun_normal(FanNormalInit options = {});
/// Uniform in [low, high); Keras' defaults.
THALWEG_API Init random_uniform_init(UniformInit options = {});
/// Normal, not truncated; Keras' defaults.
THALWEG_API Init random_normal_init(NormalInit options = {});
/// Normal of that mean and standard deviation, held within bounds by drawing again (not widened: what is left has a
/// smaller standard deviation, as in Keras and torch).
THALWEG_API Init truncated_normal(TruncatedNormalInit options = {});
/// Of variance scale / fan, in the distribution that is asked for (Keras; He is scale 2 over fan_in, Glorot 1 over
/// fan_avg, LeCun 1 over fan_in; torch's kaiming with mode="fan_out" is scale 2 over fan_out).
THALWEG_API Init variance_scaling(VarianceScalingInit options = {});
/// gain times a matrix with orthonormal columns, or rows where it has more columns than rows, uniform among all such
/// (Saxe et al. 2013): q of the QR decomposition of a normal matrix, with the diagonal of r made positive. A weight of
/// more axes is the matrix [product of all but the last, last]. Errors: fewer than two axes.
THALWEG_API Init orthogonal_init(MatrixInit options = {});
/// gain on the diagonal of a matrix, 0 elsewhere. Errors: other than two axes.
THALWEG_API Init identity_init(double gain = 1);

/// torch's calculate_gain, for `gain` of the fan initializers: linear, sigmoid 1; tanh 5/3; relu sqrt(2); leaky_relu
/// sqrt(2 / (1 + slope^2)); selu 3/4. Throws GraphError for another name.
THALWEG_API double init_gain(std::string_view activation, double slope = 0.01);

/// fan_in and fan_out of a weight by Keras' rules: [] is 1 and 1; [n] is n and n; [in,out]; and with more axes
/// (channels last, as HWIO) in and out times the product of the sizes before them. So a grouped convolution's
/// [h,w,in/groups,out] counts the inputs of one group and all outputs, and a transposed one's [h,w,out,in] takes
/// h*w*out for fan_in, as in Keras and torch. Only for a depthwise kernel do these two differ: `Fans` says it then.
THALWEG_API Fans fans(const Shape& shape);
/// The initializer with these fans, where it looks at fans and was given none; else itself.
THALWEG_API Init with_fans(Init init, Fans fans);

/// Takes the numbers of a value from element `first` on.
using TakeNumbers = Function<void(std::size_t first, std::span<const double> numbers)>;
/// The first value of a variable of these attributes, name and type, in double, a few hundred elements at a time.
THALWEG_API void initial_values(const Attrs& attrs, std::string_view name, const TensorType& type, const TakeNumbers& take);
/// All of it at once.
THALWEG_API std::vector<double> initial_values(const Attrs& attrs, std::string_view name, const TensorType& type);
/// The first value of a node `variable`, in double.
THALWEG_API std::vector<double> initial_values(const Node& variable);

/// The probability of a standard normal number to lie in [low, high]: what bounds of truncated_normal are checked by.
THALWEG_API double normal_within(double low, double high);

}  // namespace thalweg
