// SPDX-License-Identifier: Apache-2.0
// thalweg diff: what differs between two graphs, two stages, or two ways to compile, by meaning.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"
#include "graph_file.h"
#include "thalweg/graph/diff.h"
#include "thalweg/graph/error.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/inspect/stage.h"

namespace thalweg::tool {
namespace {

struct Request : GraphRequest {
  std::string other;
  std::string stage = "optim", other_stage;
  std::string without;  ///< one of fold, cse, dce: left out on the second side
};

Stage named(const std::string& name) {
  try {
    return stage_named(name);
  } catch (const RunError& error) {
    throw Stop(wrong_usage, std::string(error.what()) + " (see thalweg diff --help)");
  }
}

std::string json_of(const Difference& d, const Graph& before, const Graph& after) {
  using Json = nlohmann::ordered_json;
  const Labels in_before(before), in_after(after);
  Json removed = Json::array(), added = Json::array(), changed = Json::array();
  for (const NodeId id : d.removed) removed.push_back(line_text(before, id, in_before));
  for (const NodeId id : d.added) added.push_back(line_text(after, id, in_after));
  for (const Difference::Change& c : d.changed)
    changed.push_back({{"before", in_before({c.before, 0})}, {"after", in_after({c.after, 0})},
                       {"op", before.node(c.before).op->name}, {"what", c.what}});
  const Json all = {{"removed", removed}, {"added", added}, {"changed", changed}, {"results", d.results}};
  return all.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Status compare(const Request& request) {
  if (request.other.empty() && request.other_stage.empty() && request.without.empty())
    throw Stop(wrong_usage, "diff needs a second graph, --to STAGE or --without PASS (see thalweg diff --help)");
  if (request.source == "-" && request.other == "-")
    throw Stop(wrong_usage, "only one of the two graphs can be standard input (see thalweg diff --help)");
  const Stage first = named(request.stage);
  const Stage second = request.other_stage.empty() ? first : named(request.other_stage);
  const CompileOptions options = request.options();
  CompileOptions other_options = options;
  if (request.without == "fold") other_options.fold = false;
  if (request.without == "cse") other_options.cse = false;
  if (request.without == "dce") other_options.dce = false;
  const Graph a = request.graph();
  const Graph b = request.other.empty() ? a : graph_from(request.other, request.batch);
  const Graph before = at_stage(a, first, options).graph, after = at_stage(b, second, other_options).graph;
  const Difference difference = diff(before, after);
  put(request.json ? json_of(difference, before, after)
                   : painted_difference(difference.text(before, after), request.colours()),
      request.out);
  return difference.empty() ? succeeded : check_failed;
}

}  // namespace

void add_diff(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "diff",
      "What differs between two graphs, stages or options, by meaning: status 0 if nothing does, 1 if something");
  const auto request = std::make_shared<Request>();
  add_source(command, *request);
  command->add_option("other", request->other, "the second graph; the first one again without it");
  command->add_option("--stage", request->stage, "of both graphs, as for dump")->capture_default_str();
  command->add_option("--to", request->other_stage, "another stage of the second graph");
  command->add_option("--without", request->without, "compile the second without fold, cse or dce")
      ->check(CLI::IsMember({"fold", "cse", "dce"}));
  add_compile_options(command, *request);
  add_result_options(command, *request);
  command->callback([request, &action] { action = [request] { return compare(*request); }; });
}

}  // namespace thalweg::tool
