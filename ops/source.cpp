// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/source.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "thalweg/ops/make.h"

namespace thalweg {
namespace {

struct Range {
  double low;
  double high;
};

/// The numbers that a dtype holds. The upper end of i64 is the largest double below 2^63.
Range range_of(DType dtype) {
  switch (dtype) {
    case DType::f32: return {-0x1.fffffep127, 0x1.fffffep127};
    case DType::bf16: return {-0x1.fep127, 0x1.fep127};
    case DType::f64: return {-std::numeric_limits<double>::max(), std::numeric_limits<double>::max()};
    case DType::i32: return {-0x1p31, 0x1p31 - 1};
    case DType::i64: return {-0x1p63, 0x1.fffffffffffffp62};
    case DType::u8: return {0, 255};
    case DType::boolean: return {0, 1};
  }
  return {0, 0};
}

std::vector<TensorType> declared_only(const Infer& i) { return {*i.declared}; }

constexpr OpDef input_op{
    .name = "input", .arity = 0, .fusion = Fusion::source, .declares = true,
    .infer = declared_only,
    .gradient = zero_gradient,
    .eval = [](auto& e) { run_error("input '{}' was given no value", e.name); },
};

// ---- variable

/// Attributes that only some initializers read, and those initializers.
struct Belongs {
  std::string_view attr;
  std::string_view words;
};
constexpr std::array<Belongs, 14> belongs{{
    {"seed", "|random_uniform|random_normal|truncated_normal|glorot_uniform|glorot_normal|he_uniform|he_normal|"
             "lecun_uniform|lecun_normal|variance_scaling|orthogonal|"},
    {"value", "|constant|"},
    {"values", "|values|"},
    {"low", "|random_uniform|"},
    {"high", "|random_uniform|"},
    {"mean", "|random_normal|truncated_normal|"},
    {"stddev", "|random_normal|truncated_normal|"},
    {"bounds", "|truncated_normal|"},
    {"gain", "|glorot_uniform|glorot_normal|he_uniform|he_normal|lecun_uniform|lecun_normal|orthogonal|identity|"},
    {"truncate", "|glorot_normal|he_normal|lecun_normal|"},
    {"fans", "|glorot_uniform|glorot_normal|he_uniform|he_normal|lecun_uniform|lecun_normal|variance_scaling|"},
    {"scale", "|variance_scaling|"},
    {"mode", "|variance_scaling|"},
    {"distribution", "|variance_scaling|"},
}};

constexpr AttrSpecs variable_attrs{
    {.name = "init", .kind = AttrKind::text, .fallback_text = "zeros",
     .choices = "zeros|ones|constant|values|random_uniform|random_normal|truncated_normal|glorot_uniform|glorot_normal|"
                "he_uniform|he_normal|lecun_uniform|lecun_normal|variance_scaling|orthogonal|identity"},
    {.name = "seed", .kind = AttrKind::integer},
    {.name = "trainable", .kind = AttrKind::flag, .fallback = 1},
    {.name = "value", .kind = AttrKind::real, .allow_nonfinite = true},
    {.name = "values", .kind = AttrKind::reals, .allow_nonfinite = true},
    {.name = "low", .kind = AttrKind::real, .fallback = -0.05},
    {.name = "high", .kind = AttrKind::real, .fallback = 0.05},
    {.name = "mean", .kind = AttrKind::real},
    {.name = "stddev", .kind = AttrKind::real, .fallback = 0.05, .min = 0},
    {.name = "bounds", .kind = AttrKind::reals},
    {.name = "gain", .kind = AttrKind::real, .fallback = 1, .min = 0, .min_open = true},
    {.name = "truncate", .kind = AttrKind::flag, .fallback = 1},
    {.name = "fans", .kind = AttrKind::integers, .min = 1},
    {.name = "scale", .kind = AttrKind::real, .fallback = 1, .min = 0, .min_open = true},
    {.name = "mode", .kind = AttrKind::text, .fallback_text = "fan_in", .choices = "fan_in|fan_out|fan_avg"},
    {.name = "distribution", .kind = AttrKind::text, .fallback_text = "truncated_normal",
     .choices = "truncated_normal|untruncated_normal|uniform"},
};

/// An attribute that nobody would read is a mistake of the writer's.
void need_belonging(const Attrs& attrs) {
  const std::string word = "|" + attrs.text("init") + "|";
  for (const Belongs& b : belongs) {
    if (b.words.find(word) != b.words.npos) continue;
    const auto spec = std::find_if(variable_attrs.begin(), variable_attrs.end(),
                                   [&](const AttrSpec& s) { return s.name == b.attr; });
    // A node has all attributes of its op, in its order.
    if (attrs.all()[static_cast<std::size_t>(spec - variable_attrs.begin())].value != fallback_of(*spec))
      rule_error("attribute {} does not belong to init={}", b.attr, attrs.text("init"));
  }
}

/// The bounds of a truncated normal are two, in order, and it can draw between them.
void check_bounds(const Attrs& attrs) {
  const std::vector<double>& bounds = attrs.reals("bounds");
  if (bounds.empty()) return;
  const std::string text = to_string(AttrValue(bounds));
  if (bounds.size() != 2 || !(bounds[0] < bounds[1]))
    rule_error("attribute bounds is {}, must be two numbers, the smaller one first", text);
  const double mean = attrs.real("mean"), stddev = attrs.real("stddev");
  if (stddev == 0) rule_error("attribute stddev is 0, must be above 0 where bounds are given");
  if (normal_within((bounds[0] - mean) / stddev, (bounds[1] - mean) / stddev) < 1e-300)
    rule_error("no number of mean {} and standard deviation {} lies within bounds={}", mean, stddev, text);
}

/// What is not finite never learns.
void check_start(double x) {
  if (!std::isfinite(x)) rule_error("a trainable variable cannot begin with {}", x);
}

/// Initializers that only some shapes have.
void check_matrix(std::string_view word, const Shape& shape) {
  if (word == "orthogonal" && shape.rank() < 2)
    rule_error("init=orthogonal needs at least two axes, not {}", to_string(shape));
  if (word == "identity" && shape.rank() != 2) rule_error("init=identity needs two axes, not {}", to_string(shape));
}

std::vector<TensorType> variable_type(const Infer& i) {
  need_belonging(i.attrs);
  const std::string& word = i.attrs.text("init");
  const auto elements = static_cast<std::size_t>(i.declared->elements());
  if (word == "constant") need_representable({i.attrs.real("value")}, i.declared->dtype);
  if (word == "values") {
    const std::vector<double>& list = i.attrs.reals("values");
    if (list.size() != elements)
      rule_error("attribute values has {} elements, {} needs {}", list.size(), to_string(*i.declared), elements);
    need_representable(list, i.declared->dtype);
  }
  if (i.attrs.flag("trainable")) {
    check_start(i.attrs.real("value"));
    for (const double x : i.attrs.reals("values")) check_start(x);
  }
  const bool plain = word == "zeros" || word == "ones" || word == "constant" || word == "values";
  if (!plain) need_float(*i.declared, "a randomly initialized variable");
  check_bounds(i.attrs);
  check_matrix(word, i.declared->shape);
  if (const auto& f = i.attrs.integers("fans"); !f.empty() && f.size() != 2)
    rule_error("attribute fans is {}, must be two numbers [in,out]", to_string(AttrValue(f)));
  if (i.attrs.real("low") > i.attrs.real("high"))
    rule_error("attribute low is {}, must be at most high, {}", i.attrs.real("low"), i.attrs.real("high"));
  return {*i.declared};
}

constexpr OpDef variable_op{
    .name = "variable", .arity = 0,
    .attrs = variable_attrs,
    .fusion = Fusion::source, .declares = true,
    .infer = variable_type,
    .gradient = zero_gradient,
    .eval = [](auto& e) {
      const std::vector<double> first = initial_values(e.attrs, e.name, e.out_type());
      std::copy(first.begin(), first.end(), e.out().data.begin());
    },
};

// ---- constant

std::vector<TensorType> constant_type(const Infer& i) {
  const std::vector<double>& list = i.attrs.reals("values");
  const auto elements = static_cast<std::size_t>(i.declared->elements());
  if (list.size() != 1 && list.size() != elements)
    rule_error("attribute values has {} elements, {} needs 1 or {}", list.size(), to_string(*i.declared), elements);
  need_representable(list, i.declared->dtype);
  return {*i.declared};
}

Value compressed(const Rebuild& r);

constexpr OpDef constant_op{
    .name = "constant", .arity = 0,
    .attrs = {{.name = "values", .kind = AttrKind::reals, .required = true, .allow_nonfinite = true}},
    .fusion = Fusion::source, .declares = true,
    .infer = constant_type,
    .gradient = zero_gradient,
    .eval = [](auto& e) {
      const std::vector<double>& list = e.attrs.reals("values");
      for (std::size_t k = 0; k < e.out().size(); ++k) e.out()[k] = list.size() == 1 ? list[0] : list[k];
    },
    .simplify = compressed,
};

/// Equal elements are stored once.
Value compressed(const Rebuild& r) {
  const std::vector<double>& list = r.attrs.reals("values");
  const auto same = [&](double x) { return std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(list[0]); };
  if (list.size() < 2 || !std::all_of(list.begin(), list.end(), same)) return {};
  return constant(r.graph, list[0], r.types[0]);
}

// ---- cast

double cast_number(double x, DType from, DType to) {
  if (to == DType::boolean) return x != 0 ? 1 : 0;
  if (!is_integer(to)) return x;
  if (std::isnan(x)) return 0;
  const Range range = range_of(to);
  return std::clamp(is_float(from) ? std::trunc(x) : x, range.low, range.high);
}

/// Whether every number of `from` is one of `to`.
bool widens(DType from, DType to) {
  if (from == to) return true;
  switch (from) {
    case DType::bf16: return to == DType::f32 || to == DType::f64;
    case DType::f32: return to == DType::f64;
    case DType::i32: return to == DType::i64 || to == DType::f64;
    case DType::u8: return to != DType::boolean;
    case DType::boolean: return true;
    case DType::f64:
    case DType::i64: return false;
  }
  return false;
}

constexpr OpDef cast_op{
    .name = "cast", .arity = 1, .fusion = Fusion::pointwise, .declares = true,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      if (i.in[0].shape != i.declared->shape)
        rule_error("{} cannot become {}: only the dtype may change", to_string(i.in[0]), to_string(*i.declared));
      return {*i.declared};
    },
    .gradient = gradient_of([](const Vjp& v) { return cast(v.dy(), v.x(0).dtype()); }),
    .eval = [](auto& e) {
      const DType from = e.in_type(0).dtype, to = e.out_type().dtype;
      e.each([&](auto x) {
        using S = decltype(x);
        return is_float(from) && is_float(to) ? x : S(cast_number(value_of(x), from, to));
      });
    },
    .simplify = [](const Rebuild& r) -> Value {
      if (r.x[0].type() == r.types[0]) return r.x[0];
      // There and back through a dtype that holds everything.
      if (r.x[0].node().op->name != "cast") return {};
      const Value before = r.graph.value(r.graph.operands(r.x[0].id().node)[0]);
      return before.type() == r.types[0] && widens(before.dtype(), r.x[0].dtype()) ? before : Value();
    },
};

constexpr OpDef stop_gradient_op{
    .name = "stop_gradient", .arity = 1, .fusion = Fusion::pointwise,
    .infer = [](const Infer& i) -> std::vector<TensorType> { return {i.in[0]}; },
    .gradient = zero_gradient,
    .eval = [](auto& e) {
      // A dual loses its tangent here, as a gradient ends here.
      e.each([](auto x) { return decltype(x)(value_of(x)); });
    },
};

constexpr OpDef by_mode_op{
    .name = "by_mode", .arity = 2, .fusion = Fusion::pointwise,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      if (i.in[0] != i.in[1])
        rule_error("the types for training and inference differ: {} and {}", to_string(i.in[0]), to_string(i.in[1]));
      return {i.in[0]};
    },
    .gradient = gradient_of([](const Vjp& v) { return v.dy(); }, nullptr),
    .eval = [](auto& e) { e.out() = e.in(0); },
    .simplify = [](const Rebuild& r) { return r.x[0]; },
};

constexpr OpDef note_op{
    .name = "note", .arity = 1,
    .attrs = {{.name = "about", .kind = AttrKind::text, .required = true,
               .choices = "objective|horizon|horizon_epochs"},
              {.name = "number", .kind = AttrKind::real}},
    .fusion = Fusion::pointwise,
    .infer = [](const Infer& i) -> std::vector<TensorType> { return {i.in[0]}; },
    .gradient = gradient_of([](const Vjp& v) { return v.dy(); }),
    .eval = [](auto& e) { e.out() = e.in(0); },
    .simplify = [](const Rebuild& r) { return r.x[0]; },
};

constexpr OpDef check_op{
    .name = "check", .arity = 2,
    .attrs = {{.name = "message", .kind = AttrKind::text, .required = true}},
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      if (i.in[1] != TensorType{DType::boolean, {}})
        rule_error("the condition must be bool[], is {}", to_string(i.in[1]));
      return {i.in[0]};
    },
    .gradient = gradient_of([](const Vjp& v) { return v.dy(); }, nullptr),
    .eval = [](auto& e) {
      if (value_of(e.in(1)[0]) == 0) run_error("{}", e.attrs.text("message"));
      e.out() = e.in(0);
    },
};

}  // namespace

void need_representable(const std::vector<double>& values, DType dtype) {
  const Range range = range_of(dtype);
  for (const double x : values) {
    if (is_float(dtype) && !std::isfinite(x)) continue;
    if (!is_float(dtype) && x != std::trunc(x))
      rule_error("{} is not a value of {}", to_string(AttrValue(x)), to_string(dtype));
    if (!(x >= range.low && x <= range.high))
      rule_error("{} is out of the range of {}", to_string(AttrValue(x)), to_string(dtype));
  }
}

Value input(Graph graph, std::string name, TensorType type, SourceLoc loc) {
  return graph.add(input_op, {}, {}, type, std::move(name), loc);
}

Value variable(Graph graph, std::string name, TensorType type, const Init& init, VariableOptions options,
               SourceLoc loc) {
  std::vector<Attr> attrs = init.attrs;
  if (!options.trainable) attrs.emplace_back("trainable", false);
  return graph.add(variable_op, {}, std::move(attrs), type, std::move(name), loc);
}

Value constant(Graph graph, double number, TensorType type, SourceLoc loc) {
  return constant(std::move(graph), std::vector<double>{number}, type, loc);
}

Value constant(Graph graph, std::vector<double> values, TensorType type, SourceLoc loc) {
  return graph.add(constant_op, {}, {{"values", std::move(values)}}, type, {}, loc);
}

std::optional<double> constant_number(const Value& value) {
  const Graph graph = value.graph();
  NodeId id = value.id().node;
  while (graph.node(id).op->name == "broadcast") id = graph.operands(id)[0].node;
  if (graph.node(id).op->name != "constant") return {};
  const std::vector<double>& list = graph.node(id).attrs.reals("values");
  return list.size() == 1 ? std::optional(list[0]) : std::nullopt;
}

Value step(Graph graph, SourceLoc loc) {
  for (const NodeId id : graph.variables()) {
    const Node& node = graph.node(id);
    if (node.name == "step" && node.types[0] == i64() && !node.attrs.flag("trainable")) return graph.value({id, 0});
  }
  return variable(graph, "step", i64(), zeros(), {.trainable = false}, loc);
}

Value cast(Operand x, DType dtype) {
  if (x.is_number()) graph_error(x.loc, "cast: a number has no dtype to change; use constant");
  const TensorType type{dtype, x.value.shape()};
  return make(cast_op, {std::move(x)}, {}, type);
}
Value stop_gradient(Operand x) { return make(stop_gradient_op, {std::move(x)}); }
Value note(Operand x, std::string_view about, double number) {
  return make(note_op, {std::move(x)}, {{"about", about}, {"number", number}});
}
Value check(Operand x, Operand condition, std::string message) {
  return make(check_op, {std::move(x), std::move(condition)}, {{"message", std::move(message)}});
}
Value by_mode(Operand train, Operand infer) { return make(by_mode_op, {std::move(train), std::move(infer)}); }

OpList source_ops() {
  return {&by_mode_op, &cast_op, &check_op, &constant_op, &input_op, &note_op, &stop_gradient_op, &variable_op};
}

}  // namespace thalweg
