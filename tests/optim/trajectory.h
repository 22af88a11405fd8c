// SPDX-License-Identifier: Apache-2.0
// Trains one variable on gradients that a test prescribes.
#pragma once

#include <gtest/gtest.h>

#include <functional>
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

/// Runs five updates of a variable of that type from the given start with the given gradients; after each, `look`.
inline void run_updates(Graph graph, const Shape& shape, const nlohmann::json& start, const nlohmann::json& gradients,
                        const std::function<void(const Interpreter&, std::size_t)>& look) {
  Interpreter run(graph);
  run.set("w", {shape, numbers(start)});
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    run.set("g", {shape, numbers(gradients.at(i))});
    run.step();
    look(run, i);
  }
}

inline void expect_numbers(const std::vector<double>& got, const std::vector<double>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t k = 0; k < want.size(); ++k) EXPECT_PRED3(near, got[k], want[k], tolerance) << k;
}

/// The five updates from meta.param_w0 with the gradients meta.grads: checks each against `entry.trajectory`.
inline void expect_trajectory(const std::string& entry, const Optimizer& optimizer, double tolerance = 1e-12,
                              const MinimizeOptions& options = {}) {
  SCOPED_TRACE(entry);
  Prescribed p;
  minimize(p.loss, optimizer, options);
  const auto& meta = vectors("meta");
  const auto& trajectory = vectors("optimizers").at(entry).at("trajectory");
  ASSERT_EQ(trajectory.size(), 5u);
  run_updates(p.graph, Shape{3}, meta.at("param_w0"), meta.at("grads"), [&](const Interpreter& run, std::size_t i) {
    SCOPED_TRACE("step " + std::to_string(i));
    expect_numbers(run.variable("w").data, numbers(trajectory.at(i)), tolerance);
  });
}

/// After the five updates: the variable `name` against `final_slots.<key>`.
inline void expect_variable(const std::string& entry, const Optimizer& optimizer, const std::string& name,
                            const std::string& key) {
  SCOPED_TRACE(entry + " " + name);
  Prescribed p;
  minimize(p.loss, optimizer);
  const auto& meta = vectors("meta");
  run_updates(p.graph, Shape{3}, meta.at("param_w0"), meta.at("grads"), [&](const Interpreter& run, std::size_t i) {
    if (i == 4)
      expect_numbers(run.variable(name).data, numbers(vectors("optimizers").at(entry).at("final_slots").at(key)), 1e-12);
  });
}

/// The same of the slot `<optimizer>/<slot>/w`.
inline void expect_slot(const std::string& entry, const Optimizer& optimizer, const std::string& slot,
                        const std::string& key) {
  expect_variable(entry, optimizer, optimizer.name() + "/" + slot + "/w", key);
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
