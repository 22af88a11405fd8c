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

constexpr AttrSpec seed_attr{.name = "seed", .kind = AttrKind::integer};
constexpr AttrSpec key_attr{.name = "key", .kind = AttrKind::integer};

constexpr OpDef random_uniform_op{
    .name = "random_uniform", .arity = 1,
    .attrs = {{.name = "low", .kind = AttrKind::real},
              {.name = "high", .kind = AttrKind::real, .fallback = 1},
              seed_attr, key_attr},
    .fusion = Fusion::opaque, .declares = true, .random = true,
    .infer = [](const Infer& i) -> std::vector<TensorType> {
      const double low = i.attrs.real("low"), high = i.attrs.real("high");
      if (low > high) rule_error("attribute low is {}, must be at most high, {}", low, high);
      return random_float(i);
    },
    .gradient = zero_gradient,
    .eval = [](auto& e) {
      const double low = e.attrs.real("low"), high = e.attrs.real("high");
      fill(e, [&](const PhiloxCounter& w) { return low + (high - low) * uniform24(w[0]); });
    },
};

constexpr OpDef random_normal_op{
    .name = "random_normal", .arity = 1,
    .attrs = {{.name = "mean", .kind = AttrKind::real},
              {.name = "stddev", .kind = AttrKind::real, .fallback = 1, .min = 0},
              seed_attr, key_attr},
    .fusion = Fusion::opaque, .declares = true, .random = true,
    .infer = random_float,
    .gradient = zero_gradient,
    .eval = [](auto& e) {
      const double mean = e.attrs.real("mean"), stddev = e.attrs.real("stddev");
      fill(e, [&](const PhiloxCounter& w) { return mean + stddev * normal_of(w[0], w[1]); });
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

}  // namespace

Value random_uniform(Graph graph, TensorType type, UniformOptions options, SourceLoc loc) {
  return drawn(graph, random_uniform_op, {{"low", options.low}, {"high", options.high}}, options.draw, type, loc);
}
Value random_normal(Graph graph, TensorType type, NormalOptions options, SourceLoc loc) {
  return drawn(graph, random_normal_op, {{"mean", options.mean}, {"stddev", options.stddev}}, options.draw, type, loc);
}
Value bernoulli(Graph graph, TensorType type, double p, Draw draw, SourceLoc loc) {
  return drawn(graph, bernoulli_op, {{"p", p}}, draw, type, loc);
}

OpList random_ops() { return {&bernoulli_op, &random_normal_op, &random_uniform_op}; }

}  // namespace thalweg
