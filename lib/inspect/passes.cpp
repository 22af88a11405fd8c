// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/passes.h"

#include <fmt/format.h>

#include <cmath>

#include "thalweg/graph/print.h"
#include "thalweg/lib/inspect/kernel_check.h"

namespace thalweg {
namespace {

using Results = std::map<std::string, Array<double>>;

/// Evaluates a graph in double on the feeds.
Interpreter evaluated(const Graph& graph, const Feeds& feeds) {
  Interpreter interpreter(graph);
  for (const auto& [name, tensor] : feeds) interpreter.set(name, array_of(tensor));
  interpreter.evaluate();
  return interpreter;
}

/// Every output and every next value of a variable.
Results results_of(const Graph& graph, const Interpreter& interpreter) {
  Results meaning;
  for (const Graph::Output& output : graph.outputs())
    meaning.emplace("output " + output.name, interpreter.at(output.value));
  for (const Graph::Update& update : graph.updates())
    meaning.emplace("update @" + graph.node(update.variable.node).name, interpreter.at(update.next));
  return meaning;
}

// Rewrites round folded constants to their dtype: in f32 a part of 2^-24 each.
constexpr double allowed_part = 1e-5;

/// The first element that is farther off than rounded constants explain.
std::optional<std::size_t> first_departure(const Array<double>& expected, const Array<double>& got) {
  if (expected.size() != got.size()) return 0;
  double largest = 0;
  for (const double x : expected.data)
    if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const bool same = expected[i] == got[i] || (std::isnan(expected[i]) && std::isnan(got[i]));
    if (!same && !(std::abs(expected[i] - got[i]) <= allowed_part * largest)) return i;
  }
  return {};
}

bool same_results(const Results& expected, const Results& got) {
  for (const auto& [name, array] : expected) {
    const auto other = got.find(name);
    if (other == got.end() || first_departure(array, other->second)) return false;
  }
  return true;
}

Departure at(NodeId node, const Graph& graph, std::size_t element, double expected, double got) {
  Departure d{.node = node, .line = line_text(graph, node, Labels(graph)), .element = static_cast<Dim>(element),
              .expected = expected, .got = got};
  d.bound = allowed_part * std::abs(expected);
  return d;
}

/// The first node of `after` whose counterpart meant something else, else the first result that differs.
Departure blamed(const Graph& before, const Graph& after, const Feeds& feeds) {
  const Interpreter old = evaluated(before, feeds), now = evaluated(after, feeds);
  const Difference difference = diff(before, after);
  std::vector<std::optional<NodeId>> source(after.size());
  for (NodeId id = 0; id < before.size(); ++id)
    if (difference.counterpart[id]) source[*difference.counterpart[id]] = id;
  for (NodeId id = 0; id < after.size(); ++id) {
    if (!source[id]) continue;
    for (std::uint32_t r = 0; r < after.node(id).types.size(); ++r) {
      const Array<double>&x = old.at(ValueId{*source[id], r}), &y = now.at(ValueId{id, r});
      const auto i = first_departure(x, y);
      if (!i) continue;
      Departure d = at(id, after, *i, x[*i], y[*i]);
      // What the pass put in has no counterpart of its own: the first that reads it departs.
      for (const ValueId v : after.operands(id)) {
        if (source[v.node]) continue;
        d.line = fmt::format("{}, which the pass put in, read by {}", line_text(after, v.node, Labels(after)), d.line);
        d.node = v.node;
        break;
      }
      return d;
    }
  }
  const Results expected = results_of(before, old);
  for (const Graph::Output& output : after.outputs())
    if (const auto x = expected.find("output " + output.name); x != expected.end())
      if (const auto i = first_departure(x->second, now.at(output.value)))
        return at(output.value.node, after, *i, x->second[*i], now.at(output.value)[*i]);
  for (const Graph::Update& update : after.updates())
    if (const auto x = expected.find("update @" + after.node(update.variable.node).name); x != expected.end())
      if (const auto i = first_departure(x->second, now.at(update.next)))
        return at(update.next.node, after, *i, x->second[*i], now.at(update.next)[*i]);
  return {};
}

std::vector<PassStep> steps_of(const Graph& graph, std::span<const Pass> passes, std::size_t limit) {
  std::vector<PassStep> steps;
  if (passes.empty()) return steps;
  Graph work = graph.clone();
  run_pipeline(work, passes, {.trace = [&](const PassRun& run) {
    steps.push_back({run.number, run.round, std::string(run.name), run.seconds, run.before.clone(), run.after.clone(),
                     diff(run.before, run.after)});
  }, .limit = limit});
  return steps;
}

}  // namespace

std::vector<PassStep> pass_steps(const Graph& graph, const CompileOptions& options) {
  return steps_of(graph, passes_of(options), options.pass_limit);
}

std::optional<Departure> bisect(const Graph& graph, const BisectOptions& options) {
  const std::vector<Pass> own = passes_of(options.compile);
  const Feeds feeds = made_up_feeds(graph, options.seed);
  const std::vector<PassStep> steps =
      steps_of(graph, options.passes.empty() ? std::span<const Pass>(own) : options.passes, options.compile.pass_limit);
  const Results expected = results_of(graph, evaluated(graph, feeds));
  // Halves the steps: all before `good` keep the meaning, `bad` and what follows do not.
  const auto departs = [&](std::size_t step) {
    return !same_results(expected, results_of(steps[step].after, evaluated(steps[step].after, feeds)));
  };
  if (!steps.empty() && departs(steps.size() - 1)) {
    std::size_t good = 0, bad = steps.size() - 1;
    while (good < bad) {
      const std::size_t middle = (good + bad) / 2;
      if (departs(middle)) bad = middle;
      else good = middle + 1;
    }
    Departure d = blamed(steps[bad].before, steps[bad].after, feeds);
    d.where = Departure::Where::pass;
    d.number = steps[bad].number;
    d.name = steps[bad].name;
    return d;
  }
  Program program = compile(graph, options.compile);
  feed(program, feeds);
  KernelCheck check(program.planned());
  program.run(check);
  if (!check.first()) return {};
  const KernelCheck::Finding& f = *check.first();
  Departure d = at(f.value.node, program.graph(), static_cast<std::size_t>(f.element), f.expected, f.got);
  d.where = Departure::Where::kernel;
  d.number = f.kernel;
  d.name = program.plan().kernels[f.kernel].implementation;
  d.bound = f.bound;
  return d;
}

std::string Departure::text() const {
  return fmt::format("{} {} {}: element {} is {:.9g}, expected {:.9g} (may be off by {:.3g})\n    {}\n",
                     where == Where::pass ? "pass" : "kernel", number, name, element, got, expected, bound, line);
}

}  // namespace thalweg
