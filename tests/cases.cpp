// SPDX-License-Identifier: Apache-2.0
#include "cases.h"

#include <bit>
#include <cctype>
#include <cmath>
#include <initializer_list>
#include <map>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>

#include "thalweg/graph/opdef.h"

namespace thalweg::testing {

// ---- Numbers

std::uint64_t Numbers::next() {  // SplitMix64
  state_ += 0x9e3779b97f4a7c15;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

double Numbers::uniform(double lo, double hi) {
  return lo + (hi - lo) * static_cast<double>(next() >> 11) * 0x1p-53;
}

Array<double> Numbers::array(const Shape& shape, double lo, double hi) {
  Array<double> numbers(shape);
  for (double& x : numbers.data) x = uniform(lo, hi);
  return numbers;
}

namespace {

double rounded(double x, DType dtype) {
  if (dtype == DType::f32) return static_cast<float>(x);
  if (dtype == DType::bf16) {
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(x));
    return std::bit_cast<float>((bits + 0x7fffU + ((bits >> 16) & 1U)) & 0xffff0000U);
  }
  return x;
}

double away_from(double x, const std::vector<double>& kinks) {
  constexpr double distance = 0.01;
  for (const double kink : kinks)
    if (std::fabs(x - kink) < distance) x = x < kink ? x - distance : x + distance;
  return x;
}

Array<double> drawn(const Domain& domain, const TensorType& type, Numbers& random) {
  Array<double> numbers(type.shape);
  const std::size_t n = numbers.size();
  std::vector<std::size_t> slots(n);
  std::iota(slots.begin(), slots.end(), std::size_t{0});
  for (std::size_t i = n; i > 1; --i) std::swap(slots[i - 1], slots[random.below(i)]);
  for (std::size_t i = 0; i < n; ++i) {
    double x = 0;
    switch (domain.kind) {
      case Domain::Kind::real:
      case Domain::Kind::distribution: x = away_from(random.uniform(domain.lo, domain.hi), domain.kinks); break;
      case Domain::Kind::whole:
        x = domain.lo + static_cast<double>(random.below(static_cast<std::size_t>(domain.hi - domain.lo) + 1));
        break;
      case Domain::Kind::distinct:
        x = domain.lo + (domain.hi - domain.lo) * (static_cast<double>(slots[i]) + random.uniform(0.25, 0.75)) /
                            static_cast<double>(n);
        break;
      case Domain::Kind::grid:
        x = domain.lo + domain.phase +
            domain.step * static_cast<double>(random.below(static_cast<std::size_t>((domain.hi - domain.lo) / domain.step)));
        break;
    }
    numbers[i] = rounded(x, type.dtype);
  }
  const std::size_t line = type.shape.rank() == 0 ? 1 : static_cast<std::size_t>(type.shape.back());
  for (std::size_t first = 0; domain.kind == Domain::Kind::distribution && first < n; first += line) {
    const double sum = std::accumulate(&numbers[first], &numbers[first] + line, 0.0);
    for (std::size_t k = first; k < first + line; ++k) numbers[k] = rounded(numbers[k] / sum, type.dtype);
  }
  return numbers;
}

std::uint64_t hash(const std::string& name, std::uint64_t seed) {  // FNV-1a
  std::uint64_t h = 0xcbf29ce484222325 ^ seed;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return h;
}

}  // namespace

std::vector<Array<double>> draw(const OpCase& row, std::uint64_t seed) {
  Numbers random(hash(row.name, seed));
  std::vector<Array<double>> all;
  for (std::size_t i = 0; i < row.args.size(); ++i) all.push_back(drawn(row.domains[i], row.args[i], random));
  return all;
}

std::vector<Array<double>> draw_whole(const OpCase& row, std::uint64_t seed) {
  OpCase whole = row;
  for (std::size_t i = 0; i < row.args.size(); ++i)
    if (is_float(row.args[i].dtype)) whole.domains[i] = {.kind = Domain::Kind::whole, .lo = -4, .hi = 4};
  return draw(whole, seed);
}

BuiltCase built(const OpCase& row) {
  Graph graph("case");
  std::vector<Value> args;
  for (std::size_t i = 0; i < row.args.size(); ++i)
    args.push_back(graph.add(op_named("input"), {}, {}, row.args[i], "a" + std::to_string(i)));
  const std::vector<Value> results = results_of(row.build(graph, args));
  for (std::size_t i = 0; i < results.size(); ++i) graph.output("y" + std::to_string(i), results[i]);
  return {graph, args, results};
}

// ---- The rows

namespace {

using Ints = std::vector<std::int64_t>;

Domain real(double lo, double hi, std::vector<double> kinks = {}) {
  return {.kind = Domain::Kind::real, .lo = lo, .hi = hi, .kinks = std::move(kinks)};
}
Domain whole(double lo, double hi) { return {.kind = Domain::Kind::whole, .lo = lo, .hi = hi}; }
Domain distinct() { return {.kind = Domain::Kind::distinct, .lo = -3, .hi = 3}; }
Domain grid(double phase) { return {.kind = Domain::Kind::grid, .lo = -2, .hi = 2, .step = 0.04, .phase = phase}; }
Domain truth() { return whole(0, 1); }
const Domain usual = real(-2, 2);

/// Collects rows; each op says its shapes and domains once.
class Rows {
 public:
  OpCase& add(std::string op, std::vector<TensorType> args, std::vector<Domain> domains, std::vector<Attr> attrs = {},
              std::optional<TensorType> declared = {}) {
    OpCase row;
    row.op = op;
    row.name = op;
    for (const TensorType& type : args) row.name += "_" + to_string(type);
    for (const Attr& attr : attrs) row.name += "_" + std::string(attr.name) + "_" + to_string(attr.value);
    if (declared) row.name += "_to_" + to_string(*declared);
    row.name = spelled(row.name);
    // Rows that differ in their numbers only.
    if (const int count = ++names_[row.name]; count > 1) row.name += "_again" + std::to_string(count);
    while (domains.size() < args.size()) domains.push_back(domains.empty() ? usual : domains.back());
    row.args = std::move(args);
    row.domains = std::move(domains);
    row.build = [op = std::move(op), attrs = std::move(attrs), declared](Graph& graph, std::span<const Value> x) {
      return graph.add(op_named(op), std::vector<Operand>(x.begin(), x.end()), attrs, declared);
    };
    rows_.push_back(std::move(row));
    return rows_.back();
  }

  /// One argument: a scalar, a size of 1, a prime, and three axes.
  void unary(const std::string& op, const Domain& domain, const std::vector<Attr>& attrs = {}) {
    for (const TensorType& type : {f32(), f32(1), f32(7), f32(3, 1, 5)}) add(op, {type}, {domain}, attrs);
  }

  /// Two arguments: equal shapes, and each side broadcast.
  void binary(const std::string& op, const Domain& a, const Domain& b, bool exact = false,
              const std::vector<Attr>& attrs = {}, bool differentiable = true) {
    const std::vector<std::vector<TensorType>> pairs = {
        {f32(), f32()}, {f32(5), f32(5)}, {f32(3, 4), f32(4)}, {f32(4), f32(3, 4)},
        {f32(2, 1, 3), f32(5, 1)}, {f32(1), f32(2, 3)}, {f32(2, 3), f32()}};
    for (const auto& pair : pairs) {
      OpCase& row = add(op, pair, {a, b}, attrs);
      row.exact_integer = exact;
      row.differentiable = differentiable;
    }
  }

  std::vector<OpCase> take() { return std::move(rows_); }

 private:
  static std::string spelled(const std::string& text) {
    std::string name;
    for (const char c : text) {
      const bool keep = std::isalnum(static_cast<unsigned char>(c)) != 0;
      if (c == '-') name += "m";
      else if (c == ']') continue;
      else if (keep || (!name.empty() && name.back() != '_')) name += keep ? c : '_';
    }
    while (name.back() == '_') name.pop_back();
    return name;
  }
  std::vector<OpCase> rows_;
  std::map<std::string, int> names_;
};

/// Functions with a flat part, where one element alone might have no slope: a positive scalar, then mixed signs.
void half_flat(Rows& rows, const std::string& op, const Domain& steep, const Domain& mixed,
               const std::vector<Attr>& attrs = {}) {
  for (const TensorType& type : {f32(), f32(1)}) rows.add(op, {type}, {steep}, attrs);
  for (const TensorType& type : {f32(13), f32(3, 1, 5)}) rows.add(op, {type}, {mixed}, attrs);
}

void not_differentiable(OpCase& row) { row.differentiable = false; }
void exact(OpCase& row) { row.exact_integer = true; }

void source_rows(Rows& rows) {
  OpCase& in = rows.add("input", {f32(2, 3)}, {usual});
  in.differentiable = false;
  in.build = [](Graph&, std::span<const Value> x) { return x[0]; };
  for (const auto& [word, extra] : std::vector<std::pair<std::string, std::vector<Attr>>>{
           {"zeros", {}},
           {"ones", {}},
           {"constant", {Attr("value", 0.25)}},
           {"values", {Attr("values", std::vector<double>{1, 2, 3, 4, 5, 6})}},
           {"random_uniform", {Attr("low", -1.0), Attr("high", 2.0), Attr("seed", 3)}},
           {"random_normal", {Attr("mean", 1.0), Attr("stddev", 0.5)}},
           {"truncated_normal", {Attr("stddev", 0.5)}},
           {"glorot_uniform", {Attr("gain", 2.0)}},
           {"glorot_normal", {Attr("truncate", false)}},
           {"he_uniform", {}},
           {"he_normal", {}},
           {"lecun_uniform", {}},
           {"lecun_normal", {Attr("seed", 9), Attr("fans", Ints{4, 5})}},
           {"variance_scaling", {Attr("scale", 2.0), Attr("mode", "fan_avg"), Attr("distribution", "uniform")}},
           {"truncated_normal", {Attr("stddev", 0.5), Attr("bounds", std::vector<double>{-0.5, 2})}},
           {"orthogonal", {Attr("gain", 2.0)}},
           {"identity", {}}}) {
    std::vector<Attr> attrs{Attr("init", word)};
    attrs.insert(attrs.end(), extra.begin(), extra.end());
    OpCase& row = rows.add("variable", {}, {}, attrs, f32(2, 3));
    row.differentiable = false;
    row.build = [attrs](Graph& graph, std::span<const Value>) {
      return graph.add(op_named("variable"), {}, attrs, f32(2, 3), "w");
    };
  }
  const auto constant = [&](std::vector<double> list, const TensorType& type) {
    not_differentiable(rows.add("constant", {}, {}, {Attr("values", std::move(list))}, type));
  };
  constant({1.5}, f32());
  constant({-2}, f32(3, 2));
  constant({1, 2, 3}, i64(3));
  constant({0, 1}, boolean(2));

  for (const TensorType& type : {f64(2, 3), f32(2, 3)}) rows.add("cast", {f32(2, 3)}, {usual}, {}, type);
  for (const TensorType& type : {i32(2, 3), i64(2, 3), u8(2, 3), boolean(2, 3)})
    not_differentiable(rows.add("cast", {f32(2, 3)}, {real(-2, 300)}, {}, type));
  for (const TensorType& type : {f32(5), i64(5), u8(5)})
    not_differentiable(rows.add("cast", {i32(5)}, {whole(-3, 400)}, {}, type));
  not_differentiable(rows.add("cast", {boolean(5)}, {truth()}, {}, f32(5)));
  not_differentiable(rows.add("stop_gradient", {f32(2, 3)}, {usual}));
  rows.add("note", {f32(2, 3)}, {usual}, {Attr("about", "objective")});
  rows.add("check", {f32(2, 3), boolean()}, {usual, whole(1, 1)}, {Attr("message", "not so")});
  rows.add("by_mode", {f32(2, 3), f32(2, 3)}, {usual}).zero_gradients = {1};
}

void arithmetic_rows(Rows& rows) {
  rows.binary("add", usual, usual, true);
  rows.binary("sub", usual, usual, true);
  rows.binary("mul", usual, usual, true);
  rows.binary("div", usual, real(0.5, 2));
  rows.binary("div", usual, real(-2, -0.5));
  rows.binary("mul_no_nan", real(-2, 2, {0}), usual);
  rows.binary("pow", real(0.3, 2), usual);
  for (const char* op : {"max", "min"}) {
    // Both sides win somewhere, so that no gradient is zero everywhere.
    for (const auto& pair : std::vector<std::vector<TensorType>>{
             {f32(11), f32(11)}, {f32(3, 4), f32(4)}, {f32(4), f32(3, 4)}, {f32(2, 1, 3), f32(5, 1)}})
      rows.add(op, pair, {grid(0), grid(0.02)}).exact_integer = true;
    not_differentiable(rows.add(op, {i32(5), i32(5)}, {whole(-3, 3)}));
  }
  for (const char* op : {"add", "sub", "mul", "div"})
    for (const auto& pair : std::vector<std::vector<TensorType>>{{i32(3, 2), i32(2)}, {i64(5), i64(5)}})
      not_differentiable(rows.add(op, pair, {whole(-9, 9), whole(1, 4)}));
  for (const char* mode : {"eq", "ne", "lt", "le", "gt", "ge"}) {
    not_differentiable(rows.add("compare", {f32(2, 3), f32(3)}, {grid(0), grid(0.02)}, {Attr("mode", mode)}));
    not_differentiable(rows.add("compare", {i32(7), i32(7)}, {whole(0, 2)}, {Attr("mode", mode)}));
  }
  for (const char* op : {"logical_and", "logical_or"})
    not_differentiable(rows.add(op, {boolean(2, 5), boolean(5)}, {truth()}));
  not_differentiable(rows.add("logical_not", {boolean(2, 5)}, {truth()}));
  for (const auto& types : std::vector<std::vector<TensorType>>{{boolean(3, 5), f32(3, 5), f32(3, 5)},
                                                               {boolean(3, 5), f32(5), f32()},
                                                               {boolean(11), f32(), f32(11)},
                                                               {boolean(13), f32(2, 13), f32(2, 1)}})
    rows.add("select", types, {truth(), usual, usual});
  not_differentiable(rows.add("select", {boolean(5), i32(5), i32()}, {truth(), whole(-3, 3)}));
}

void function_rows(Rows& rows) {
  const Domain positive = real(0.2, 3);
  rows.unary("neg", usual);
  exact(rows.add("neg", {f32(2, 3)}, {usual}));
  rows.unary("abs", real(-2, 2, {0}));
  rows.unary("square", real(-2, 2, {0}));
  exact(rows.add("square", {f32(2, 3)}, {usual}));
  rows.unary("sqrt", positive);
  rows.unary("rsqrt", positive);
  rows.unary("exp", usual);
  rows.unary("expm1", usual);
  rows.unary("log", positive);
  rows.unary("log1p", real(-0.7, 3));
  rows.unary("erf", usual);
  rows.unary("cos", usual);
  rows.unary("sin", usual);
  half_flat(rows, "clip", real(-0.4, 0.4), real(-2, 2, {-0.5, 1}), {Attr("low", -0.5), Attr("high", 1.0)});
  half_flat(rows, "clip", real(1, 2), real(-2, 2, {0.25}), {Attr("low", 0.25)});
  half_flat(rows, "clip", real(-2, 0), real(-2, 2, {0.25}), {Attr("high", 0.25)});
  for (const char* op : {"sign", "floor", "is_finite"}) {
    not_differentiable(rows.add(op, {f32()}, {usual}));
    not_differentiable(rows.add(op, {f32(3, 1, 5)}, {usual}));
  }
  for (const char* op : {"neg", "abs", "sign", "square"})
    not_differentiable(rows.add(op, {i32(7)}, {whole(-9, 9)}));

  const Domain kink = real(-2, 2, {0});
  half_flat(rows, "relu", real(0.1, 2), kink);
  rows.unary("leaky_relu", kink);
  rows.unary("leaky_relu", kink, {Attr("slope", 0.3)});
  rows.unary("elu", kink);
  rows.unary("elu", kink, {Attr("alpha", 0.7)});
  rows.unary("gelu", usual);
  rows.unary("gelu", usual, {Attr("approximate", "tanh")});
  rows.unary("sigmoid", usual);
  rows.unary("tanh", usual);
  rows.unary("softplus", usual);
  rows.unary("silu", usual);
}

void reduction_rows(Rows& rows) {
  const std::vector<std::pair<TensorType, Ints>> over = {
      {f32(), {}},        {f32(1), {0}},        {f32(7), {}},          {f32(3, 5), {0}},
      {f32(3, 5), {-1}},  {f32(2, 3, 5), {1}},  {f32(2, 3, 5), {0, 2}}, {f32(2, 1, 3, 2), {-1, 0}},
      {f32(2, 1, 3), {1}}};
  for (const char* op : {"sum", "mean", "reduce_max"})
    for (const auto& [type, axes] : over)
      for (const bool keep : {false, true}) {
        OpCase& row = rows.add(op, {type}, {std::string_view(op) == "reduce_max" ? distinct() : usual},
                               {Attr("axes", axes), Attr("keep_dims", keep)});
        row.exact_integer = std::string_view(op) != "mean";
      }
  for (const char* op : {"sum", "reduce_max"})
    not_differentiable(rows.add(op, {i32(3, 5)}, {whole(-9, 9)}, {Attr("axes", Ints{1})}));
  for (const auto& [type, axis] : std::vector<std::pair<TensorType, int>>{
           {f32(7), 0}, {f32(1), 0}, {f32(3, 5), 0}, {f32(3, 5), -1}, {f32(2, 3, 5), 1}})
    not_differentiable(rows.add("argmax", {type}, {distinct()}, {Attr("axis", axis)}));
  for (const auto& [from, to] : std::vector<std::pair<TensorType, TensorType>>{
           {f32(3, 5), f32()}, {f32(3, 5), f32(5)}, {f32(3, 5), f32(3, 1)}, {f32(2, 3, 5), f32(3, 5)},
           {f32(2, 3, 5), f32(1, 5)}, {f32(2, 3), f32(2, 3)}})
    exact(rows.add("sum_to", {from}, {usual}, {}, to));
}

void movement_rows(Rows& rows) {
  for (const auto& [from, to] : std::vector<std::pair<TensorType, TensorType>>{
           {f32(), f32(3, 2)}, {f32(1), f32(7)}, {f32(3, 1), f32(3, 5)}, {f32(5), f32(2, 3, 5)},
           {f32(2, 1, 3), f32(2, 4, 3)}, {f32(2, 3), f32(2, 3)}})
    exact(rows.add("broadcast", {from}, {usual}, {}, to));
  for (const auto& [from, to] : std::vector<std::pair<TensorType, TensorType>>{
           {f32(), f32(1, 1)}, {f32(6), f32(2, 3)}, {f32(2, 3, 5), f32(6, 5)}, {f32(7), f32(1, 7, 1)}, {f32(1), f32()}})
    exact(rows.add("reshape", {from}, {usual}, {}, to));
  not_differentiable(rows.add("reshape", {i32(2, 3)}, {whole(0, 9)}, {}, i32(3, 2)));
  not_differentiable(rows.add("broadcast", {boolean(3)}, {truth()}, {}, boolean(2, 3)));
}

void placement_rows(Rows& rows) {
  for (const auto& [type, perm] : std::vector<std::pair<TensorType, Ints>>{
           {f32(3, 5), {1, 0}}, {f32(3, 5), {}}, {f32(2, 3, 5), {2, 0, 1}}, {f32(2, 3, 4, 5), {0, 3, 1, 2}}, {f32(1), {0}}})
    exact(rows.add("transpose", {type}, {usual}, {Attr("perm", perm)}));
  exact(rows.add("concat", {f32(3)}, {usual}, {Attr("axis", 0)}));
  exact(rows.add("concat", {f32(3), f32(5)}, {usual}, {Attr("axis", 0)}));
  exact(rows.add("concat", {f32(2, 3), f32(2, 1), f32(2, 2)}, {usual}, {Attr("axis", -1)}));
  exact(rows.add("concat", {f32(1, 3, 2), f32(2, 3, 2)}, {usual}, {Attr("axis", 0)}));
  // More parts than an op with a rule for each operand could have.
  exact(rows.add("concat", std::vector<TensorType>(11, f32(1, 2)), {usual}, {Attr("axis", 0)}));
  const auto slice = [&](const TensorType& type, Ints starts, Ints ends, Ints strides) {
    exact(rows.add("slice", {type}, {usual},
                   {Attr("starts", std::move(starts)), Attr("ends", std::move(ends)), Attr("strides", std::move(strides))}));
  };
  slice(f32(7), {2}, {5}, {});
  slice(f32(7), {0}, {7}, {3});
  slice(f32(3, 5), {1, 1}, {3, 5}, {1, 2});
  slice(f32(2, 3, 5), {0, 2, 0}, {1, 3, 5}, {});
  const auto pad = [&](const TensorType& type, Ints low, Ints high, Ints interior, double value) {
    exact(rows.add("pad", {type}, {usual},
                   {Attr("low", std::move(low)), Attr("high", std::move(high)), Attr("interior", std::move(interior)),
                    Attr("value", value)}));
  };
  pad(f32(5), {1}, {2}, {}, 0);
  pad(f32(5), {}, {}, {2}, 3);
  pad(f32(2, 3), {0, 1}, {2, 0}, {1, 0}, -1);
  pad(f32(2, 1, 3), {1, 0, 0}, {0, 0, 2}, {0, 0, 1}, 0);

  for (const DType index : {DType::i32, DType::i64, DType::u8})
    exact(rows.add("gather", {f32(5, 3), {index, Shape{4}}}, {usual, whole(0, 4)}));
  exact(rows.add("gather", {f32(7), i32()}, {usual, whole(0, 6)}));
  exact(rows.add("gather", {f32(2, 5, 3), i32(2, 2)}, {usual, whole(0, 4)}, {Attr("axis", 1)}));
  exact(rows.add("gather", {f32(2, 3), i32(5)}, {usual, whole(0, 2)}, {Attr("axis", -1)}));
  exact(rows.add("scatter_add", {f32(5, 3), i32(4), f32(4, 3)}, {usual, whole(0, 4), usual}));
  exact(rows.add("scatter_add", {f32(7), i32(), f32()}, {usual, whole(0, 6), usual}));
  exact(rows.add("scatter_add", {f32(2, 5, 3), i32(2, 2), f32(2, 2, 2, 3)}, {usual, whole(0, 4), usual},
                 {Attr("axis", 1)}));
  for (const TensorType& type : {f32(5, 4), f64(5, 4), i32(5, 4)})
    not_differentiable(rows.add("one_hot", {i32(5)}, {whole(0, 3)}, {}, type));
  not_differentiable(rows.add("one_hot", {i64(2, 3)}, {whole(0, 6)}, {}, f32(2, 3, 7)));
}

void random_rows(Rows& rows) {
  const auto draws = [&](const char* op, const TensorType& type, std::vector<Attr> attrs) {
    attrs.emplace_back("seed", 7);
    attrs.emplace_back("key", 3);
    not_differentiable(rows.add(op, {i64()}, {whole(0, 1000)}, attrs, type));
  };
  for (const TensorType& type : {f32(), f32(7), f32(3, 5), f64(11)}) {
    draws("random_uniform", type, {});
    draws("random_uniform", type, {Attr("low", -2.0), Attr("high", 3.0)});
    draws("random_normal", type, {});
    draws("random_normal", type, {Attr("mean", 1.0), Attr("stddev", 0.1)});
    draws("bernoulli", type, {Attr("p", 0.3)});
  }
  draws("bernoulli", boolean(11), {Attr("p", 0.8)});
  const auto for_samples = [&](const char* op, const TensorType& type, std::vector<Attr> attrs) {
    attrs.emplace_back("seed", 7);
    attrs.emplace_back("key", 3);
    not_differentiable(rows.add(op, {i64(type.shape[0]), i64()}, {whole(0, 1e6), whole(0, 1000)}, attrs, type));
  };
  for (const TensorType& type : {f32(7), f32(3, 5), f64(4, 2, 3)}) {
    for_samples("sample_uniform", type, {Attr("low", -2.0), Attr("high", 3.0)});
    for_samples("sample_normal", type, {Attr("mean", 1.0), Attr("stddev", 0.1)});
    for_samples("sample_beta", type, {Attr("alpha", 0.2)});
    for_samples("sample_beta", type, {Attr("alpha", 2.5)});
  }
}

void image_rows(Rows& rows) {
  // The map is no argument of the row: it has no gradient. One map shrinks and turns, one leaves the image for a part.
  const std::vector<double> maps = {1.2, 0.3, -0.7, -0.4, 1.1, 0.6, 0.8, 0, 1.25, 0, -1, 4.5};
  for (const char* op : {"affine_transform", "affine_transform_backward"})
    for (const char* mode : {"constant", "nearest", "reflect", "wrap"}) {
      OpCase& row = rows.add(op, {f32(2, 4, 5, 3)}, {usual}, {Attr("mode", mode)});
      row.build = [op, mode, maps](Graph& graph, std::span<const Value> x) {
        const Value map = graph.add(op_named("constant"), {}, {Attr("values", maps)}, f64(2, 6));
        return graph.add(op_named(op), std::vector<Operand>{x[0], map}, {Attr("mode", mode)});
      };
    }
  for (const TensorType& type : {f32(5, 3), f32(4), f32(1, 2)}) exact(rows.add("swap_pairs", {type}, {usual}));
  for (const TensorType& type : {f32(5), f32(2, 3), f64(4)})
    not_differentiable(rows.add("unit_vector", {type}, {real(-2, 2)}));
}

void matmul_rows(Rows& rows) {
  const auto product = [&](const TensorType& a, const TensorType& b, bool ta, bool tb) {
    exact(rows.add("matmul", {a, b}, {usual}, {Attr("ta", ta), Attr("tb", tb)}));
  };
  product(f32(1, 1), f32(1, 1), false, false);
  product(f32(2, 3), f32(3, 5), false, false);
  product(f32(3, 2), f32(3, 5), true, false);
  product(f32(2, 3), f32(5, 3), false, true);
  product(f32(3, 2), f32(5, 3), true, true);
  product(f32(7, 1), f32(1, 11), false, false);
  product(f32(1, 13), f32(13, 1), false, false);
  product(f32(17, 19), f32(19, 23), false, false);
  product(f32(2, 3, 4), f32(2, 4, 5), false, false);
  product(f32(2, 4, 3), f32(2, 4, 5), true, false);
  product(f32(2, 3, 4), f32(2, 5, 4), false, true);
  product(f32(2, 4, 3), f32(2, 5, 4), true, true);
  product(f32(2, 3, 4), f32(4, 5), false, false);
  product(f32(2, 4, 3), f32(5, 4), true, true);
  product(f32(3, 4), f32(2, 4, 5), false, false);
  product(f32(4, 3), f32(2, 5, 4), true, true);
  product(f32(2, 1, 3, 2), f32(5, 2, 3), false, false);
}

/// A convolution's types and attributes, for all three of its ops.
void convolution(Rows& rows, const TensorType& x, const TensorType& w, const TensorType& y,
                 const std::vector<Attr>& attrs = {}) {
  exact(rows.add("conv2d", {x, w}, {usual}, attrs));
  exact(rows.add("conv2d_backward_data", {y, w}, {usual}, attrs, x));
  exact(rows.add("conv2d_backward_weights", {x, y}, {usual}, attrs, w));
}

void conv_rows(Rows& rows) {
  convolution(rows, f32(1, 1, 1, 1), f32(1, 1, 1, 1), f32(1, 1, 1, 1));
  convolution(rows, f32(2, 4, 3, 3), f32(1, 1, 3, 5), f32(2, 4, 3, 5));
  convolution(rows, f32(2, 5, 5, 2), f32(3, 3, 2, 3), f32(2, 3, 3, 3));
  convolution(rows, f32(1, 5, 4, 1), f32(3, 2, 1, 2), f32(1, 5, 4, 2), {Attr("padding", "same")});
  convolution(rows, f32(1, 5, 6, 2), f32(3, 3, 2, 2), f32(1, 3, 3, 2),
              {Attr("padding", "same"), Attr("strides", Ints{2, 2})});
  convolution(rows, f32(1, 7, 5, 1), f32(2, 3, 1, 2), f32(1, 3, 1, 2), {Attr("strides", Ints{2, 3})});
  convolution(rows, f32(1, 6, 7, 1), f32(2, 3, 1, 2), f32(1, 4, 3, 2), {Attr("dilation", Ints{2, 2})});
  convolution(rows, f32(1, 4, 4, 2), f32(3, 3, 2, 2), f32(1, 5, 3, 2),
              {Attr("padding", "explicit"), Attr("pads", Ints{1, 2, 0, 1})});
  convolution(rows, f32(1, 4, 4, 4), f32(3, 3, 2, 6), f32(1, 2, 2, 6), {Attr("groups", 2)});
  convolution(rows, f32(1, 4, 5, 3), f32(3, 3, 1, 3), f32(1, 4, 5, 3),
              {Attr("padding", "same"), Attr("groups", 3)});
  convolution(rows, f32(1, 1, 9, 2), f32(1, 4, 2, 3), f32(1, 1, 6, 3));
}

void pooling(Rows& rows, const TensorType& x, const TensorType& y, const std::vector<Attr>& attrs) {
  exact(rows.add("max_pool", {x}, {distinct()}, attrs));
  rows.add("max_pool_backward", {x, y}, {distinct(), usual}, attrs).zero_gradients = {0};
  rows.add("max_pool_pick", {x, x}, {distinct(), usual}, attrs).zero_gradients = {0};
  rows.add("avg_pool", {x}, {usual}, attrs);
  rows.add("avg_pool_backward", {y}, {usual}, attrs, x);
}

void pool_rows(Rows& rows) {
  pooling(rows, f32(1, 1, 1, 1), f32(1, 1, 1, 1), {Attr("window", Ints{1, 1})});
  pooling(rows, f32(2, 4, 6, 3), f32(2, 2, 3, 3), {Attr("window", Ints{2, 2}), Attr("strides", Ints{2, 2})});
  pooling(rows, f32(1, 5, 5, 2), f32(1, 3, 3, 2), {Attr("window", Ints{3, 3}), Attr("strides", Ints{1, 1})});
  pooling(rows, f32(1, 5, 7, 1), f32(1, 3, 4, 1),
          {Attr("window", Ints{3, 2}), Attr("strides", Ints{2, 2}), Attr("padding", "same")});
  pooling(rows, f32(1, 5, 5, 2), f32(1, 3, 3, 2),
          {Attr("window", Ints{3, 3}), Attr("strides", Ints{2, 2}), Attr("padding", "explicit"),
           Attr("pads", Ints{1, 1, 1, 1})});
  pooling(rows, f32(1, 4, 3, 2), f32(1, 1, 1, 2), {Attr("window", Ints{4, 3})});
  const std::vector<Attr> padded = {Attr("window", Ints{3, 3}), Attr("strides", Ints{2, 2}),
                                    Attr("padding", "explicit"), Attr("pads", Ints{1, 1, 1, 1}),
                                    Attr("count_include_pad", true)};
  rows.add("avg_pool", {f32(1, 5, 5, 2)}, {usual}, padded);
  rows.add("avg_pool_backward", {f32(1, 3, 3, 2)}, {usual}, padded, f32(1, 5, 5, 2));
}

void softmax_rows(Rows& rows) {
  for (const char* op : {"softmax", "log_softmax"})
    for (const auto& [type, axis] : std::vector<std::pair<TensorType, int>>{
             {f32(7), -1}, {f32(3, 5), -1}, {f32(3, 5), 0}, {f32(2, 3, 4), 1}, {f32(2, 3, 4), -1}})
      rows.add(op, {type}, {usual}, {Attr("axis", axis)});
}

void loss_rows(Rows& rows) {
  for (const DType label : {DType::i32, DType::i64, DType::u8})
    rows.add("sparse_cross_entropy", {f32(5, 4), {label, Shape{5}}}, {usual, whole(0, 3)});
  rows.add("sparse_cross_entropy", {f32(7), i32()}, {usual, whole(0, 6)});
  rows.add("sparse_cross_entropy", {f32(2, 3, 4), i32(2, 3)}, {usual, whole(0, 3)});
  rows.add("sparse_cross_entropy_backward", {f32(5, 4), i32(5), f32(5)}, {usual, whole(0, 3), usual});
  rows.add("sparse_cross_entropy_backward", {f32(2, 3, 4), i32(2, 3), f32(2, 3)}, {usual, whole(0, 3), usual});
  for (const TensorType& type : {f32(5, 4), f32(7), f32(2, 3, 4)})
    rows.add("cross_entropy", {type, type}, {usual, real(0.1, 1)});
  for (const TensorType& type : {f32(), f32(3, 5)}) exact(rows.add("sample_mean", {type}, {usual}));
  const Domain distribution = {.kind = Domain::Kind::distribution, .lo = 0.1, .hi = 1};
  for (const TensorType& type : {f32(5, 4), f32(7)}) {
    rows.add("check_target", {type}, {distribution}, {Attr("rule", "distribution")});
    rows.add("check_target", {type}, {real(0.1, 0.9)}, {Attr("rule", "unit_interval"), Attr("what", "a_loss")});
    rows.add("check_target", {type}, {real(0.1, 2)}, {Attr("rule", "non_negative")});
  }
  // Equal neighbours among the labels need a frame between them; the lengths leave one to spare.
  for (const bool zero : {false, true}) {
    const std::vector<Attr> attrs = {Attr("blank", 2), Attr("zero_infinity", zero)};
    const std::vector<TensorType> types = {f32(3, 7, 4), i32(3, 3), i32(3), i32(3)};
    const std::vector<Domain> domains = {usual, whole(0, 1), whole(5, 7), whole(1, 3)};
    rows.add("ctc", types, domains, attrs).second_order = false;
    std::vector<TensorType> with_dy = types;
    with_dy.push_back(f32(3));
    std::vector<Domain> drawn = domains;
    drawn.push_back(usual);
    not_differentiable(rows.add("ctc_backward", with_dy, drawn, attrs));
  }
}

void norm_rows(Rows& rows) {
  const Domain spread = real(0.3, 2);
  for (const TensorType& x : {f32(5, 3), f32(2, 3, 3, 2), f32(7, 1)}) {
    const TensorType c = {x.dtype, Shape{x.shape.back()}};
    for (const double eps : {1e-3, 1e-5}) {
      const std::vector<Attr> attrs = {Attr("eps", eps)};
      rows.add("batch_norm_training", {x, c, c}, {usual, spread, usual}, attrs);
      rows.add("batch_norm_inference", {x, c, c, c, c}, {usual, spread, usual, usual, spread}, attrs);
    }
    rows.add("batch_norm_backward", {x, c, c, c, x}, {usual, spread, usual, spread, usual});
  }
  for (const auto& [x, g] : std::vector<std::pair<TensorType, TensorType>>{
           {f32(5, 3), f32(3)}, {f32(2, 3, 4), f32(4)}, {f32(2, 3, 4), f32(3, 4)}, {f32(7), f32(7)}}) {
    rows.add("layer_norm", {x, g, g}, {usual, spread, usual});
    rows.add("layer_norm", {x, g, g}, {usual, spread, usual}, {Attr("eps", 1e-5)});
    rows.add("layer_norm_backward", {x, g, x}, {usual, spread, usual});
  }
}

std::vector<OpCase> collected() {
  Rows rows;
  source_rows(rows);
  arithmetic_rows(rows);
  function_rows(rows);
  reduction_rows(rows);
  movement_rows(rows);
  placement_rows(rows);
  random_rows(rows);
  image_rows(rows);
  matmul_rows(rows);
  conv_rows(rows);
  pool_rows(rows);
  softmax_rows(rows);
  loss_rows(rows);
  norm_rows(rows);
  return rows.take();
}

}  // namespace

const std::vector<OpCase>& all_cases() {
  static const std::vector<OpCase> all = collected();
  return all;
}

}  // namespace thalweg::testing
