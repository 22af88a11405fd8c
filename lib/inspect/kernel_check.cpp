// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/kernel_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <string>

#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/base/tensor.h"
#include "thalweg/lib/compile/summary.h"

namespace thalweg {
namespace {

Array<double> loaded(const TensorType& type, const void* address) {
  Array<double> array(type.shape);
  load_numbers(type.dtype, address, array.data);
  return array;
}

/// The part of a number that one rounding to the dtype may move it by.
double rounding(DType dtype) {
  switch (dtype) {
    case DType::f32: return 0x1p-23;
    case DType::bf16: return 0x1p-7;
    case DType::f64: return 0x1p-52;
    default: return 0;
  }
}

// A few samples see most of the movement; a long sum of roundings may be farther off than a few times what they see.
constexpr int samples = KernelCheck::sweeps - 1;
constexpr double room = 32;
// To find the place of an element takes the interpreter as long as so many operations.
constexpr double an_element = 20;

/// Equal for kernels that compute the same of tensors of the same types.
std::string kind_of(const PlannedProgram& planned, const PlannedKernel& kernel) {
  std::string kind = kernel.implementation;
  if (kernel.copies_to_variable) return kind + to_string(planned.graph.type(kernel.in.front()));
  for (const NodeId member : kernel.members) {
    const Node& node = planned.graph.node(member);
    kind += fmt::format(" {}{}", node.op->name, attributes_text(node));
    for (const ValueId v : planned.graph.operands(member)) kind += to_string(planned.graph.type(v));
    for (const TensorType& type : node.types) kind += to_string(type);
  }
  return kind;
}

}  // namespace

KernelCheck::KernelCheck(const PlannedProgram& planned, double most_flops)
    : planned_(planned), chosen_(planned.plan.kernels.size(), true) {
  kernels_ = chosen_.size();
  if (std::isfinite(most_flops)) choose(most_flops);
}

void KernelCheck::choose(double most_flops) {
  const auto& kernels = planned_.plan.kernels;
  std::vector<double> cost(kernels.size());
  std::vector<std::string> kinds;
  for (std::size_t k = 0; k < kernels.size(); ++k) {
    kinds.push_back(kind_of(planned_, kernels[k]));
    if (kernels[k].copies_to_variable) continue;
    for (const NodeId member : kernels[k].members) {
      const double elements = static_cast<double>(planned_.graph.node(member).types[0].elements());
      cost[k] += sweeps * (flops(planned_.graph, member) + an_element * elements);
    }
  }
  std::vector<std::size_t> order(kernels.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return cost[a] < cost[b]; });
  chosen_.assign(kernels.size(), false);
  kernels_ = 0;
  std::set<std::string> seen, all(kinds.begin(), kinds.end());
  const auto take = [&](std::size_t k) {
    if (chosen_[k] || cost[k] > most_flops) return;
    most_flops -= cost[k];
    chosen_[k] = true;
    seen.insert(kinds[k]);
    ++kernels_;
  };
  for (const std::size_t k : order)
    if (!seen.contains(kinds[k])) take(k);
  for (const std::size_t k : order) take(k);
  kinds_left_out_ = all.size() - seen.size();
  for (const std::size_t k : order)
    if (!seen.contains(kinds[k]) && cheapest_left_out_ == 0) cheapest_left_out_ = cost[k];
}

void KernelCheck::before(std::size_t kernel, std::span<const void* const> in) {
  operands_.clear();
  if (!chosen_[kernel]) return;
  const PlannedKernel& k = planned_.plan.kernels[kernel];
  for (std::size_t i = 0; i < k.in.size(); ++i) {
    // A constant of one number may lie there as that one number.
    if (planned_.plan.buffers[k.in_buffers[i]].region == Region::constant) continue;
    operands_.emplace(k.in[i], loaded(planned_.graph.type(k.in[i]), in[i]));
  }
}

/// Evaluates what `value` needs, operand before user, without recursion.
const Array<double>& KernelCheck::evaluated(ValueId value, Values& values) const {
  const Graph& graph = planned_.graph;
  std::vector<NodeId> waiting = {value.node};
  while (!values.contains(value)) {
    const NodeId id = waiting.back();
    const auto operands = graph.operands(id);
    const auto missing = std::find_if(operands.begin(), operands.end(), [&](ValueId v) { return !values.contains(v); });
    if (missing != operands.end()) {
      waiting.push_back(missing->node);
      continue;
    }
    waiting.pop_back();
    std::vector<const Array<double>*> in;
    std::vector<TensorType> types;
    for (const ValueId v : operands) {
      in.push_back(&values.at(v));
      types.push_back(graph.type(v));
    }
    std::vector<Array<double>> results = evaluate_node<double>(graph.node(id), in, types);
    for (std::uint32_t r = 0; r < results.size(); ++r) values.emplace(ValueId{id, r}, std::move(results[r]));
  }
  return values.at(value);
}

KernelCheck::Values KernelCheck::moved(const Values& values, std::uint64_t seed) const {
  Values result = values;
  for (auto& [id, array] : result) {
    const double part = rounding(planned_.graph.type(id).dtype);
    for (double& x : array.data) {
      seed = seed * 6364136223846793005U + 1442695040888963407U;
      x += x * part * ((seed >> 63U) != 0 ? 1 : -1);
    }
  }
  return result;
}

void KernelCheck::compare(std::size_t kernel, std::size_t result, const void* address) {
  const PlannedKernel& k = planned_.plan.kernels[kernel];
  const ValueId value = k.copies_to_variable ? k.in.front() : k.out[result];
  const TensorType& type = planned_.graph.type(value);
  Values values = operands_;
  const Array<double> expected = evaluated(value, values);
  const Array<double> got = loaded(type, address);
  std::vector<double> bound(expected.size());
  double largest = 0;
  for (std::size_t i = 0; i < bound.size(); ++i) {
    bound[i] = 4 * rounding(type.dtype) * std::abs(expected[i]);
    if (std::isfinite(expected[i])) largest = std::max(largest, std::abs(expected[i]));
  }
  for (int sample = 1; sample <= samples && is_float(type.dtype); ++sample) {
    Values other = moved(operands_, static_cast<std::uint64_t>(sample));
    const Array<double>& farther = evaluated(value, other);
    for (std::size_t i = 0; i < bound.size(); ++i)
      bound[i] = std::max(bound[i], room * std::abs(farther[i] - expected[i]));
  }
  ++compared_;
  for (std::size_t i = 0; i < bound.size(); ++i) {
    // Where terms cancel, what is left is rounded as they were: of the size of the result's largest elements. Numbers
    // too small for the dtype are 0 in a run.
    const double allowed = bound[i] + 4 * rounding(type.dtype) * largest + 1e-38;
    const bool both_nan = std::isnan(expected[i]) && std::isnan(got[i]);
    if (both_nan || expected[i] == got[i] || std::abs(expected[i] - got[i]) <= allowed) continue;
    first_ = Finding{kernel, value, static_cast<Dim>(i), expected[i], got[i], allowed};
    return;
  }
}

void KernelCheck::after(std::size_t kernel, std::span<void* const> out) {
  if (first_ || !chosen_[kernel]) return;
  for (std::size_t r = 0; r < out.size() && !first_; ++r) compare(kernel, r, out[r]);
}

}  // namespace thalweg
