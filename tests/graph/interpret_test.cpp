// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/dual_interpret.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "thalweg/graph/opdef.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const RunError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Interpreter, EvaluatesOnInputs) {
  Graph g;
  const Value a = input(g, "a", f32(2, 3)), b = input(g, "b", f32(3));
  g.output("y", a * b + 1.0);
  Interpreter run(g);
  run.set("a", {Shape{2, 3}, {1, 2, 3, 4, 5, 6}});
  run.set("b", {Shape{3}, {10, 100, 1000}});
  run.evaluate();
  EXPECT_EQ(run.output("y").data, (std::vector<double>{11, 201, 3001, 41, 501, 6001}));
  EXPECT_EQ(run.at(a).data.front(), 1);
}

TEST(Interpreter, DoesNotRoundToTheDtype) {
  Graph g;
  const Value a = input(g, "a", f32());
  g.output("y", a * 3.0);
  Interpreter run(g);
  run.set("a", Array<double>(Shape{}, 0.1));
  run.evaluate();
  EXPECT_EQ(run.output("y")[0], 0.1 * 3.0);
}

TEST(Interpreter, DualsCarryDerivatives) {
  Graph g;
  const Value a = input(g, "a", f32());
  g.output("y", tanh(a * a));
  DualInterpreter run(g);
  run.set("a", Array<Dual>(Shape{}, Dual{0.5, 1}));
  run.evaluate();
  const double t = std::tanh(0.25);
  EXPECT_DOUBLE_EQ(run.output("y")[0].v, t);
  EXPECT_DOUBLE_EQ(run.output("y")[0].d, (1 - t * t) * 2 * 0.5);
}

TEST(Interpreter, UpdatesCommitTogether) {
  Graph g;
  const Value a = variable(g, "a", f32(2), filled(1)), b = variable(g, "b", f32(2), filled(2));
  g.update(a, b + 0.0);
  g.update(b, a + b);
  Interpreter run(g);
  EXPECT_EQ(run.variable("a").data, (std::vector<double>{1, 1}));
  run.step();
  EXPECT_EQ(run.variable("a").data, (std::vector<double>{2, 2}));
  EXPECT_EQ(run.variable("b").data, (std::vector<double>{3, 3})) << "b saw the a of before the step";
  run.set("a", {Shape{2}, {7, 8}});
  run.step();
  EXPECT_EQ(run.variable("b").data, (std::vector<double>{10, 11}));
}

TEST(Interpreter, SwapsTwoVariables) {
  Graph g;
  const Value a = variable(g, "a", f32(), filled(1)), b = variable(g, "b", f32(), filled(2));
  g.update(a, b);
  g.update(b, a);
  Interpreter run(g);
  run.step();
  EXPECT_EQ(run.variable("a")[0], 2);
  EXPECT_EQ(run.variable("b")[0], 1);
}

TEST(Interpreter, SeesNodesThatWereAddedLater) {
  Graph g;
  const Value a = input(g, "a", f32());
  Interpreter run(g);
  run.set("a", Array<double>(Shape{}, 2));
  run.evaluate();
  const Value w = variable(g, "w", f32(), filled(5));
  const Value y = a * w;
  run.evaluate();
  EXPECT_EQ(run.at(y)[0], 10);
}

TEST(Interpreter, Errors) {
  Graph g("net");
  const Value a = input(g, "image", f32(2));
  const Value labels = input(g, "label", i32(2));
  static_cast<void>(labels);
  g.output("out", a * 2.0);
  Interpreter run(g);
  EXPECT_EQ(message_of([&] { run.evaluate(); }), "input 'image' (f32[2]) of graph 'net' was given no value");
  EXPECT_EQ(message_of([&] { run.set("imge", {Shape{2}, {1, 2}}); }),
            "graph 'net' has no input or variable 'imge' (did you mean image?)");
  EXPECT_EQ(message_of([&] { run.set("image", {Shape{3}, {1, 2, 3}}); }),
            "'image' is f32[2], was given [3] with 3 elements");
  EXPECT_EQ(message_of([&] { run.set("image", {Shape{2}, {1, 2, 3}}); }),
            "'image' is f32[2], was given [2] with 3 elements");
  EXPECT_EQ(message_of([&] { run.set("label", {Shape{2}, {1, 0.5}}); }),
            "'label' is i32[2], was given 0.5 at element 1");
  EXPECT_EQ(message_of([&] { static_cast<void>(run.at(a)); }), "value %0 of graph 'net' was not evaluated yet");
  EXPECT_EQ(message_of([&] { static_cast<void>(run.variable("w")); }), "graph 'net' has no variable 'w'");
  run.set("image", {Shape{2}, {1, 2}});
  run.set("label", {Shape{2}, {0, 1}});
  run.evaluate();
  EXPECT_EQ(message_of([&] { static_cast<void>(run.output("oot")); }),
            "graph 'net' has no output 'oot' (did you mean out?)");
}

}  // namespace
}  // namespace thalweg
