// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "thalweg/lib/data/dataset.h"
#include "thalweg/lib/train/fit.h"
#include "thalweg/ops/rbm.h"
#include "thalweg/optim/optimizer.h"

namespace thalweg {

struct PretrainOptions {
  std::vector<Dim> hidden = {};  ///< units of each machine, from the data up; at least one machine
  int epochs = 10;               ///< of each machine
  Dim batch = 10;
  std::optional<Optimizer> optimizer = {};  ///< default: Sgd{.rate = 0.1}
  ContrastiveOptions contrastive = {};
  Init init = random_normal_init({.stddev = 0.01});  ///< of the kernels
  std::uint64_t seed = 0;        ///< of the order of samples
  int verbose = verbose_silent;
  CompileOptions compile = {};   ///< `compile.variables` is not used
};

/// A stack of trained machines, each on the hidden probabilities of the one below.
struct THALWEG_API DeepBelief {
  struct Layer {
    Tensor kernel;        ///< f32[V,H]
    Tensor hidden_bias;   ///< f32[H]
    Tensor visible_bias;  ///< f32[V]
    History history;      ///< loss (the free energies' difference) and reconstruction_error, a row an epoch
  };
  std::vector<Layer> layers;
  /// A signal ended pre-training: machines are missing, or the last one was not trained to its end.
  bool interrupted = false;

  /// The hidden probabilities of the last machine for samples [N, …] with as many numbers each as it has visible units.
  Tensor represent(const Tensor& samples) const;
  /// Variables of `net`, from their initializers, but for the dense layers of these names, the lowest first: they begin
  /// as the machines have learned, and only fine-tuning is left (`fit(net, data, {.variables = belief.unrolled(…)})`).
  /// Names fewer layers than there are machines to use only the lower ones. Throws RunError for a layer that the net
  /// lacks or whose kernel or bias has another type, and for more names than machines.
  Variables unrolled(const Graph& net, const std::vector<std::string>& layers) const;
};

/// Greedy layer-wise pre-training of a deep belief net (Hinton, Osindero and Teh 2006): a machine is trained on the data
/// by contrastive divergence, then one on its hidden probabilities, and so on. Inputs [N, …] are flattened; they must lie
/// in [0, 1]. Throws RunError, at the caller's line, for settings out of range, naming the sample for data out of range.
THALWEG_API DeepBelief pretrain(const Dataset& data, const PretrainOptions& options,
                                SourceLoc loc = SourceLoc::current());

}  // namespace thalweg
