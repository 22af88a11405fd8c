// SPDX-License-Identifier: Apache-2.0
// thalweg landscape: how optimizers walk down functions of two variables, and what a net's loss looks like around it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "command.h"
#include "graph_file.h"
#include "options.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/thalweg.h"

namespace thalweg::tool {
namespace {

using Json = nlohmann::ordered_json;

struct LandscapeRequest {
  std::vector<std::string> functions = {};
  std::vector<std::string> optimizers = {};
  int steps = 0;
  double rate = 0;
  std::vector<double> start = {};
  std::string net = {};
  std::string weights = {};
  std::string data = {};
  std::string label = {};
  int epochs = 10;
  int samples = 256;
  int points = 21;
  double radius = 1;
  int top = 5;
  int products = 200;
  std::uint64_t seed = 1;
  int threads = 0;
  std::string out = "thalweg-landscape";
  bool json = false;
};

/// What was found, to be printed in one of two ways.
struct Findings {
  std::string text;
  Json json = Json::object();
  std::vector<std::string> files = {};
};

std::string file_in(const LandscapeRequest& request, const std::string& name) {
  return (std::filesystem::path(request.out) / name).string();
}

void draw(const Chart& chart, const std::string& path, Findings& found) {
  write_file(path, chart.svg());
  found.files.push_back(path);
}

std::string kind_of(const Eigenvalues& ends) {
  const double high = ends.largest.front(), low = ends.smallest.front();
  const double level = 1e-9 * std::max(std::fabs(high), std::fabs(low));
  if (low > level) return "minimum";
  if (high < -level) return "maximum";
  return low < -level && high > level ? "saddle" : "flat";
}

// ---- functions

std::vector<NamedOptimizer> chosen_optimizers(const LandscapeRequest& request, const TestFunction& function) {
  std::vector<NamedOptimizer> all = lecture_optimizers(function, request.rate);
  if (request.optimizers.empty()) return all;
  std::vector<NamedOptimizer> chosen;
  for (const std::string& name : request.optimizers)
    for (const NamedOptimizer& optimizer : all)
      if (optimizer.name == name) chosen.push_back(optimizer);
  return chosen;
}

Json stationary_points(const TestFunction& function, std::string& text) {
  Json list = Json::array();
  for (const std::array<double, 2>& point : function.stationary) {
    const Graph graph = graph_at(function, point);
    Variables variables;
    for (const NodeId id : graph.variables()) variables.ensure(graph, id);
    Hessian hessian(graph, variables, {});
    const Eigenvalues ends = hessian_eigenvalues(hessian, {.top = 1, .bottom = 1});
    text += fmt::format("  at ({:.4g}, {:.4g}) a {}: curvatures {:.4g} and {:.4g}\n", point[0], point[1], kind_of(ends),
                        ends.smallest[0], ends.largest[0]);
    list.push_back({{"x", point[0]}, {"y", point[1]}, {"kind", kind_of(ends)},
                    {"eigenvalues", {ends.smallest[0], ends.largest[0]}}});
  }
  return list;
}

void show_function(const TestFunction& function, const LandscapeRequest& request, Findings& found) {
  const int steps = request.steps > 0 ? request.steps : function.steps;
  std::array<double, 2> start = function.start;
  if (!request.start.empty()) start = {request.start[0], request.start[1]};
  found.text += fmt::format("{}: f = {}, {} steps from ({:g}, {:g})\n", function.name, function.about, steps, start[0],
      start[1]);
  std::vector<DescentPath> paths;
  Json walks = Json::array();
  for (const NamedOptimizer& optimizer : chosen_optimizers(request, function)) {
    paths.push_back(descend(function, optimizer, steps, start));
    const DescentPath& path = paths.back();
    const std::string where = path.diverged ? fmt::format("diverges after {} steps", path.value.size())
                                            : fmt::format("ends at ({:.4g}, {:.4g}), f = {:.4g}", path.x.back(),
                                                          path.y.back(), path.value.back());
    found.text += fmt::format("  {:<9} {}\n", path.name, where);
    walks.push_back({{"optimizer", path.name}, {"diverged", path.diverged}, {"x", path.x}, {"y", path.y},
                     {"value", path.value}});
  }
  const std::string file = file_in(request, function.name + ".svg");
  draw(chart_of(function, paths), file, found);
  Json stationary = stationary_points(function, found.text);
  found.json["functions"].push_back(
      {{"name", function.name}, {"steps", steps}, {"paths", walks}, {"stationary", stationary}, {"file", file}});
}

// ---- nets

Dataset loaded(const LandscapeRequest& request) {
  if (request.data.empty()) return split(digits(), 0.2, request.seed).train;
  if (std::filesystem::is_directory(request.data)) return mnist(request.data).train;
  const Dataset table = csv(request.data, {.label = request.label.empty() ? "-1" : request.label});
  return standardization(table)(table);
}

/// The data with samples of the shape that the net's first input of as many numbers asks for.
Dataset shaped_for(const Graph& graph, const Dataset& data) {
  const Dim numbers = data.inputs.type().elements() / data.size();
  std::vector<std::string> inputs;
  for (const NodeId id : graph.inputs()) {
    const TensorType& type = graph.node(id).types[0];
    inputs.push_back(fmt::format("'{}' {}", graph.node(id).name, to_string(type)));
    if (!is_float(type.dtype) || type.shape.rank() < 2 || type.elements() != type.shape[0] * numbers) continue;
    std::vector<Dim> sizes = type.shape.vector();
    sizes[0] = data.size();
    Dataset shaped = data;
    shaped.inputs = Tensor(TensorType{type.dtype, Shape(sizes)}, data.inputs.numbers());
    return shaped;
  }
  throw Stop(bad_input,
      fmt::format("the net has no input for samples of {} numbers{}: give other ones by --data (it has {})",
                                    numbers, data.name.empty() ? "" : " (" + data.name + ")", fmt::join(inputs, ", ")));
}

Variables weights_for(const Graph& graph, const Dataset& data, const LandscapeRequest& request) {
  if (!request.weights.empty()) return load_weights(graph, request.weights);
  if (request.epochs == 0) {
    Variables fresh;
    for (const NodeId id : graph.variables()) fresh.ensure(graph, id);
    return fresh;
  }
  try {
    const History history = fit(graph, data, {.epochs = request.epochs, .seed = request.seed,
                                              .compile = {.logical_threads = request.threads}});
    if (history.interrupted) throw Stop(interrupted, "interrupted");
    return history.variables;
  } catch (const Diverged& error) {
    throw Stop(numeric_failure, error.what());
  }
}

void draw_slices(const Graph& graph, const Variables& variables, const Dataset& data, const LandscapeRequest& request,
                 const RunOptions& run, Findings& found, Json& json) {
  const Direction right = filter_normalized(graph, variables, request.seed);
  const Direction up = filter_normalized(graph, variables, request.seed + 1);
  const SliceOptions line{.radius = request.radius, .points = 2 * request.points - 1, .run = run};
  const Field along = loss_line(graph, variables, data, right, line);
  const Field across = loss_line(graph, variables, data, up, line);
  const Field plane = loss_plane(graph, variables, data, right, up,
                                 {.radius = request.radius, .points = request.points, .run = run});
  Chart curves{.title = fmt::format("{}: loss along random directions", graph.name()),
               .x_label = "distance (1: as far as each filter is long)", .y_label = "loss", .curves = {}};
  curves.curves = {{.name = "direction 1", .x = along.x, .y = along.values},
                   {.name = "direction 2", .x = across.x, .y = across.values}};
  draw(curves, file_in(request, "net-line.svg"), found);
  Chart map{.title = fmt::format("{}: loss over the plane of both directions", graph.name()), .x_label = "direction 1",
            .y_label = "direction 2", .field = plane, .marks = {{0, 0, "the net"}}, .width = 560, .height = 500};
  draw(map, file_in(request, "net-plane.svg"), found);
  const double middle = along.values[along.values.size() / 2];
  json["loss"] = middle;
  json["line"] = {{"distance", along.x}, {"direction1", along.values}, {"direction2", across.values}};
  json["plane"] = {{"x", plane.x}, {"y", plane.y}, {"loss", plane.values}};
  found.text += fmt::format("  loss {:.4g} over {} samples; at distance {:g} to each side {:.4g} and {:.4g}\n", middle,
                            data.size(), request.radius, along.values.front(), along.values.back());
}

/// Lanczos' method is done when every eigenvalue is known to so much of the largest one.
constexpr double known_to = 1e-3;

/// How near the least well known of `values` is, whose products were rounded to f32.
double worst(const std::vector<double>& values, const std::vector<double>& errors) {
  double worst = 0;
  for (std::size_t k = 0; k < values.size(); ++k)
    worst = std::max({worst, errors[k], 0x1p-22 * std::fabs(values[k])});
  return worst;
}

std::string listed(const std::vector<double>& numbers) {
  std::string text;
  for (const double number : numbers) text += fmt::format("{}{:.4g}", text.empty() ? "" : ", ", number);
  return text;
}

void show_curvature(const Graph& graph, const Variables& variables, const Dataset& data,
                    const LandscapeRequest& request, const RunOptions& run, Findings& found, Json& json) {
  Hessian hessian(graph, variables, data, run);
  const Eigenvalues ends = hessian_eigenvalues(
      hessian, {.top = request.top, .bottom = request.top, .most_products = request.products, .tolerance = known_to,
                .seed = request.seed});
  found.text += fmt::format("  Hessian of {} weights, {} products: largest {} (to within {:.1g}); smallest {} (to within "
                            "{:.1g})\n",
                            with_commas(static_cast<std::int64_t>(hessian.size())), ends.products, listed(ends.largest),
                            worst(ends.largest, ends.largest_error), listed(ends.smallest),
                            worst(ends.smallest, ends.smallest_error));
  if (!ends.converged)
    found.text += fmt::format("  (not converged to {:g} of the largest: give more --products than {})\n", known_to,
                              request.products);
  json["hessian"] = {{"weights", hessian.size()}, {"products", ends.products}, {"converged", ends.converged},
                     {"tolerance", known_to},
                     {"largest", ends.largest}, {"largest_error", ends.largest_error},
                     {"smallest", ends.smallest}, {"smallest_error", ends.smallest_error}};
}

void show_net(const LandscapeRequest& request, Findings& found) {
  const Graph graph = graph_from(request.net);
  const Dataset all = shaped_for(graph, loaded(request));
  const Variables variables = weights_for(graph, all, request);
  std::vector<std::uint32_t> order = permutation(all.size(), request.seed);
  order.resize(std::min(order.size(), static_cast<std::size_t>(request.samples)));
  const Dataset some = take(all, order);
  const RunOptions run{.batch = some.size(), .compile = {.logical_threads = request.threads}};
  found.text += fmt::format("{}: {}\n", graph.name(),
                            request.weights.empty() ? fmt::format("after {} epochs", request.epochs) : request.weights);
  Json json = {{"name", graph.name()}, {"samples", some.size()}};
  draw_slices(graph, variables, some, request, run, found, json);
  if (request.top > 0) show_curvature(graph, variables, some, request, run, found, json);
  found.json["net"] = std::move(json);
}

// ---- the command

std::vector<std::string> known_functions() {
  std::vector<std::string> names = {"all"};
  for (const TestFunction& function : test_functions()) names.push_back(function.name);
  return names;
}

Status landscape(const LandscapeRequest& asked) {
  LandscapeRequest request = asked;
  if (request.functions.empty() && request.net.empty()) {
    request.functions = {"all"};
    request.net = "digits";
  }
  if (request.net.empty())
    for (const auto& [given, name] :
         {std::pair{!request.weights.empty(), "--weights"}, {!request.data.empty(), "--data"}})
      if (given) throw Stop(wrong_usage, fmt::format("{} needs --net (see thalweg landscape --help)", name));
  made_folder(request.out);
  Findings found;
  for (const TestFunction& function : test_functions()) {
    const auto named = [&](const std::string& name) { return name == "all" || name == function.name; };
    if (std::any_of(request.functions.begin(), request.functions.end(), named)) show_function(function, request, found);
  }
  if (!request.net.empty()) show_net(request, found);
  found.json["files"] = found.files;
  if (request.json) put(found.json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n", "");
  else put(fmt::format("{}written: {}\n", found.text, fmt::join(found.files, ", ")), "");
  return succeeded;
}

}  // namespace

void add_landscape(CLI::App& app, Action& action) {
  const auto request = std::make_shared<LandscapeRequest>();
  CLI::App* command = app.add_subcommand(
      "landscape", "Draw how optimizers descend, and a net's loss around its weights; without options both");
  command->add_option("--function", request->functions,
      "bowl, saddle, rosenbrock, beale, himmelblau or all; may be repeated")
      ->check(CLI::IsMember(known_functions()).description(""));
  command->add_option("--optimizers", request->optimizers,
      "of gd, momentum, nag, adagrad, rmsprop and adam; all by default")
      ->delimiter(',')
      ->check(CLI::IsMember({"gd", "momentum", "nag", "adagrad", "rmsprop", "adam"}).description(""));
  command->add_option("--steps", request->steps, "of each optimizer; by default what suits the function")
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("--rate", request->rate,
      "of every optimizer; by default what suits it and the function")->check(positive);
  command->add_option("--start", request->start, "X Y, where they start")->expected(2)->check(finite);
  command->add_option("--net", request->net,
      "a net that `thalweg models` lists, a graph as text, or - for standard input");
  command->add_option("--weights", request->weights, "the net's variables (safetensors) in the place of training it");
  command->add_option("--data", request->data,
      "a folder in MNIST's form or a CSV file; by default the built-in digits");
  command->add_option("--label", request->label, "of a CSV file: the labels' column");
  command->add_option("--epochs", request->epochs, "that the net is trained for; 0: as it is initialized")
      ->check(CLI::Range(0, 1'000'000))->capture_default_str();
  command->add_option("--samples", request->samples, "of the training set that losses are means of")
      ->check(CLI::Range(1, 100'000'000))->capture_default_str();
  command->add_option("--points", request->points, "along each side of the plane")->check(CLI::Range(3, 1000))
      ->capture_default_str();
  command->add_option("--radius", request->radius, "how far from the net; 1: as far as each filter is long")
      ->check(positive)->capture_default_str();
  command->add_option("--top", request->top, "eigenvalues of the Hessian from each end; 0: none")
      ->check(CLI::Range(0, 1000))->capture_default_str();
  command->add_option("--products", request->products, "of the Hessian with vectors, at most")
      ->check(CLI::Range(1, 100'000))->capture_default_str();
  command->add_option("--seed", request->seed, "of data order and directions")->capture_default_str();
  command->add_option("--threads", request->threads, "threads that the work is cut for; 0 lets the compiler choose")
      ->check(CLI::Range(0, 256))->capture_default_str();
  command->add_option("-o,--out", request->out, "folder for the pictures")->capture_default_str();
  command->add_flag("--json", request->json, "all numbers as JSON");
  command->callback([request, &action] { action = [request] { return landscape(*request); }; });
}

}  // namespace thalweg::tool
