// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thalweg/graph/function.h"
#include "thalweg/graph/graph.h"
#include "thalweg/lib/compile/program.h"

namespace thalweg {

/// One thing that was checked.
struct Verdict {
  enum class Is : std::uint8_t { ok, failed, skipped };
  std::string name = {};
  Is is = Is::ok;
  std::string detail = {};  ///< one line: what was seen, or why it was not looked at
};
THALWEG_API std::string_view to_string(Verdict::Is is);

struct CheckOptions {
  CompileOptions compile = {};
  int steps = 3;           ///< of the hunt for numbers that are not finite, and of the comparisons of bits
  std::uint64_t seed = 1;  ///< of the made-up inputs
  /// The interpreter computes some 10^9 operations a second. A graph is checked at a batch at which each look takes it
  /// a tenth of this, or at two samples a step. Where those are more than all of this, gradients are looked at with
  /// smaller pictures, the largest of which a step takes 1.5 times this; where the net has none or is made for one size,
  /// first ones are measured by differences of the compiled loss, and second ones are skipped. Of kernels only some are
  /// compared.
  double most_flops = 3e9;
  Function<void(const Verdict&)> each = {};  ///< called with each verdict as soon as it is known
};

/// Checks a valid graph in every way that needs no data: its text reads back equal; the gradient and the second
/// gradient of its loss (the output `loss`, or else the first float scalar output that depends on a trainable
/// variable), made anew, agree with exact forward-mode derivatives; each compiled kernel agrees with the meaning of its
/// nodes; every number stays finite; two runs give the same bits, also on one core; no kernel is oneDNN's reference
/// loop; the memory plan holds by an independent proof. One verdict each, in this order.
THALWEG_API std::vector<Verdict> check(const Graph& graph, const CheckOptions& options = {});

/// The first value of a step that is infinite or NaN, as `%3 log at net.cpp:9 (kernel 7): element 2 is nan`; empty if
/// there is none. Runs one step.
THALWEG_API std::string first_not_finite(Program& program);

}  // namespace thalweg
