// SPDX-License-Identifier: Apache-2.0
#include "serve.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/allocations.h"
#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/compile/summary.h"
#include "thalweg/lib/io/safetensors.h"

namespace thalweg::bench {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double microseconds(Clock::duration d) { return std::chrono::duration<double, std::micro>(d).count(); }

/// Runs `steps` steps; reads the clock after every `block` of them.
std::vector<double> timed(Program& program, std::size_t steps, std::size_t block) {
  std::vector<double> us;
  us.reserve(steps);
  for (auto before = Clock::now(); us.size() < steps;) {
    const std::size_t n = std::min(block, steps - us.size());
    for (std::size_t i = 0; i < n; ++i) program.run();
    const auto after = Clock::now();
    us.insert(us.end(), n, microseconds(after - before) / static_cast<double>(n));
    before = after;
  }
  return us;
}

/// So many steps that reading the clock, some 25 ns, is lost in their time.
std::size_t block_of(Program& program) {
  constexpr double enough_us = 20;
  constexpr std::size_t tries = 8;
  const std::vector<double> us = timed(program, tries, 1);
  const double shortest = std::max(0.01, *std::min_element(us.begin(), us.end()));
  return static_cast<std::size_t>(std::max(1.0, std::ceil(enough_us / shortest)));
}

std::vector<double> measures(Program& program, const Workload& workload, int steps) {
  std::vector<double> list;
  for (int i = 0; i < steps; ++i) {
    program.run();
    list.push_back(measure(program, workload));
  }
  return list;
}

std::size_t step_count(const std::string& line) {
  std::size_t steps = 0;
  const char* const end = line.data() + line.size();
  const auto [rest, error] = std::from_chars(line.data(), end, steps);
  constexpr std::size_t most = 100'000'000;
  if (error != std::errc() || rest != end || steps < 1 || steps > most)
    run_error("a line must be a number of steps from 1 to {}, not '{}'", most, line);
  return steps;
}

std::vector<std::string> learning_variables(const Graph& graph) {
  std::vector<std::string> names;
  for (const NodeId id : graph.variables())
    if (graph.node(id).attrs.flag("trainable")) names.push_back(graph.node(id).name);
  return names;
}

/// What bernoulli nodes draw in each of the first steps, [steps, …] as u8.
std::vector<Tensor> drawn_masks(const Workload& workload) {
  Graph graph = workload.build();
  std::vector<std::string> names;
  std::vector<Tensor> masks;
  for (NodeId id = 0; id < graph.size(); ++id) {
    if (graph.node(id).op->name != "bernoulli") continue;
    names.push_back("mask/" + std::to_string(names.size()));
    graph.output(names.back(), graph.value({id, 0}));
    std::vector<Dim> sizes = graph.node(id).types[0].shape.vector();
    sizes.insert(sizes.begin(), compared_steps);
    masks.emplace_back(TensorType{DType::u8, Shape(sizes)});
  }
  if (masks.empty()) return masks;
  Program program = compile(graph, {.variables = Variables()});
  fill_inputs(program, workload);
  for (std::size_t step = 0; step < compared_steps; ++step) {
    program.run();
    for (std::size_t i = 0; i < masks.size(); ++i) {
      const auto drawn = program.output<float>(names[i]);
      const auto row = masks[i].as<std::uint8_t>().subspan(step * drawn.size(), drawn.size());
      std::ranges::transform(drawn, row.begin(), [](float kept) { return static_cast<std::uint8_t>(kept != 0); });
    }
  }
  return masks;
}

/// Moves every number of the learning variables by 2^-18 of itself, up or down by the pattern of that number.
void disturb(const Program& program, std::uint32_t pattern) {
  std::uint32_t state = 7 + pattern;
  for (const std::string& name : learning_variables(program.graph())) {
    Tensor tensor = program.variables().at(name);
    for (float& x : tensor.as<float>()) {
      state = state * 1664525U + 1013904223U;
      x *= (state >> 31) != 0 ? 1 + 0x1p-18F : 1 - 0x1p-18F;
    }
  }
}

std::string path_in(const std::string& folder, const char* file) { return folder + "/" + file; }

Json json_of(std::istream& in, const std::string& what) {
  try {
    return Json::parse(in);
  } catch (const Json::exception& error) {
    run_error("{} is no JSON: {}", what, error.what());
  }
}

std::vector<double> numbers_of(const Json& json, const char* key, const std::string& what) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  if (!json.is_object() || found == json.end() || !found->is_array() || found->size() != compared_steps)
    run_error("{} has no list '{}' of {} numbers", what, key, compared_steps);
  std::vector<double> list;
  for (const Json& number : *found) list.push_back(number.is_number() ? number.get<double>() : std::nan(""));
  return list;
}

}  // namespace

Program compiled(const Workload& workload, const ServeOptions& options) {
  if (options.precision != "f32" && options.precision != "bf16")
    run_error("there is no precision '{}'; there are f32 and bf16", options.precision);
  const Precision precision = options.precision == "bf16" ? Precision::bf16 : Precision::f32;
  CompileOptions how{.logical_threads = options.threads, .tune = options.tune, .winograd = options.winograd,
                     .precision = precision, .variables = Variables()};
  const Graph graph = workload.build();
  if (options.budget < 1)
    how.memory_budget = static_cast<std::size_t>(options.budget * static_cast<double>(plan(graph, how).memory.total()));
  Program program = compile(graph, how);
  // What falls back must not be timed as if it did not.
  if (!program.notices().empty()) run_error("{}", program.notices().front());
  return program;
}

void serve(const Workload& workload, const ServeOptions& options, std::istream& in, std::ostream& out) {
  Program program = compiled(workload, options);
  fill_inputs(program, workload);
  program.run();
  const auto allocations = testing::allocations_of([&] { program.run(); });
  const std::size_t block = block_of(program);
  Json ready{{"workload", workload.name}, {"of", "thalweg " THALWEG_VERSION}, {"threads", program.logical_threads()},
             {"precision", options.precision}, {"tuned", options.tune}, {"winograd", options.winograd},
             {"kernels", program.kernels()},
             {"reorders", program.reorders()}, {"planned_bytes", program.memory().total()}};
  if (allocations) ready["allocations"] = *allocations;
  out << Json{{"ready", ready}}.dump() << std::endl;
  for (std::string line; std::getline(in, line);)
    out << Json{{"us", timed(program, step_count(line), block)}}.dump() << std::endl;
}

void run_once(const Workload& workload, const ServeOptions& options, std::ostream& out) {
  Program program = compiled(workload, options);
  fill_inputs(program, workload);
  program.run();
  out << Json{{"first", measure(program, workload)}}.dump() << std::endl;
}

void print_losses(const Workload& workload, const ServeOptions& options, std::ostream& out) {
  Program program = compiled(workload, options);
  fill_inputs(program, workload);
  out << Json{{"losses", measures(program, workload, compared_steps)}}.dump() << std::endl;
}

namespace {

/// How far each loss may be from ours: four times as far as disturbed weights lead by then. Rare events (which of two
/// nearly equal numbers is the largest of a window) need several patterns to be met, which large nets are too slow for.
std::vector<double> reach_of(const Workload& workload, const std::vector<double>& losses, double step_flops) {
  constexpr double small = 1e9;
  const std::uint32_t patterns = step_flops < small ? 16 : 1;
  std::vector<double> farthest(losses.size(), 0);
  for (std::uint32_t pattern = 0; pattern < patterns; ++pattern) {
    Program disturbed = compiled(workload, {});
    fill_inputs(disturbed, workload);
    disturb(disturbed, pattern);
    const std::vector<double> moved = measures(disturbed, workload, compared_steps);
    double reach = 0;
    for (std::size_t i = 0; i < losses.size(); ++i) {
      reach = std::max(reach, 4 * std::fabs(moved[i] - losses[i]));
      farthest[i] = std::max(farthest[i], reach);
    }
  }
  for (std::size_t i = 0; i < losses.size(); ++i) farthest[i] += 1e-6 * std::fabs(losses[i]);
  return farthest;
}

}  // namespace

void export_start(const Workload& workload, const std::string& folder) {
  std::filesystem::create_directories(folder);
  Program program = compiled(workload, {});
  fill_inputs(program, workload);
  Safetensors start;
  for (const std::string& name : program.variables().names())
    start.tensors.emplace(name, program.variables().at(name).clone());
  for (const std::string& name : program.input_names()) {
    Tensor copy(program.input_type(name));
    if (is_float(copy.type().dtype))
      std::ranges::copy(program.input<float>(name), copy.as<float>().begin());
    else
      std::ranges::copy(program.input<std::int32_t>(name), copy.as<std::int32_t>().begin());
    start.tensors.emplace("input/" + name, std::move(copy));
  }
  const std::vector<Tensor> masks = drawn_masks(workload);
  for (std::size_t i = 0; i < masks.size(); ++i) start.tensors.emplace("mask/" + std::to_string(i), masks[i]);
  write_safetensors(start, path_in(folder, "start.safetensors"));

  const std::vector<double> losses = measures(program, workload, compared_steps);
  const std::vector<double> allowed = reach_of(workload, losses, flops(program.graph()));
  const Json reference{{"workload", workload.name}, {"variables", learning_variables(program.graph())},
                       {"losses", losses}, {"allowed", allowed}};
  std::ofstream file(path_in(folder, "reference.json"));
  file << reference.dump(1) << '\n';
  if (!file.flush()) run_error("cannot write {}", path_in(folder, "reference.json"));
}

bool judge(const std::string& folder, const std::string& precision, std::istream& in, std::ostream& out) {
  const std::string path = path_in(folder, "reference.json");
  std::ifstream file(path);
  if (!file) run_error("cannot read {}: write it with --export", path);
  const Json reference = json_of(file, path);
  const std::vector<double> ours = numbers_of(reference, "losses", path);
  const std::vector<double> allowed = numbers_of(reference, "allowed", path);
  const std::vector<double> theirs = numbers_of(json_of(in, "standard input"), "losses", "standard input");
  const double rounding = precision == "bf16" ? 0.02 : 0;
  std::size_t worst = 0;
  double excess = -1;
  bool agrees = true;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const double difference = std::fabs(theirs[i] - ours[i]), limit = allowed[i] + rounding * std::fabs(ours[i]);
    if (!(difference <= limit)) agrees = false;  // also where one is not a number
    const double share = std::isnan(difference) ? HUGE_VAL : difference / limit;
    if (share > excess) {
      excess = share;
      worst = i;
    }
  }
  out << Json{{"agrees", agrees}, {"step", worst + 1}, {"ours", ours[worst]}, {"theirs", theirs[worst]},
              {"difference", std::fabs(theirs[worst] - ours[worst])},
              {"allowed", allowed[worst] + rounding * std::fabs(ours[worst])}}.dump()
      << std::endl;
  return agrees;
}

}  // namespace thalweg::bench
