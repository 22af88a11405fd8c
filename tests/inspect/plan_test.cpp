// SPDX-License-Identifier: Apache-2.0
// What is said of a plan: every node once, every edge with one reason, memory that adds up, in every format.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "../../tools/zoo/zoo.h"
#include "thalweg/graph/diff.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/inspect/dump.h"
#include "thalweg/lib/inspect/explain.h"
#include "thalweg/lib/inspect/memory_map.h"
#include "thalweg/lib/inspect/stage.h"
#include "thalweg/lib/inspect/unfused.h"
#include "thalweg/thalweg.h"

namespace thalweg {
namespace {

/// Small batches: plans are of the same kind, and quick.
std::vector<Graph> small_zoo() {
  std::vector<Graph> all;
  for (const zoo::Model& model : zoo::models())
    if (model.name != "resnet50") all.push_back(model.build(4));
  return all;
}

TEST(Stages, GrowFromTheForwardPartToTheWholeStep) {
  const Graph whole = zoo::lecture();
  const Graph built = at_stage(whole, Stage::built).graph, autodiff = at_stage(whole, Stage::autodiff).graph;
  EXPECT_LT(built.size(), autodiff.size());
  EXPECT_LT(autodiff.size(), whole.size());
  for (NodeId id = 0; id < built.size(); ++id) EXPECT_EQ(built.node(id).origin, Origin::forward);
  EXPECT_TRUE(built.has("loss"));
  EXPECT_FALSE(built.has("step"));  // read by the schedule alone
  EXPECT_TRUE(at_stage(zoo::digits(2), Stage::built).graph.has("step"));  // read by dropout too
  EXPECT_TRUE(built.updates().empty());
  EXPECT_EQ(print(at_stage(whole, Stage::optim).graph), print(whole));
  EXPECT_THROW(stage_named("fuse"), RunError);
  for (const Stage stage : stages()) EXPECT_EQ(stage_named(to_string(stage)), stage);
}

TEST(Dump, TextReadsBackAtEveryStage) {
  for (const Graph& graph : small_zoo()) {
    for (const Stage stage : stages()) {
      SCOPED_TRACE(graph.name() + " " + std::string(to_string(stage)));
      const Graph at = at_stage(graph, stage).graph, back = parse(dump(graph, {.stage = stage}));
      EXPECT_EQ(back.size(), at.size());
      EXPECT_TRUE(diff(at, back).empty()) << diff(at, back).text(at, back);
    }
  }
}

// Netron's reader (source/onednn.js) refuses a file with any other word, and an op that it knows with more operands or
// results than it knows.
const std::set<std::string> netron_dtypes = {"f16", "f32", "bf16", "s8", "s32", "s64", "u8", "boolean", "undef"};
const std::set<std::string> netron_attributes = {"bool", "s64", "s64[]", "f32", "f32[]", "string"};
const std::map<std::string, std::pair<std::size_t, std::size_t>> netron_most = {
    {"LayerNormBackward", {6, 3}}, {"BatchNormInference", {5, 1}}, {"BatchNormTrainingBackward", {5, 3}},
    {"BatchNormForwardTraining", {5, 5}}, {"LayerNorm", {3, 3}}, {"Convolution", {3, 1}},
    {"ConvolutionBackwardData", {3, 1}}, {"ConvolutionBackwardWeights", {3, 1}}, {"MatMul", {3, 1}}};

TEST(Dump, JsonOpensInNetron) {
  using Json = nlohmann::json;
  for (const Graph& graph : small_zoo()) {
    SCOPED_TRACE(graph.name());
    const Json file = Json::parse(dump(graph, {.stage = Stage::planned, .format = DumpFormat::json}));
    for (const Json& node : file.at("graph")) {
      for (const Json& attr : node.at("attrs")) {
        const auto type = attr.at("type").get<std::string>();
        EXPECT_TRUE(netron_attributes.contains(type)) << node;
        EXPECT_TRUE(type != "bool" || attr.at("value") == 0 || attr.at("value") == 1) << node;
      }
      for (const char* side : {"inputs", "outputs"})
        for (const Json& tensor : node.at(side))
          EXPECT_TRUE(netron_dtypes.contains(tensor.at("dtype").get<std::string>())) << node;
      EXPECT_TRUE(node.at("attrs").contains("origin"));
      const auto most = netron_most.find(node.at("kind").get<std::string>());
      if (most == netron_most.end()) continue;
      EXPECT_LE(node.at("inputs").size(), most->second.first) << node;
      EXPECT_LE(node.at("outputs").size(), most->second.second) << node;
    }
    EXPECT_EQ(file.at("output_ports").size(), graph.outputs().size());
  }
}

TEST(Dump, JsonHasEveryNodeWithItsPlace) {
  using Json = nlohmann::json;
  const Graph graph = zoo::lenet(2);
  for (const Stage stage : stages()) {
    const Json file = Json::parse(dump(graph, {.stage = stage, .format = DumpFormat::json}));
    EXPECT_TRUE(file.at("version").is_string());
    EXPECT_TRUE(file.at("engine_kind").is_string());
    EXPECT_TRUE(file.at("fpmath_mode").is_string());
    const Graph at = at_stage(graph, stage).graph;
    ASSERT_EQ(file.at("graph").size(), at.size());
    std::set<int> known;
    for (const Json& node : file.at("graph")) {
      EXPECT_TRUE(node.at("kind").is_string() && node.at("name").is_string() && node.at("id").is_number());
      for (const Json& attr : node.at("attrs")) EXPECT_TRUE(attr.contains("type") && attr.contains("value"));
      for (const Json& in : node.at("inputs")) EXPECT_TRUE(known.contains(in.at("id").get<int>())) << node;
      for (const Json& out : node.at("outputs")) EXPECT_TRUE(known.insert(out.at("id").get<int>()).second) << node;
      for (const char* field : {"scope", "origin", "line"}) EXPECT_TRUE(node.at(field).is_string());
    }
    EXPECT_EQ(file.contains("kernels"), stage >= Stage::fused);
    EXPECT_EQ(file.contains("memory"), stage >= Stage::planned);
  }
}

TEST(Dump, DotAndSvgAreWellFormed) {
  Graph g("odd");
  {
    const Scope scope(g, "a-b/c");
    g.output("y", tanh(input(g, "x", f32(2))));
  }
  for (const Graph& graph : {zoo::tiny(), zoo::lenet(2), g}) {
    for (const Stage stage : {Stage::built, Stage::optim, Stage::planned}) {
      const std::string dot = dump(graph, {.stage = stage, .format = DumpFormat::dot});
      EXPECT_TRUE(dot.starts_with("digraph ") && dot.ends_with("}\n"));
      EXPECT_EQ(std::count(dot.begin(), dot.end(), '{'), std::count(dot.begin(), dot.end(), '}'));
      const std::string svg = dump(graph, {.stage = stage, .format = DumpFormat::svg});
      const Graph at = at_stage(graph, stage).graph;
      std::size_t boxes = 0;
      for (std::size_t i = svg.find("<g><title>"); i != std::string::npos; i = svg.find("<g><title>", i + 1)) ++boxes;
      EXPECT_EQ(boxes, at.size());
      EXPECT_EQ(svg.find("nan"), std::string::npos);
    }
  }
}

TEST(Dump, APageHoldsAllItsData) {
  const std::string html = dump(zoo::tiny(), {.stage = Stage::planned, .format = DumpFormat::html});
  EXPECT_EQ(html.find("@DATA@"), std::string::npos);
  // Nothing is fetched: the one address is the name of SVG's elements.
  const std::string svg_name = "http://www.w3.org/2000/svg";
  for (std::size_t i = html.find("://"); i != std::string::npos; i = html.find("://", i + 1))
    EXPECT_EQ(html.substr(i - 4, svg_name.size()), svg_name);
  for (const char* word : {"src=", "href=", "url(", "@import"}) EXPECT_EQ(html.find(word), std::string::npos) << word;
  const std::string mark = "type=\"application/json\">";
  const std::size_t from = html.find(mark) + mark.size(), to = html.find("</script>", from);
  const nlohmann::json data = nlohmann::json::parse(html.substr(from, to - from));
  EXPECT_EQ(data.at("source").at("nodes").size(), zoo::tiny().size());
  EXPECT_TRUE(data.contains("memory") && data.contains("unfused"));
  EXPECT_LT(html.size() - (to - from), 150U * 1024);
}

TEST(Unfused, EveryEdgeOfTheZooHasOneKnownReason) {
  for (const zoo::Model& model : zoo::models())
    for (const int threads : {1, 2}) {
      SCOPED_TRACE(fmt::format("{} on {} threads", model.name, threads));
      const PlannedProgram planned = plan(model.build(model.batch), {.logical_threads = threads});
      std::set<std::pair<ValueId, NodeId>> seen;
      for (const UnfusedEdge& edge : unfused(planned)) {
        EXPECT_TRUE(seen.emplace(edge.value, edge.consumer).second);
        EXPECT_NE(edge.reason, Unfused::missed)
            << label(planned.graph, edge.value) << " -> " << label(planned.graph, {edge.consumer, 0}) << ": "
            << planned.plan.kernels[edge.producer_kernel].implementation << " -> "
            << planned.plan.kernels[edge.consumer_kernel].implementation;
        EXPECT_NE(edge.producer_kernel, edge.consumer_kernel);
        EXPECT_FALSE(meaning_of(edge.reason).empty());
      }
      EXPECT_FALSE(seen.empty());
    }
}

TEST(Unfused, AllValuesBetweenKernelsAreEdges) {
  // Counted anew from the kernels' own lists of operands.
  for (const Graph& graph : small_zoo()) {
    SCOPED_TRACE(graph.name());
    const PlannedProgram planned = plan(graph);
    std::vector<std::size_t> writer(planned.plan.buffers.size(), 0);
    std::set<std::pair<std::size_t, std::size_t>> between, found;
    for (std::size_t k = 0; k < planned.plan.kernels.size(); ++k) {
      const PlannedKernel& kernel = planned.plan.kernels[k];
      for (const std::uint32_t b : kernel.in_buffers)
        if (writer[b] > 0) between.emplace(writer[b] - 1, k);
      for (const std::uint32_t b : kernel.out_buffers)
        if (planned.plan.buffers[b].region == Region::arena) writer[b] = k + 1;
    }
    for (const UnfusedEdge& edge : unfused(planned)) found.emplace(edge.producer_kernel, edge.consumer_kernel);
    for (const auto& edge : between) EXPECT_TRUE(found.contains(edge)) << edge.first << " " << edge.second;
  }
}

TEST(Unfused, NamesTheReasonsThatCanBeToldByHand) {
  Graph g;
  const Value x = input(g, "x", f32(8, 8)), w = input(g, "w", f32(8, 8));
  const Value h = matmul(x, w);
  g.output("h", h);
  g.output("y", tanh(h));
  g.output("s", exp(sum(tanh(x * 2.0), {.axes = {0}})));
  std::set<std::string> reasons;
  const PlannedProgram planned = plan(g);
  for (const UnfusedEdge& edge : unfused(planned)) reasons.emplace(to_string(edge.reason));
  EXPECT_TRUE(reasons.contains("other-readers"));
  EXPECT_TRUE(reasons.contains("reduction-producer"));
  reasons.clear();
  for (const UnfusedEdge& edge : unfused(plan(g, {.fuse = false}), false)) reasons.emplace(to_string(edge.reason));
  EXPECT_EQ(reasons, std::set<std::string>{"fusion-off"});
}

TEST(Unfused, StepsOfEveryMakeHaveKnownReasons) {
  const auto net = [](Graph& g, const Value& x) {
    Value h = tanh(dense(x, 32));
    h = layer_norm(h);
    h = residual(h, [](const Value& y) { return gelu(dense(y, 32)); });
    return mean(sparse_cross_entropy(dense(h, 5), input(g, "label", i32(16))));
  };
  const auto missed = [](const Graph& g) {
    std::string all;
    const PlannedProgram planned = plan(g);
    for (const UnfusedEdge& edge : unfused(planned))
      if (edge.reason == Unfused::missed)
        all += fmt::format("{} -> {}\n", line_text(planned.graph, edge.value.node, Labels(planned.graph)),
                           line_text(planned.graph, edge.consumer, Labels(planned.graph)));
    return all;
  };
  {
    Graph g("clipped");
    minimize(net(g, input(g, "x", f32(16, 8))), AdamW{.rate = 1e-3}, {.clip = by_global_norm(1.0)});
    EXPECT_EQ(missed(g), "");
  }
  {
    Graph g("penalized");
    minimize(net(g, input(g, "x", f32(16, 8))), Sgd{.rate = exponential_decay(0.1, 0.9, 100), .momentum = 0.9},
             {.penalty = l2(1e-4), .non_finite = NonFinite::skip, .average = ema(0.99)});
    EXPECT_EQ(missed(g), "");
  }
  {
    // More steps than one group holds, of many tensors at once.
    Graph g("long");
    for (int k = 0; k < 4; ++k) {
      Value x = input(g, "x" + std::to_string(k), f32(64));
      for (int i = 0; i < 60; ++i) x = tanh(x * 1.01);
      g.output("y" + std::to_string(k), x);
    }
    EXPECT_EQ(missed(g), "");
    const PlannedProgram planned = plan(g);
    const std::vector<UnfusedEdge> edges = unfused(planned);
    EXPECT_FALSE(edges.empty());
    for (const UnfusedEdge& edge : edges) EXPECT_EQ(edge.reason, Unfused::group_limit);
  }
}

TEST(MemoryMap, AddsUpAndNeverOverlaps) {
  for (const Graph& graph : small_zoo()) {
    SCOPED_TRACE(graph.name());
    const PlannedProgram planned = plan(graph);
    const MemoryMap map = memory_map(planned);
    std::size_t peak = 0;
    for (const std::size_t i : map.live_at_peak) peak += map.entries[i].bytes;
    EXPECT_LE(peak, map.memory.largest_live);
    EXPECT_GT(peak + 64 * map.live_at_peak.size(), map.memory.largest_live);
    for (std::size_t i = 0; i < map.entries.size(); ++i) {
      const MemoryMap::Entry& a = map.entries[i];
      EXPECT_LE(a.offset + a.bytes, map.memory.arena);
      EXPECT_FALSE(a.what.empty());
      for (std::size_t j = 0; j < i; ++j) {
        const MemoryMap::Entry& b = map.entries[j];
        const bool together = a.birth <= b.death && b.birth <= a.death;
        EXPECT_FALSE(together && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes) << a.what << b.what;
      }
    }
    EXPECT_EQ(std::string_view(map.svg()).substr(0, 4), "<svg");
    EXPECT_EQ(nlohmann::json::parse(map.json()).at("entries").size(), map.entries.size());
  }
}

TEST(Explain, FollowsANodeFromItsLineToItsKernel) {
  const Graph graph = zoo::tiny();
  const Explanation e = explain(graph, value_called(graph, "%0"));
  EXPECT_TRUE(e.line.starts_with("%0 = matmul %x, @dense/kernel : f32[15,16]"));
  EXPECT_TRUE(e.place.starts_with("tiny.cpp:")) << e.place;
  EXPECT_TRUE(e.survives);
  ASSERT_TRUE(e.kernel);
  EXPECT_FALSE(e.implementation.empty());
  EXPECT_EQ(e.flops, 2.0 * 15 * 4 * 16);
  EXPECT_FALSE(e.text().empty());
  EXPECT_EQ(nlohmann::json::parse(e.json()).at("place"), e.place);
  EXPECT_EQ(value_called(graph, "loss"), graph.find("loss").id());
  EXPECT_EQ(value_called(graph, "@dense/kernel"), graph.find("dense/kernel").id());
  EXPECT_THROW(value_called(graph, "%100000"), GraphError);
  EXPECT_THROW(value_called(graph, "lsos"), GraphError);
}

TEST(Explain, KeepsToTheTensorOfANodeInAKernelOverMany) {
  const Graph graph = zoo::mlp(4);
  for (const Graph::Update& update : graph.updates()) {
    if (graph.node(update.variable.node).name != "dense/kernel") continue;
    const Explanation e = explain(graph, update.next);
    ASSERT_GT(e.group.size(), 5U);
    EXPECT_LT(e.group.size(), 20U);
    EXPECT_TRUE(e.group.back().ends_with("nodes of other tensors")) << e.group.back();
  }
}

TEST(Explain, SaysWhichRewriteTookANodeAway) {
  Graph g;
  const Value x = input(g, "x", f32(3));
  const Value dead = exp(x), twin = tanh(x), other = tanh(x);
  g.output("y", twin + other);
  const auto fate = [&](const Value& v) { return explain(g, v.id()).passes.back(); };
  EXPECT_NE(fate(dead).find("dce: removed"), std::string::npos) << fate(dead);
  EXPECT_NE(fate(other).find("cse: merged"), std::string::npos) << fate(other);
}

}  // namespace
}  // namespace thalweg
