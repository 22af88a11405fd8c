// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "thalweg/graph/graph.h"

namespace thalweg {

// Random tensors that are drawn anew each step, without any state: element e (row-major) at step s is made from the words
//
//   w = philox(philox_counter(e, s), philox_key(seed, key))          (graph/philox.h)
//
// of which w[0] and w[1] are used. All arithmetic is in double, and the result is rounded once to the dtype of the tensor
// (to nearest, even), so that an interpreter in double and a kernel in f32 agree to the bit:
//
//   random_uniform   low + (high - low) * uniform24(w[0])
//   random_normal    mean + stddev * normal_of(w[0], w[1])
//   bernoulli        uniform24(w[0]) < p ? 1 : 0
//
// The step is operand 0, so a random node's result depends on nothing that is not in the graph. No gradient flows.

/// Which numbers are drawn. Nodes of equal seed and key draw the same ones.
struct Draw {
  std::int64_t seed = 0;
  /// Left out: a number that no other node of the graph has, counted in the order of building.
  std::optional<std::int64_t> key = {};
};

struct UniformOptions {
  double low = 0;
  double high = 1;  ///< not reached, except by rounding
  Draw draw = {};
};
/// Uniform in [low, high); float. Errors: low > high.
THALWEG_API Value random_uniform(Graph graph, TensorType type, UniformOptions options = {},
                                 SourceLoc loc = SourceLoc::current());

struct NormalOptions {
  double mean = 0;
  double stddev = 1;  ///< at least 0
  Draw draw = {};
};
/// Normal; float.
THALWEG_API Value random_normal(Graph graph, TensorType type, NormalOptions options = {},
                                SourceLoc loc = SourceLoc::current());

/// 1 with probability p in [0, 1], else 0; float or bool.
THALWEG_API Value bernoulli(Graph graph, TensorType type, double p, Draw draw = {},
                            SourceLoc loc = SourceLoc::current());

}  // namespace thalweg
