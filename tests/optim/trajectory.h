// SPDX-License-Identifier: Apache-2.0
// Trains one variable on gradients that a test prescribes.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "../vectors.h"
#include "thalweg/graph/interpret.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"
#include "thalweg/optim/minimize.h"

namespace thalweg::testing {

/// A graph whose loss Σ w·g has the gradient g, the input, for the variable w.
struct Prescribed {
  Graph graph{"prescribed"};
  Value w = variable(graph, "w", f64(3), zeros());
  Value g = input(graph, "g", f64(3));
  Value loss = sum(w * g);
};

/// Five updates from meta.param_w0 with the gradients meta.grads: checks each against `entry.trajectory`, and each
/// slot at the end against `entry.final_slots`, by the names of the slots there.
inline void expect_trajectory(const std::string& entry, const Optimizer& optimizer, double tolerance = 1e-12) {
  SCOPED_TRACE(entry);
  Prescribed p;
  minimize(p.loss, optimizer);
  Interpreter run(p.graph);
  const auto& meta = vectors("meta");
  const auto& expected = vectors("optimizers").at(entry);
  run.set("w", {Shape{3}, numbers(meta.at("param_w0"))});
  ASSERT_EQ(expected.at("trajectory").size(), 5u);
  for (std::size_t i = 0; i < 5; ++i) {
    run.set("g", {Shape{3}, numbers(meta.at("grads").at(i))});
    run.step();
    const std::vector<double> want = numbers(expected.at("trajectory").at(i));
    for (std::size_t k = 0; k < 3; ++k) EXPECT_PRED3(near, run.variable("w")[k], want[k], tolerance) << "step " << i;
  }
}

/// After the five updates: slot `<optimizer>/<slot>/w` against `final_slots.<key>`.
inline void expect_slot(const std::string& entry, const Optimizer& optimizer, const std::string& slot,
                        const std::string& key, double sign = 1) {
  SCOPED_TRACE(entry + " " + slot);
  Prescribed p;
  minimize(p.loss, optimizer);
  Interpreter run(p.graph);
  const auto& meta = vectors("meta");
  run.set("w", {Shape{3}, numbers(meta.at("param_w0"))});
  for (std::size_t i = 0; i < 5; ++i) {
    run.set("g", {Shape{3}, numbers(meta.at("grads").at(i))});
    run.step();
  }
  const std::vector<double> want = numbers(vectors("optimizers").at(entry).at("final_slots").at(key));
  const auto& got = run.variable(optimizer.name() + "/" + slot + "/w");
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t k = 0; k < want.size(); ++k) EXPECT_PRED3(near, sign * got[k], want[k], 1e-12);
}

/// The rates of meta.lr_schedule_for_lrsched_cases: 0.1 0.1 0.05 0.05 0.01.
inline Schedule stepped_rate() { return piecewise_constant({1, 3}, {0.1, 0.05, 0.01}); }

/// The message of the GraphError that `f` throws; "" if it throws none.
template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const GraphError& error) {
    return error.what();
  }
  return "";
}

}  // namespace thalweg::testing
