// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/means.h"

#include <algorithm>
#include <unordered_map>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/interpret.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/train/batches.h"

namespace thalweg {
namespace {

bool is_mean(const Graph& graph, NodeId id) { return graph.node(id).op->name == "sample_mean"; }

/// The nodes that a value is computed by, down to sample means, in order.
std::vector<NodeId> nodes_above_means(const Graph& graph, NodeId last) {
  std::vector<bool> reached(graph.size());
  reached[last] = true;
  std::vector<NodeId> nodes;
  for (NodeId id = last + 1; id-- > 0;) {
    if (!reached[id]) continue;
    nodes.push_back(id);
    if (is_mean(graph, id)) continue;
    for (const ValueId operand : graph.operands(id)) reached[operand.node] = true;
  }
  std::reverse(nodes.begin(), nodes.end());
  return nodes;
}

/// A node's value as an output with an axis: scalar outputs are those that a user named.
void add_flat_output(Graph& graph, const std::string& name, const Value& value) {
  const Node& node = value.node();
  const Frame frame(graph, {.loc = node.loc, .origin = node.origin});
  const Operand operand(value, node.loc);
  const TensorType flat{value.dtype(), Shape{value.shape().elements()}};
  graph.output(name, graph.add(op_named("reshape"), {&operand, 1}, {}, flat, {}, node.loc));
}

}  // namespace

Means::Means(Graph& graph) : names_(scalar_outputs(graph)), means_(names_.size()) {
  for (const std::string& name : names_) tails_.push_back(tail_of(graph, name));
}

Means::Tail Means::tail_of(Graph& graph, const std::string& name) const {
  const auto output = std::find_if(graph.outputs().begin(), graph.outputs().end(),
                                   [&](const Graph::Output& o) { return o.name == name; });
  const ValueId result = output->value;
  const std::vector<NodeId> nodes = nodes_above_means(graph, result.node);
  Tail tail;
  if (std::none_of(nodes.begin(), nodes.end(), [&](NodeId id) { return is_mean(graph, id); })) {
    tail.parts.push_back({.output = name, .shape = {}, .sums = {0}});
    return tail;
  }
  Graph above(graph.name());
  std::unordered_map<NodeId, NodeId> place;
  for (const NodeId id : nodes) {
    const Node node = graph.node(id);
    if (is_mean(graph, id)) {
      const std::string part = fmt::format("{}/mean{}", name, tail.parts.size());
      add_flat_output(graph, part, graph.value({id, 0}));
      place[id] = above.add(op_named("input"), {}, {}, node.types[0], part, node.loc).id().node;
      tail.parts.push_back({.output = part, .shape = node.types[0].shape,
                            .sums = std::vector<double>(static_cast<std::size_t>(node.types[0].elements()))});
      continue;
    }
    if (graph.operands(id).empty() && node.op->name != "constant")
      run_error("output '{}' is computed from sample means and from what a single step holds: {}", name,
                describe(graph.value({id, 0})));
    std::vector<ValueId> operands;
    for (const ValueId operand : graph.operands(id)) operands.push_back({place.at(operand.node), operand.result});
    place[id] = above.add_copy(node, operands).id().node;
  }
  above.output(name, above.value({place.at(result.node), result.result}));
  tail.graph = above;
  return tail;
}

std::vector<std::string> Means::read() const {
  std::vector<std::string> all = names_;
  for (const Tail& tail : tails_)
    if (tail.graph)
      for (const Part& part : tail.parts) all.push_back(part.output);
  return all;
}

void Means::reset() {
  for (Tail& tail : tails_)
    for (Part& part : tail.parts) std::fill(part.sums.begin(), part.sums.end(), 0.0);
  samples_ = 0;
}

std::vector<double> Means::sums() const {
  std::vector<double> all;
  for (const Tail& tail : tails_)
    for (const Part& part : tail.parts) all.insert(all.end(), part.sums.begin(), part.sums.end());
  return all;
}

void Means::go_on(const std::vector<double>& sums, Dim samples) {
  auto from = sums.begin();
  for (Tail& tail : tails_)
    for (Part& part : tail.parts) {
      if (static_cast<std::size_t>(sums.end() - from) < part.sums.size())
        run_error("there are {} sums of measures, and more are averaged", sums.size());
      for (double& sum : part.sums) sum = *from++;
    }
  if (from != sums.end()) run_error("there are {} sums of measures, and fewer are averaged", sums.size());
  samples_ = samples;
}

void Means::mark() {
  for (Tail& tail : tails_)
    for (Part& part : tail.parts) part.marked = part.sums;
  marked_samples_ = samples_;
}

void Means::take_back() {
  for (Tail& tail : tails_)
    for (Part& part : tail.parts) part.sums = part.marked;
  samples_ = marked_samples_;
}

void Means::add(const Program& program, Dim samples) {
  add_late(program, samples);
  samples_ += samples;
}

void Means::add_late(const Program& program, Dim samples) {
  const auto weight = static_cast<double>(samples);
  for (Tail& tail : tails_)
    for (Part& part : tail.parts) {
      if (!program.has_output(part.output)) continue;
      if (!tail.graph) {
        part.sums[0] += program.scalar(part.output) * weight;
        continue;
      }
      const std::vector<double> numbers = program.fetch(part.output).numbers();
      for (std::size_t i = 0; i < numbers.size(); ++i) part.sums[i] += numbers[i] * weight;
    }
}

double Means::value(const Tail& tail) const {
  const auto n = static_cast<double>(samples_);
  if (!tail.graph) return tail.parts[0].sums[0] / n;
  Interpreter run(*tail.graph);
  for (const Part& part : tail.parts) {
    std::vector<double> numbers = part.sums;
    for (double& x : numbers) x /= n;
    run.set(part.output, Array<double>(part.shape, std::move(numbers)));
  }
  run.evaluate();
  return run.output(tail.graph->outputs()[0].name)[0];
}

const std::vector<double>& Means::means() {
  for (std::size_t i = 0; i < tails_.size(); ++i) means_[i] = value(tails_[i]);
  return means_;
}

}  // namespace thalweg
