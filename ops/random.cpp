// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/random.h"

#include "thalweg/graph/philox.h"
#include "thalweg/ops/make.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

/// Fills the result with draw(words of the element).
template <class E, class F>
void fill(E& e, F draw) {
  const auto step = static_cast<std::uint64_t>(whole_number(value_of(e.in(0)[0])));
  const PhiloxKey key = philox_key(static_cast<std::uint64_t>(e.attrs.integer("seed")),
                                   static_cast<std::uint64_t>(e.attrs.integer("key")));
  for (std::size_t k = 0; k < e.out().size(); ++k)
    e.out()[k] = rounded_to(e.out_type().dtype, draw(philox(philox_counter(k, step), key)));
}

void need_step(const Infer& i) {
  if (i.in[0] != i64()) rule_error("operand 0 must be the step, i64[], is {}", to_string(i.in[0]));
}

std::vector<TensorType> random_float(const Infer& i) {
  need_step(i);
  need_float(*i.declared, "the result");
  return {*i.declared};
}

/// Fills the result with draw(words of the element), sample by sample.
template <class E, class F>
void fill_samples(E& e, F draw) {
  const PhiloxKey key = philox_key(static_cast<std::uint64_t>(e.attrs.integer("seed")),
                                   static_cast<std::uint64_t>(e.attrs.integer("key")));
  const auto epoch = static_cast<std::uint64_t>(whole_number(value_of(e.in(1)[0])));
  const std::size_t each = e.out().size() / e.in(0).size();
  for (std::size_t k = 0; k < e.out().size(); ++k) {
    const auto id = static_cast<std::uint64_t>(whole_number(value_of(e.in(0)[k / each])));
    e.out()[k] = rounded_to(e.out_type().dtype, draw(SampleWords{key, id, epoch, k % each}));
  }
}

std::vector<TensorType> random_samples(const Infer& i) {
  const Shape& ids = i.in[0].shape;
  if (i.in[0].dtype != DType::i64 || ids.rank() != 1)
    rule_error("operand 0 must be the samples' numbers, i64[B], is {}", to_string(i.in[0]));
  if (i.in[1] != i64()) rule_error("operand 1 must be the epoch, i64[], is {}", to_string(i.in[1]));
  need_float(*i.declared, "the result");
  if (i.declared->shape.rank() == 0 || i.declared->shape[0] != ids[0])
    rule_error("the result must be [{},…] as the samples are, is {}", ids[0], to_string(*i.declared));
  if (i.declared->elements() / ids[0] >= Dim{1} << 26)
    rule_error("a sample of {} has 2^26 elements or more", to_string(*i.declared));
  return {*i.declared};
}

constexpr AttrSpec seed_attr{.name = "seed", .kind = AttrKind::integer};
constexpr AttrSpec key_attr{.name = "key", .kind = AttrKind::integer};
constexpr AttrSpec low_attr{.name = "low", .kind = AttrKind::real};
constexpr AttrSpec high_attr{.name = "high", .kind = AttrKind::real, .fallback = 1};
constexpr AttrSpec mean_attr{.name = "mean", .kind = AttrKind::real};
constexpr AttrSpec stddev_attr{.name = "stddev", .kind = AttrKind::real, .fallback = 1, .min = 0};

void need_range(const Infer& i) {
  const double low = i.attrs.real("low"), high = i.attrs.real("high");
  if (low > high) rule_error("attribute low is {}, must be at most high, {}", low, high);
}
/// [low, high) from the words of an element.
double uniform_number(const Attrs& attrs, const PhiloxCounter& w) {
  const double low = attrs.real("low");
  return low + (attrs.real("high") - low) * uniform24(w[0]);
}
double normal_number(const Attrs& attrs, const PhiloxCounter& w) {
  return attrs.real("mean") + attrs.real("stddev") * normal_of(w[0], w[1]);
}

constexpr OpDef random_uniform_op{
    .name = "random_uniform", .arity = 1,
    .attrs = {low_attr, high_attr, seed_attr, key_attr},
    .fusion = Fusion::opaque, .declares = true, .random = true,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_range(i);
      return random_float(i);
    },
    .gradient = zero_gradient,
    .eval = [](auto& e) { fill(e, [&](const PhiloxCounter& w) { return uniform_number(e.attrs, w); }); },
};

constexpr OpDef random_normal_op{
    .name = "random_normal", .arity = 1,
    .attrs = {mean_attr, stddev_attr, seed_attr, key_attr},
    .fusion = Fusion::opaque, .declares = true, .random = true,
    .infer = random_float,
    .gradient = zero_gradient,
    .eval = [](auto& e) { fill(e, [&](const PhiloxCounter& w) { return normal_number(e.attrs, w); }); },
};

constexpr OpDef sample_uniform_op{
    .name = "sample_uniform", .arity = 2,
    .attrs = {low_attr, high_attr, seed_attr, key_attr},
    .fusion = Fusion::opaque, .declares = true, .random = true,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_range(i);
      return random_samples(i);
    },
    .gradient = zero_gradient,
    .eval = [](auto& e) { fill_samples(e, [&](const SampleWords& w) { return uniform_number(e.attrs, w(0)); }); },
};

constexpr OpDef sample_normal_op{
    .name = "sample_normal", .arity = 2,
    .attrs = {mean_attr, stddev_attr, seed_attr, key_attr},
    .fusion = Fusion::opaque, .declares = true, .random = true,
    .infer = random_samples,
    .gradient = zero_gradient,
    .eval = [](auto& e) { fill_samples(e, [&](const SampleWords& w) { return normal_number(e.attrs, w(0)); }); },
};

constexpr OpDef sample_beta_op{
    .name = "sample_beta", .arity = 2,
    .attrs = {{.name = "alpha", .kind = AttrKind::real, .required = true, .min = 0, .min_open = true},
              seed_attr, key_attr},
    .fusion = Fusion::opaque, .declares = true, .random = true,
    .infer = random_samples,
    .gradient = zero_gradient,
    .eval = [](auto& e) {
      const double alpha = e.attrs.real("alpha");
      fill_samples(e, [&](const SampleWords& w) { return beta_of(w, alpha); });
    },
};

constexpr OpDef bernoulli_op{
    .name = "bernoulli", .arity = 1,
    .attrs = {{.name = "p", .kind = AttrKind::real, .required = true, .min = 0, .max = 1}, seed_attr, key_attr},
    .fusion = Fusion::opaque, .declares = true, .random = true,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      need_step(i);
      if (is_integer(i.declared->dtype)) rule_error("the result must be float or bool, is {}", to_string(*i.declared));
      return {*i.declared};
    },
    .gradient = zero_gradient,
    .eval = [](auto& e) {
      const double p = e.attrs.real("p");
      fill(e, [&](const PhiloxCounter& w) { return uniform24(w[0]) < p ? 1.0 : 0.0; });
    },
};

Value drawn(Graph& graph, const OpDef& op, std::vector<Attr> attrs, const Draw& draw, const TensorType& type,
            SourceLoc loc) {
  attrs.emplace_back("seed", draw.seed);
  attrs.emplace_back("key", draw.key ? *draw.key : graph.next_key());
  const Operand at(step(graph, loc), loc);
  return graph.add(op, {&at, 1}, std::move(attrs), type, {}, loc);
}

Value drawn_for(const OpDef& op, const Operand& ids, const Operand& epoch, std::vector<Attr> attrs, const Draw& draw,
                const TensorType& type) {
  const std::array<Operand, 2> operands{ids, epoch};
  Graph graph = graph_of(operands);
  attrs.emplace_back("seed", draw.seed);
  attrs.emplace_back("key", draw.key ? *draw.key : graph.next_key());
  return make(op, operands, std::move(attrs), type);
}

Value input_named(Graph& graph, const std::string& name, const TensorType& type, SourceLoc loc) {
  if (!graph.has(name)) return input(graph, name, type, loc);
  const Value found = graph.find(name);
  if (found.node().op->name != "input" || found.type() != type)
    graph_error(loc, "the name '{}' is that of an input {}, which fit feeds, and is taken\n    {}", name,
                to_string(type), describe(found));
  return found;
}

/// log of a gamma-distributed number of that shape, from 32 draws at most (each of them is taken in 19 cases of 20).
double log_gamma_number(const SampleWords& words, std::uint64_t first, double shape) {
  const double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  double log_v = 0;
  std::uint32_t spare = 0;
  for (std::uint64_t n = first; n < first + 32; ++n) {
    const PhiloxCounter w = words(n);
    spare = w[3];
    const double x = normal_of(w[0], w[1]), root = 1 + c * x;
    if (root <= 0) continue;
    log_v = 3 * std::log(root);
    const double u = (static_cast<double>(w[2]) + 1) * 0x1p-32;
    if (std::log(u) < x * x / 2 + d - d * root * root * root + d * log_v) break;
  }
  const double log_number = std::log(d) + log_v;
  return shape < 1 ? log_number + std::log((static_cast<double>(spare) + 1) * 0x1p-32) / shape : log_number;
}

}  // namespace

double beta_of(const SampleWords& words, double alpha) {
  return 1 / (1 + std::exp(log_gamma_number(words, 32, alpha) - log_gamma_number(words, 0, alpha)));
}

Value sample_ids(Graph graph, Dim batch, SourceLoc loc) { return input_named(graph, "sample_id", i64(batch), loc); }
Value epoch(Graph graph, SourceLoc loc) { return input_named(graph, "epoch", i64(), loc); }
Value sample_weights(Graph graph, Dim batch, SourceLoc loc) {
  return input_named(graph, "sample_weight", f32(batch), loc);
}

Value sample_uniform(Operand ids, Operand epoch, TensorType type, UniformOptions options) {
  return drawn_for(sample_uniform_op, ids, epoch, {{"low", options.low}, {"high", options.high}}, options.draw, type);
}
Value sample_normal(Operand ids, Operand epoch, TensorType type, NormalOptions options) {
  return drawn_for(sample_normal_op, ids, epoch, {{"mean", options.mean}, {"stddev", options.stddev}}, options.draw,
                   type);
}
Value sample_beta(Operand ids, Operand epoch, TensorType type, double alpha, Draw draw) {
  return drawn_for(sample_beta_op, ids, epoch, {{"alpha", alpha}}, draw, type);
}

Value random_uniform(Graph graph, TensorType type, UniformOptions options, SourceLoc loc) {
  return drawn(graph, random_uniform_op, {{"low", options.low}, {"high", options.high}}, options.draw, type, loc);
}
Value random_normal(Graph graph, TensorType type, NormalOptions options, SourceLoc loc) {
  return drawn(graph, random_normal_op, {{"mean", options.mean}, {"stddev", options.stddev}}, options.draw, type, loc);
}
Value bernoulli(Graph graph, TensorType type, double p, Draw draw, SourceLoc loc) {
  return drawn(graph, bernoulli_op, {{"p", p}}, draw, type, loc);
}

OpList random_ops() {
  return {&bernoulli_op, &random_normal_op, &random_uniform_op, &sample_beta_op, &sample_normal_op, &sample_uniform_op};
 }

}  // namespace thalweg
