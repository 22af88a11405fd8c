// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/explain.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
#include "thalweg/graph/walk.h"
#include "thalweg/lib/compile/summary.h"
#include "thalweg/lib/inspect/formats.h"
#include "thalweg/lib/inspect/kernel_of.h"
#include "thalweg/lib/inspect/passes.h"

namespace thalweg {
namespace {

std::string commas(std::size_t number) { return with_commas(static_cast<std::int64_t>(number)); }

std::string named(const Graph& graph, const Labels& labels, NodeId id) {
  return fmt::format("{} {}", labels({id, 0}), graph.node(id).op->name);
}

/// Follows one node through the rewrites and into the plan.
class Explainer {
 public:
  Explainer(const Graph& graph, NodeId node, const CompileOptions& options, bool portable)
      : graph_(graph), node_(node), options_(options), portable_(portable) {}

  Explanation run() {
    const Node& node = graph_.node(node_);
    const Labels labels(graph_);
    e_.line = line_text(graph_, node_, labels);
    e_.place = node.loc.known() ? to_string(node.loc) : "no line known";
    e_.place += fmt::format(", {}", to_string(node.origin));
    if (!node.scope.empty()) e_.place += ", in " + node.scope;
    for (const ValueId v : graph_.operands(node_)) e_.reads.push_back(named(graph_, labels, v.node));
    for (std::uint32_t r = 0; r < node.types.size(); ++r)
      for (const Reader& reader : readers(graph_, {node_, r})) e_.read_by.push_back(named(graph_, labels, reader.node));
    add_results(graph_, node_, e_.read_by);
    if (const auto survivor = follow_passes()) describe_plan(*survivor);
    return std::move(e_);
  }

 private:
  static void add_results(const Graph& graph, NodeId id, std::vector<std::string>& to) {
    for (const Graph::Output& out : graph.outputs())
      if (out.value.node == id) to.push_back("output " + out.name);
    for (const Graph::Update& update : graph.updates())
      if (update.next.node == id) to.push_back("update @" + graph.node(update.variable.node).name);
  }

  std::optional<NodeId> follow_passes() {
    std::optional<NodeId> at = node_;
    Graph last = graph_;
    for (const PassStep& step : pass_steps(graph_, options_)) {
      const std::optional<NodeId> next = step.difference.counterpart[*at];
      last = step.after;
      if (!next) {
        e_.passes.push_back(fmt::format("{} {}: {}", step.number, step.name, fate(step)));
        return {};
      }
      for (const Difference::Change& change : step.difference.changed)
        if (change.before == *at)
          e_.passes.push_back(fmt::format("{} {}: {}", step.number, step.name, fmt::join(change.what, ", ")));
      at = next;
    }
    return at;
  }

  /// Why a rewrite left nothing of a node.
  static std::string fate(const PassStep& step) {
    if (step.name == "dce") return "removed: no output and no update needs it";
    if (step.name == "cse") return "merged into an equal node that comes before it";
    if (step.name == "fold") return "replaced by a constant or a simpler value";
    return "removed";
  }

  void describe_plan(NodeId id) {
    const PlannedProgram planned = plan(graph_, options_);
    const Graph& graph = planned.graph;
    const Labels labels(graph);
    // The compiled graph has the same nodes in the same order, and copies of stored results behind them.
    e_.survives = true;
    e_.compiled_line = line_text(graph, id, labels);
    e_.flops = flops(graph, id);
    const KernelOf kernel_of(planned);
    e_.kernel = kernel_of(id);
    describe_kernel(planned, labels, id);
    describe_buffers(planned, labels, id);
    for (const UnfusedEdge& edge : unfused(planned, options_.fuse)) {
      if (edge.value.node != id && edge.consumer != id) continue;
      e_.unfused.push_back(fmt::format("{} -> {}: {} ({})", named(graph, labels, edge.value.node),
                                       named(graph, labels, edge.consumer), to_string(edge.reason),
                                       meaning_of(edge.reason)));
    }
  }

  void describe_kernel(const PlannedProgram& planned, const Labels& labels, NodeId id) {
    if (!e_.kernel) return;
    const PlannedKernel& kernel = planned.plan.kernels[*e_.kernel];
    e_.implementation = implementation_text(kernel, portable_);
    const std::vector<NodeId> connected = KernelOf(planned).connected(*e_.kernel, id);
    for (const NodeId member : connected) e_.group.push_back(named(planned.graph, labels, member));
    if (connected.size() < kernel.members.size())
      e_.group.push_back(fmt::format("and {} nodes of other tensors", kernel.members.size() - connected.size()));
    e_.layout = kernel.reorders == 0
                    ? "operands and results as the graph says them, row-major: no layout change"
                    : fmt::format(
                          "{} of its operands and results are brought into the layout that the primitive wants, "
                          "and back",
                          kernel.reorders);
    for (const ValueId v : kernel.in) e_.bytes_read += planned.graph.type(v).bytes();
    for (const ValueId v : kernel.out) e_.bytes_written += planned.graph.type(v).bytes();
  }

  void describe_buffers(const PlannedProgram& planned, const Labels& labels, NodeId id) {
    const KernelOf kernel_of(planned);
    const auto& kernels = planned.plan.kernels;
    for (std::size_t k = 0; k < kernels.size(); ++k) {
      for (std::size_t i = 0; i < kernels[k].out.size(); ++i) {
        if (kernels[k].out[i].node != id || kernels[k].copies_to_variable) continue;
        const PlannedBuffer& b = planned.plan.buffers[kernels[k].out_buffers[i]];
        std::string text = fmt::format("{}: {} bytes", labels(kernels[k].out[i]), commas(b.bytes));
        if (b.region == Region::variable) text += " in @" + planned.graph.node(b.node).name;
        if (b.region == Region::arena)
          text += fmt::format(" {}, kernels {} to {}",
                              portable_ ? "in the arena" : fmt::format("at arena+{}", b.offset), b.first,
                              b.last == kernels.size() ? "the end" : std::to_string(b.last));
        e_.buffers.push_back(text);
      }
      for (const ValueId v : kernels[k].in)
        if (kernel_of.origin(v).node == id && (!e_.kernel || k != *e_.kernel))
          e_.kept_by.push_back(fmt::format("kernel {}: {}", k, implementation_text(kernels[k], portable_)));
    }
    add_results(planned.graph, id, e_.kept_by);
  }

  const Graph& graph_;
  NodeId node_;
  const CompileOptions& options_;
  bool portable_;
  Explanation e_;
};

std::string list(std::string_view title, const std::vector<std::string>& lines) {
  if (lines.empty()) return "";
  std::string text = fmt::format("{:<10} {}\n", title, lines.front());
  for (std::size_t i = 1; i < lines.size(); ++i) text += fmt::format("{:<10} {}\n", "", lines[i]);
  return text;
}

}  // namespace

ValueId value_called(const Graph& graph, std::string_view name) {
  std::string_view bare = name;
  if (!bare.empty() && (bare.front() == '%' || bare.front() == '@')) bare.remove_prefix(1);
  const Labels labels(graph);
  if (!bare.empty() && std::all_of(bare.begin(), bare.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    const std::string wanted = fmt::format("%{}", bare);
    std::string last;
    for (NodeId id = 0; id < graph.size(); ++id)
      for (std::uint32_t r = 0; r < graph.node(id).types.size(); ++r) {
        const std::string label = labels({id, r});
        if (label == wanted) return {id, r};
        if (label[0] == '%' && label[1] >= '0' && label[1] <= '9') last = label;
      }
    throw GraphError(fmt::format("graph '{}' has no value {}{}", shown(graph.name()), wanted.substr(0, 64),
                                 last.empty() ? "" : "; the last one is " + last));
  }
  return graph.find(bare).id();
}

Explanation explain(const Graph& graph, ValueId value, const CompileOptions& options, bool portable) {
  return Explainer(graph, value.node, options, portable).run();
}

std::string Explanation::text() const {
  std::string text = line + "\n" + list("place", {place}) + list("reads", reads) + list("read by", read_by);
  text += passes.empty() ? list("rewrites", {"none touched it"}) : list("rewrites", passes);
  if (!survives) return text;
  if (compiled_line != line) text += list("compiled", {compiled_line});
  if (kernel) {
    text += list("kernel", {fmt::format("{}: {}", *kernel, implementation)}) + list("group", group) +
            list("layout", {layout});
    text += list("cost", {fmt::format("{} FLOPs; its kernel reads {} and writes {} bytes",
                                      with_commas(static_cast<std::int64_t>(flops)), commas(bytes_read),
                                      commas(bytes_written))});
  } else {
    text += list("kernel", {"none: it is there before the step, or is only another view of its operand"});
  }
  return text + list("memory", buffers) + list("kept by", kept_by) + list("unfused", unfused);
}

std::string Explanation::json() const {
  nlohmann::ordered_json all = {{"line", line}, {"place", place}, {"reads", reads}, {"read_by", read_by},
                                {"passes", passes}, {"survives", survives}};
  if (survives) {
    all["compiled_line"] = compiled_line;
    if (kernel) all["kernel"] = *kernel;
    all["implementation"] = implementation;
    all["group"] = group;
    all["layout"] = layout;
    all["flops"] = flops;
    all["bytes_read"] = bytes_read;
    all["bytes_written"] = bytes_written;
    all["buffers"] = buffers;
    all["kept_by"] = kept_by;
    all["unfused"] = unfused;
  }
  return all.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string text_of(const std::vector<UnfusedEdge>& edges, const PlannedProgram& planned) {
  const Labels labels(planned.graph);
  std::string text;
  for (const UnfusedEdge& edge : edges)
    text += fmt::format("{} -> {}: {}, {} bytes\n", named(planned.graph, labels, edge.value.node),
                        named(planned.graph, labels, edge.consumer), to_string(edge.reason), commas(edge.bytes));
  return text;
}

std::string json_of(const std::vector<UnfusedEdge>& edges, const PlannedProgram& planned) {
  const Labels labels(planned.graph);
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const UnfusedEdge& edge : edges)
    list.push_back({{"producer", labels(edge.value)}, {"producer_op", planned.graph.node(edge.value.node).op->name},
                    {"consumer", labels({edge.consumer, 0})},
                    {"consumer_op", planned.graph.node(edge.consumer).op->name},
                    {"producer_kernel", edge.producer_kernel}, {"consumer_kernel", edge.consumer_kernel},
                    {"bytes", edge.bytes}, {"reason", to_string(edge.reason)}, {"meaning", meaning_of(edge.reason)}});
  return list.dump(1) + "\n";
}

}  // namespace thalweg
