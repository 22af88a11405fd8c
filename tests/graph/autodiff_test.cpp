// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/autodiff.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <cmath>
#include <functional>
#include <random>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/dual_interpret.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

Array<double> scalar(double x) { return Array<double>(Shape{}, x); }

std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

std::size_t count(const Graph& graph, std::string_view op) {
  std::size_t n = 0;
  for (NodeId id = 0; id < graph.size(); ++id) n += graph.node(id).op->name == op ? 1U : 0U;
  return n;
}

TEST(Gradients, OfAProduct) {
  Graph g;
  const Value x = input(g, "x", f32()), y = input(g, "y", f32());
  const auto d = gradients(x * y + x, {x, y});
  Interpreter run(g);
  run.set("x", scalar(3));
  run.set("y", scalar(5));
  run.evaluate();
  EXPECT_EQ(run.at(d[0])[0], 6);
  EXPECT_EQ(run.at(d[1])[0], 3);
}

TEST(Gradients, OfAnyOrder) {
  Graph g;
  const Value x = input(g, "x", f64());
  Value y = x * x * x * x * x;
  Interpreter run(g);
  run.set("x", scalar(1.5));
  const double expected[] = {7.59375, 25.3125, 67.5, 135, 180, 120, 0};
  for (int order = 0; order < 7; ++order) {
    run.evaluate();
    EXPECT_NEAR(run.at(y)[0], expected[order], 1e-12 * expected[order] + 1e-300) << "order " << order;
    y = gradients(y, {x}, {.allow_unconnected = true})[0];
  }
}

TEST(Gradients, AreSummedDownToTheOperand) {
  Graph g;
  const Value a = input(g, "a", f32(2, 3)), b = input(g, "b", f32(3)), c = input(g, "c", f32());
  const auto d = gradients(sum(a * b * c), {a, b, c});
  EXPECT_EQ(d[0].type(), f32(2, 3));
  EXPECT_EQ(d[1].type(), f32(3));
  EXPECT_EQ(d[2].type(), f32());
  Interpreter run(g);
  run.set("a", {Shape{2, 3}, {1, 2, 3, 4, 5, 6}});
  run.set("b", {Shape{3}, {1, 10, 100}});
  run.set("c", scalar(2));
  run.evaluate();
  EXPECT_EQ(run.at(d[0]).data, (std::vector<double>{2, 20, 200, 2, 20, 200}));
  EXPECT_EQ(run.at(d[1]).data, (std::vector<double>{10, 14, 18}));
  EXPECT_EQ(run.at(d[2]).data, (std::vector<double>{975}));
}

TEST(Gradients, WithASeedAndOfAnIntermediateValue) {
  Graph g;
  const Value x = input(g, "x", f32(2)), seed = input(g, "seed", f32(2));
  const Value h = x * x, y = h * x;
  const auto d = gradients(y, {h, x}, {.seed = seed});
  Interpreter run(g);
  run.set("x", {Shape{2}, {2, 3}});
  run.set("seed", {Shape{2}, {1, 10}});
  run.evaluate();
  EXPECT_EQ(run.at(d[0]).data, (std::vector<double>{2, 30}));
  EXPECT_EQ(run.at(d[1]).data, (std::vector<double>{12, 270}));
}

TEST(Gradients, OfAValueByItselfIsItsSeed) {
  Graph g;
  const Value x = input(g, "x", f32());
  const auto d = gradients(x, {x});
  Interpreter run(g);
  run.set("x", scalar(4));
  run.evaluate();
  EXPECT_EQ(run.at(d[0])[0], 1);
}

TEST(Gradients, OnlyNodesOnThePathAreDifferentiated) {
  Graph g;
  const Value x = input(g, "x", f32()), w = input(g, "w", f32());
  const Value other = tanh(w * w);
  const Value y = x * other;
  const std::size_t before = g.size();
  static_cast<void>(gradients(y, {x}));
  EXPECT_EQ(count(g, "tanh"), 1U);
  EXPECT_LE(g.size() - before, 2U) << print(g);
}

TEST(Gradients, AddUpFromTheLastUserToTheFirst) {
  Graph g;
  const Value x = input(g, "x", f32());
  const Value a = x * 2.0, b = x * 3.0, c = x * 5.0;
  const Value d = gradients(a + b + c, {x})[0];
  // ((from c) + (from b)) + (from a)
  ASSERT_EQ(d.node().op->name, "add");
  const auto factor = [&](const Value& product) {
    const ValueId constant = g.operands(product.id().node)[1];
    return g.node(constant.node).attrs.reals("values").front();
  };
  const ValueId inner = g.operands(d.id().node)[0], last = g.operands(d.id().node)[1];
  EXPECT_EQ(factor(g.value(last)), 2);
  EXPECT_EQ(factor(g.value(g.operands(inner.node)[0])), 5);
  EXPECT_EQ(factor(g.value(g.operands(inner.node)[1])), 3);
}

TEST(Gradients, NodesKeepLineScopeAndOrigin) {
  Graph g;
  const Value x = input(g, "x", f32());
  Value h;
  int line = 0;
  {
    const Scope scope(g, "block1");
    line = __LINE__ + 1;
    h = tanh(x);
  }
  const Scope elsewhere(g, "training");
  const auto first = static_cast<NodeId>(g.size());
  static_cast<void>(gradients(h, {x}));
  ASSERT_GT(g.size(), first);
  for (NodeId id = first; id < g.size(); ++id) {
    EXPECT_EQ(g.node(id).scope, "block1");
    EXPECT_EQ(g.node(id).loc.line, line);
    EXPECT_EQ(g.node(id).origin, Origin::backward);
  }
  EXPECT_EQ((x * x).node().scope, "training");
}

/// Both rules need tanh(dy), as those of a norm need its one backward op.
const OpDef sharing{
    .name = "test_sharing", .arity = 2,
    .infer = [](const Infer& i) { return std::vector<TensorType>{i.in[0]}; },
    .gradient = gradient_of([](const Vjp& v) { return tanh(v.dy()) * v.x(1); },
                            [](const Vjp& v) { return tanh(v.dy()) * v.x(0); }),
    .eval = [](auto& e) { e.each([](auto a, auto b) { return a * b; }); },
};

TEST(Gradients, EqualNodesOfOneNodesRulesAreMadeOnce) {
  Graph g;
  const Value a = input(g, "a", f32()), b = input(g, "b", f32());
  const Value once = g.add(sharing, std::vector<Operand>{a, b}), twice = g.add(sharing, std::vector<Operand>{a, b});
  const auto d = gradients(once, {a, b});
  EXPECT_EQ(count(g, "tanh"), 1U) << print(g);
  static_cast<void>(gradients(twice, {a, b}));
  EXPECT_EQ(count(g, "tanh"), 2U) << "nodes of different nodes' rules keep their own lines\n" << print(g);
  Interpreter run(g);
  run.set("a", scalar(3));
  run.set("b", scalar(5));
  run.evaluate();
  EXPECT_DOUBLE_EQ(run.at(d[0])[0], 5 * std::tanh(1.0));
  EXPECT_DOUBLE_EQ(run.at(d[1])[0], 3 * std::tanh(1.0));
}

TEST(Gradients, IntegersAndTruthsHaveNone) {
  Graph g;
  const Value x = input(g, "x", f32(4)), y = input(g, "y", f32(4));
  const Value picked = select(greater(x, y), x * 2.0, y * 3.0);
  const auto d = gradients(sum(picked), {x, y});
  Interpreter run(g);
  run.set("x", {Shape{4}, {1, 2, 3, 4}});
  run.set("y", {Shape{4}, {4, 3, 2, 1}});
  run.evaluate();
  EXPECT_EQ(run.at(d[0]).data, (std::vector<double>{0, 0, 2, 2}));
  EXPECT_EQ(run.at(d[1]).data, (std::vector<double>{3, 3, 0, 0}));
}

TEST(Gradients, StopGradientStops) {
  Graph g;
  const Value x = input(g, "x", f64());
  const Value y = x * stop_gradient(x * x);
  const auto d = gradients(y, {x});
  Interpreter run(g);
  run.set("x", scalar(1.5));
  run.evaluate();
  EXPECT_EQ(run.at(y)[0], 3.375);
  EXPECT_EQ(run.at(d[0])[0], 2.25);
}

TEST(Gradients, UnconnectedIsZeroWhereAllowed) {
  Graph g;
  const Value x = input(g, "x", f32(2)), y = input(g, "y", f32(2, 2));
  const auto d = gradients(sum(x * 2.0), {x, y}, {.allow_unconnected = true});
  Interpreter run(g);
  run.set("x", {Shape{2}, {1, 1}});
  run.set("y", {Shape{2, 2}, {1, 1, 1, 1}});
  run.evaluate();
  EXPECT_EQ(run.at(d[0]).data, (std::vector<double>{2, 2}));
  EXPECT_EQ(run.at(d[1]).data, (std::vector<double>{0, 0, 0, 0}));
}

// ---- Expansion

std::vector<TensorType> same(const Infer& i) { return {i.in[0]}; }

const OpDef fourth_power{
    .name = "test_fourth_power", .arity = 1, .infer = same, .gradient = expanded_gradient,
    .eval = [](auto& e) { e.each([](auto x) { return x * x * x * x; }); },
    .expand = [](const Rebuild& r) -> std::vector<Value> {
      const Value s = r.x[0] * r.x[0];
      return {s * s};
    },
};

/// x and y to (x^4 + y, x y), the first part by an op that is itself differentiated by expansion.
const OpDef two_results{
    .name = "test_two_results", .arity = 2,
    .infer = [](const Infer& i) { return std::vector<TensorType>{i.in[0], i.in[0]}; },
    .gradient = expanded_gradient,
    .eval =
        [](auto& e) {
          for (std::size_t k = 0; k < e.out(0).size(); ++k) {
            const auto x = e.in(0)[k], y = e.in(1)[k];
            e.out(0)[k] = x * x * x * x + y;
            e.out(1)[k] = x * y;
          }
        },
    .expand = [](const Rebuild& r) -> std::vector<Value> {
      Graph graph = r.graph;
      const Value p = graph.add(fourth_power, std::vector<Operand>{r.x[0]});
      return {p + r.x[1], r.x[0] * r.x[1]};
    },
};

TEST(Gradients, ByExpansion) {
  Graph g;
  const Value x = input(g, "x", f64(2)), y = input(g, "y", f64(2));
  const std::vector<Value> z = results_of(g.add(two_results, std::vector<Operand>{x, y}));
  const auto d = gradients(sum(z[0] * z[1]), {x, y});
  const auto dd = gradients(sum(d[0]), {x, y});
  Interpreter run(g);
  const double a = 1.25, b = -0.75;
  run.set("x", {Shape{2}, {a, 1}});
  run.set("y", {Shape{2}, {b, 1}});
  run.evaluate();
  // (x^4 + y) x y = x^5 y + x y^2
  EXPECT_NEAR(run.at(d[0])[0], 5 * std::pow(a, 4) * b + b * b, 1e-12);
  EXPECT_NEAR(run.at(d[1])[0], std::pow(a, 5) + 2 * a * b, 1e-12);
  EXPECT_NEAR(run.at(dd[0])[0], 20 * std::pow(a, 3) * b, 1e-12);
  EXPECT_NEAR(run.at(dd[1])[0], 5 * std::pow(a, 4) + 2 * b, 1e-12);
}

TEST(Gradients, ByExpansionOfAnOperandReadTwice) {
  Graph g;
  const Value x = input(g, "x", f64(1));
  const std::vector<Value> z = results_of(g.add(two_results, std::vector<Operand>{x, x}));
  const auto d = gradients(sum(z[0]), {x});  // x^4 + x: the other result has no cotangent
  Interpreter run(g);
  run.set("x", Array<double>(Shape{1}, 1.5));
  run.evaluate();
  EXPECT_NEAR(run.at(d[0])[0], 4 * 1.5 * 1.5 * 1.5 + 1, 1e-12);
}

const OpDef* op_of_itself();

const OpDef endless{
    .name = "test_endless", .arity = 1, .infer = same, .gradient = expanded_gradient,
    .eval = [](auto& e) { e.each([](auto x) { return x; }); },
    .expand = [](const Rebuild& r) -> std::vector<Value> {
      Graph graph = r.graph;
      return {graph.add(*op_of_itself(), std::vector<Operand>{r.x[0]})};
    },
};

const OpDef* op_of_itself() { return &endless; }

TEST(Gradients, AnExpansionThatDoesNotEndIsAnInternalError) {
  Graph g;
  const Value x = input(g, "x", f64());
  const Value y = g.add(endless, std::vector<Operand>{x});
  EXPECT_EQ(message_of([&] { static_cast<void>(gradients(y, {x})); }),
            "the gradient of 'test_endless' by its expansion does not come to an end");
}

// ---- Errors

const OpDef no_way_back{
    .name = "test_no_way_back", .arity = 1, .infer = same, .gradient = no_gradient,
    .eval = [](auto& e) { e.each([](auto x) { return x; }); },
};
const OpDef wrong_rule{
    .name = "test_wrong_rule", .arity = 1, .infer = same,
    .gradient = gradient_of([](const Vjp& v) { return v.graph().value({0, 0}); }),
    .eval = [](auto& e) { e.each([](auto x) { return x; }); },
};

class GradientErrors : public ::testing::Test {
 protected:
  Graph g_;
  Value x_ = input(g_, "x", f32(2));
  /// What gradients() says without its line, which must be this file's.
  std::string error(const Value& of, std::vector<Value> wrt, const GradientOptions& options = {}) {
    const int line = __LINE__ + 1;
    const std::string message = message_of([&] { static_cast<void>(gradients(of, std::span<const Value>(wrt), options)); });
    const std::string place = "autodiff_test.cpp:" + std::to_string(line) + ": gradients: ";
    EXPECT_EQ(message.substr(0, place.size()), place);
    return message.size() < place.size() ? message : message.substr(place.size());
  }
  static std::string at(int line) { return " at autodiff_test.cpp:" + std::to_string(line); }
  std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }
};

TEST_F(GradientErrors, NotAScalar) {
  EXPECT_EQ(first_line(error(x_ * 2.0, {x_})),
            "the differentiated value is f32[2], not a scalar: reduce it, or give a seed");
}

TEST_F(GradientErrors, NotAFloat) {
  const Value i = input(g_, "i", i32());
  EXPECT_EQ(first_line(error(i, {x_})), "the differentiated value is i32[], must be a float");
  EXPECT_EQ(first_line(error(sum(x_), {x_, i})), "wrt 1 is i32[]: only floats have gradients");
}

TEST_F(GradientErrors, SeedOfAnotherType) {
  const Value seed = input(g_, "seed", f32(3));
  EXPECT_EQ(first_line(error(x_ * 2.0, {x_}, {.seed = seed})),
            "the seed is f32[3], the differentiated value f32[2]");
}

TEST_F(GradientErrors, OtherGraphs) {
  Graph other("other");
  const Value y = input(other, "y", f32(2));
  EXPECT_EQ(error(sum(x_), {y}), "wrt 0 belongs to another graph ('other', not 'graph')");
  EXPECT_EQ(error(x_ * 2.0, {x_}, {.seed = y}), "the seed belongs to another graph ('other', not 'graph')");
  EXPECT_EQ(error(sum(x_), {Value()}), "wrt 0 is an empty Value");
}

TEST_F(GradientErrors, NoDependence) {
  const Value y = input(g_, "y", f32(2));
  EXPECT_EQ(first_line(error(sum(x_), {x_, y})), "the differentiated value does not depend on wrt 1");
}

TEST_F(GradientErrors, StopGradientIsNamed) {
  const int line = __LINE__ + 1;
  const Value y = sum(stop_gradient(x_ * 2.0) * 3.0);
  EXPECT_EQ(first_line(error(y, {x_})), "no gradient reaches wrt 0: stop_gradient" + at(line) + " passes none");
}

TEST_F(GradientErrors, CompareIsNamed) {
  const Value zero = input(g_, "zero", f32(2)), one = input(g_, "one", f32(2));
  const int line = __LINE__ + 1;
  const Value above = greater(x_ * 2.0, 1.0);
  EXPECT_EQ(first_line(error(sum(select(above, one, zero)), {x_})),
            "no gradient reaches wrt 0: compare" + at(line) + " passes none");
}

TEST_F(GradientErrors, ArgmaxIsNamed) {
  const int line = __LINE__ + 1;
  const Value best = argmax(x_, 0);
  const Value y = cast(best, DType::f32) * 2.0;
  EXPECT_EQ(first_line(error(y, {x_})), "no gradient reaches wrt 0: argmax" + at(line) + " passes none");
}

TEST_F(GradientErrors, SignIsNamed) {
  const int line = __LINE__ + 1;
  const Value y = sum(sign(x_));
  EXPECT_EQ(first_line(error(y, {x_})), "no gradient reaches wrt 0: sign" + at(line) + " passes none");
}

TEST_F(GradientErrors, AnOpWithoutAGradientIsNamedEvenIfUnconnectedIsAllowed) {
  const int line = __LINE__ + 1;
  const Value y = g_.add(no_way_back, std::vector<Operand>{x_ * 2.0});
  const Value loss = sum(y);
  const std::size_t size = g_.size();
  EXPECT_EQ(first_line(error(loss, {x_})), "test_no_way_back" + at(line) + " has no gradient");
  EXPECT_EQ(first_line(error(loss, {x_}, {.allow_unconnected = true})), "test_no_way_back" + at(line) + " has no gradient");
  EXPECT_EQ(g_.size(), size) << "a failed gradients() left nodes behind";
}

TEST_F(GradientErrors, TheWholeMessage) {
  const Value y = input(g_, "y", f32(2));
  const int line = __LINE__ + 1;
  const Value loss = sum(x_);
  EXPECT_EQ(error(loss, {y}), "the differentiated value does not depend on wrt 0\n    of   " + describe(loss) +
                                  "\n    wrt  " + describe(y));
  EXPECT_NE(describe(loss).find(at(line)), std::string::npos);
}

TEST_F(GradientErrors, ARuleOfAnotherShapeIsAnInternalError) {
  const Value y = input(g_, "y", f32(3));
  const Value z = g_.add(wrong_rule, std::vector<Operand>{y});
  EXPECT_NE(message_of([&] { static_cast<void>(gradients(sum(z), {y})); })
                .find("the gradient rule of 'test_wrong_rule' for operand 0 gives f32[2] for f32[3]"),
            std::string::npos);
}

TEST(Gradients, ANumberIsNotDifferentiable) {
  Graph g;
  const Value x = input(g, "x", f32());
  EXPECT_NE(message_of([&] { static_cast<void>(gradients(1.0, {x})); }).find("a number was given"), std::string::npos);
}

// ---- Random graphs against forward mode

/// A scalar made by random smooth ops, whose values are used again and again.
Value random_scalar(std::mt19937& random, const std::vector<Value>& inputs) {
  std::vector<Value> values = inputs;
  const auto any = [&] { return values[random() % values.size()]; };
  for (int k = 0; k < 25; ++k) {
    const Value a = any(), b = any();
    switch (random() % 6) {
      case 0: values.push_back(a + b); break;
      case 1: values.push_back(tanh(a * b)); break;
      case 2: values.push_back(sigmoid(a)); break;
      case 3: values.push_back(a * sum(tanh(b))); break;
      case 4: values.push_back(tanh(a) - b * 0.5); break;
      default: values.push_back(select(greater(a, b), a, tanh(b))); break;
    }
  }
  Value loss = sum(values.back());
  for (std::size_t k = values.size() - 4; k + 1 < values.size(); ++k) loss = loss + sum(values[k]);
  for (const Value& input : inputs) loss = loss + sum(tanh(input));
  return loss;
}

TEST(Gradients, OfRandomGraphsAgreeWithForwardMode) {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> number(-1, 1);
    Graph g;
    const std::vector<TensorType> types = {f64(2, 3), f64(3), f64(), f64(2, 1)};
    std::vector<Value> inputs;
    std::vector<Array<double>> x, v;
    for (std::size_t k = 0; k < types.size(); ++k) {
      inputs.push_back(input(g, "x" + std::to_string(k), types[k]));
      x.emplace_back(types[k].shape);
      v.emplace_back(types[k].shape);
      for (double& e : x.back().data) e = number(random);
      for (double& e : v.back().data) e = number(random);
    }
    const Value loss = random_scalar(random, inputs);
    const auto first = gradients(loss, std::span<const Value>(inputs));
    Value slope = sum(first[0] * first[0]);
    for (std::size_t k = 1; k < first.size(); ++k) slope = slope + sum(first[k] * first[k]);
    const auto second = gradients(slope, std::span<const Value>(inputs));
    Interpreter plain(g);
    DualInterpreter dual(g);
    for (std::size_t k = 0; k < types.size(); ++k) {
      plain.set("x" + std::to_string(k), x[k]);
      Array<Dual> along(types[k].shape);
      for (std::size_t e = 0; e < along.size(); ++e) along[e] = {x[k][e], v[k][e]};
      dual.set("x" + std::to_string(k), along);
    }
    plain.evaluate();
    dual.evaluate();
    const auto check = [&](const Value& of, const std::vector<Value>& gradient) {
      double reverse = 0, scale = 1;
      for (std::size_t k = 0; k < types.size(); ++k)
        for (std::size_t e = 0; e < v[k].size(); ++e) {
          reverse += plain.at(gradient[k])[e] * v[k][e];
          scale += std::fabs(plain.at(gradient[k])[e] * v[k][e]);
        }
      EXPECT_NEAR(reverse, dual.at(of)[0].d, 1e-10 * scale);
      EXPECT_GT(scale, 1 + 1e-6) << "nothing was checked";
    };
    check(loss, first);
    check(slope, second);
  }
}

// ---- Size

/// Nodes of a chain's gradient graph.
std::size_t gradient_nodes(int length) {
  Graph g;
  const Value x = input(g, "x", f32());
  Value y = x;
  for (int i = 0; i < length; ++i) y = tanh(y);
  const std::size_t before = g.size();
  const Value d = gradients(y, {x})[0];
  const std::size_t added = g.size() - before;
  Interpreter run(g);
  run.set("x", scalar(0.5));
  run.evaluate();
  EXPECT_GT(run.at(d)[0], 0);
  return added;
}

TEST(Gradients, ALongChainNeedsLittleStackAndLinearSize) {
  static std::size_t small = 0, large = 0;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 256 * 1024), 0);
  pthread_t thread;
  const auto work = [](void*) -> void* {
    small = gradient_nodes(10'000);
    large = gradient_nodes(100'000);
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, work, nullptr), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  ASSERT_GT(small, 10'000U);
  EXPECT_EQ(large - 1, 10 * (small - 1)) << "a node of the seed, and as many for each link";
}

}  // namespace
}  // namespace thalweg
