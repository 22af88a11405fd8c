// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "thalweg/graph/opdef.h"
#include "thalweg/graph/parse.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/inspect/gradient_check.h"
#include "thalweg/lib/inspect/kernel_check.h"
#include "thalweg/lib/inspect/made_up.h"

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

// -- runs

Verdict check_kernels(const Graph& whole, const CheckOptions& options) {
  // What is too much even at the smallest batch is checked in part.
  const Sized small = sized(whole, KernelCheck::sweeps, options.most_flops);
  const Graph& graph = small.graph;
  Program program = compile(graph, options.compile);
  feed(program, made_up_feeds(graph, options.seed));
  KernelCheck check(program.planned(), small.fits ? std::numeric_limits<double>::infinity() : options.most_flops);
  program.run(check);
  if (!check.first()) {
    std::string detail = fmt::format("{} results of {} kernels agree with the interpreter{}", check.compared(),
                                     check.kernels(), small.note);
    if (const std::size_t rest = program.kernels() - check.kernels(); rest > 0)
      detail += fmt::format("; not compared: {} others", rest);
    if (check.kinds_left_out() > 0)
      detail += fmt::format(", of {} kinds of which none was, for one takes the interpreter at least {:.1e} operations",
                            check.kinds_left_out(), check.cheapest_left_out());
    else if (check.kernels() < program.kernels())
      detail += ", each like one that was";
    return {"kernels", check.compared() > 0 ? Is::ok : Is::skipped, detail};
  }
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
