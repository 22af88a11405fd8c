// SPDX-License-Identifier: Apache-2.0
// Private: the part of check() that judges gradients.
#pragma once

#include <functional>
#include <string>

#include "thalweg/lib/inspect/check.h"

namespace thalweg {

/// A graph at the largest batch that the interpreter can take, or at two samples a step.
struct Sized {
  Graph graph;
  std::string note = {};  ///< of another batch
  bool fits = false;      ///< whether so many sweeps are not too many
};
Sized sized(const Graph& graph, double sweeps, double most_flops);

using Say = std::function<void(Verdict)>;

/// Gradients and second gradients: exactly by the interpreter, where one step is too much for it at smaller pictures or,
/// where those cannot be, the first ones by differences of the compiled step.
void check_gradients(const Graph& graph, const CheckOptions& options, const Say& say);

}  // namespace thalweg
