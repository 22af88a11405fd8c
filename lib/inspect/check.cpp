// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <optional>

#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/dual_interpret.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/parse.h"
#include "thalweg/graph/print.h"
#include "thalweg/graph/walk.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/compile/summary.h"
#include "thalweg/lib/inspect/kernel_check.h"
#include "thalweg/lib/inspect/made_up.h"
#include "thalweg/lib/inspect/stage.h"
#include "thalweg/lib/train/with_batch.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

using Is = Verdict::Is;

Verdict skipped(std::string name, std::string why) { return {std::move(name), Is::skipped, std::move(why)}; }

// -- text

Verdict check_text(const Graph& graph) {
  const std::string text = print(graph);
  if (print(parse(text, "the printed text")) != text)
    return {"text", Is::failed, "the printed text reads back as another graph"};
  return {"text", Is::ok, fmt::format("{} nodes print and read back equal", graph.size())};
}

// -- gradients

/// Numbers in [-1, 1) that are a function of seed and place.
std::vector<double> direction(std::size_t count, std::uint64_t seed) {
  std::vector<double> v(count);
  for (double& x : v) {
    seed = seed * 6364136223846793005U + 1442695040888963407U;
    x = static_cast<double>(seed >> 40U) * 0x1p-23 - 1;
  }
  return v;
}

std::string direction_name(const Value& variable) { return "direction/" + variable.node().name; }

/// The forward part of a graph with a loss and what it is differentiated by.
struct Task {
  Graph graph;
  Value loss;
  std::vector<Value> variables;
};

/// Empty `variables` if the graph has no loss that depends on a trainable variable.
Task task_of(const Graph& whole) {
  Task task{at_stage(whole, Stage::built).graph, {}, {}};
  std::vector<Graph::Output> outputs = task.graph.outputs();
  std::stable_partition(outputs.begin(), outputs.end(), [](const Graph::Output& o) { return o.name == "loss"; });
  for (const Graph::Output& output : outputs) {
    const TensorType& type = task.graph.type(output.value);
    if (!is_float(type.dtype) || type.shape.rank() != 0) continue;
    const NodeId from = output.value.node;
    const std::vector<bool> needed = behind(task.graph, std::span(&from, 1));
    for (const NodeId id : task.graph.variables())
      if (needed[id] && task.graph.node(id).attrs.flag("trainable") && is_float(task.graph.node(id).types[0].dtype))
        task.variables.push_back(task.graph.value({id, 0}));
    if (task.variables.empty()) continue;
    task.loss = task.graph.value(output.value);
    break;
  }
  return task;
}

/// The sum over all variables of gradient times direction, as a node: its value is the derivative along the direction.
Value along_direction(const Task& task, const std::vector<Value>& gradients) {
  Value sum_of_all;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const Value v = task.graph.has(direction_name(task.variables[i]))
                        ? task.graph.find(direction_name(task.variables[i]))
                        : input(task.graph, direction_name(task.variables[i]), task.variables[i].type());
    const Value product = gradients[i] * v;
    Value part = product.rank() == 0 ? product : sum(product);
    if (part.dtype() != DType::f64) part = cast(part, DType::f64);
    sum_of_all = sum_of_all ? sum_of_all + part : part;
  }
  return sum_of_all;
}

template <class S>
BasicInterpreter<S> prepared(const Task& task, const Feeds& feeds, std::uint64_t seed, bool moves) {
  BasicInterpreter<S> interpreter(task.graph);
  const auto lifted = [](const std::vector<double>& numbers) { return std::vector<S>(numbers.begin(), numbers.end()); };
  for (const auto& [name, tensor] : feeds) interpreter.set(name, {tensor.shape(), lifted(tensor.numbers())});
  for (std::size_t i = 0; i < task.variables.size(); ++i) {
    const Value& w = task.variables[i];
    const std::vector<double> v = direction(static_cast<std::size_t>(w.type().elements()), seed + i);
    if (task.graph.has(direction_name(w))) interpreter.set(direction_name(w), {w.shape(), lifted(v)});
    if constexpr (std::is_same_v<S, Dual>) {
      if (!moves) continue;
      Array<S> value = interpreter.variable(w.node().name);
      for (std::size_t k = 0; k < value.size(); ++k) value[k].d = v[k];
      interpreter.set(w.node().name, std::move(value));
    }
  }
  interpreter.evaluate();
  return interpreter;
}

/// Compares a derivative found backward with the exact one found forward.
Verdict compared(std::string name, const Task& task, const Value& backward, const Value& of, const Feeds& feeds,
                 std::uint64_t seed) {
  const double found = prepared<double>(task, feeds, seed, false).at(backward)[0];
  const double exact = prepared<Dual>(task, feeds, seed, true).at(of)[0].d;
  const double scale = std::max({std::abs(found), std::abs(exact), 1e-12});
  const double off = std::abs(found - exact) / scale;
  const std::string detail = fmt::format("along a random direction of {} variables {:.9g}, exactly {:.9g}",
                                         task.variables.size(), found, exact);
  if (std::isnan(off) || off > 1e-6) return {std::move(name), Is::failed, detail};
  if (exact == 0) return skipped(std::move(name), "the derivative is 0 along a random direction: nothing to compare");
  return {std::move(name), Is::ok, fmt::format("{} (apart by {:.1e} of it)", detail, off)};
}

/// A graph at a batch that the interpreter can take.
struct Sized {
  Graph graph;
  std::string note = {};  ///< of another batch
};
/// Nothing where two samples a step are still too many for so many sweeps.
std::optional<Sized> sized(const Graph& graph, double sweeps, double most_flops) {
  const double work = sweeps * flops(graph);
  if (work <= most_flops) return Sized{graph};
  try {
    const Dim batch = batch_of(graph);
    const Dim fewer = std::max<Dim>(2, static_cast<Dim>(static_cast<double>(batch) * most_flops / work));
    if (fewer >= batch) return {};
    Sized smaller{with_batch(graph, fewer), fmt::format(" (at batch {} in the place of {})", fewer, batch)};
    if (sweeps * flops(smaller.graph) <= 1.05 * most_flops) return smaller;
  } catch (const GraphError&) {  // no batch, or one that cannot be another
  }
  return {};
}

Verdict too_large(std::string name, const Graph& graph) {
  return skipped(
      std::move(name),
      fmt::format("{:.1e} FLOPs a step are too many for the interpreter; try a smaller batch", flops(graph)));
}

using Say = std::function<void(Verdict)>;

void check_gradients(const Graph& graph, const CheckOptions& options, const Say& say) {
  constexpr double sweeps = 4;  // of a whole step: two derivatives, each backward and forward
  const std::optional<Sized> small = sized(graph, sweeps, options.most_flops);
  Task task = task_of(small ? small->graph : graph);
  if (task.variables.empty()) {
    for (const char* name : {"gradients", "second gradients"})
      say(skipped(name, "no float scalar output depends on a trainable variable"));
    return;
  }
  if (!small) {
    for (const char* name : {"gradients", "second gradients"}) say(too_large(name, graph));
    return;
  }
  const Feeds feeds = made_up_feeds(task.graph, options.seed);
  const std::vector<Value> first = gradients(task.loss, task.variables, {.allow_unconnected = true});
  const Value slope = along_direction(task, first);
  const auto say_compared = [&](Verdict v) {
    v.detail += small->note;
    say(std::move(v));
  };
  say_compared(compared("gradients", task, slope, task.loss, feeds, options.seed));
  try {
    const std::vector<Value> second = gradients(slope, task.variables, {.allow_unconnected = true});
    say_compared(compared("second gradients", task, along_direction(task, second), slope, feeds, options.seed));
  } catch (const GraphError& error) {
    const std::string what = error.what();
    say(skipped("second gradients", what.substr(0, what.find('\n'))));
  }
}

// -- runs

Verdict check_kernels(const Graph& whole, const CheckOptions& options) {
  constexpr double sweeps = 3;
  const std::optional<Sized> small = sized(whole, sweeps, options.most_flops);
  if (!small) return too_large("kernels", whole);
  const Graph& graph = small->graph;
  Program program = compile(graph, options.compile);
  feed(program, made_up_feeds(graph, options.seed));
  KernelCheck check(program.planned());
  program.run(check);
  if (!check.first())
    return {"kernels", Is::ok, fmt::format("{} results of {} kernels agree with the interpreter{}", check.compared(),
                                           program.kernels(), small->note)};
  const KernelCheck::Finding& f = *check.first();
  return {"kernels", Is::failed, fmt::format("kernel {} ({}): element {} of {} is {:.9g}, expected {:.9g}", f.kernel,
                                             program.plan().kernels[f.kernel].implementation, f.element,
                                             label(program.graph(), f.value), f.got, f.expected)};
}

/// Looks at every float result while it is there.
class FiniteHunt : public StepObserver {
 public:
  explicit FiniteHunt(const PlannedProgram& planned) : planned_(planned) {}
  void before(std::size_t, std::span<const void* const>) override {}
  void after(std::size_t kernel, std::span<void* const> out) override {
    const PlannedKernel& k = planned_.plan.kernels[kernel];
    for (std::size_t r = 0; r < out.size() && found_.empty(); ++r) {
      const ValueId value = k.copies_to_variable ? k.in.front() : k.out[r];
      const TensorType& type = planned_.graph.type(value);
      if (!is_float(type.dtype)) continue;
      std::vector<double> numbers(static_cast<std::size_t>(type.elements()));
      load_numbers(type.dtype, out[r], numbers);
      const auto bad = std::find_if(numbers.begin(), numbers.end(), [](double x) { return !std::isfinite(x); });
      if (bad == numbers.end()) continue;
      const Node& node = planned_.graph.node(value.node);
      found_ = fmt::format("{} {}{} (kernel {}): element {} is {}", label(planned_.graph, value), node.op->name,
                           node.loc.known() ? " at " + to_string(node.loc) : "", kernel, bad - numbers.begin(), *bad);
    }
  }
  const std::string& found() const { return found_; }

 private:
  const PlannedProgram& planned_;
  std::string found_;
};

Verdict check_finite(Program& program, int steps) {
  for (int step = 0; step < steps; ++step)
    if (const std::string found = first_not_finite(program); !found.empty())
      return {"finite", Is::failed, fmt::format("in step {}, {}", step + 1, found)};
  return {"finite", Is::ok, fmt::format("every number of {} steps", steps)};
}

/// The bytes of every output and variable after some steps from the start.
std::vector<std::byte> bits_after(const Graph& graph, const CompileOptions& compiling, const Feeds& feeds, int steps) {
  CompileOptions options = compiling;
  options.variables = Variables();
  Program program = compile(graph, options);
  feed(program, feeds);
  for (int step = 0; step < steps; ++step) program.run();
  std::vector<std::byte> bits;
  const auto add = [&](const Tensor& tensor) {
    const auto* bytes = static_cast<const std::byte*>(tensor.data());
    bits.insert(bits.end(), bytes, bytes + tensor.bytes());
  };
  for (const std::string& name : program.output_names()) add(program.fetch(name));
  for (const std::string& name : program.variables().names()) add(program.variables().at(name));
  return bits;
}

void check_bits(const Graph& graph, const CheckOptions& options, int threads, const Feeds& feeds,
                const Say& say) {
  CompileOptions compiling = options.compile;
  compiling.logical_threads = threads;
  const std::vector<std::byte> once = bits_after(graph, compiling, feeds, options.steps);
  const bool again = bits_after(graph, compiling, feeds, options.steps) == once;
  const std::string what = fmt::format("{} bytes of outputs and variables after {} steps", once.size(), options.steps);
  say({"same bits, run to run", again ? Is::ok : Is::failed, what});
  if (threads == 1)
    return say(skipped("same bits, any cores", "the step is cut for one thread: cores cannot matter"));
  std::vector<std::byte> narrow;
  {
    const OneCore one;
    if (!one) return say(skipped("same bits, any cores", "this system does not let threads be bound"));
    narrow = bits_after(graph, compiling, feeds, options.steps);
  }
  say({"same bits, any cores", narrow == once ? Is::ok : Is::failed,
                      fmt::format("{}: {} threads on all cores and on one", what, threads)});
}

Verdict check_implementations(const PlannedProgram& planned) {
  for (std::size_t k = 0; k < planned.plan.kernels.size(); ++k) {
    const std::string& name = planned.plan.kernels[k].implementation;
    const bool reference = name.starts_with("onednn:") && (name.ends_with(":ref") || name.find(":ref:") != name.npos ||
                                                           name.find(":ref_") != name.npos);
    if (reference) return {"implementations", Is::failed, fmt::format("kernel {} is {}, a reference loop", k, name)};
  }
  return {"implementations", Is::ok,
          fmt::format("none of {} kernels is a reference loop", planned.plan.kernels.size())};
}

}  // namespace

std::string_view to_string(Verdict::Is is) {
  switch (is) {
    case Is::ok: return "ok";
    case Is::failed: return "FAILED";
    case Is::skipped: return "skipped";
  }
  return "?";
}

std::string first_not_finite(Program& program) {
  FiniteHunt hunt(program.planned());
  program.run(hunt);
  return hunt.found();
}

std::vector<Verdict> check(const Graph& graph, const CheckOptions& options) {
  std::vector<Verdict> verdicts;
  const Say say = [&](Verdict verdict) {
    verdicts.push_back(std::move(verdict));
    if (options.each) options.each(verdicts.back());
  };
  say(check_text(graph));
  check_gradients(graph, options, say);
  Verdict plan_verdict{"memory plan", Is::ok, {}};
  PlannedProgram planned;
  try {
    planned = plan(graph, options.compile);
    plan_verdict.detail = fmt::format("{} buffers in {} bytes; replayed, every read finds the value that it means",
                                      planned.plan.buffers.size(), planned.memory.total());
  } catch (const InternalError& error) {
    say({"memory plan", Is::failed, error.what()});
    return verdicts;
  }
  say(check_kernels(graph, options));
  const Feeds feeds = made_up_feeds(graph, options.seed);
  {
    Program program = compile(graph, options.compile);
    feed(program, feeds);
    say(check_finite(program, options.steps));
  }
  check_bits(graph, options, planned.logical_threads, feeds, say);
  say(check_implementations(planned));
  say(std::move(plan_verdict));
  return verdicts;
}

}  // namespace thalweg
