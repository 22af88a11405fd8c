// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/compile/program.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>

#include "thalweg/graph/cse.h"
#include "thalweg/graph/dce.h"
#include "thalweg/graph/fail.h"
#include "thalweg/graph/fold.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/pipeline.h"
#include "thalweg/graph/print.h"
#include "thalweg/graph/verify.h"
#include "thalweg/lib/base/block.h"
#include "thalweg/lib/base/logical_threads.h"
#include "thalweg/lib/base/memory.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/compile/plan.h"
#include "thalweg/lib/compile/precision.h"
#include "thalweg/lib/compile/recompute.h"
#include "thalweg/lib/compile/summary.h"
#include "thalweg/lib/kernels/finite.h"
#include "thalweg/ops/loss.h"
#include "thalweg/lib/onednn/lower.h"

namespace thalweg {
namespace {

// Waking a second thread costs more than it brings below this work in a step.
constexpr double small_step_flops = 4e6;

Block allocate(std::size_t bytes, std::string_view what) {
  if (bytes == 0) return {};
  Block block = zeros_of(bytes);
  if (!block) run_error("there is no memory for the {} of {} bytes", what, bytes);
  return block;
}

/// A kernel with its addresses: all that a step reads of it.
struct Entry {
  const Kernel* kernel = nullptr;
  const void* const* in = nullptr;
  void* const* out = nullptr;
  void* scratch = nullptr;
};

/// Numbers that no kernel watches while it writes them.
struct Numbers {
  DType dtype = DType::f32;
  const void* data = nullptr;
  std::size_t count = 0;
};

struct Named {
  std::string name;
  TensorType type;
  void* data = nullptr;
  mutable bool fed = false;  ///< an input that somebody has asked for, to write it
};

}  // namespace

struct Program::State {
  PlannedProgram planned;
  Variables store;
  std::vector<Tensor> variables;  ///< kept alive
  Block arena, constants;
  std::vector<Tensor> input_tensors;
  std::vector<Named> inputs, outputs;
  std::vector<Entry> entries;
  std::vector<std::unique_ptr<Kernel>> kernels;
  std::vector<SourceLoc> locs;  ///< of the node in each kernel that can fail
  std::vector<const void*> in;
  std::vector<void*> out;
  std::vector<std::string> notices;
  std::atomic<bool> busy = false;
  std::atomic<bool> not_finite = false;  ///< of what the last run wrote into variables
  std::vector<Numbers> unwatched;
  std::size_t unfed = 0;  ///< inputs that nobody has written yet
  int started_otherwise = 1;  ///< how many workers kernels start that do so themselves; the caller is one
};

namespace {

int chosen_threads(const Graph& graph, int asked) {
  if (asked < 0 || asked > most_logical_threads)
    run_error("logical_threads is {}, must be 0 (chosen) to {}", asked, most_logical_threads);
  if (asked > 0) return asked;
  return flops(graph) < small_step_flops ? 1 : std::min(hardware_threads(), most_logical_threads);
}

PlanReport report_of(const Plan& plan, const Placement& placement) {
  PlanReport report{.kernels = {}, .buffers = {}, .outputs = placement.outputs};
  for (const Buffer& b : placement.buffers)
    report.buffers.push_back({.region = b.region, .bytes = b.bytes, .offset = b.offset, .node = b.node,
                              .first = b.first, .last = b.last});
  for (std::size_t k = 0; k < plan.works.size(); ++k) {
    const Work& work = plan.works[k];
    const Placement::Places& places = placement.works[k];
    PlannedKernel kernel{.members = work.members, .in = work.in, .out = work.out, .in_buffers = places.in,
                         .out_buffers = places.out, .implementation = work.kernel->name(),
                         .reorders = work.kernel->reorders(), .copies_to_variable = work.to_variable};
    if (places.scratch != Placement::none) kernel.scratch = places.scratch;
    report.kernels.push_back(std::move(kernel));
  }
  return report;
}

std::string place_text(const PlannedBuffer& b, const Graph& graph) {
  switch (b.region) {
    case Region::arena: return fmt::format("arena+{}", b.offset);
    case Region::variable: return "@" + graph.node(b.node).name;
    case Region::input: return "%" + graph.node(b.node).name;
    case Region::constant: return fmt::format("constant+{}", b.offset);
  }
  return "?";
}

MemoryReport memory_of(const Graph& graph, const Placement& placement) {
  MemoryReport memory{.constants = placement.constants, .arena = placement.arena,
                      .largest_live = placement.largest_live};
  for (const NodeId id : graph.variables()) memory.variables += graph.node(id).types[0].bytes();
  for (const NodeId id : graph.inputs()) memory.inputs += graph.node(id).types[0].bytes();
  return memory;
}

}  // namespace

std::string PlannedProgram::text() const {
  std::string text = fmt::format("plan {} {{\n", graph.name());
  const Labels labels(graph);
  for (std::size_t k = 0; k < plan.kernels.size(); ++k) {
    const PlannedKernel& kernel = plan.kernels[k];
    std::vector<std::string> in, out;
    for (std::size_t i = 0; i < kernel.in.size(); ++i)
      in.push_back(fmt::format("{} {}", labels(kernel.in[i]), place_text(plan.buffers[kernel.in_buffers[i]], graph)));
    for (std::size_t i = 0; i < kernel.out.size(); ++i)
      out.push_back(fmt::format("{} : {} {}", labels(kernel.out[i]), to_string(graph.type(kernel.out[i])),
                                place_text(plan.buffers[kernel.out_buffers[i]], graph)));
    text += fmt::format("  {:<4} {} -> {}\n       {}\n", k, fmt::join(in, ", "), fmt::join(out, ", "),
                        kernel.implementation);
  }
  return text + fmt::format("  variables {} bytes, constants {}, inputs {}, arena {} (largest live {}), total {}\n}}\n",
                            memory.variables, memory.constants, memory.inputs, memory.arena, memory.largest_live,
                            memory.total());
}

Program::Program(detail::Shared<State> state) : state_(std::move(state)) {}
Program::~Program() = default;
Program::Program(Program&&) noexcept = default;
Program& Program::operator=(Program&&) noexcept = default;

/// Turns a placed schedule into addresses.
struct Program::Assembly {
  Program::State& p;
  const ValueIndex& index;
  Plan& plan;
  const Placement& placement;
  std::vector<Tensor> input_of, variable_of;

  void bind_stored() {
    input_of.resize(p.planned.graph.size());
    variable_of.resize(p.planned.graph.size());
    for (const NodeId id : p.planned.graph.variables()) {
      variable_of[id] = p.store.ensure(p.planned.graph, id);
      p.variables.push_back(variable_of[id]);
    }
    for (const NodeId id : p.planned.graph.inputs()) {
      const Node& node = p.planned.graph.node(id);
      input_of[id] = Tensor(node.types[0]);
      p.inputs.push_back({node.name, node.types[0], input_of[id].data()});
      ++p.unfed;
    }
  }

  void allocate_blocks() {
    p.input_tensors = input_of;
    p.arena = allocate(placement.arena, "arena");
    p.constants = allocate(placement.constants, "constants");
    for (const Buffer& b : placement.buffers)
      if (b.region == Region::constant) fill_constant(b);
  }

  void fill_constant(const Buffer& b) {
    const Node& node = p.planned.graph.node(b.node);
    std::vector<double> values = node.attrs.reals("values");
    const std::size_t count = b.bytes / size_of(node.types[0].dtype);
    if (values.size() == 1) values.resize(count, values.front());
    store_numbers(node.types[0].dtype, values, p.constants.get() + b.offset);
  }

  void* address(std::uint32_t buffer) {
    const Buffer& b = placement.buffers[buffer];
    switch (b.region) {
      case Region::arena: return p.arena.get() + b.offset;
      case Region::constant: return p.constants.get() + b.offset;
      case Region::variable: return variable_of[b.node].data();
      case Region::input: return input_of[b.node].data();
    }
    return nullptr;
  }

  void watch(Kernel& kernel, std::size_t result, const Buffer& buffer) {
    if (buffer.region != Region::variable) return;
    const TensorType& type = p.planned.graph.node(buffer.node).types[0];
    if (is_float(type.dtype) && !kernel.watch(result, p.not_finite))
      p.unwatched.push_back({type.dtype, variable_of[buffer.node].data(), static_cast<std::size_t>(type.elements())});
  }

  void bind_kernels() {
    for (const Placement::Places& places : placement.works) {
      for (const std::uint32_t b : places.in) p.in.push_back(address(b));
      for (const std::uint32_t b : places.out) p.out.push_back(address(b));
    }
    const void* const* in = p.in.data();
    void* const* out = p.out.data();
    for (std::size_t k = 0; k < plan.works.size(); ++k) {
      const Placement::Places& places = placement.works[k];
      p.kernels.push_back(std::move(plan.works[k].kernel));
      if (p.kernels.back()->starts_workers()) p.started_otherwise = p.planned.logical_threads;
      for (std::size_t i = 0; i < places.out.size(); ++i) watch(*p.kernels.back(), i, placement.buffers[places.out[i]]);
      p.locs.push_back(p.planned.graph.node(plan.works[k].members.front()).loc);
      p.entries.push_back({.kernel = p.kernels.back().get(), .in = in, .out = out,
                           .scratch = places.scratch == Placement::none ? nullptr : address(places.scratch)});
      in += places.in.size();
      out += places.out.size();
    }
    for (std::size_t i = 0; i < p.planned.graph.outputs().size(); ++i) {
      const Graph::Output& output = p.planned.graph.outputs()[i];
      p.outputs.push_back({output.name, p.planned.graph.type(output.value), address(placement.outputs[i])});
    }
  }
};

namespace {

/// Bytes of the variables and inputs.
std::size_t stored_bytes(const Graph& graph) {
  std::size_t bytes = 0;
  for (NodeId id = 0; id < graph.size(); ++id)
    if (const Node& node = graph.node(id); node.op->name == "variable" || node.op->name == "input")
      bytes += node.types[0].bytes();
  return bytes;
}

/// Of the variables, what another program has taken already.
std::size_t shared_bytes(const Graph& graph, const Variables& variables) {
  std::size_t bytes = 0;
  for (const NodeId id : graph.variables())
    if (variables.has(graph.node(id).name)) bytes += graph.node(id).types[0].bytes();
  return bytes;
}

/// MemoryReport::total() before any of it is taken.
std::size_t planned_bytes(const Placement& placement, const Graph& graph) {
  return placement.arena + placement.constants + stored_bytes(graph);
}

/// A graph with its kernels and their places, ready for addresses.
struct Prepared {
  Graph graph;
  ValueIndex index;
  Plan plan;
  Placement placement;
  std::size_t bytes;
  std::size_t left_before = 0;  ///< bytes that there were before kernels were made
};

Prepared prepared(Graph graph, const CompileOptions& options, int threads) {
  ValueIndex index(graph);
  Plan plan = plan_kernels(graph, index, options, threads);
  Placement placement = place(graph, index, plan, options);
  const std::size_t bytes = planned_bytes(placement, graph);
  return {std::move(graph), std::move(index), std::move(plan), std::move(placement), bytes};
}

/// The plan that computes least among those within the budget.
Prepared prepared_within(Graph graph, const CompileOptions& options, int threads) {
  Prepared plain = prepared(graph, options, threads);
  if (options.memory_budget == 0 || plain.bytes <= options.memory_budget) return plain;
  std::size_t smallest = plain.bytes;
  for (Recomputed& choice : recompute_choices(graph)) {
    Prepared other = prepared(std::move(choice.graph), options, threads);
    if (other.bytes <= options.memory_budget) return other;
    smallest = std::min(smallest, other.bytes);
  }
  run_error("graph '{}' needs {} bytes, and {} when it recomputes what it can: more than the memory_budget of {}; a "
            "smaller batch needs less", graph.name(), plain.bytes, smallest, options.memory_budget);
}

[[noreturn]] void memory_error(const Graph& graph, const std::string& needs, const MemoryLimit& limit,
                               std::string_view what_needs_less = "a smaller batch needs less") {
  std::vector<std::pair<std::size_t, ValueId>> largest;
  for (NodeId id = 0; id < graph.size(); ++id)
    for (std::uint32_t r = 0; r < graph.node(id).types.size(); ++r)
      largest.emplace_back(graph.node(id).types[r].bytes(), ValueId{id, r});
  std::sort(largest.begin(), largest.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  largest.resize(std::min<std::size_t>(largest.size(), 10));
  std::string text;
  for (const auto& [size, id] : largest) text += fmt::format("\n    {:>15}  {}", size, describe(graph.value(id)));
  run_error("graph '{}' needs {} and {} are available ({}); {}. Its largest tensors:{}", graph.name(), needs,
            limit.left, limit.name, what_needs_less, text);
}

/// Before threads are started and oneDNN is called: both end the process where memory ends. What the plan needs is
/// not known yet, and what is needed whatever it will be is. Returns how many bytes there are.
std::size_t check_memory_before(const Graph& graph, const Variables& variables, int threads) {
  const std::size_t bytes = stored_bytes(graph) - shared_bytes(graph, variables);
  const MemoryLimit memory = memory_limit();
  if (bytes > memory.left) memory_error(graph, fmt::format("at least {} bytes", bytes), memory);
  const MemoryLimit limit = address_space_limit();
  // Code that oneDNN generates, its tables, and the heaps of threads.
  constexpr std::size_t kernels = std::size_t{96} << 20;
  const std::size_t stacks = static_cast<std::size_t>(threads - 1) * thread_stack_bytes();
  if (bytes + kernels + stacks > limit.left)
    memory_error(graph, fmt::format("{} bytes, with {} for kernels and {} for the stacks of {} threads,",
                                    bytes + kernels + stacks, kernels, stacks, threads), limit,
                 bytes > stacks ? "a smaller batch needs less" : stacks > 0 ? "fewer logical_threads need less" : "raise it");
  return memory.left;
}

/// What is known before any of it is taken. Where there was far more before kernels were made, the system is not asked
/// again: its answer takes a part of a millisecond.
void check_memory(const Placement& placement, const Graph& graph, const Variables& variables,
                  std::size_t left_before) {
  const std::size_t bytes = planned_bytes(placement, graph) - shared_bytes(graph, variables);
  if (bytes < left_before / 4) return;
  if (const MemoryLimit limit = memory_limit(); bytes > limit.left)
    memory_error(graph, fmt::format("{} bytes", bytes), limit);
}

Graph rewritten_noting(const Graph& source, const CompileOptions& options, std::vector<std::string>& notices) {
  // Constants are computed here, and must not depend on the host's rounding.
  const FloatingPointScope floating_point;
  Graph graph = source.clone();
  verify(graph);
  if (options.precision == Precision::bf16) {
    if (onednn::multiplies_bf16())
      use_bf16_products(graph);
    else
      notices.push_back(fmt::format("graph '{}' is computed in f32: this processor does not multiply bf16",
                                    graph.name()));
  }
  if (options.winograd && !onednn::has_wide_kernels())
    notices.push_back(fmt::format("graph '{}': convolutions are direct: Winograd's need AVX-512", graph.name()));
  const std::vector<Pass> passes = passes_of(options);
  if (!passes.empty()) run_pipeline(graph, passes, {.limit = options.pass_limit});
  separate_results(graph);
  return graph;
}

/// Fills in all of `planned`.
Prepared prepare(const Graph& source, const CompileOptions& options, PlannedProgram& planned,
                 std::vector<std::string>& notices) {
  planned.graph = rewritten_noting(source, options, notices);
  planned.logical_threads = chosen_threads(planned.graph, options.logical_threads);
  const std::size_t left = check_memory_before(planned.graph, options.variables, planned.logical_threads);
  check_threading(planned.logical_threads);
  const FloatingPointScope floating_point(planned.logical_threads);
  const LogicalThreads logical(planned.logical_threads);
  Prepared made = prepared_within(planned.graph, options, planned.logical_threads);
  made.left_before = left;
  planned.graph = made.graph;
  check_placement(planned.graph, made.index, made.plan, made.placement);
  planned.plan = report_of(made.plan, made.placement);
  planned.memory = memory_of(planned.graph, made.placement);
  return made;
}

}  // namespace

std::vector<Pass> passes_of(const CompileOptions& options) {
  std::vector<Pass> passes;
  if (options.fold) passes.push_back({"fold", fold});
  if (options.cse) passes.push_back({"cse", cse});
  if (options.dce) passes.push_back({"dce", dce});
  return passes;
}

Graph rewritten(const Graph& source, const CompileOptions& options) {
  std::vector<std::string> notices;
  return rewritten_noting(source, options, notices);
}

PlannedProgram plan(const Graph& graph, const CompileOptions& options) {
  PlannedProgram planned;
  std::vector<std::string> notices;
  prepare(graph, options, planned, notices);
  return planned;
}

Program compile(const Graph& source, const CompileOptions& options) {
  auto state = detail::share<Program::State>();
  Program::State& p = *state;
  Prepared prepared = prepare(source, options, p.planned, p.notices);
  p.store = options.variables;
  check_memory(prepared.placement, p.planned.graph, options.variables, prepared.left_before);
  const FloatingPointScope floating_point(p.planned.logical_threads);
  Program::Assembly assembly{p, prepared.index, prepared.plan, prepared.placement, {}, {}};
  assembly.bind_stored();
  assembly.allocate_blocks();
  assembly.bind_kernels();
  return Program(std::move(state));
}

Program::State& Program::state() const {
  if (!state_) run_error("a Program was used after it was moved from");
  return *state_;
}

namespace {
[[noreturn]] void unfed_error(std::span<const Named> inputs, const Graph& graph) {
  std::vector<std::string> names;
  for (const Named& input : inputs)
    if (!input.fed) names.push_back(fmt::format("'{}' ({})", input.name, to_string(input.type)));
  run_error("program '{}' was run before its input {} was fed", graph.name(), fmt::join(names, ", "));
}
}  // namespace

template <class RunEntry>
void Program::step(RunEntry&& run_entry) {
  State& p = state();
  if (p.busy.exchange(true, std::memory_order_acquire))
    run_error("program '{}' is already running in another thread", p.planned.graph.name());
  struct Release {
    std::atomic<bool>& busy;
    ~Release() { busy.store(false, std::memory_order_release); }
  } release{p.busy};
  check_run(p.planned.logical_threads);
  if (p.unfed > 0) unfed_error(p.inputs, p.planned.graph);
  const FloatingPointScope floating_point(p.started_otherwise);
  const LogicalThreads logical(p.planned.logical_threads);
  const TeamScope team(p.planned.logical_threads);
  p.not_finite.store(false, std::memory_order_relaxed);
  const Entry* entry = p.entries.data();
  try {
    for (const Entry* const end = entry + p.entries.size(); entry != end; ++entry) run_entry(*entry);
  } catch (const LabelError& error) {
    throw error.at(p.locs[static_cast<std::size_t>(entry - p.entries.data())]);
  } catch (const RunError& error) {
    if (error.where().known()) throw;
    throw RunError(error.what(), p.locs[static_cast<std::size_t>(entry - p.entries.data())]);
  }
  for (const Numbers& written : p.unwatched)
    if (!all_finite(written.dtype, written.data, written.count)) p.not_finite.store(true, std::memory_order_relaxed);
}

bool Program::finite() const { return !state().not_finite.load(std::memory_order_relaxed); }

void Program::run() {
  step([](const Entry& entry) { entry.kernel->run(entry.in, entry.out, entry.scratch); });
}

void Program::run(StepObserver& observer) {
  std::size_t k = 0;
  step([&](const Entry& entry) {
    const PlannedKernel& planned = state().planned.plan.kernels[k];
    observer.before(k, {entry.in, planned.in.size()});
    entry.kernel->run(entry.in, entry.out, entry.scratch);
    dismiss_team();  // the observer may run what it likes
    observer.after(k, {entry.out, planned.out.size()});
    ++k;
  });
}

namespace {

template <class Slots>
const Named& slot_named(const Slots& slots, std::string_view name, std::string_view what, const Graph& graph) {
  for (const Named& slot : slots)
    if (slot.name == name) return slot;
  std::vector<std::string> known;
  for (const Named& slot : slots) known.push_back(slot.name);
  run_error("program '{}' has no {} '{}'{}; it has {}", graph.name(), what, name, suggestion(name, known),
            known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")));
}

}  // namespace

Program::Slot Program::input_slot(std::string_view name) const {
  const Named& slot = slot_named(state().inputs, name, "input", state().planned.graph);
  if (!slot.fed) {
    slot.fed = true;
    --state_->unfed;
  }
  return {slot.type, slot.data};
}

Program::Slot Program::output_slot(std::string_view name) const {
  const Named& slot = slot_named(state().outputs, name, "output", state().planned.graph);
  return {slot.type, slot.data};
}

void Program::wrong_element(std::string_view name, const TensorType& type) {
  run_error("'{}' is {}: it was asked for as another C++ element type", name, to_string(type));
}

const TensorType& Program::input_type(std::string_view name) const {
  return slot_named(state().inputs, name, "input", state().planned.graph).type;
}

const TensorType& Program::output_type(std::string_view name) const {
  return slot_named(state().outputs, name, "output", state().planned.graph).type;
}

bool Program::has_output(std::string_view name) const {
  return std::any_of(state().outputs.begin(), state().outputs.end(), [&](const Named& o) { return o.name == name; });
}

std::vector<std::string> Program::input_names() const {
  std::vector<std::string> names;
  for (const Named& slot : state().inputs) names.push_back(slot.name);
  return names;
}

std::vector<std::string> Program::output_names() const {
  std::vector<std::string> names;
  for (const Named& slot : state().outputs) names.push_back(slot.name);
  return names;
}

void Program::feed(std::string_view name, const Tensor& value) {
  const TensorType& type = input_type(name);
  if (!value) run_error("input '{}' was given an empty tensor", name);
  if (type != value.type())
    run_error("input '{}' is {}, the tensor given is {}", name, to_string(type), to_string(value.type()));
  std::memcpy(input_slot(name).data, value.data(), value.bytes());
}

Tensor Program::fetch(std::string_view name) const {
  const Slot slot = output_slot(name);
  Tensor copy(slot.type);
  std::memcpy(copy.data(), slot.data, copy.bytes());
  return copy;
}

double Program::scalar(std::string_view name) const {
  const Slot slot = output_slot(name);
  if (slot.type.elements() != 1) run_error("output '{}' is {}, not one number", name, to_string(slot.type));
  double number = 0;
  load_numbers(slot.type.dtype, slot.data, std::span(&number, 1));
  return number;
}

Variables Program::variables() const { return state().store; }
const MemoryReport& Program::memory() const { return state().planned.memory; }
int Program::logical_threads() const { return state().planned.logical_threads; }
std::size_t Program::kernels() const { return state().entries.size(); }
const std::vector<std::string>& Program::notices() const { return state().notices; }
const Graph& Program::graph() const { return state().planned.graph; }
const PlannedProgram& Program::planned() const { return state().planned; }
std::string Program::text() const { return planned().text(); }

std::string_view to_string(Region region) {
  switch (region) {
    case Region::arena: return "arena";
    case Region::variable: return "variable";
    case Region::input: return "input";
    case Region::constant: return "constant";
  }
  return "?";
}

std::size_t Program::reorders() const {
  std::size_t total = 0;
  for (const Entry& entry : state().entries) total += entry.kernel->reorders();
  return total;
}

std::vector<std::string> Program::implementations() const {
  std::vector<std::string> names;
  for (const Entry& entry : state().entries) names.push_back(entry.kernel->name());
  return names;
}

}  // namespace thalweg
