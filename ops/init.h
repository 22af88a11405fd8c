// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "thalweg/graph/attrs.h"
#include "thalweg/graph/graph.h"

namespace thalweg {

/// How a variable gets its first value. Printed in the text form, so that a text alone can train.
/// Element k of a random one is a pure function of (seed, variable's name, k): neither the order of creation nor
/// threads matter.
struct Init {
  std::vector<Attr> attrs;  ///< those of the op `variable` that describe it
};

/// Options of the uniform initializers that look at the shape.
struct FanInit {
  std::int64_t seed = 0;
  /// Factor on the standard deviation, as torch's `gain`: above 0.
  double gain = 1;
};
/// Options of the normal initializers that look at the shape.
struct FanNormalInit {
  std::int64_t seed = 0;
  double gain = 1;
  /// Keras: drawn again beyond two standard deviations, and widened by 1/0.8796 so that the standard deviation of
  /// what is left is the one that is asked for. torch: `.truncate = false`.
  bool truncate = true;
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
/// Normal of that mean and standard deviation, drawn again beyond two standard deviations (not widened, as Keras).
THALWEG_API Init truncated_normal(NormalInit options = {});

/// fan_in and fan_out of a weight by Keras' rules: [] is 1 and 1; [n] is n and n; [in,out]; and with more axes
/// (channels last, as HWIO) in and out times the product of the sizes before them.
THALWEG_API std::pair<double, double> fans(const Shape& shape);

/// The first value of a variable of these attributes, name and type, in double.
THALWEG_API std::vector<double> initial_values(const Attrs& attrs, std::string_view name, const TensorType& type);
/// The first value of a node `variable`, in double.
THALWEG_API std::vector<double> initial_values(const Node& variable);

}  // namespace thalweg
