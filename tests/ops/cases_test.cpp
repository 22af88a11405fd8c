// SPDX-License-Identifier: Apache-2.0
// Every row of cases.cpp: first and second derivatives, text, expansion, bad attributes and shapes; and that every op
// has a row.
#include "cases.h"

#include <gtest/gtest.h>

#include "../trust/soak.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/dual_interpret.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/parse.h"
#include "thalweg/graph/print.h"
#include "thalweg/ops/image.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg::testing {
namespace {

using Point = std::map<std::string, Array<double>>;

/// What must hold of rows of one op, and of composites too.
class Meaning : public ::testing::TestWithParam<OpCase> {};
/// What must hold of rows of one op.
class Case : public ::testing::TestWithParam<OpCase> {};

Point point_of(const OpCase& row, const std::vector<Array<double>>& args) {
  Point point;
  for (std::size_t i = 0; i < row.args.size(); ++i) point["a" + std::to_string(i)] = args[i];
  return point;
}

Interpreter evaluated(const Graph& graph, const Point& point) {
  Interpreter run(graph);
  for (const auto& [name, numbers] : point) run.set(name, numbers);
  run.evaluate();
  return run;
}

/// Values and, along `direction`, exact derivatives.
DualInterpreter evaluated(const Graph& graph, const Point& point, const Point& direction) {
  DualInterpreter run(graph);
  for (const auto& [name, numbers] : point) {
    Array<Dual> dual(numbers.shape);
    const auto along = direction.find(name);
    for (std::size_t i = 0; i < numbers.size(); ++i)
      dual[i] = {numbers[i], along == direction.end() ? 0.0 : along->second[i]};
    run.set(name, std::move(dual));
  }
  run.evaluate();
  return run;
}

Value scalar_sum(const Value& x) {
  return x.rank() == 0 ? x : x.graph().add(op_named("sum_to"), std::vector<Operand>{x}, {}, TensorType{x.dtype(), {}});
}
Value dot(const Value& a, const Value& b) {
  return scalar_sum(a.graph().add(op_named("mul"), std::vector<Operand>{a, b}));
}
Value total(const std::vector<Value>& parts) {
  Value sum;
  for (const Value& part : parts)
    sum = sum ? part.graph().add(op_named("add"), std::vector<Operand>{sum, part}) : part;
  return sum;
}

/// A case with a scalar on top: the sum of its float results, each times a random array.
struct Differentiated {
  BuiltCase base;
  std::vector<std::size_t> wrt;     ///< arguments
  std::vector<Value> wrt_values;
  std::vector<std::size_t> floats;  ///< results
  std::vector<Value> seeds;
  Value loss;
  std::vector<Value> gradient;
  Point point;

  Differentiated(const OpCase& row, std::uint64_t seed) : base(built(row)), point(point_of(row, draw(row, seed))) {
    Numbers random(seed * 77 + 5);
    for (std::size_t i = 0; i < row.args.size(); ++i) {
      if (!is_float(row.args[i].dtype) || std::ranges::count(row.zero_gradients, i) != 0) continue;
      wrt.push_back(i);
      wrt_values.push_back(base.args[i]);
    }
    std::vector<Value> parts;
    for (std::size_t r = 0; r < base.results.size(); ++r) {
      const TensorType type = base.results[r].type();
      if (!is_float(type.dtype)) continue;
      const std::string name = "c" + std::to_string(r);
      floats.push_back(r);
      seeds.push_back(base.graph.add(op_named("input"), {}, {}, type, name));
      point[name] = random.array(type.shape);
      parts.push_back(dot(base.results[r], seeds.back()));
    }
    loss = total(parts);
  }

  Point direction(Numbers& random) const {
    Point along;
    for (const std::size_t i : wrt)
      along["a" + std::to_string(i)] = random.array(base.args[i].shape());
    return along;
  }
};

/// Every unit vector where there are few, else some random directions.
std::vector<Point> directions(const Differentiated& d, Numbers& random, std::size_t most_units, std::size_t randoms) {
  Point zero;
  std::size_t elements = 0;
  for (const std::size_t i : d.wrt) {
    zero["a" + std::to_string(i)] = Array<double>(d.base.args[i].shape());
    elements += static_cast<std::size_t>(d.base.args[i].shape().elements());
  }
  std::vector<Point> all;
  for (std::size_t k = 0; k < randoms; ++k) all.push_back(d.direction(random));
  if (elements > most_units) return all;
  for (auto& [name, numbers] : zero)
    for (std::size_t e = 0; e < numbers.size(); ++e) {
      Point unit = zero;
      unit[name][e] = 1;
      all.push_back(std::move(unit));
    }
  return all;
}

struct Product {
  double value = 0;
  double scale = 1;  ///< of what was added up
};

Product along(const Differentiated& d, const std::vector<Value>& gradient, const Interpreter& run,
              const Point& direction) {
  Product sum;
  for (std::size_t k = 0; k < d.wrt.size(); ++k) {
    const Array<double>& g = run.at(gradient[k]);
    const Array<double>& v = direction.at("a" + std::to_string(d.wrt[k]));
    for (std::size_t e = 0; e < g.size(); ++e) {
      sum.value += g[e] * v[e];
      sum.scale += std::fabs(g[e] * v[e]);
    }
  }
  return sum;
}

bool has_gradient(const OpCase& row) {
  return row.differentiable && Differentiated(row, 1).loss && !Differentiated(row, 1).wrt.empty();
}

TEST_P(Meaning, FirstGradient) {
  const OpCase& row = GetParam();
  if (!has_gradient(row)) GTEST_SKIP() << "no float argument has a gradient";
  for (const std::uint64_t seed : {1U, 2U}) {
    Differentiated d(row, seed);
    const Graph forward = d.base.graph.clone();
    const ValueId loss = d.loss.id();
    d.gradient = gradients(d.loss, d.wrt_values);
    const Interpreter run = evaluated(d.base.graph, d.point);
    for (std::size_t k = 0; k < d.wrt.size(); ++k) {
      EXPECT_EQ(d.gradient[k].type(), d.wrt_values[k].type());
      const Array<double>& g = run.at(d.gradient[k]);
      EXPECT_TRUE(std::any_of(g.data.begin(), g.data.end(), [](double x) { return x != 0; }))
          << "the gradient of argument " << d.wrt[k] << " is zero everywhere: nothing was checked";
    }
    Numbers random(seed + 100);
    for (const Point& direction : directions(d, random, 40, 6)) {
      const Product reverse = along(d, d.gradient, run, direction);
      const double exact = evaluated(forward, d.point, direction).at(loss)[0].d;
      EXPECT_NEAR(reverse.value, exact, 1e-10 * reverse.scale) << "forward mode disagrees";
    }
    for (int k = 0; k < 3; ++k) {
      const Point direction = d.direction(random);
      const auto moved = [&](double h) {
        Point point = d.point;
        for (const auto& [name, numbers] : direction)
          for (std::size_t e = 0; e < numbers.size(); ++e) point[name][e] += h * numbers[e];
        return evaluated(forward, point).at(loss)[0];
      };
      // Fourth order in h: the truncation error then stays far below the rounding one.
      const double h = 2e-4;
      const double central = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
      const Product reverse = along(d, d.gradient, run, direction);
      EXPECT_NEAR(reverse.value, central, 1e-6 * reverse.scale) << "central differences disagree";
    }
  }
}

TEST_P(Meaning, ZeroGradientsAreZero) {
  const OpCase& row = GetParam();
  const Differentiated d(row, 4);
  if (!d.loss || row.op == "input") GTEST_SKIP() << "no float result of an op";
  if (const OpDef* op = find_op(row.op); op != nullptr && op->gradient.kind == Gradient::Kind::none)
    GTEST_SKIP() << "differentiating through it is an error, and no zero";
  Numbers random(11);
  Point direction;
  for (std::size_t i = 0; i < row.args.size(); ++i) {
    const bool zero = !row.differentiable || std::ranges::count(row.zero_gradients, i) != 0;
    if (zero && is_float(row.args[i].dtype)) direction["a" + std::to_string(i)] = random.array(row.args[i].shape);
  }
  if (direction.empty()) GTEST_SKIP() << "every float argument has a gradient";
  EXPECT_EQ(evaluated(d.base.graph, d.point, direction).at(d.loss)[0].d, 0)
      << "a gradient that is not zero is left out";
}

TEST_P(Meaning, SecondGradient) {
  const OpCase& row = GetParam();
  if (!has_gradient(row)) GTEST_SKIP() << "no float argument has a gradient";
  Differentiated d(row, 3);
  d.gradient = gradients(d.loss, d.wrt_values);
  Numbers random(9);
  std::vector<Value> parts;
  Point u, v;
  for (std::size_t k = 0; k < d.wrt.size(); ++k) {
    const std::string name = "d" + std::to_string(d.wrt[k]);
    const TensorType type = d.wrt_values[k].type();
    const Value direction = d.base.graph.add(op_named("input"), {}, {}, type, name);
    parts.push_back(dot(d.gradient[k], direction));
    u[name] = random.array(type.shape);
    v[name] = random.array(type.shape);
    v["a" + std::to_string(d.wrt[k])] = v[name];
    u["a" + std::to_string(d.wrt[k])] = u[name];
  }
  const Value slope = total(parts);
  std::vector<Value> hessian, forward;
  if (!row.second_order) {
    EXPECT_THROW(gradients(slope, d.wrt_values, {.allow_unconnected = true}), GraphError)
        << "the row says that there is no second derivative";
    return;
  }
  hessian = gradients(slope, d.wrt_values, {.allow_unconnected = true});
  // The slope is linear in the seeds: its derivative by them is the forward derivative of the results.
  forward = gradients(slope, d.seeds, {.allow_unconnected = true});

  const auto with = [&](const Point& direction) {
    Point point = d.point;
    for (const auto& [name, numbers] : direction)
      if (name.front() == 'd') point[name] = numbers;
    return point;
  };
  const auto arguments = [&](const Point& direction) {
    Point only;
    for (const auto& [name, numbers] : direction)
      if (name.front() == 'a') only[name] = numbers;
    return only;
  };
  const Interpreter at_u = evaluated(d.base.graph, with(u)), at_v = evaluated(d.base.graph, with(v));
  const Product uv = along(d, hessian, at_u, arguments(v)), vu = along(d, hessian, at_v, arguments(u));
  const double forward_over_reverse = evaluated(d.base.graph, with(u), arguments(v)).at(slope)[0].d;
  EXPECT_NEAR(uv.value, forward_over_reverse, 1e-10 * uv.scale) << "forward over reverse disagrees";
  EXPECT_NEAR(uv.value, vu.value, 1e-10 * std::max(uv.scale, vu.scale)) << "the Hessian is not symmetric";

  const DualInterpreter exact = evaluated(d.base.graph, with(u), arguments(u));
  for (std::size_t r = 0; r < d.seeds.size(); ++r) {
    const Array<Dual>& y = exact.at(d.base.results[d.floats[r]]);
    const Array<double>& jvp = at_u.at(forward[r]);
    for (std::size_t e = 0; e < y.size(); ++e)
      EXPECT_NEAR(jvp[e], y[e].d, 1e-10 * std::fmax(1, std::fabs(y[e].d))) << "result " << r << " element " << e;
  }
}

// ---- the same ops in other shapes

/// The row with one size changed, of one argument or of all that have its shape: whether the op takes it is another
/// matter.
std::vector<OpCase> in_other_shapes(const OpCase& row) {
  std::vector<OpCase> all;
  const auto add = [&](std::size_t argument, const std::vector<Dim>& dims, bool alike) {
    OpCase other = row;
    const Shape before = row.args[argument].shape;
    for (std::size_t i = 0; i < row.args.size(); ++i)
      if (i == argument || (alike && row.args[i].shape == before)) other.args[i].shape = Shape(dims);
    all.push_back(std::move(other));
  };
  for (std::size_t i = 0; i < row.args.size(); ++i) {
    if (!is_float(row.args[i].dtype)) continue;
    const std::vector<Dim> dims = row.args[i].shape.vector();
    for (const bool alike : {true, false}) {
      for (std::size_t axis = 0; axis < dims.size(); ++axis)
        for (const Dim size : {Dim{1}, dims[axis] + 1, dims[axis] + 3}) {
          std::vector<Dim> other = dims;
          other[axis] = size;
          if (size != dims[axis]) add(i, other, alike);
        }
      std::vector<Dim> longer = dims;
      longer.insert(longer.begin(), 2);
      if (longer.size() <= Shape::max_rank) add(i, longer, alike);
    }
  }
  return all;
}

/// First and second derivatives of a row by exact forward mode; false where the op does not take its shapes, or its
/// gradient is zero everywhere, so that nothing would be checked.
bool gradients_hold(const OpCase& row) {
  std::optional<Differentiated> made;
  try {
    made.emplace(row, 5);
  } catch (const GraphError&) {
    return false;
  }
  Differentiated& d = *made;
  if (!d.loss || d.wrt.empty()) return false;
  const Graph forward = d.base.graph.clone();
  const ValueId loss = d.loss.id();
  Numbers random(21);
  const Point u = d.direction(random), v = d.direction(random);
  try {
    d.gradient = gradients(d.loss, d.wrt_values);
    const Interpreter run = evaluated(d.base.graph, d.point);
    double most = 0;
    for (const Value& gradient : d.gradient)
      for (const double x : run.at(gradient).data) most = std::fmax(most, std::fabs(x));
    if (most == 0) return false;
    const Product reverse = along(d, d.gradient, run, u);
    EXPECT_NEAR(reverse.value, evaluated(forward, d.point, u).at(loss)[0].d, 1e-10 * reverse.scale);
  } catch (const RunError&) {
    return false;  // a label or an index that the other size does not have
  }
  if (!row.second_order) return true;
  std::vector<Value> parts;
  Point at = d.point;
  for (std::size_t k = 0; k < d.wrt.size(); ++k) {
    const std::string argument = std::to_string(d.wrt[k]);
    parts.push_back(dot(d.gradient[k], d.base.graph.add(op_named("input"), {}, {}, d.wrt_values[k].type(), "d" + argument)));
    at["d" + argument] = u.at("a" + argument);
  }
  const Value slope = total(parts);
  const std::vector<Value> hessian = gradients(slope, d.wrt_values, {.allow_unconnected = true});
  const Product uv = along(d, hessian, evaluated(d.base.graph, at), v);
  EXPECT_NEAR(uv.value, evaluated(d.base.graph, at, v).at(slope)[0].d, 1e-10 * uv.scale);
  return true;
}

TEST(Shapes, GradientsToSecondOrderHoldInOthersToo) {
  std::set<std::string> checked;
  for (const auto* rows : {&all_cases(), &composite_cases()}) {
    for (const OpCase& row : *rows) {
      if (!has_gradient(row)) continue;
      std::vector<OpCase> all = in_other_shapes(row);
      all.push_back(row);
      for (const OpCase& one : all) {
        std::string name = row.name;
        for (const TensorType& type : one.args) name += " " + to_string(type);
        SCOPED_TRACE(name);
        if (!checked.contains(name) && gradients_hold(one)) checked.insert(name);
      }
    }
  }
  EXPECT_GE(checked.size(), 1500u);
  report("op and shape configurations whose gradients hold", checked.size());
}

TEST_P(Meaning, TextRoundTrip) {
  Differentiated d(GetParam(), 1);
  if (has_gradient(GetParam())) {
    const std::vector<Value> g = gradients(d.loss, d.wrt_values);
    for (std::size_t k = 0; k < g.size(); ++k) d.base.graph.output("g" + std::to_string(k), g[k]);
  }
  const std::string text = print(d.base.graph);
  const Graph again = parse(text);
  EXPECT_EQ(print(again), text);
  const Interpreter a = evaluated(d.base.graph, d.point), b = evaluated(again, d.point);
  for (const Graph::Output& out : d.base.graph.outputs()) {
    const Array<double>&x = a.output(out.name), &y = b.output(out.name);
    ASSERT_EQ(x.shape, y.shape);
    for (std::size_t e = 0; e < x.size(); ++e)
      EXPECT_TRUE(x[e] == y[e] || (std::isnan(x[e]) && std::isnan(y[e]))) << out.name << " element " << e;
  }
}

TEST_P(Case, ExpansionMeansTheSame) {
  const OpCase& row = GetParam();
  BuiltCase base = built(row);
  const Node node = base.results.front().node();
  if (!node.op->expand) GTEST_SKIP() << "no expansion";
  const std::vector<Value> other = node.op->expand({base.graph, base.args, node.attrs, node.types});
  ASSERT_EQ(other.size(), base.results.size());
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    const Interpreter run = evaluated(base.graph, point_of(row, draw(row, seed)));
    for (std::size_t r = 0; r < other.size(); ++r) {
      ASSERT_EQ(other[r].type(), base.results[r].type());
      const Array<double>&x = run.at(base.results[r]), &y = run.at(other[r]);
      for (std::size_t e = 0; e < x.size(); ++e)
        EXPECT_NEAR(x[e], y[e], 1e-12 * std::fmax(1, std::fabs(x[e]))) << "result " << r << " element " << e;
    }
  }
}

TEST_P(Case, ResultsHaveTheirTypes) {
  const OpCase& row = GetParam();
  const BuiltCase base = built(row);
  EXPECT_EQ(base.results.front().node().op->name, row.op);
  const Interpreter run = evaluated(base.graph, point_of(row, draw(row)));
  for (const Value& result : base.results) {
    const Array<double>& numbers = run.at(result);
    EXPECT_EQ(numbers.shape, result.shape());
    for (const double x : numbers.data) {
      EXPECT_TRUE(std::isfinite(x));
      if (!is_float(result.dtype())) {
        EXPECT_EQ(x, std::trunc(x));
      }
      if (result.dtype() == DType::boolean) {
        EXPECT_TRUE(x == 0 || x == 1);
      }
    }
  }
}

// ---- What must be refused

/// Values of one attribute that its declared range does not allow.
std::vector<AttrValue> forbidden(const AttrSpec& spec, const AttrValue& good) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  std::vector<double> bad;
  if (std::isfinite(spec.min)) bad.push_back(spec.min_open ? spec.min : spec.min - 1);
  if (std::isfinite(spec.max)) bad.push_back(spec.max_open ? spec.max : spec.max + 1);
  const bool real = spec.kind == AttrKind::real || spec.kind == AttrKind::reals;
  if (real && !spec.allow_nonfinite)
    for (const double x : {nan, inf, -inf}) bad.push_back(x);
  std::vector<AttrValue> all;
  for (const double x : bad) {
    if (spec.kind == AttrKind::integer) all.emplace_back(static_cast<std::int64_t>(x));
    if (spec.kind == AttrKind::real) all.emplace_back(x);
    if (spec.kind == AttrKind::integers) {
      std::vector<std::int64_t> list = good.integers();
      list.push_back(static_cast<std::int64_t>(x));
      all.emplace_back(std::move(list));
    }
    if (spec.kind == AttrKind::reals) {
      std::vector<double> list = good.reals();
      list.push_back(x);
      all.emplace_back(std::move(list));
    }
  }
  if (spec.kind == AttrKind::text) {
    if (!spec.choices.empty()) all.emplace_back(std::string("nonsense"));
    all.emplace_back(1.5);
  } else {
    all.emplace_back(std::string("nonsense"));
  }
  return all;
}

TEST_P(Case, BadAttributesAreRefused) {
  const OpCase& row = GetParam();
  BuiltCase base = built(row);
  const Node node = base.results.front().node();
  const std::vector<Operand> operands(base.args.begin(), base.args.end());
  const std::optional<TensorType> declared =
      node.op->declares ? std::optional<TensorType>(node.types.front()) : std::nullopt;
  const auto refused = [&](std::vector<Attr> attrs, const std::string& what) {
    const std::size_t size = base.graph.size();
    EXPECT_THROW(base.graph.add(*node.op, operands, std::move(attrs), declared,
                                node.name.empty() ? "" : node.name + "2"),
                 GraphError)
        << what;
    EXPECT_EQ(base.graph.size(), size) << what << " left a node behind";
  };
  for (const AttrSpec& spec : node.op->attrs) {
    const auto given = std::find_if(node.attrs.begin(), node.attrs.end(), [&](const Attr& a) { return a.name == spec.name; });
    for (const AttrValue& bad : forbidden(spec, given->value)) {
      std::vector<Attr> attrs;
      for (const Attr& attr : node.attrs) attrs.emplace_back(attr.name, attr.name == spec.name ? bad : attr.value);
      refused(attrs, std::string(spec.name) + "=" + to_string(bad));
    }
  }
  std::vector<Attr> unknown(node.attrs.begin(), node.attrs.end());
  unknown.emplace_back("no_such_attribute", 1);
  refused(unknown, "an unknown attribute");
}

TEST_P(Case, OtherShapesAreRefusedOrMeanSomething) {
  const OpCase& row = GetParam();
  std::vector<std::pair<std::size_t, TensorType>> changes;
  for (std::size_t i = 0; i < row.args.size(); ++i) {
    const TensorType type = row.args[i];
    std::vector<Dim> dims = type.shape.vector();
    for (std::size_t axis = 0; axis < dims.size(); ++axis) {
      std::vector<Dim> other = dims;
      ++other[axis];
      changes.emplace_back(i, TensorType{type.dtype, Shape(other)});
      other[axis] = 1;
      if (dims[axis] != 1) changes.emplace_back(i, TensorType{type.dtype, Shape(other)});
    }
    if (!dims.empty()) changes.emplace_back(i, TensorType{type.dtype, Shape(std::vector<Dim>(dims.begin() + 1, dims.end()))});
    dims.insert(dims.begin(), 2);
    if (dims.size() <= Shape::max_rank) changes.emplace_back(i, TensorType{type.dtype, Shape(dims)});
    for (const DType other : {DType::boolean, DType::i32, DType::f64})
      if (other != type.dtype) changes.emplace_back(i, TensorType{other, type.shape});
  }
  for (const auto& [i, type] : changes) {
    SCOPED_TRACE("a" + std::to_string(i) + " as " + to_string(type));
    OpCase other = row;
    other.args[i] = type;
    if (!is_float(type.dtype) && is_float(row.args[i].dtype))
      other.domains[i] = {.kind = Domain::Kind::whole, .lo = type.dtype == DType::boolean ? 0.0 : 1.0, .hi = 1};
    try {
      const BuiltCase base = built(other);
      const Interpreter run = evaluated(base.graph, point_of(other, draw(other)));
      for (const Value& result : base.results) EXPECT_EQ(run.at(result).shape, result.shape());
    } catch (const GraphError& error) {
      EXPECT_NE(std::string(error.what()).find(row.op), std::string::npos) << error.what();
    } catch (const RunError&) {
      // A label or index that the other size does not have.
    }
  }
}

std::string name_of(const ::testing::TestParamInfo<OpCase>& row) { return row.param.name; }
INSTANTIATE_TEST_SUITE_P(Ops, Meaning, ::testing::ValuesIn(all_cases()), name_of);
INSTANTIATE_TEST_SUITE_P(Composites, Meaning, ::testing::ValuesIn(composite_cases()), name_of);
INSTANTIATE_TEST_SUITE_P(Ops, Case, ::testing::ValuesIn(all_cases()), name_of);

// ---- The table is complete

TEST(OpTable, EveryOpHasARowTypesAndAMeaning) {
  std::set<std::string> with_row;
  for (const OpCase& row : all_cases()) with_row.insert(row.op);
  for (const OpDef* op : op_table()) {
    EXPECT_TRUE(with_row.contains(std::string(op->name))) << op->name << " has no row in tests/cases.cpp";
    EXPECT_NE(op->infer, nullptr) << op->name;
    EXPECT_TRUE(static_cast<bool>(op->eval) || op->name == "input") << op->name;
    if (op->gradient.kind == Gradient::Kind::expanded) {
      EXPECT_NE(op->expand, nullptr) << op->name;
    }
    if (op->gradient.kind == Gradient::Kind::rules) {
      EXPECT_LE(op->arity.max, Gradient::max_operands) << op->name << " needs gradient_of_each";
    }
  }
}

TEST(OpTable, RowNamesAreUnique) {
  std::set<std::string> names;
  for (const OpCase& row : all_cases()) EXPECT_TRUE(names.insert(row.name).second) << row.name;
}

TEST(OpTable, RowsDifferentiateWhatHasAGradient) {
  for (const OpCase& row : all_cases()) {
    const Gradient& gradient = op_named(row.op).gradient;
    const bool none = gradient.kind == Gradient::Kind::none || gradient.kind == Gradient::Kind::zero;
    if (none) {
      EXPECT_FALSE(row.differentiable) << row.name << ": the op has no gradient";
    }
  }
}

/// A gradient that is missing is a decision, written down here: all others are zero by definition or have rules.
TEST(OpTable, OnlyTheseOpsHaveNoGradient) {
  std::set<std::string> without;
  for (const OpDef* op : op_table())
    if (op->gradient.kind == Gradient::Kind::none) without.insert(std::string(op->name));
  EXPECT_EQ(without, (std::set<std::string>{"argmax", "ctc_backward", "unit_vector"}));
}

TEST(OpTable, EveryRuleIsCheckedBySomeRow) {
  // Whoever asks for these gradients gets an error, as the next test sees.
  const std::set<std::pair<std::string, std::size_t>> refused = {{"affine_transform", 1},
                                                                 {"affine_transform_backward", 1}};
  std::set<std::pair<std::string, std::size_t>> checked, said_zero;
  for (const OpCase& row : all_cases())
    for (const std::size_t i : row.zero_gradients) said_zero.emplace(row.op, i);
  for (const OpCase& row : all_cases())
    for (std::size_t i = 0; row.differentiable && i < row.args.size(); ++i)
      if (is_float(row.args[i].dtype) && std::ranges::count(row.zero_gradients, i) == 0) checked.emplace(row.op, i);
  for (const OpDef* op : op_table()) {
    const std::string name(op->name);
    if (op->gradient.kind == Gradient::Kind::rules) {
      for (std::size_t i = 0; i < op->arity.min; ++i) {
        if (refused.contains({name, i})) continue;
        // A rule may also say zero; then a row says so, and ZeroGradientsAreZero checks it.
        if (op->gradient.of[i] != nullptr) {
          EXPECT_TRUE(checked.contains({name, i}) || said_zero.contains({name, i})) << name << " operand " << i;
        } else {
          EXPECT_FALSE(checked.contains({name, i})) << name << " operand " << i;
        }
      }
    }
    const bool every = op->gradient.kind == Gradient::Kind::each || op->gradient.kind == Gradient::Kind::expanded;
    if (every) {
      EXPECT_TRUE(checked.contains({name, 0})) << name;
    }
  }
}

TEST(OpTable, TheMapOfATransformRefusesToBeLearned) {
  Graph g;
  const Value image = variable(g, "image", f32(1, 2, 2, 1)), map = variable(g, "map", f64(1, 6));
  const Value loss = sum(affine_transform(image, map));
  EXPECT_EQ(gradients(loss, {image}).size(), 1U);
  EXPECT_THROW(gradients(loss, {map}), GraphError);
}

}  // namespace
}  // namespace thalweg::testing
