// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/compile/program.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "thalweg/graph/cse.h"
#include "thalweg/graph/dce.h"
#include "thalweg/graph/fail.h"
#include "thalweg/graph/fold.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/pipeline.h"
#include "thalweg/graph/print.h"
#include "thalweg/graph/verify.h"
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

struct Free {
  void operator()(std::byte* bytes) const { std::free(bytes); }
};
using Block = std::unique_ptr<std::byte, Free>;

Block allocate(std::size_t bytes, std::string_view what) {
  if (bytes == 0) return {};
  auto* block = static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
  if (!block) run_error("there is no memory for the {} of {} bytes", what, bytes);
  std::memset(block, 0, bytes);
  return Block(block);
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
};

}  // namespace

struct Program::State {
  Graph graph;
  int threads = 1;
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
  MemoryReport memory;
  std::string text;
  std::vector<std::string> notices;
  std::atomic<bool> busy = false;
  std::atomic<bool> not_finite = false;  ///< of what the last run wrote into variables
  std::vector<Numbers> unwatched;
};

namespace {

Graph rewritten(const Graph& source, const CompileOptions& options, std::vector<std::string>& notices) {
  Graph graph = source.clone();
  verify(graph);
  if (options.precision == Precision::bf16) {
    if (onednn::multiplies_bf16())
      use_bf16_products(graph);
    else
      notices.push_back(fmt::format("graph '{}' is computed in f32: this processor does not multiply bf16",
                                    graph.name()));
  }
  std::vector<Pass> passes;
  if (options.fold) passes.push_back({"fold", fold});
  if (options.cse) passes.push_back({"cse", cse});
  if (options.dce) passes.push_back({"dce", dce});
  if (!passes.empty()) run_pipeline(graph, passes);
  separate_results(graph);
  return graph;
}

int chosen_threads(const Graph& graph, int asked) {
  if (asked < 0 || asked > 256) run_error("logical_threads is {}, must be 0 (chosen) to 256", asked);
  if (asked > 0) return asked;
  return flops(graph) < small_step_flops ? 1 : hardware_threads();
}

std::string place_text(const Buffer& b, const Graph& graph) {
  switch (b.region) {
    case Region::arena: return fmt::format("arena+{}", b.offset);
    case Region::variable: return "@" + graph.node(b.node).name;
    case Region::input: return "%" + graph.node(b.node).name;
    case Region::constant: return fmt::format("constant+{}", b.offset);
  }
  return "?";
}

std::string plan_text(const Graph& graph, const Plan& plan, const Placement& placement,
                      const MemoryReport& memory) {
  std::string text = fmt::format("plan {} {{\n", graph.name());
  const Labels labels(graph);
  for (std::size_t k = 0; k < plan.works.size(); ++k) {
    const Work& work = plan.works[k];
    const Placement::Places& places = placement.works[k];
    std::vector<std::string> in, out;
    for (std::size_t i = 0; i < work.in.size(); ++i)
      in.push_back(fmt::format("{} {}", labels(work.in[i]),
                               place_text(placement.buffers[places.in[i]], graph)));
    for (std::size_t i = 0; i < work.out.size(); ++i)
      out.push_back(fmt::format("{} : {} {}", labels(work.out[i]), to_string(graph.type(work.out[i])),
                                place_text(placement.buffers[places.out[i]], graph)));
    text += fmt::format("  {:<4} {} -> {}\n       {}\n", k, fmt::join(in, ", "), fmt::join(out, ", "),
                        work.kernel->name());
  }
  return text + fmt::format("  variables {} bytes, constants {}, inputs {}, arena {} (largest live {}), total {}\n}}\n",
                            memory.variables, memory.constants, memory.inputs, memory.arena, memory.largest_live,
                            memory.total());
}

}  // namespace

Program::Program(std::unique_ptr<State> state) : state_(std::move(state)) {}
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
    input_of.resize(p.graph.size());
    variable_of.resize(p.graph.size());
    for (const NodeId id : p.graph.variables()) {
      variable_of[id] = p.store.ensure(p.graph, id);
      p.variables.push_back(variable_of[id]);
      p.memory.variables += variable_of[id].bytes();
    }
    for (const NodeId id : p.graph.inputs()) {
      const Node& node = p.graph.node(id);
      input_of[id] = Tensor(node.types[0]);
      p.memory.inputs += input_of[id].bytes();
      p.inputs.push_back({node.name, node.types[0], input_of[id].data()});
    }
  }

  void allocate_blocks() {
    p.memory.constants = placement.constants;
    p.memory.arena = placement.arena;
    p.memory.largest_live = placement.largest_live;
    p.input_tensors = input_of;
    p.arena = allocate(placement.arena, "arena");
    p.constants = allocate(placement.constants, "constants");
    for (const Buffer& b : placement.buffers)
      if (b.region == Region::constant) fill_constant(b);
  }

  void fill_constant(const Buffer& b) {
    const Node& node = p.graph.node(b.node);
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
    const TensorType& type = p.graph.node(buffer.node).types[0];
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
      for (std::size_t i = 0; i < places.out.size(); ++i) watch(*p.kernels.back(), i, placement.buffers[places.out[i]]);
      p.locs.push_back(p.graph.node(plan.works[k].members.front()).loc);
      p.entries.push_back({.kernel = p.kernels.back().get(), .in = in, .out = out,
                           .scratch = places.scratch == Placement::none ? nullptr : address(places.scratch)});
      in += places.in.size();
      out += places.out.size();
    }
    for (std::size_t i = 0; i < p.graph.outputs().size(); ++i) {
      const Graph::Output& output = p.graph.outputs()[i];
      p.outputs.push_back({output.name, p.graph.type(output.value), address(placement.outputs[i])});
    }
  }
};

namespace {

std::size_t stored_bytes(const Graph& graph) {
  std::size_t bytes = 0;
  for (NodeId id = 0; id < graph.size(); ++id)
    if (const Node& node = graph.node(id); node.op->name == "variable" || node.op->name == "input")
      bytes += node.types[0].bytes();
  return bytes;
}

/// MemoryReport::total() before any of it is taken.
std::size_t planned_bytes(const Placement& placement, const Graph& graph) {
  return placement.arena + placement.constants + stored_bytes(graph);
}

/// A graph with its kernels and their places.
struct Planned {
  Graph graph;
  ValueIndex index;
  Plan plan;
  Placement placement;
  std::size_t bytes;
};

Planned planned(Graph graph, const CompileOptions& options, int threads) {
  ValueIndex index(graph);
  Plan plan = plan_kernels(graph, index, options, threads);
  Placement placement = place(graph, index, plan, options);
  const std::size_t bytes = planned_bytes(placement, graph);
  return {std::move(graph), std::move(index), std::move(plan), std::move(placement), bytes};
}

/// The plan that computes least among those within the budget.
Planned planned_within(Graph graph, const CompileOptions& options, int threads) {
  Planned plain = planned(graph, options, threads);
  if (options.memory_budget == 0 || plain.bytes <= options.memory_budget) return plain;
  std::size_t smallest = plain.bytes;
  for (Recomputed& choice : recompute_choices(graph)) {
    Planned other = planned(std::move(choice.graph), options, threads);
    if (other.bytes <= options.memory_budget) return other;
    smallest = std::min(smallest, other.bytes);
  }
  run_error("graph '{}' needs {} bytes, and {} when it recomputes what it can: more than the memory_budget of {}; a "
            "smaller batch needs less", graph.name(), plain.bytes, smallest, options.memory_budget);
}

[[noreturn]] void memory_error(const Graph& graph, std::size_t bytes, const MemoryLimit& limit) {
  std::vector<std::pair<std::size_t, ValueId>> largest;
  for (NodeId id = 0; id < graph.size(); ++id)
    for (std::uint32_t r = 0; r < graph.node(id).types.size(); ++r)
      largest.emplace_back(graph.node(id).types[r].bytes(), ValueId{id, r});
  std::sort(largest.begin(), largest.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  largest.resize(std::min<std::size_t>(largest.size(), 10));
  std::string text;
  for (const auto& [size, id] : largest) text += fmt::format("\n    {:>15}  {}", size, describe(graph.value(id)));
  run_error("graph '{}' needs {} bytes and {} are available ({}); a smaller batch needs less. Its largest tensors:{}",
            graph.name(), bytes, limit.left, limit.name, text);
}

/// Before threads are started and oneDNN is called: both end the process where memory ends. What the plan needs is
/// not known yet, and what is needed whatever it will be is.
void check_memory_before(const Graph& graph, int threads) {
  const std::size_t bytes = stored_bytes(graph);
  if (const MemoryLimit limit = memory_limit(); bytes > limit.left) memory_error(graph, bytes, limit);
  const MemoryLimit limit = address_space_limit();
  // Code that oneDNN generates, its tables, and the heaps of threads.
  constexpr std::size_t kernels = std::size_t{96} << 20;
  const std::size_t stacks = static_cast<std::size_t>(threads - 1) * thread_stack_bytes();
  if (bytes + kernels + stacks > limit.left)
    run_error("graph '{}' needs {} bytes, with {} for kernels and {} for the stacks of {} threads, and {} are "
              "available ({})", graph.name(), bytes + kernels + stacks, kernels, stacks, threads, limit.left, limit.name);
}

/// What is known before any of it is taken.
void check_memory(const Placement& placement, const Graph& graph) {
  const std::size_t bytes = planned_bytes(placement, graph);
  if (const MemoryLimit limit = memory_limit(); bytes > limit.left) memory_error(graph, bytes, limit);
}

}  // namespace

Program compile(const Graph& source, const CompileOptions& options) {
  auto state = std::make_unique<Program::State>();
  Program::State& p = *state;
  p.graph = rewritten(source, options, p.notices);
  p.threads = chosen_threads(p.graph, options.logical_threads);
  p.store = options.variables;
  check_memory_before(p.graph, p.threads);
  check_threading(p.threads);
  const FloatingPointScope floating_point(p.threads);
  const LogicalThreads logical(p.threads);

  auto [graph, index, plan, placement, bytes] = planned_within(p.graph, options, p.threads);
  p.graph = graph;
  check_placement(p.graph, index, plan, placement);
  check_memory(placement, p.graph);
  Program::Assembly assembly{p, index, plan, placement, {}, {}};
  assembly.bind_stored();
  assembly.allocate_blocks();
  p.text = plan_text(p.graph, plan, placement, p.memory);
  assembly.bind_kernels();
  return Program(std::move(state));
}

Program::State& Program::state() const {
  if (!state_) run_error("a Program was used after it was moved from");
  return *state_;
}

void Program::run() {
  State& p = state();
  if (p.busy.exchange(true)) run_error("program '{}' is already running in another thread", p.graph.name());
  struct Release {
    std::atomic<bool>& busy;
    ~Release() { busy = false; }
  } release{p.busy};
  check_run(p.threads);
  const FloatingPointScope floating_point(p.threads);
  const LogicalThreads logical(p.threads);
  p.not_finite.store(false, std::memory_order_relaxed);
  const Entry* entry = p.entries.data();
  try {
    for (const Entry* const end = entry + p.entries.size(); entry != end; ++entry)
      entry->kernel->run(entry->in, entry->out, entry->scratch);
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
  const Named& slot = slot_named(state().inputs, name, "input", state().graph);
  return {slot.type, slot.data};
}

Program::Slot Program::output_slot(std::string_view name) const {
  const Named& slot = slot_named(state().outputs, name, "output", state().graph);
  return {slot.type, slot.data};
}

void Program::wrong_element(std::string_view name, const TensorType& type) {
  run_error("'{}' is {}: it was asked for as another C++ element type", name, to_string(type));
}

const TensorType& Program::input_type(std::string_view name) const {
  return slot_named(state().inputs, name, "input", state().graph).type;
}

const TensorType& Program::output_type(std::string_view name) const {
  return slot_named(state().outputs, name, "output", state().graph).type;
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
  const Slot slot = input_slot(name);
  if (!value) run_error("input '{}' was given an empty tensor", name);
  if (slot.type != value.type())
    run_error("input '{}' is {}, the tensor given is {}", name, to_string(slot.type), to_string(value.type()));
  std::memcpy(slot.data, value.data(), value.bytes());
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
const MemoryReport& Program::memory() const { return state().memory; }
int Program::logical_threads() const { return state().threads; }
std::size_t Program::kernels() const { return state().entries.size(); }
const Graph& Program::graph() const { return state().graph; }
std::string Program::text() const { return state().text; }
const std::vector<std::string>& Program::notices() const { return state().notices; }

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
