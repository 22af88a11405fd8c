// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/gradient_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/dual_interpret.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/walk.h"
#include "thalweg/lib/compile/summary.h"
#include "thalweg/lib/inspect/made_up.h"
#include "thalweg/lib/inspect/smaller_pictures.h"
#include "thalweg/lib/inspect/stage.h"
#include "thalweg/lib/train/with_batch.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

using Is = Verdict::Is;

Verdict skipped(std::string name, std::string why) { return {std::move(name), Is::skipped, std::move(why)}; }

// -- by the interpreter

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
  std::string output;  ///< what the graph calls the loss
  std::vector<Value> variables;
};

/// Empty `variables` if the graph has no loss that depends on a trainable variable.
Task task_of(const Graph& whole) {
  Task task{at_stage(whole, Stage::built).graph, {}, {}, {}};
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
    task.output = output.name;
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

/// The exact derivative of a value along the direction, found forward: before what it is compared with is in the graph,
/// which is evaluated whole.
double found_forward(const Task& task, const Value& of, const Feeds& feeds, std::uint64_t seed) {
  return prepared<Dual>(task, feeds, seed, true).at(of)[0].d;
}

/// Compares a derivative found backward with the exact one.
Verdict compared(std::string name, const Task& task, const Value& backward, double exact, const Feeds& feeds,
                 std::uint64_t seed) {
  const double found = prepared<double>(task, feeds, seed, false).at(backward)[0];
  const double scale = std::max({std::abs(found), std::abs(exact), 1e-12});
  const double off = std::abs(found - exact) / scale;
  const std::string detail = fmt::format("along a random direction of {} variables {:.9g}, exactly {:.9g}",
                                         task.variables.size(), found, exact);
  if (std::isnan(off) || off > 1e-6) return {std::move(name), Is::failed, detail};
  if (exact == 0) return skipped(std::move(name), "the derivative is 0 along a random direction: nothing to compare");
  return {std::move(name), Is::ok, fmt::format("{} (apart by {:.1e} of it)", detail, off)};
}

/// The sizes of the first picture among the inputs.
std::string picture_size(const Graph& graph) {
  for (const NodeId id : graph.inputs()) {
    const Shape& shape = graph.node(id).types[0].shape;
    if (shape.rank() == 4) return fmt::format("{}x{}", shape[1], shape[2]);
  }
  return "?";
}

/// A net of convolutions is the same net at smaller pictures: the largest of which a step takes `most` operations.
std::optional<Sized> at_fewer_pixels(const Graph& graph, double most) {
  constexpr Dim smallest_part = 8;
  const Task whole = task_of(graph);
  const Graph::Output loss{whole.output, whole.loss.id()};
  for (Dim divisor = 2; divisor <= smallest_part; ++divisor) {
    std::optional<Graph> smaller = at_smaller_pictures(whole.graph, loss, divisor);
    if (!smaller) return {};
    constexpr double step = 3;  // the forward part and its gradients
    if (step * flops(*smaller) > most) continue;
    std::string note = fmt::format(" at {} pixels in the place of {}", picture_size(*smaller), picture_size(whole.graph));
    return Sized{std::move(*smaller), std::move(note), true};
  }
  return {};
}

/// A graph that the interpreter can take: at a smaller batch and, where that is not enough, at smaller pictures.
Sized interpretable(const Graph& graph, double sweeps, double most_flops) {
  // Of the step alone, however often it is swept: on pictures that are smaller for second derivatives, batch norms would
  // see two or three numbers, and a few terms of 1e20 would hide the rest.
  constexpr double patience = 1.5;
  Sized small = sized(graph, sweeps, most_flops);
  if (small.fits) return small;
  std::optional<Sized> fewer = at_fewer_pixels(small.graph, patience * most_flops);
  if (!fewer) return small;
  fewer->note = small.note + fewer->note;
  return std::move(*fewer);
}

/// The verdict of the first (1) or second (2) derivative; nothing where the interpreter cannot take it.
std::optional<Verdict> by_interpreter(int order, const Graph& graph, const CheckOptions& options) {
  // Of a whole step, which is a gradient: both ways to derive, and what is derived comes along.
  const double sweeps = order == 1 ? 2 : 6;
  const Sized small = interpretable(graph, sweeps, options.most_flops);
  if (!small.fits) return {};
  const std::string name = order == 1 ? "gradients" : "second gradients";
  Task task = task_of(small.graph);
  const Feeds feeds = made_up_feeds(task.graph, options.seed);
  const auto slope_of = [&](const Value& y) {
    return along_direction(task, gradients(y, task.variables, {.allow_unconnected = true}));
  };
  try {
    const Value of = order == 1 ? task.loss : slope_of(task.loss);
    const double exact = found_forward(task, of, feeds, options.seed);
    Verdict verdict = compared(name, task, slope_of(of), exact, feeds, options.seed);
    verdict.detail += small.note;
    return verdict;
  } catch (const GraphError& error) {
    if (order == 1) throw;
    const std::string what = error.what();
    return skipped(name, what.substr(0, what.find('\n')));
  }
}

// -- by differences

/// A direction in the space of all variables, and how fast the loss grows along it.
struct Ascent {
  std::vector<std::vector<double>> along;  ///< of each variable: its gradient, of length 1
  double slope = 0;                        ///< what the gradients say
};

Ascent ascent_of(Task& task, CompileOptions compiling, const Feeds& feeds) {
  Graph& graph = task.graph;
  const std::vector<Value> found = gradients(task.loss, task.variables, {.allow_unconnected = true});
  const auto name = [](std::size_t i) { return fmt::format("gradient/{}", i); };
  for (std::size_t i = 0; i < found.size(); ++i) graph.output(name(i), found[i]);
  Program program = compile(graph, compiling);
  feed(program, feeds);
  program.run();
  Ascent ascent;
  for (std::size_t i = 0; i < found.size(); ++i) {
    std::vector<double> gradient = program.fetch(name(i)).numbers();
    double square = 0;
    for (const double x : gradient) square += x * x;
    const double length = std::sqrt(square);
    for (double& x : gradient) x = length > 0 ? x / length : 0;
    ascent.slope += length;
    ascent.along.push_back(std::move(gradient));
  }
  return ascent;
}

/// The loss of a compiled forward part with its variables moved along a direction.
class Probe {
 public:
  Probe(const Task& task, const CompileOptions& compiling, const Feeds& feeds)
      : task_(task), store_(compiling.variables), program_(compile(task.graph, compiling)) {
    feed(program_, feeds);
    for (const Value& w : task.variables) start_.push_back(store_.at(w.node().name).numbers());
  }
  double operator()(const Ascent& ascent, double by) {
    for (std::size_t i = 0; i < start_.size(); ++i) {
      const Value& w = task_.variables[i];
      std::vector<double> moved = start_[i];
      for (std::size_t k = 0; k < moved.size(); ++k) moved[k] += by * ascent.along[i][k];
      store_.set(w.node().name, Tensor(w.type(), moved));
    }
    program_.run();
    return program_.scalar(task_.output);
  }

 private:
  const Task& task_;
  Variables store_;
  Program program_;
  std::vector<std::vector<double>> start_;
};

/// The slope of the loss along the gradient, measured: halves the distance until two differences in a row say nearly
/// the same.
struct Measured {
  double slope = 0;
  double doubt = 0;  ///< how far the two are apart
};
Measured measured(Probe& probe, const Ascent& ascent) {
  constexpr int halvings = 7;
  // At first some 3 % of the loss lie between the ends: rounding, some 1e-6 of it, is then seen by none of them.
  double distance = 0.015 * std::max(std::abs(probe(ascent, 0)), 1e-3) / ascent.slope;
  Measured best{.doubt = std::numeric_limits<double>::infinity()};
  double last = std::numeric_limits<double>::quiet_NaN();
  for (int i = 0; i < halvings; ++i, distance /= 2) {
    const double slope = (probe(ascent, distance) - probe(ascent, -distance)) / (2 * distance);
    const double apart = std::abs(slope - last);
    last = slope;
    if (apart < best.doubt) best = {slope, apart};
  }
  return best;
}

/// Whether a gradient ends before it comes to a variable, which differences know nothing of.
bool stops_gradients(const Task& task) {
  const NodeId from = task.loss.id().node;
  const std::vector<bool> needed = behind(task.graph, std::span(&from, 1));
  for (NodeId id = 0; id < task.graph.size(); ++id)
    if (needed[id] && task.graph.node(id).op->name == "stop_gradient") return true;
  return false;
}

Verdict by_differences(const Graph& graph, const CheckOptions& options) {
  constexpr double close = 0.01;
  Task task = task_of(graph);
  if (stops_gradients(task))
    return skipped("gradients", fmt::format("{:.1e} FLOPs a step are too many for the interpreter, and differences see "
                                            "through stop_gradient (--most-flops allows more)", flops(graph)));
  const Feeds feeds = made_up_feeds(task.graph, options.seed);
  CompileOptions compiling = options.compile;
  compiling.variables = Variables();
  Probe probe(task, compiling, feeds);
  const Ascent ascent = ascent_of(task, compiling, feeds);
  if (!(ascent.slope > 0) || !std::isfinite(ascent.slope))
    return skipped("gradients", fmt::format("all of them are {}: nothing to compare", ascent.slope));
  const Measured found = measured(probe, ascent);
  const double off = std::abs(found.slope - ascent.slope) / ascent.slope, doubt = found.doubt / ascent.slope;
  const std::string detail = fmt::format(
      "the slope along the gradients of {} variables is {:.6g}, by differences of the compiled loss {:.6g} (apart by "
      "{:.1e} of it); not exactly: {:.1e} FLOPs a step are too many for the interpreter",
      task.variables.size(), ascent.slope, found.slope, off, flops(graph));
  if (!(doubt < close)) return skipped("gradients", "differences are too coarse to tell: " + detail);
  return {"gradients", off <= std::max(close, 4 * doubt) ? Is::ok : Is::failed, detail};
}

}  // namespace

Sized sized(const Graph& graph, double sweeps, double most_flops) {
  const double work = sweeps * flops(graph), enough = most_flops / 10;
  Sized result{graph, {}, work <= most_flops};
  if (work <= enough) return result;
  try {
    const Dim batch = batch_of(graph);
    const Dim fewer = std::max<Dim>(2, static_cast<Dim>(static_cast<double>(batch) * enough / work));
    if (fewer >= batch) return result;
    result = {with_batch(graph, fewer), fmt::format(" (at batch {} in the place of {})", fewer, batch)};
    result.fits = sweeps * flops(result.graph) <= most_flops;
  } catch (const GraphError&) {  // no batch, or one that cannot be another
  }
  return result;
}

void check_gradients(const Graph& graph, const CheckOptions& options, const Say& say) {
  if (task_of(graph).variables.empty()) {
    for (const char* name : {"gradients", "second gradients"})
      say(skipped(name, "no float scalar output depends on a trainable variable"));
    return;
  }
  const std::optional<Verdict> first = by_interpreter(1, graph, options);
  say(first ? *first : by_differences(graph, options));
  const std::optional<Verdict> second = by_interpreter(2, graph, options);
  say(second ? *second
             : skipped("second gradients", fmt::format("none was looked at: {:.1e} FLOPs a step are too many for the "
                                                       "interpreter (--most-flops allows more)", flops(graph))));
}

}  // namespace thalweg
