// SPDX-License-Identifier: Apache-2.0
#include "thalweg/ops/rbm.h"

#include <numeric>
#include <vector>

#include "thalweg/graph/fail.h"
#include "thalweg/ops/layer.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"

namespace thalweg {
namespace {

void need_units(const Operand& x, Dim units, std::string_view what, std::string_view whose) {
  if (x.is_number()) graph_error(x.loc, "{}: the samples must be a value of a graph, are a number", what);
  if (x.value.rank() != 2 || x.value.shape()[1] != units)
    graph_error(x.loc, "{}: the {} units must be [N,{}], are {}\n    a  {}", what, whose, units,
                to_string(x.value.type()), describe(x.value));
}
void need_visible(const Rbm& machine, const Operand& v, std::string_view what) {
  need_units(v, machine.kernel.shape()[0], what, "visible");
}
void need_hidden(const Rbm& machine, const Operand& h, std::string_view what) {
  need_units(h, machine.kernel.shape()[1], what, "hidden");
}

/// A draw of p from numbers of its own.
Value drawn(const Value& p, std::int64_t seed) {
  return sample_of(p, random_uniform(p.graph(), p.type(), {.draw = {.seed = seed}}));
}

/// The name under which the machine's kernel was made.
std::string name_of(const Rbm& machine) {
  const std::string& kernel = machine.kernel.node().name;
  const std::string_view part = "/kernel";
  return kernel.ends_with(part) ? kernel.substr(0, kernel.size() - part.size()) : "rbm";
}

}  // namespace

Rbm rbm(Operand v, Dim hidden, const RbmOptions& options) {
  if (v.is_number()) graph_error(v.loc, "rbm: the samples must be a value of a graph, are a number");
  if (v.value.rank() != 2) graph_error(v.loc, "rbm: the samples must be [N,V]\n    a  {}", describe(v.value));
  if (hidden < 1) graph_error(v.loc, "rbm: hidden is {}, must be at least 1", hidden);
  const Dim visible = v.value.shape()[1];
  const DType dtype = v.value.dtype();
  Layer layer(v, layer_name(v.value.graph(), options.name, "rbm", "kernel"));
  const Value kernel = layer.make_variable("kernel", {dtype, Shape{visible, hidden}}, options.init);
  const Value hidden_bias = layer.make_variable("bias", {dtype, Shape{hidden}}, zeros());
  const Value visible_bias = layer.make_variable("visible_bias", {dtype, Shape{visible}}, options.visible_bias_init);
  return {kernel, hidden_bias, visible_bias};
}

Value hidden_probability(const Rbm& machine, Operand v) {
  need_visible(machine, v, "hidden_probability");
  const Frame frame(v.value.graph(), {.loc = v.loc});
  return sigmoid(matmul(v, machine.kernel) + machine.hidden_bias);
}

Value visible_probability(const Rbm& machine, Operand h) {
  need_hidden(machine, h, "visible_probability");
  const Frame frame(h.value.graph(), {.loc = h.loc});
  return sigmoid(matmul(h, machine.kernel, {.tb = true}) + machine.visible_bias);
}

Value free_energy(const Rbm& machine, Operand v) {
  need_visible(machine, v, "free_energy");
  const Frame frame(v.value.graph(), {.loc = v.loc, .scope = "free_energy"});
  const Value from_hidden = sum(softplus(matmul(v, machine.kernel) + machine.hidden_bias), {.axes = {1}});
  const Value from_visible = sum(v * machine.visible_bias, {.axes = {1}});
  return -(from_visible + from_hidden);
}

Value sample_of(Operand p, Operand uniform) {
  if (p.is_number()) graph_error(p.loc, "sample_of: the probabilities must be a value of a graph, are a number");
  const Frame frame(p.value.graph(), {.loc = p.loc});
  return cast(less(uniform, p), p.value.dtype());
}

namespace {

/// Hidden units after `steps` times v ~ p(v|h), h ~ p(h|v), and the last v.
struct Chain {
  Value hidden, visible;
};
Chain gibbs(const Rbm& machine, Value hidden, const ContrastiveOptions& options) {
  Value visible;
  for (int k = 0; k < options.steps; ++k) {
    visible = visible_probability(machine, hidden);
    if (options.sample_visible) visible = drawn(visible, options.seed);
    // The last hidden units are for a chain that goes on.
    if (k + 1 < options.steps || options.persistent_chains > 0)
      hidden = drawn(hidden_probability(machine, visible), options.seed);
  }
  return {hidden, visible};
}

}  // namespace

Value contrastive_divergence(const Rbm& machine, Operand v, const ContrastiveOptions& options) {
  need_visible(machine, v, "contrastive_divergence");
  if (options.steps < 1) graph_error(v.loc, "contrastive_divergence: steps is {}, must be at least 1", options.steps);
  if (options.persistent_chains < 0)
    graph_error(v.loc, "contrastive_divergence: persistent_chains is {}, must be 0 (none) or more",
                options.persistent_chains);
  Graph graph = v.value.graph();
  const Frame frame(graph, {.loc = v.loc, .scope = "contrastive_divergence"});
  Value fantasy;
  if (options.persistent_chains > 0) {
    const TensorType type{v.value.dtype(), Shape{options.persistent_chains, machine.kernel.shape()[1]}};
    const Value states = variable(graph, name_of(machine) + "/chain", type, zeros(), {.trainable = false});
    const Chain chain = gibbs(machine, states, options);
    graph.update(states, chain.hidden);
    fantasy = chain.visible;
  } else {
    const Value start = drawn(hidden_probability(machine, v), options.seed);
    fantasy = gibbs(machine, start, options).visible;
  }
  const Value data_energy = mean(free_energy(machine, v));
  return data_energy - mean(free_energy(machine, stop_gradient(fantasy)));
}

Value reconstruction_error(const Rbm& machine, Operand v, Draw draw) {
  need_visible(machine, v, "reconstruction_error");
  const Frame frame(v.value.graph(), {.loc = v.loc, .scope = "reconstruction_error"});
  const Value p = hidden_probability(machine, v);
  const Value h = sample_of(p, random_uniform(p.graph(), p.type(), {.draw = draw}));
  return mean(sum(square(v - visible_probability(machine, h)), {.axes = {1}}));
}

Value pseudo_log_likelihood(const Rbm& machine, Operand v, Draw draw) {
  need_visible(machine, v, "pseudo_log_likelihood");
  const Graph graph = v.value.graph();
  const Frame frame(graph, {.loc = v.loc, .scope = "pseudo_log_likelihood"});
  const Dim samples = v.value.shape()[0], units = v.value.shape()[1];
  std::vector<double> places(static_cast<std::size_t>(units));
  std::iota(places.begin(), places.end(), 0.0);
  const Value place = constant(graph, places, TensorType{v.value.dtype(), Shape{1, units}});
  const Value uniform = random_uniform(graph, {v.value.dtype(), Shape{samples, 1}}, {.draw = draw});
  // The product may round up to the number of units.
  const Value chosen = min(floor(uniform * static_cast<double>(units)), static_cast<double>(units - 1));
  const Value turned = select(equal(place, chosen), 1.0 - v.value, v);
  const Value rise = free_energy(machine, turned) - free_energy(machine, v);
  return mean(softplus(-rise)) * -static_cast<double>(units);
}

}  // namespace thalweg
