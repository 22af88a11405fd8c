// SPDX-License-Identifier: Apache-2.0
// What the generated rows of cases_test.cpp stay away from: kinks, infinities, NaN, integers, identities, errors.
#include "thalweg/ops/pointwise.h"

#include <cmath>
#include <functional>
#include <limits>

#include "run.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg::testing {
namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
const double nan = std::numeric_limits<double>::quiet_NaN();

using Unary = std::function<Value(Value)>;
using Binary = std::function<Value(Value, Value)>;

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

double value_at(const Unary& f, double x) {
  Graph g;
  const Value y = f(input(g, "x", f64()));
  return evaluated(g, {{"x", {x}}}).at(y)[0];
}

/// f, f' and f'' at x, by the gradient rules.
std::array<double, 3> derivatives(const Unary& f, double x) {
  Graph g;
  const Value in = input(g, "x", f64());
  const Value y = f(in);
  const Value first = gradients(y, {in}, {.allow_unconnected = true})[0];
  const Value second = gradients(first, {in}, {.allow_unconnected = true})[0];
  const Interpreter run = evaluated(g, {{"x", {x}}});
  return {run.at(y)[0], run.at(first)[0], run.at(second)[0]};
}

TEST(Pointwise, SlopesAtKinksAndPoles) {
  struct Row {
    const char* name;
    Unary f;
    double x, value, first, second;
  };
  const std::vector<Row> rows = {
      {"relu", [](Value x) { return relu(x); }, 0, 0, 0, 0},
      {"abs", [](Value x) { return abs(x); }, 0, 0, 0, 0},
      {"leaky_relu", [](Value x) { return leaky_relu(x, 0.25); }, 0, 0, 0.25, 0},
      {"elu", [](Value x) { return elu(x); }, 0, 0, 1, 1},
      {"clip low", [](Value x) { return clip(x, {.low = -1, .high = 1}); }, -1, -1, 1, 0},
      {"clip high", [](Value x) { return clip(x, {.low = -1, .high = 1}); }, 1, 1, 1, 0},
      {"clip outside", [](Value x) { return clip(x, {.low = -1, .high = 1}); }, 2, 1, 0, 0},
      {"max of itself and a constant", [](Value x) { return max(x, 1.0); }, 1, 1, 0.5, 0},
      {"min of itself and a constant", [](Value x) { return min(x, 1.0); }, 1, 1, 0.5, 0},
      {"sign", [](Value x) { return sign(x); }, 3, 1, 0, 0},
      {"floor", [](Value x) { return floor(x); }, 2.5, 2, 0, 0},
      {"sqrt", [](Value x) { return sqrt(x); }, 0, 0, inf, -inf},
      {"square", [](Value x) { return square(x); }, 0, 0, 0, 2},
      {"pow 2", [](Value x) { return pow(x, 2.0); }, 0, 0, 0, 2},
      {"pow 1", [](Value x) { return pow(x, 1.0); }, 0, 0, 1, 0},
      {"pow 0", [](Value x) { return pow(x, 0.0); }, 0, 1, 0, 0},
      {"0 to the x", [](Value x) { return pow(x * 0.0, x); }, 2, 0, 0, 0},
      {"log", [](Value x) { return log(x); }, 0, -inf, inf, -inf},
      {"reciprocal", [](Value x) { return 1.0 / x; }, 0, inf, -inf, inf},
  };
  for (const Row& row : rows) {
    const auto [value, first, second] = derivatives(row.f, row.x);
    EXPECT_TRUE(same(value, row.value)) << row.name << " is " << value;
    EXPECT_TRUE(same(first, row.first)) << row.name << " has slope " << first;
    EXPECT_TRUE(same(second, row.second)) << row.name << " has curvature " << second;
  }
}

TEST(Pointwise, ABranchNotTakenGivesNoNan) {
  struct Row {
    const char* name;
    Unary f;
    double x;  ///< where the other branch is taken, and f or its slope is infinite or NaN
  };
  const std::vector<Row> rows = {
      {"sqrt", [](Value x) { return sqrt(x); }, 0},        {"sqrt below", [](Value x) { return sqrt(x); }, -1},
      {"rsqrt", [](Value x) { return rsqrt(x); }, 0},      {"log", [](Value x) { return log(x); }, 0},
      {"log below", [](Value x) { return log(x); }, -1},   {"log1p", [](Value x) { return log1p(x); }, -1},
      {"1/x", [](Value x) { return 1.0 / x; }, 0},         {"x/x", [](Value x) { return x / x; }, 0},
      {"exp", [](Value x) { return exp(-x); }, -1000},     {"expm1", [](Value x) { return expm1(-x); }, -1000},
      {"pow", [](Value x) { return pow(x, -0.5); }, 0},    {"x^x", [](Value x) { return pow(x, x); }, 0},
  };
  for (const Row& row : rows) {
    const Unary guarded = [&](Value x) { return select(greater(x, 0.0), row.f(x), x * 3.0); };
    const auto [value, first, second] = derivatives(guarded, row.x);
    EXPECT_EQ(value, 3 * row.x) << row.name;
    EXPECT_EQ(first, 3) << row.name;
    EXPECT_EQ(second, 0) << row.name;
  }
}

TEST(Pointwise, ASecondDerivativeSeesThroughAZeroCotangent) {
  // d/dx of c(x) * sqrt'(x) with c = 0: the guard against NaN must not hide the slope of c.
  Graph g;
  const Value x = input(g, "x", f64());
  const Value loss = square(sqrt(x) - 2.0);
  const Value first = gradients(loss, {x})[0];
  const Value second = gradients(first, {x})[0];
  const Interpreter run = evaluated(g, {{"x", {4}}});
  EXPECT_EQ(run.at(first)[0], 0);
  EXPECT_NEAR(run.at(second)[0], 2 * 0.25 * 0.25, 1e-15);
}

TEST(Pointwise, NanGoesThroughAndExtremesStayFinite) {
  const std::vector<std::pair<const char*, Unary>> all = {
      {"relu", [](Value x) { return relu(x); }},         {"leaky_relu", [](Value x) { return leaky_relu(x); }},
      {"elu", [](Value x) { return elu(x); }},           {"gelu", [](Value x) { return gelu(x); }},
      {"sigmoid", [](Value x) { return sigmoid(x); }},   {"softplus", [](Value x) { return softplus(x); }},
      {"silu", [](Value x) { return silu(x); }},         {"tanh", [](Value x) { return tanh(x); }},
      {"sign", [](Value x) { return sign(x); }},         {"abs", [](Value x) { return abs(x); }},
      {"max left", [](Value x) { return max(x, 1.0); }}, {"max right", [](Value x) { return max(1.0, x); }},
      {"min left", [](Value x) { return min(x, 1.0); }}, {"min right", [](Value x) { return min(1.0, x); }},
      {"clip", [](Value x) { return clip(x, {.low = 0, .high = 1}); }},
      {"reduce_max", [](Value x) { return max(concat({reshape(x, {1}), reshape(x, {1}) * 0.0 + 1.0}, 0)); }}};
  for (const auto& [name, f] : all) EXPECT_TRUE(std::isnan(value_at(f, nan))) << name;

  EXPECT_EQ(value_at([](Value x) { return sigmoid(x); }, -1000), 0);
  EXPECT_EQ(value_at([](Value x) { return sigmoid(x); }, 1000), 1);
  EXPECT_EQ(value_at([](Value x) { return softplus(x); }, 1000), 1000);
  EXPECT_EQ(value_at([](Value x) { return softplus(x); }, -1000), 0);
  EXPECT_EQ(value_at([](Value x) { return silu(x); }, -1000), 0);
  for (const char* kind : {"none", "tanh"})
    for (const double x : {-1e200, -40.0, 40.0, 1e200}) {
      const auto [value, first, second] = derivatives([&](Value v) { return gelu(v, {.approximate = kind}); }, x);
      EXPECT_EQ(value, x > 0 ? x : 0) << kind << x;
      EXPECT_EQ(first, x > 0 ? 1 : 0) << kind << x;
      EXPECT_EQ(second, 0) << kind << x;
    }
}

std::vector<double> integers(const Binary& f, TensorType type, double a, double b) {
  Graph g;
  const Value y = f(constant(g, a, type), constant(g, b, type));
  return evaluated(g, {}).at(y).data;
}

TEST(Pointwise, IntegersWrapAndNeverTrap) {
  const double low = -2147483648.0, high = 2147483647.0;
  EXPECT_EQ(integers([](Value a, Value b) { return a + b; }, i32(), high, 1)[0], low);
  EXPECT_EQ(integers([](Value a, Value b) { return a - b; }, i32(), low, 1)[0], high);
  EXPECT_EQ(integers([](Value a, Value b) { return a * b; }, i32(), high, high)[0], 1);
  EXPECT_EQ(integers([](Value a, Value b) { return a - b; }, u8(), 3, 5)[0], 254);
  EXPECT_EQ(integers([](Value a, Value b) { return a / b; }, i32(), -7, 2)[0], -3);
  EXPECT_EQ(integers([](Value a, Value b) { return a / b; }, i32(), 7, 0)[0], 0);
  EXPECT_EQ(integers([](Value a, Value b) { return a / b; }, i32(), low, -1)[0], low);
  EXPECT_EQ(integers([](Value a, Value) { return -a; }, i32(), low, 0)[0], low);
  EXPECT_EQ(integers([](Value a, Value) { return square(a); }, u8(), 17, 0)[0], 289 - 256);
  EXPECT_EQ(integers([](Value a, Value b) { return sum(concat({reshape(a, {1}), reshape(b, {1})}, 0)); }, u8(), 200, 100)[0], 44);
}

TEST(Pointwise, ComparisonsAndLogic) {
  Graph g;
  const Value a = input(g, "a", f64(4)), b = input(g, "b", f64(4));
  const std::vector<std::pair<Value, std::vector<double>>> rows = {
      {equal(a, b), {0, 1, 0, 0}},   {not_equal(a, b), {1, 0, 1, 1}}, {less(a, b), {1, 0, 0, 0}},
      {less_equal(a, b), {1, 1, 0, 0}}, {greater(a, b), {0, 0, 1, 0}}, {greater_equal(a, b), {0, 1, 1, 0}},
      {is_finite(a), {1, 1, 1, 0}},
      {logical_and(less(a, b), is_finite(a)), {1, 0, 0, 0}},
      {logical_or(less(a, b), equal(a, b)), {1, 1, 0, 0}},
      {logical_not(equal(a, b)), {1, 0, 1, 1}}};
  const Interpreter run = evaluated(g, {{"a", {1, 2, 3, nan}}, {"b", {2, 2, 2, nan}}});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].first.dtype(), DType::boolean);
    EXPECT_EQ(run.at(rows[i].first).data, rows[i].second) << "row " << i;
  }
}

TEST(Pointwise, CastsHoldAtTheEndsOfTheRange) {
  Graph g;
  const Value x = input(g, "x", f64(6));
  const Value whole = cast(x, DType::i32), byte = cast(x, DType::u8), flag = cast(x, DType::boolean);
  const Interpreter run = evaluated(g, {{"x", {-2.7, 2.7, nan, inf, -inf, 0}}});
  EXPECT_EQ(run.at(whole).data, (std::vector<double>{-2, 2, 0, 2147483647.0, -2147483648.0, 0}));
  EXPECT_EQ(run.at(byte).data, (std::vector<double>{0, 2, 0, 255, 0, 0}));
  EXPECT_EQ(run.at(flag).data, (std::vector<double>{1, 1, 1, 1, 1, 0}));
}

/// What the op's own rule makes of the node; an empty value if it has nothing to say.
Value simplified(const Value& value) {
  const Graph g = value.graph();
  const Node node = value.node();
  std::vector<Value> x;
  for (const ValueId id : g.operands(value.id().node)) x.push_back(g.value(id));
  return node.op->simplify ? node.op->simplify({g, x, node.attrs, node.types}) : Value();
}

TEST(Pointwise, IdentitiesThatHoldForEveryNumber) {
  Graph g;
  const Value x = input(g, "x", f32(2, 3)), row = input(g, "row", f32(3)), n = input(g, "n", i64());
  EXPECT_EQ(simplified(x * 1.0), x);
  EXPECT_EQ(simplified(1.0 * x), x);
  EXPECT_EQ(simplified(x / 1.0), x);
  EXPECT_EQ(simplified(x - 0.0), x);
  EXPECT_EQ(simplified(x + -0.0), x);
  EXPECT_EQ(simplified(n + 0), n);
  EXPECT_EQ(simplified(pow(x, 1.0)), x);
  EXPECT_EQ(simplified(-(-x)), x);
  EXPECT_EQ(simplified(cast(x, DType::f32)), x);
  EXPECT_EQ(simplified(cast(cast(x, DType::f64), DType::f32)), x);
  EXPECT_EQ(simplified(reshape(reshape(x, {6}), {2, 3})).type(), x.type());
  EXPECT_EQ(simplified(reshape(x, {2, 3})), x);
  EXPECT_EQ(simplified(transpose(transpose(x))), x);
  EXPECT_EQ(simplified(transpose(x, {0, 1})), x);
  EXPECT_EQ(simplified(broadcast(x, x.shape())), x);
  EXPECT_EQ(simplified(sum_to(row, row.shape())).type(), row.type());
  EXPECT_EQ(simplified(sum(reshape(row, {3, 1}), {.axes = {1}})).node().op->name, "reshape");
  EXPECT_EQ(simplified(select(greater(x, 0.0), x, x)), x);
  EXPECT_EQ(simplified(concat({x}, 0)), x);
  EXPECT_EQ(simplified(slice(x, {0, 0}, {2, 3})), x);
  EXPECT_EQ(simplified(pad(x, {}, {})), x);
  EXPECT_EQ(simplified(by_mode(x, x * 2.0)), x);

  // What fails for a NaN, an infinity, a zero's sign, a rounding or a shape stays.
  EXPECT_FALSE(simplified(x + 0.0));
  EXPECT_FALSE(simplified(x - -0.0));
  EXPECT_FALSE(simplified(x * 0.0));
  EXPECT_FALSE(simplified(x * -1.0));
  EXPECT_FALSE(simplified(cast(cast(x, DType::bf16), DType::f32)));
  EXPECT_FALSE(simplified(row * constant(g, 1, f32(2, 3))));
}

TEST(Pointwise, GradientsStopWhereTheyAreTold) {
  Graph g;
  const Value x = input(g, "x", f64());
  const Value loss = stop_gradient(x) * x + by_mode(x * 2.0, x * 100.0);
  const Value dx = gradients(loss, {x})[0];
  EXPECT_EQ(evaluated(g, {{"x", {5}}}).at(dx)[0], 7);
}

TEST(Pointwise, ReducedMaximaShareTheirGradient) {
  Graph g;
  const Value x = input(g, "x", f64(2, 3));
  const Value top = max(x, {.axes = {1}}), bottom = min(x), at = argmax(x);
  const Value dx = gradients(sum(top), {x})[0];
  const Interpreter run = evaluated(g, {{"x", {1, 3, 3, nan, 2, nan}}});
  EXPECT_EQ(run.at(top)[0], 3);
  EXPECT_TRUE(std::isnan(run.at(top)[1]));
  EXPECT_TRUE(std::isnan(run.at(bottom)[0]));
  EXPECT_EQ(run.at(at).data, (std::vector<double>{1, 0}));
  EXPECT_EQ(run.at(dx)[0], 0);
  EXPECT_EQ(run.at(dx)[1], 0.5);
  EXPECT_EQ(run.at(dx)[2], 0.5);
}

TEST(Pointwise, CompositesKeepNanAndTheirEnds) {
  const std::vector<Unary> all = {
      [](Value x) { return prelu(x, 0.25 * stop_gradient(x)); }, selu, mish, relu6, hard_sigmoid, hard_swish, hard_tanh, softsign,
      log_sigmoid, [](Value x) { return hard_shrink(x); }, [](Value x) { return soft_shrink(x); },
      [](Value x) { return squareplus(x); }};
  for (std::size_t k = 0; k < all.size(); ++k) {
    EXPECT_TRUE(std::isnan(value_at(all[k], nan))) << k;
    for (const double far : {-300.0, 300.0}) EXPECT_TRUE(std::isfinite(value_at(all[k], far))) << k;
  }
  EXPECT_EQ(value_at(relu6, inf), 6);
  EXPECT_EQ(value_at(hard_tanh, -inf), -1);
  EXPECT_EQ(value_at(log_sigmoid, -300), -300);
  EXPECT_NEAR(value_at(log_sigmoid, 50) / -std::exp(-50.0), 1, 1e-12);
  // (x + sqrt(x^2 + 4)) / 2 would lose its digits here.
  EXPECT_NEAR(value_at([](Value x) { return squareplus(x); }, -1e6) * 1e6, 1, 1e-11);
}

TEST(Pointwise, Errors) {
  Graph g;
  const Value x = input(g, "x", f32(2)), y = input(g, "y", f32(3)), d = input(g, "d", f64(2));
  const Value n = input(g, "n", i32(2)), b = input(g, "b", boolean(2)), u = input(g, "u", u8(2));
  const auto first_line = [](const std::function<Value()>& build) {
    const std::string text = thrown<GraphError>([&] { build(); });
    return text.substr(0, text.find('\n'));
  };
  EXPECT_EQ(first_line([&] { return x + d; }),
            "HERE: add: dtypes differ: f32 and f64 (there is no implicit cast; use cast)");
  EXPECT_EQ(first_line([&] { return b + b; }), "HERE: add: an operand must be numeric, is bool[2]");
  EXPECT_EQ(first_line([&] { return n + 0.5; }), "HERE: constant: 0.5 is not a value of i32");
  EXPECT_EQ(first_line([&] { return u + 256; }), "HERE: constant: 256 is out of the range of u8");
  EXPECT_EQ(first_line([&] { return -u; }), "HERE: neg: the operand must have a sign, is u8[2]");
  EXPECT_EQ(first_line([&] { return exp(n); }), "HERE: exp: the operand must be f32, bf16 or f64, is i32[2]");
  EXPECT_EQ(first_line([&] { return less(b, b); }), "HERE: compare: an operand of an order must be numeric, is bool[2]");
  EXPECT_EQ(first_line([&] { return select(x, x, x); }), "HERE: select: the condition must be bool, is f32[2]");
  EXPECT_EQ(first_line([&] { return clip(x, {.low = 2, .high = 1}); }),
            "HERE: clip: attribute low is 2, must be at most high, 1");
  EXPECT_EQ(first_line([&] { return clip(x, {.low = nan}); }),
            "HERE: clip: attribute low is nan, must be at most high, inf");
  EXPECT_EQ(first_line([&] { return elu(x, -1); }), "HERE: elu: attribute alpha is -1, must be finite and at least 0");
  EXPECT_EQ(first_line([&] { return gelu(x, {.approximate = "fast"}); }),
            "HERE: gelu: attribute approximate is 'fast', must be one of none|tanh");
  EXPECT_EQ(first_line([&] { return hard_shrink(x, -1); }),
            "HERE: hard_shrink: threshold is -1, must be finite and at least 0");
  EXPECT_EQ(first_line([&] { return soft_shrink(x, nan); }),
            "HERE: soft_shrink: threshold is nan, must be finite and at least 0");
  EXPECT_EQ(first_line([&] { return squareplus(x, 0); }), "HERE: squareplus: b is 0, must be finite and above 0");
  EXPECT_EQ(first_line([&] { return mish(n); }), "HERE: softplus: the operand must be f32, bf16 or f64, is i32[2]");
  EXPECT_EQ(first_line([&] { return prelu(x, y); }), "HERE: mul: shapes [3] and [2] do not broadcast: sizes 3 and 2 at axis -1");
  EXPECT_EQ(first_line([&] { return sum(x, {.axes = {0, -1}}); }),
            "HERE: sum: attribute axes is [0,-1], names axis 0 twice");
  EXPECT_EQ(first_line([&] { return reshape(x, {3}); }), "HERE: reshape: [2] has 2 elements, [3] has 3");
  EXPECT_EQ(first_line([&] { return reshape(y, {2, -1}); }), "HERE: reshape: 3 elements do not divide into [2,-1]");
  EXPECT_EQ(first_line([&] { return concat({x, reshape(y, {1, 3})}, 0); }),
            "HERE: concat: parts 0 and 1 differ in more than axis 0: [2] and [1,3]");
  EXPECT_EQ(first_line([&] { return slice(x, {1}, {1}); }),
            "HERE: slice: axis 0 has elements 0 to 1, so [1, 1) is not a part of it");
  EXPECT_EQ(first_line([&] { return transpose(x, {1}); }),
            "HERE: transpose: attribute perm is [1], must name each of the 1 axes once");
  EXPECT_EQ(first_line([&] { return pad(x, {-1}, {}); }).substr(0, 38), "HERE: pad: attribute low is [-1], must");
  EXPECT_EQ(first_line([&] { return by_mode(x, y); }),
            "HERE: by_mode: the types for training and inference differ: f32[2] and f32[3]");
}

}  // namespace
}  // namespace thalweg::testing
