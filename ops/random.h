// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "thalweg/graph/graph.h"
#include "thalweg/graph/philox.h"

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

// Numbers that belong to samples: element e of sample i (its number in the data set) in epoch t is made from the words
//
//   w(n) = philox(philox_counter(i, t + 2^32 (64 e + n)), philox_key(seed, key))      n = 0, 1, …
//
// so that a sample gets the same numbers in whatever batch, at whatever place in it and on whatever thread it is met.
// `ids` is i64[B] and `epoch` i64[], from 0 to 2^32; the result is [B,…], a sample has fewer than 2^26 elements.
//
//   sample_uniform   low + (high - low) * uniform24(w(0)[0])
//   sample_normal    mean + stddev * normal_of(w(0)[0], w(0)[1])
//   sample_beta      x / (x + y), x and y gamma-distributed with shape alpha: in [0, 1], symmetric
//
// Gamma numbers are Marsaglia and Tsang's (A simple method for generating gamma variables, 2000), with w(0) to w(31)
// for x and w(32) to w(63) for y.

/// The input that says which samples a batch holds: `sample_id`, i64[batch], which fit, evaluate and predict feed with
/// the samples' numbers in the data set; made on first use. Throws GraphError if the name belongs to something else.
THALWEG_API Value sample_ids(Graph graph, Dim batch, SourceLoc loc = SourceLoc::current());
/// The input that says which epoch it is: `epoch`, i64[], which fit feeds from 1; 0 elsewhere. Made on first use.
THALWEG_API Value epoch(Graph graph, SourceLoc loc = SourceLoc::current());

/// The input that says how much each sample of a batch counts: `sample_weight`, f32[batch], which fit and evaluate feed
/// with Dataset::weights, or ones. Losses take it by mean(losses * weights) (Keras' sample_weight) or weighted_mean.
THALWEG_API Value sample_weights(Graph graph, Dim batch, SourceLoc loc = SourceLoc::current());

/// Uniform in [low, high) for each sample; float [B,…].
THALWEG_API Value sample_uniform(Operand ids, Operand epoch, TensorType type, UniformOptions options = {});
/// Normal for each sample; float [B,…].
THALWEG_API Value sample_normal(Operand ids, Operand epoch, TensorType type, NormalOptions options = {});
/// Beta(alpha, alpha) for each sample; float [B,…]. Errors: alpha not above 0.
THALWEG_API Value sample_beta(Operand ids, Operand epoch, TensorType type, double alpha, Draw draw = {});

/// The words of an element of a sample, and the Beta number that they make: for meanings and kernels.
struct SampleWords {
  PhiloxKey key;
  std::uint64_t id;
  std::uint64_t epoch;
  std::uint64_t element;
  PhiloxCounter operator()(std::uint64_t n) const {
    return philox(philox_counter(id, (epoch & 0xFFFFFFFF) | (64 * element + n) << 32), key);
  }
};
THALWEG_API double beta_of(const SampleWords& words, double alpha);

}  // namespace thalweg
