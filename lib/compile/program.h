// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/graph/pipeline.h"
#include "thalweg/lib/base/tensor.h"
#include "thalweg/lib/compile/plan_report.h"

namespace thalweg {

/// The values that live from step to step, by variable name. Programs compiled with the same store share them: one
/// for each batch size, one for inference.
class THALWEG_API Variables {
 public:
  Variables();
  /// The variable's tensor: its own bytes, which programs read and write. Throws RunError for an unknown name.
  Tensor at(std::string_view name) const;
  bool has(std::string_view name) const;
  /// Sorted.
  std::vector<std::string> names() const;
  /// Copies numbers in; throws RunError for an unknown name or another type.
  void set(std::string_view name, const Tensor& value);
  /// Adds a variable, or checks the type of the one that is there.
  Tensor ensure(const Graph& graph, NodeId variable);
  std::size_t bytes() const;
  /// A store of its own with the same values.
  Variables clone() const;

 private:
  struct State;
  detail::Shared<State> state_;
};

/// `64_MiB` is 67,108,864.
constexpr std::size_t operator""_MiB(unsigned long long n) { return static_cast<std::size_t>(n) << 20; }

/// What matrix products and convolutions are computed in.
enum class Precision {
  f32,
  /// Operands and results rounded to bf16, sums in f32; variables, updates, norms and losses stay in f32 (mixed
  /// precision, Micikevicius et al. 2018). Products differ by up to 3 parts in 512 of the sum of their terms' sizes.
  /// Products with fewer than 16 rows, columns or channels stay in f32, which is faster there. Only where the
  /// processor multiplies bf16; elsewhere f32, with a notice (`Program::notices`).
  bf16,
};

/// Which rewrites and plans a compilation uses; results agree whatever is chosen, but for `precision`.
struct CompileOptions {
  /// How many threads the work is cut for. It decides the result's last bits, on however many cores they then run.
  /// 0: one for a small step, else as many as there are cores: give a number for the same bits on every machine.
  int logical_threads = 0;
  bool fold = true;      ///< constants and algebra
  bool cse = true;       ///< equal nodes become one
  bool dce = true;       ///< what no output or update needs goes
  bool fuse = true;      ///< pointwise groups, and epilogues of heavy ops
  bool layout = true;    ///< kernels that need no tensor laid out anew before others
  bool in_place = true;  ///< results in the buffers of dying operands
  /// Machine code is written for pointwise groups, small products and convolutions of few channels, on x86-64 with AVX2;
  /// with AVX-512 for large products and most convolutions too.
  bool generate = true;
  /// Times the candidates of each matmul and convolution when a shape is first met in this process, and takes the
  /// fastest. Which one that is, and so a result's last bits, may differ from one process to the next.
  bool tune = false;
  /// 3x3 convolutions of stride 1 and from 64 channels on by Winograd's F(4x4, 3x3) (Lavin & Gray 2016), which multiplies
  /// four times less. Rounding errors were about ten times those of direct convolutions, and are held below 1e-5 of the
  /// sum of the terms' sizes. Only in f32 and with AVX-512; elsewhere direct, with a notice (`Program::notices`).
  bool winograd = false;
  Precision precision = Precision::f32;
  /// The most bytes that MemoryReport::total() may come to; 0 for no bound. Where more would be needed, the backward
  /// part computes forward values again instead of keeping them: the results are the same to the last bit. compile()
  /// throws RunError, naming the smallest budget that it could keep, if none of its ways is small enough.
  std::size_t memory_budget = 0;
  /// Only so many rewrites that change something, to find the first that is wrong: `0` leaves the graph as it is.
  std::size_t pass_limit = static_cast<std::size_t>(-1);
  /// The store to read and write; by default a new one, filled by the initializers.
  Variables variables = {};
};

/// Exact bytes of a compiled program.
struct MemoryReport {
  std::size_t variables = 0;   ///< all variables of the graph: parameters, optimizer slots, counters
  std::size_t constants = 0;
  std::size_t inputs = 0;
  std::size_t arena = 0;       ///< activations, gradients and kernels' scratch, sharing one block by lifetime
  std::size_t largest_live = 0;  ///< the largest sum of what is alive at one time: no arena can be smaller
  std::size_t total() const { return variables + constants + inputs + arena; }
};

/// A program without its memory: what compile() would make.
struct PlannedProgram {
  Graph graph;  ///< after the rewrites
  PlanReport plan;
  MemoryReport memory;
  int logical_threads = 1;
  /// Each kernel: what it computes, its implementation, where its operands lie.
  THALWEG_API std::string text() const;
};

/// A compiled graph: a flat list of kernels over planned memory. Made by compile(); movable, not copyable.
class THALWEG_API Program {
 public:
  ~Program();
  Program(Program&&) noexcept;
  Program& operator=(Program&&) noexcept;

  /// The bytes of an input, to be written before run(). Throws RunError with the nearest names.
  template <class T>
  std::span<T> input(std::string_view name) {
    const Slot slot = input_slot(name);
    if (!holds<T>(slot.type.dtype)) wrong_element(name, slot.type);
    return {static_cast<T*>(slot.data), static_cast<std::size_t>(slot.type.elements())};
  }
  const TensorType& input_type(std::string_view name) const;
  /// Copies a tensor into an input; its type must be the input's.
  void feed(std::string_view name, const Tensor& value);
  /// One step: every kernel in order, then the updates. Throws RunError, as for an input that was never written; the
  /// variables are then as before.
  void run();
  /// Whether everything that the last run() wrote into variables is finite.
  bool finite() const;
  /// The same step and the same bits, with `observer` called before and after each kernel: for profiles and the search
  /// for wrong numbers. What it throws ends the step.
  void run(StepObserver& observer);

  /// An output after run(); valid until the next run().
  template <class T>
  std::span<const T> output(std::string_view name) const {
    const Slot slot = output_slot(name);
    if (!holds<T>(slot.type.dtype)) wrong_element(name, slot.type);
    return {static_cast<const T*>(slot.data), static_cast<std::size_t>(slot.type.elements())};
  }
  const TensorType& output_type(std::string_view name) const;
  bool has_output(std::string_view name) const;
  /// A copy of an output.
  Tensor fetch(std::string_view name) const;
  std::vector<std::string> input_names() const;
  std::vector<std::string> output_names() const;
  /// An output of one element, as a double.
  double scalar(std::string_view name) const;

  Variables variables() const;
  const MemoryReport& memory() const;
  int logical_threads() const;
  std::size_t kernels() const;
  /// Layout changes made by a step.
  std::size_t reorders() const;
  /// The implementation of each kernel, in order.
  std::vector<std::string> implementations() const;
  /// What was asked for and could not be had, a sentence each.
  const std::vector<std::string>& notices() const;
  /// The graph after the rewrites, as it was compiled.
  const Graph& graph() const;
  /// All that was decided, each kernel and each buffer, for tools.
  const PlannedProgram& planned() const;
  const PlanReport& plan() const { return planned().plan; }
  /// planned().text().
  std::string text() const;

 private:
  friend THALWEG_API Program compile(const Graph& graph, const CompileOptions& options);
  struct Slot {
    TensorType type;
    void* data;
  };
  Slot input_slot(std::string_view name) const;
  Slot output_slot(std::string_view name) const;
  [[noreturn]] static void wrong_element(std::string_view name, const TensorType& type);
  struct State;
  struct Assembly;
  State& state() const;
  template <class RunEntry>
  void step(RunEntry&& run_entry);
  explicit Program(detail::Shared<State> state);
  detail::Shared<State> state_;
};

/// The passes that compile() runs with these options.
THALWEG_API std::vector<Pass> passes_of(const CompileOptions& options);
/// The graph that compile() plans: a copy of `graph` after those passes.
THALWEG_API Graph rewritten(const Graph& graph, const CompileOptions& options = {});
/// The plan that compile() makes, checked in the same way, without taking the memory or reading a variable: for graphs
/// of any size.
THALWEG_API PlannedProgram plan(const Graph& graph, const CompileOptions& options = {});
/// Rewrites a copy of the graph, plans it and prepares its kernels. The graph is not changed.
THALWEG_API Program compile(const Graph& graph, const CompileOptions& options = {});

}  // namespace thalweg
