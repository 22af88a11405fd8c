// SPDX-License-Identifier: Apache-2.0
#include "bound.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>

#include "counters.h"
#include "roofline.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/logical_threads.h"
#include "thalweg/lib/compile/plan.h"
#include "thalweg/lib/compile/summary.h"
#include "thalweg/lib/onednn/fastest.h"

namespace thalweg::bench {
namespace {

using Clock = std::chrono::steady_clock;

template <class F>
double median_seconds(double budget, std::size_t least, F&& work) {
  std::vector<double> times;
  const auto begin = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  while (times.size() < least || (elapsed() < budget && times.size() < 100'000)) {
    const auto before = Clock::now();
    work();
    times.push_back(std::chrono::duration<double>(Clock::now() - before).count());
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

std::vector<TensorType> types_of(const Graph& graph, std::span<const ValueId> values) {
  std::vector<TensorType> types;
  for (const ValueId value : values) types.push_back(graph.type(value));
  return types;
}

/// The plan's kernel alone, on operands of its own.
double alone_seconds(const Graph& graph, const Work& work) {
  std::vector<Tensor> tensors;
  std::vector<const void*> in;
  std::vector<void*> out;
  for (const TensorType& type : types_of(graph, work.in)) in.push_back(tensors.emplace_back(type).data());
  for (const TensorType& type : types_of(graph, work.out)) out.push_back(tensors.emplace_back(type).data());
  touch(tensors);
  Tensor scratch(TensorType{DType::u8, Shape{static_cast<Dim>(work.kernel->scratch_bytes() + 1)}});
  return median_seconds(0.01, 3, [&] { work.kernel->run(in.data(), out.data(), scratch.data()); });
}

std::string names_of(const Graph& graph, const Work& work) {
  std::string names;
  for (const NodeId id : work.members) names.append(names.empty() ? "" : ",").append(graph.node(id).op->name);
  return names;
}

/// Each operand and result once.
std::size_t bytes_of(const Graph& graph, const Work& work) {
  std::set<ValueId> values(work.in.begin(), work.in.end());
  values.insert(work.out.begin(), work.out.end());
  std::size_t bytes = 0;
  for (const ValueId value : values) bytes += graph.type(value).bytes();
  return bytes;
}

KernelBound bound_of(const Graph& graph, const Work& work, int threads) {
  const std::size_t bytes = bytes_of(graph, work);
  KernelBound bound{names_of(graph, work), "memory",
                    static_cast<double>(bytes) / roofline(threads).bandwidth(bytes)};
  for (const NodeId id : work.members) {
    const Node& node = graph.node(id);
    const std::vector<TensorType> in = types_of(graph, graph.operands(id));
    const KernelRequest request{node, in, node.types, threads};
    const auto primitive = onednn::fastest_primitive(request);
    if (!primitive) continue;
    bound.seconds = primitive->seconds;
    bound.by = "onednn:" + primitive->implementation;
    if (const double alone = alone_seconds(graph, work); alone < bound.seconds) {
      bound.seconds = alone;
      bound.by = work.kernel->name();
    }
  }
  return bound;
}

}  // namespace

std::vector<KernelBound> kernel_bounds(const Program& program) {
  const Graph& graph = program.graph();
  const int threads = program.logical_threads();
  const Roofline& limits = roofline(threads);  // measured before the team's size is set for kernels
  static_cast<void>(limits);
  const LogicalThreads logical(threads);
  const ValueIndex index(graph);
  const Plan plan = plan_kernels(graph, index, {}, threads);
  std::vector<KernelBound> bounds;
  for (const Work& work : plan.works) bounds.push_back(bound_of(graph, work, threads));
  return bounds;
}

void print_bound(const Workload& workload, const ServeOptions& options, std::ostream& out) {
  Program program = compiled(workload, options);
  fill_inputs(program, workload);
  program.run();
  const std::vector<KernelBound> bounds = kernel_bounds(program);
  const double step = median_seconds(1, 5, [&] { program.run(); });
  double sum = 0;
  nlohmann::ordered_json kernels = nlohmann::ordered_json::array();
  for (const KernelBound& b : bounds) {
    sum += b.seconds;
    kernels.push_back({{"what", b.what}, {"by", b.by}, {"us", b.seconds * 1e6}});
  }
  out << nlohmann::ordered_json{{"bound", {{"workload", workload.name}, {"threads", program.logical_threads()},
                                           {"flops", flops(program.graph())},
                                           {"peak", roofline(program.logical_threads()).flops},
                                           {"step_us", step * 1e6}, {"bound_us", sum * 1e6}, {"ratio", step / sum},
                                           {"kernels", kernels}}}}.dump()
      << std::endl;
}

}  // namespace thalweg::bench
