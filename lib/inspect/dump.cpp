// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/dump.h"

#include <algorithm>
#include <array>
#include <vector>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/compile/summary.h"
#include "thalweg/lib/inspect/formats.h"
#include "thalweg/lib/inspect/kernel_of.h"

namespace thalweg {
namespace {

constexpr std::array all_formats = {DumpFormat::text, DumpFormat::dot, DumpFormat::svg, DumpFormat::json,
                                    DumpFormat::html};

std::string place_text(const PlannedBuffer& b, const Graph& graph) {
  if (b.region == Region::variable) return "@" + graph.node(b.node).name;
  if (b.region == Region::input) return "%" + graph.node(b.node).name;
  return fmt::format("{}+{}", to_string(b.region), b.offset);
}

/// A plan as a graph's text: nodes kernel by kernel, what the kernels are in comments.
class PlanText {
 public:
  PlanText(const Staged& staged, bool portable)
      : stage_(staged.stage), portable_(portable), planned_(*staged.plan), graph_(staged.graph), labels_(graph_),
        kernel_of_(planned_), written_(graph_.size(), false) {}

  std::string run() {
    text_ = fmt::format("graph {} {{\n", graph_.name());
    std::vector<std::size_t> order(planned_.plan.kernels.size());
    for (std::size_t k = 0; k < order.size(); ++k) order[k] = k;
    if (stage_ < Stage::scheduled)
      std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
    for (std::size_t position = 0; position < order.size(); ++position) kernel(order[position], position);
    for (NodeId id = 0; id < graph_.size(); ++id) need(id);
    for (const Graph::Output& out : graph_.outputs())
      text_ += fmt::format("  output {} = {}\n", out.name, labels_(out.value));
    for (const Graph::Update& update : graph_.updates())
      text_ += fmt::format("  update {} <- {}\n", labels_(update.variable), labels_(update.next));
    return text_ + "}\n";
  }

 private:
  /// By the last node inside: everything that the kernel reads comes before it.
  std::pair<bool, NodeId> key(std::size_t k) const {
    const PlannedKernel& kernel = planned_.plan.kernels[k];
    return {kernel.copies_to_variable, kernel.members.back()};
  }

  /// Writes a node that no kernel computes, after what it reads.
  void need(NodeId id) {
    std::vector<NodeId> waiting = {id};
    while (!waiting.empty()) {
      const NodeId next = waiting.back();
      const auto operands = graph_.operands(next);
      const auto missing = std::find_if(operands.begin(), operands.end(), [&](ValueId v) { return !written_[v.node]; });
      if (!written_[next] && missing != operands.end()) {
        waiting.push_back(missing->node);
        continue;
      }
      waiting.pop_back();
      if (written_[next]) continue;
      written_[next] = true;
      text_ += "  " + line_text(graph_, next, labels_) + "\n";
    }
  }

  std::string value_text(ValueId v, std::uint32_t buffer) const {
    if (stage_ < Stage::planned || portable_) return labels_(v);
    return fmt::format("{} at {}", labels_(v), place_text(planned_.plan.buffers[buffer], graph_));
  }

  void kernel(std::size_t k, std::size_t position) {
    const PlannedKernel& kernel = planned_.plan.kernels[k];
    std::vector<std::string> in, out;
    for (std::size_t i = 0; i < kernel.in.size(); ++i) in.push_back(value_text(kernel.in[i], kernel.in_buffers[i]));
    for (std::size_t i = 0; i < kernel.out.size(); ++i) out.push_back(value_text(kernel.out[i], kernel.out_buffers[i]));
    // All that the members read must stand before the first of them.
    if (!kernel.copies_to_variable)
      for (const NodeId member : kernel.members)
        for (const ValueId v : graph_.operands(member))
          if (kernel_of_(v.node) != k) need(v.node);
    std::string line = fmt::format("  # kernel {}: {}", position, implementation_text(kernel, portable_));
    if (stage_ >= Stage::laid_out) line += fmt::format("; {} layout changes", kernel.reorders);
    if (stage_ >= Stage::planned && kernel.scratch && !portable_)
      line += fmt::format("; {} bytes of scratch", planned_.plan.buffers[*kernel.scratch].bytes);
    text_ += fmt::format("{}\n  #   {} -> {}\n", line, fmt::join(in, ", "), fmt::join(out, ", "));
    if (kernel.copies_to_variable) return;
    for (const NodeId member : kernel.members) need(member);
  }

  Stage stage_;
  bool portable_;
  const PlannedProgram& planned_;
  const Graph& graph_;
  Labels labels_;
  KernelOf kernel_of_;
  std::vector<bool> written_;
  std::string text_;
};

std::string text_of(const Staged& staged, bool portable) {
  if (!staged.plan) return print(staged.graph);
  std::string text = PlanText(staged, portable).run();
  if (staged.stage < Stage::planned) return text;
  const MemoryReport& m = staged.plan->memory;
  text += fmt::format("# variables {} bytes, inputs {}", m.variables, m.inputs);
  if (!portable)
    text += fmt::format(", constants {}, arena {} (largest live set {}), total {}", m.constants, m.arena,
                        m.largest_live, m.total());
  return text + "\n";
}

}  // namespace

std::span<const DumpFormat> dump_formats() { return all_formats; }

std::string_view to_string(DumpFormat format) {
  switch (format) {
    case DumpFormat::text: return "text";
    case DumpFormat::dot: return "dot";
    case DumpFormat::svg: return "svg";
    case DumpFormat::json: return "json";
    case DumpFormat::html: return "html";
  }
  return "?";
}

DumpFormat dump_format_named(std::string_view name) {
  std::vector<std::string> known;
  for (const DumpFormat format : all_formats) {
    if (to_string(format) == name) return format;
    known.emplace_back(to_string(format));
  }
  run_error("there is no format '{}'{}; the formats are {}", shown(name), suggestion(name, known),
            fmt::join(known, ", "));
}

std::string implementation_text(const PlannedKernel& kernel, bool portable) {
  const std::string& name = kernel.implementation;
  if (!portable) return name;
  if (!name.starts_with("onednn:")) return name;
  const auto colon = name.find(':', std::string_view("onednn:").size());
  return name.substr(0, colon);
}

std::string_view colour_of(Origin origin) {
  switch (origin) {
    case Origin::forward: return "#9ec9ee";
    case Origin::backward: return "#f2b879";
    case Origin::regularizer: return "#e8d94f";
    case Origin::clip: return "#d9a6c6";
    case Origin::schedule: return "#b9b9b9";
    case Origin::optimizer: return "#86d1b3";
  }
  return "#ffffff";
}

std::string dump(const Graph& graph, const DumpOptions& options) {
  if (options.format == DumpFormat::html)
    return html_of(graph, options.stage, options.compile, options.use_dot);
  const Staged staged = at_stage(graph, options.stage, options.compile);
  switch (options.format) {
    case DumpFormat::dot: return dot_of(staged, options.portable);
    case DumpFormat::svg: return svg_of(staged, options.portable);
    case DumpFormat::json: return json_of(staged, options.portable);
    default: return text_of(staged, options.portable);
  }
}

}  // namespace thalweg
