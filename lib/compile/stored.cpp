// SPDX-License-Identifier: Apache-2.0
// How a step reads and writes what outlives it.
#include <cstring>

#include "thalweg/lib/compile/planning.h"

namespace thalweg {
namespace {

/// Copies one value into a variable.
class CopyKernel : public Kernel {
 public:
  explicit CopyKernel(std::size_t bytes) : bytes_(bytes) {}
  void run(const void* const* in, void* const* out, void*) const override { std::memcpy(out[0], in[0], bytes_); }
  std::string name() const override { return "own:copy"; }

 private:
  std::size_t bytes_;
};

ValueId buffer_source(const Graph& graph, ValueId v) {
  while (is_alias(graph.node(v.node))) v = graph.operands(v.node)[0];
  return v;
}

Value own_copy(Graph& graph, ValueId v) {
  const Node& node = graph.node(v.node);
  const Frame frame(graph, {.loc = node.loc, .origin = node.origin});
  const Operand operand(graph.value(v), node.loc);
  return graph.add(op_named("cast"), std::span(&operand, 1), {}, graph.type(v), {}, node.loc);
}

}  // namespace

void separate_results(Graph& graph) {
  const auto is_stored = [&](ValueId v) { return is_source(graph.node(buffer_source(graph, v).node)); };
  const std::vector<Graph::Update> updates = graph.updates();
  const std::vector<Graph::Output> outputs = graph.outputs();
  graph.drop_updates();
  graph.drop_outputs();
  for (const Graph::Output& output : outputs)
    graph.output(output.name, is_stored(output.value) ? own_copy(graph, output.value) : graph.value(output.value));
  for (const Graph::Update& update : updates)
    graph.update(graph.value(update.variable),
                 is_stored(update.next) ? own_copy(graph, update.next) : graph.value(update.next));
}

void write_variables(const Graph& graph, const ValueIndex& index, Plan& plan) {
  const Writers writer(index, plan);
  const auto root = [&](ValueId v) { return plan.root[index(v)]; };
  std::unordered_map<NodeId, std::size_t> last_reader;
  for (std::size_t k = 0; k < plan.works.size(); ++k)
    for (const ValueId v : plan.works[k].in)
      if (is(graph.node(root(v).node), "variable")) last_reader[root(v).node] = k;
  std::vector<Work> copies;
  for (const Graph::Update& update : graph.updates()) {
    const std::size_t w = writer(update.next);
    const auto reader = last_reader.find(update.variable.node);
    const bool free = reader == last_reader.end() || reader->second <= w;
    if (plan.works[w].late && free && !plan.direct.contains(index(root(update.next)))) {
      plan.direct.emplace(index(root(update.next)), update.variable);
      continue;
    }
    Work copy;
    copy.members = {update.variable.node};
    copy.in = {update.next};
    copy.out = {update.variable};
    copy.kernel = std::make_unique<CopyKernel>(graph.type(update.next).bytes());
    copy.late = copy.to_variable = true;
    copies.push_back(std::move(copy));
  }
  for (Work& copy : copies) plan.works.push_back(std::move(copy));
}

}  // namespace thalweg
