// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>

#include "thalweg/graph/graph.h"
#include "thalweg/lib/compile/program.h"

namespace thalweg {

/// Where numbers stop being finite in a step.
struct THALWEG_API NotFinite {
  NodeId node = 0;
  std::string value;      ///< as the graph's text calls it: `%12`
  SourceLoc where;        ///< the line of the program that made the node
  std::size_t index = 0;  ///< the first element that is not finite, in row-major order
  double number = 0;
  /// `mlp.cpp:12: %12, the result of log, is -inf at element 3, and all that it reads is finite`, and the operands.
  std::string text;
};

/// Runs one step on copies, every op by itself, and finds the first node in order of execution of which a result is not
/// finite: all that it reads is. An input or a variable that holds nan or infinity is found as such. Nothing if all is
/// finite. Throws RunError for inputs that do not fit.
THALWEG_API std::optional<NotFinite> check_finite(const Graph& graph, const Variables& variables,
                                                  const std::map<std::string, Tensor>& inputs, int logical_threads = 1);

/// Writes a step so that it can be run again elsewhere: `step.txt`, the graph, and `step.safetensors`, its variables as
/// they were before the step and its inputs as `input:NAME`. Makes the folder. Throws RunError.
THALWEG_API void write_replay(const Graph& graph, const Variables& variables,
                              const std::map<std::string, Tensor>& inputs, const std::string& folder);
/// check_finite() of what write_replay() wrote. Throws RunError.
THALWEG_API std::optional<NotFinite> replay(const std::string& folder, int logical_threads = 1);

}  // namespace thalweg
