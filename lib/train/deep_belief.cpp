// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/deep_belief.h"

#include <algorithm>
#include <cstring>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/signals.h"
#include "thalweg/ops/source.h"
#include "thalweg/optim/minimize.h"
#include "thalweg/optim/sgd.h"

namespace thalweg {
namespace {

/// The samples as rows f32[N, numbers of a sample].
Tensor as_rows(const Tensor& samples) {
  if (!samples || samples.shape().rank() == 0) run_error("pretrain: the dataset has no samples");
  const Dim count = samples.shape()[0];
  return Tensor(f32(count, samples.type().elements() / count), samples.numbers());
}

void need_probabilities(const Tensor& rows, SourceLoc loc) {
  const std::span<const float> numbers = rows.as<float>();
  const auto bad = std::find_if(numbers.begin(), numbers.end(), [](float x) { return !(x >= 0 && x <= 1); });
  if (bad == numbers.end()) return;
  const Dim at = bad - numbers.begin(), units = rows.shape()[1];
  throw RunError(fmt::format("pretrain: the units of a machine must lie in [0, 1], sample {} has {} at place {}; scale "
                             "the inputs first (scaled, unit_range)", at / units, *bad, at % units), loc);
}

/// The graph that trains one machine on rows of `units` numbers.
Graph machine_graph(Dim batch, Dim units, Dim hidden, const PretrainOptions& options, SourceLoc loc) {
  Graph g("rbm");
  const Value v = input(g, "v", f32(batch, units), loc);
  const Rbm machine = rbm({v, loc}, hidden, {.init = options.init, .name = "rbm"});
  const Value loss = contrastive_divergence(machine, {v, loc}, options.contrastive);
  minimize(loss, options.optimizer.value_or(Sgd{.rate = 0.1}), {}, loc);
  g.output("loss", loss);
  g.output("reconstruction_error", reconstruction_error(machine, {v, loc}, {.seed = options.contrastive.seed}));
  return g;
}

/// What a trained machine makes of rows.
Tensor upward(const Tensor& rows, const DeepBelief::Layer& layer, const CompileOptions& compiling) {
  const Dim count = rows.shape()[0], units = layer.kernel.shape()[0];
  if (rows.shape()[1] != units)
    run_error("a machine of {} visible units was given samples of {} numbers", units, rows.shape()[1]);
  Graph g("represent");
  const Value v = input(g, "v", f32(std::min<Dim>(count, 256), units));
  const Rbm machine = rbm(v, layer.kernel.shape()[1], {.name = "rbm"});
  g.output("h", hidden_probability(machine, v));
  Variables variables;
  for (const NodeId id : g.variables()) variables.ensure(g, id);
  variables.set("rbm/kernel", layer.kernel);
  variables.set("rbm/bias", layer.hidden_bias);
  return predict(g, variables, rows, "h", {.compile = compiling});
}

void check(const PretrainOptions& options, SourceLoc loc) {
  const auto refuse = [&](const std::string& fact) { throw RunError("pretrain: " + fact, loc); };
  if (options.hidden.empty()) refuse("hidden is empty: it names the units of each machine");
  for (const Dim units : options.hidden)
    if (units < 1) refuse(fmt::format("hidden has a machine of {} units, must be at least 1", units));
  if (options.epochs < 1) refuse(fmt::format("epochs is {}, must be at least 1", options.epochs));
  if (options.batch < 1) refuse(fmt::format("batch is {}, must be at least 1", options.batch));
}

}  // namespace

Tensor DeepBelief::represent(const Tensor& samples) const {
  Tensor rows = as_rows(samples);
  for (const Layer& layer : layers) rows = upward(rows, layer, {});
  return rows;
}

Variables DeepBelief::unrolled(const Graph& net, const std::vector<std::string>& names) const {
  if (names.size() > layers.size())
    run_error("unrolled: {} layers are named, and {} machines were trained{}", names.size(), layers.size(),
              interrupted ? " before a signal ended pre-training" : "");
  Variables variables;
  for (const NodeId id : net.variables()) variables.ensure(net, id);
  const auto give = [&](const std::string& name, const Tensor& value) {
    const Tensor place = variables.at(name);
    if (place.type() != value.type())
      run_error("unrolled: '{}' is {} in graph '{}', the machine's is {}", name, to_string(place.type()), net.name(),
                to_string(value.type()));
    variables.set(name, value);
  };
  for (std::size_t k = 0; k < names.size(); ++k) {
    give(names[k] + "/kernel", layers[k].kernel);
    give(names[k] + "/bias", layers[k].hidden_bias);
  }
  return variables;
}

DeepBelief pretrain(const Dataset& data, const PretrainOptions& options, SourceLoc loc) {
  check(options, loc);
  Dataset rows;
  rows.inputs = as_rows(data.inputs);
  rows.name = data.name;
  need_probabilities(rows.inputs, loc);
  const HeldSignals signals;
  DeepBelief belief;
  for (const Dim hidden : options.hidden) {
    const Dim batch = std::min(options.batch, rows.size());
    const Graph g = machine_graph(batch, rows.inputs.shape()[1], hidden, options, loc);
    History history = fit(g, rows, {.epochs = options.epochs, .seed = options.seed, .verbose = options.verbose,
                                    .compile = options.compile}, loc);
    const Variables& trained = history.variables;
    belief.layers.push_back({trained.at("rbm/kernel").clone(), trained.at("rbm/bias").clone(),
                             trained.at("rbm/visible_bias").clone(), history});
    belief.interrupted = history.interrupted;
    if (belief.interrupted) break;
    rows.inputs = upward(rows.inputs, belief.layers.back(), options.compile);
    belief.interrupted = signals.came();
    if (belief.interrupted) break;  // before a machine that would learn nothing
  }
  if (belief.interrupted) signals.told_of();
  return belief;
}

}  // namespace thalweg
