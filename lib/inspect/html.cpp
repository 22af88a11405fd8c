// SPDX-License-Identifier: Apache-2.0
// A graph, its plan and its memory as data of the page in page.html. The stages up to `optim` are one graph, filtered
// by origin; those from `folded` on are another, with more and more of its plan.
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <string>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/compile/summary.h"
#include "thalweg/lib/inspect/dot_places.h"
#include "thalweg/lib/inspect/formats.h"
#include "thalweg/lib/inspect/kernel_of.h"
#include "thalweg/lib/inspect/memory_map.h"
#include "thalweg/lib/inspect/unfused.h"

extern "C" {
extern const char thalweg_page_begin[] __attribute__((visibility("hidden")));  // page.cpp.in
extern const char thalweg_page_end[] __attribute__((visibility("hidden")));
}

namespace thalweg {
namespace {

using Json = nlohmann::ordered_json;

/// Texts that many nodes share, once each.
class Texts {
 public:
  std::size_t operator()(std::string_view text) {
    const auto [it, fresh] = number_.emplace(text, list_.size());
    if (fresh) list_.emplace_back(text);
    return it->second;
  }
  Json list() const { return list_; }

 private:
  std::map<std::string, std::size_t, std::less<>> number_;
  std::vector<std::string> list_;
};

/// [label, op, types, attributes, scope, origin, line, operands, FLOPs, bytes]: texts by number, but for the label.
Json nodes_of(const Graph& graph, Texts& texts) {
  const Labels labels(graph);
  Json nodes = Json::array();
  for (NodeId id = 0; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    std::string types;
    std::size_t bytes = 0;
    for (const TensorType& type : node.types) {
      types += (types.empty() ? "" : ", ") + to_string(type);
      bytes += type.bytes();
    }
    std::string attrs = attributes_text(node);
    if (attrs.size() > 300) attrs = attrs.substr(0, 297) + "...";
    Json operands = Json::array();
    for (const ValueId v : graph.operands(id)) operands.push_back(v.node);
    nodes.push_back({labels({id, 0}), texts(node.op->name), texts(types), texts(attrs), texts(node.scope),
                     static_cast<int>(node.origin), texts(node.loc.known() ? to_string(node.loc) : ""), operands,
                     flops(graph, id), bytes});
  }
  return nodes;
}

Json graph_of(const Graph& graph, Texts& texts) {
  Json outputs = Json::array(), updates = Json::array();
  for (const Graph::Output& out : graph.outputs()) outputs.push_back({out.name, out.value.node});
  for (const Graph::Update& update : graph.updates()) updates.push_back({update.variable.node, update.next.node});
  return {{"nodes", nodes_of(graph, texts)}, {"outputs", outputs}, {"updates", updates}};
}

void add_plan(Json& page, const PlannedProgram& planned, bool fuse) {
  Json kernels = Json::array(), edges = Json::array(), buffers = Json::array(), meanings = Json::object();
  for (const PlannedKernel& k : planned.plan.kernels)
    kernels.push_back({k.implementation, k.copies_to_variable ? Json::array() : Json(k.members), k.reorders});
  for (const UnfusedEdge& edge : unfused(planned, fuse)) {
    edges.push_back({edge.value.node, edge.consumer, to_string(edge.reason), edge.bytes});
    meanings[std::string(to_string(edge.reason))] = meaning_of(edge.reason);
  }
  const MemoryMap map = memory_map(planned);
  for (const MemoryMap::Entry& e : map.entries)
    buffers.push_back({e.offset, e.bytes, e.birth, e.death, e.what, static_cast<int>(e.origin), e.shares, e.line,
                       e.node});
  const MemoryReport& m = planned.memory;
  page["kernels"] = kernels;
  page["unfused"] = edges;
  page["meanings"] = meanings;
  page["memory"] = {{"buffers", buffers}, {"peak", map.peak_kernel}, {"live", map.live_at_peak},
                    {"arena", m.arena}, {"largest_live", m.largest_live},
                    {"variables", m.variables}, {"constants", m.constants}, {"inputs", m.inputs}};
}

/// What is in which kernel of several nodes.
std::vector<std::optional<std::size_t>> kernels_of(const PlannedProgram& planned) {
  std::vector<std::optional<std::size_t>> kernels(planned.graph.size());
  for (std::size_t k = 0; k < planned.plan.kernels.size(); ++k) {
    const PlannedKernel& kernel = planned.plan.kernels[k];
    if (kernel.copies_to_variable || kernel.members.size() < 2) continue;
    for (const NodeId member : kernel.members) kernels[member] = k;
  }
  return kernels;
}

/// For each group its boxes: nodes as number, x, y in one list, groups as name, x, y.
Json json_of(const GroupPlaces& places) {
  Json all = Json::object();
  for (const auto& [key, boxes] : places) {
    Json nodes = Json::array(), groups = Json::array();
    for (const BoxPlace& box : boxes) {
      if (box.child.empty()) nodes.insert(nodes.end(), {box.node, box.x, box.y});
      else groups.push_back({box.child, box.x, box.y});
    }
    all[key] = {nodes, groups};
  }
  return all;
}

void add_places(Json& page, const std::vector<GroupedGraph>& graphs) {
  constexpr const char* names[] = {"source", "folded", "fused"};
  const std::vector<GroupPlaces> places = places_by_dot(graphs, std::chrono::seconds(3));
  for (std::size_t i = 0; i < places.size(); ++i)
    if (!places[i].empty()) page["places"][names[i]] = json_of(places[i]);
}

/// JSON within a <script>: no end tag and no line that JavaScript would end.
std::string script_text(const Json& json) {
  std::string text = json.dump(-1, ' ', true, Json::error_handler_t::replace), safe;
  safe.reserve(text.size());
  for (const char c : text) {
    if (c == '<') safe += "\\u003c";
    else safe += c;
  }
  return safe;
}

}  // namespace

std::string html_of(const Graph& graph, Stage last, const CompileOptions& options, bool use_dot) {
  Texts texts;
  Json page = {{"name", graph.name()}, {"last", static_cast<int>(last)}, {"source", graph_of(graph, texts)}};
  std::vector<GroupedGraph> grouped = {{&graph}};
  PlannedProgram planned;
  if (last == Stage::folded) planned.graph = rewritten(graph, options);
  if (last > Stage::folded) planned = plan(graph, options);
  if (last >= Stage::folded) {
    page["compiled"] = graph_of(planned.graph, texts);
    grouped.push_back({&planned.graph});
  }
  if (last > Stage::folded) {
    add_plan(page, planned, options.fuse);
    grouped.push_back({&planned.graph, kernels_of(planned)});
  }
  if (use_dot) add_places(page, grouped);
  page["texts"] = texts.list();
  for (const Stage stage : stages()) page["stages"].push_back(to_string(stage));
  for (const Origin origin : {Origin::forward, Origin::backward, Origin::regularizer, Origin::clip, Origin::schedule,
                              Origin::optimizer}) {
    page["origins"].push_back(to_string(origin));
    page["colours"].push_back(colour_of(origin));
  }
  std::string html(thalweg_page_begin, thalweg_page_end);
  const auto put = [&](std::string_view mark, const std::string& text) {
    const std::size_t at = html.find(mark);
    if (at == std::string::npos) throw InternalError(fmt::format("the page has no place for {}", mark));
    html.replace(at, mark.size(), text);
  };
  put("@TITLE@", xml_text(graph.name()));
  put("@DATA@", script_text(page));
  return html;
}

}  // namespace thalweg
