// SPDX-License-Identifier: Apache-2.0
// How the tests of single ops feed a graph, and read what it throws.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <string>
#include <vector>

#include "thalweg/graph/interpret.h"
#include "thalweg/graph/opdef.h"

namespace thalweg::testing {

using Feeds = std::map<std::string, std::vector<double>>;

/// The graph after one evaluation, or after a step that commits its updates, on row-major numbers for its inputs.
inline Interpreter evaluated(const Graph& graph, const Feeds& feeds, bool step = false) {
  Interpreter run(graph);
  for (const auto& [name, numbers] : feeds) run.set(name, Array<double>(graph.find(name).shape(), numbers));
  step ? run.step() : run.evaluate();
  return run;
}

inline void expect_close(const std::vector<double>& got, const std::vector<double>& want, double tolerance = 1e-12) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], tolerance) << "element " << i;
}

/// What `build` throws, with the test's own places (`conv_test.cpp:12`) written as `HERE`.
template <class E, class F>
std::string thrown(F build) {
  try {
    build();
  } catch (const E& error) {
    return std::regex_replace(error.what(), std::regex("[a-z_]+_test\\.cpp:[0-9]+"), "HERE");
  }
  return "nothing was thrown";
}

}  // namespace thalweg::testing
