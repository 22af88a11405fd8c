// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "thalweg/graph/graph.h"
#include "thalweg/ops/init.h"
#include "thalweg/ops/random.h"

// Restricted Boltzmann machines, for pre-training: binary visible units v [N,V] and hidden units h [N,H] with the energy
// E(v, h) = -v W h - b_v v - b_h h. Everything is ops, so that contrastive divergence is the gradient of a loss, and any
// optimizer, schedule and penalty trains it.

namespace thalweg {

/// The parameters of a machine, as values of a graph.
struct Rbm {
  Value kernel;        ///< W [V,H], as a dense layer's
  Value hidden_bias;   ///< b_h [H]
  Value visible_bias;  ///< b_v [V]
};

struct RbmOptions {
  Init init = random_normal_init({.stddev = 0.01});  ///< of W (Hinton 2012, section 8)
  Init visible_bias_init = zeros();
  std::string name = {};  ///< empty: `rbm`, `rbm_1`, … the first that is free
};
/// A machine for samples v [N,V], with `hidden` units: variables `<name>/kernel`, `<name>/bias` (of the hidden units: a
/// dense layer of the same name continues it) and `<name>/visible_bias`.
THALWEG_API Rbm rbm(Operand v, Dim hidden, const RbmOptions& options = {});

/// p(h = 1 | v) = sigmoid(v W + b_h): [N,H].
THALWEG_API Value hidden_probability(const Rbm& machine, Operand v);
/// p(v = 1 | h) = sigmoid(h Wᵀ + b_v): [N,V].
THALWEG_API Value visible_probability(const Rbm& machine, Operand h);
/// F(v) = -v b_v - Σ_j softplus(v W + b_h)_j, so that p(v) is proportional to e^-F(v): [N].
THALWEG_API Value free_energy(const Rbm& machine, Operand v);
/// 1 where uniform < p, else 0: a draw of p from numbers that are uniform in [0, 1). No gradient flows.
THALWEG_API Value sample_of(Operand p, Operand uniform);

struct ContrastiveOptions {
  /// Steps of Gibbs sampling, k in CD-k: at least 1.
  int steps = 1;
  /// CD-k starts its chains at the samples. Persistent CD (Tieleman 2008): they go on from step to step, in a variable
  /// `<name>/chain` [chains,H] of hidden states that begins with zeros. 0: not persistent.
  Dim persistent_chains = 0;
  /// Reconstructions are draws. False: they are the probabilities themselves (Hinton 2012, section 3.2), and only hidden
  /// units are drawn.
  bool sample_visible = true;
  std::int64_t seed = 0;
};
/// mean F(v) - mean F(v_k), where v_k, through which no gradient flows, is what k steps of Gibbs sampling make of the
/// data (or of the persistent chains). Its gradient is contrastive divergence (Hinton 2002): that of W is
/// -(vᵀ p(h|v) - v_kᵀ p(h|v_k)) / N, so that SGD on it is W += rate * (positive - negative statistics). It is no measure of
/// success and may have any sign: watch `reconstruction_error` or `pseudo_log_likelihood`.
/// v: floats in [0, 1]. Errors: steps below 1, persistent_chains below 0, a sample size other than the machine's.
THALWEG_API Value contrastive_divergence(const Rbm& machine, Operand v, const ContrastiveOptions& options = {});

/// The mean over samples of the squared distance between v and p(v | h), h drawn from p(h | v).
THALWEG_API Value reconstruction_error(const Rbm& machine, Operand v, Draw draw = {});
/// The mean of V log sigmoid(F(v') - F(v)), where v' is v with one unit, chosen at random, turned: an estimate of the log
/// pseudo-likelihood of binary samples, as scikit-learn's BernoulliRBM.score_samples.
THALWEG_API Value pseudo_log_likelihood(const Rbm& machine, Operand v, Draw draw = {});

}  // namespace thalweg
