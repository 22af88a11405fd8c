// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/profile.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <numeric>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/compile/summary.h"

namespace thalweg {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point a, Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Notes when each kernel, and each thread's part of it, begins and ends.
class Recorder : public StepObserver, public PartObserver {
 public:
  explicit Recorder(Profile& profile) : profile_(profile), times(profile.kernels.size()) { observe_parts(this); }
  ~Recorder() override { observe_parts(nullptr); }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  void before(std::size_t kernel, std::span<const void* const>) override {
    kernel_ = kernel;
    begin_ = Clock::now();
  }
  void after(std::size_t kernel, std::span<void* const>) override {
    const auto end = Clock::now();
    times[kernel].push_back(seconds_between(begin_, end));
    add({kernel, 0, false, seconds_between(origin_, begin_), times[kernel].back()});
  }
  void part(std::size_t worker, Clock::time_point begin, Clock::time_point end) override {
    if (worker > 0) add({kernel_, worker, true, seconds_between(origin_, begin), seconds_between(begin, end)});
  }

 private:
  void add(const Profile::Span& span) {
    const std::lock_guard lock(mutex_);
    profile_.spans.push_back(span);
  }
  Profile& profile_;
  std::mutex mutex_;
  Clock::time_point origin_ = Clock::now(), begin_;
  std::size_t kernel_ = 0;

 public:
  std::vector<std::vector<double>> times;  ///< of each kernel, step by step
};

/// What a step of a kernel computes and moves.
Profile::KernelTime described(const PlannedProgram& planned, std::size_t k, const Labels& labels) {
  const PlannedKernel& kernel = planned.plan.kernels[k];
  const Graph& graph = planned.graph;
  Profile::KernelTime row{.kernel = k, .implementation = kernel.implementation, .results = {}, .line = {}};
  for (const ValueId v : kernel.out) {
    row.results += fmt::format("{}{} : {}", row.results.empty() ? "" : ", ", labels(v), to_string(graph.type(v)));
    row.bytes += graph.type(v).bytes();
  }
  for (std::size_t i = 0; i < kernel.in.size(); ++i)
    row.bytes += std::min(graph.type(kernel.in[i]).bytes(), planned.plan.buffers[kernel.in_buffers[i]].bytes);
  if (!kernel.copies_to_variable)
    for (const NodeId member : kernel.members) row.flops += flops(graph, member);
  const SourceLoc loc = graph.node(kernel.members.front()).loc;
  if (loc.known()) row.line = to_string(loc);
  return row;
}

std::vector<std::size_t> live_bytes_of(const PlanReport& plan) {
  std::vector<std::ptrdiff_t> change(plan.kernels.size() + 2);
  for (const PlannedBuffer& b : plan.buffers) {
    if (b.region != Region::arena) continue;
    change[b.first] += static_cast<std::ptrdiff_t>(b.bytes);
    change[b.last + 1] -= static_cast<std::ptrdiff_t>(b.bytes);
  }
  std::vector<std::size_t> live;
  std::ptrdiff_t sum = 0;
  for (std::size_t k = 0; k < plan.kernels.size(); ++k) live.push_back(static_cast<std::size_t>(sum += change[k]));
  return live;
}

/// The first few results of a kernel over many tensors.
std::string first_of(const std::string& results) {
  constexpr std::size_t most = 3;
  std::size_t end = 0, count = 1;
  for (std::size_t at = 0; (at = results.find(", ", at)) != std::string::npos; at += 2) {
    if (results[at + 2] != '%' && results[at + 2] != '@') continue;
    if (count++ == most) end = at;
  }
  return count <= most ? results : fmt::format("{} and {} more", results.substr(0, end), count - most);
}

}  // namespace

Profile profile(Program& program, const ProfileOptions& options) {
  if (options.steps < 1 || options.steps > 100'000)
    run_error("profile: steps is {}, must be 1 to 100000", options.steps);
  const PlannedProgram& planned = program.planned();
  Profile profile{.name = planned.graph.name(), .threads = planned.logical_threads, .kernels = {}, .spans = {},
                  .live_bytes = live_bytes_of(planned.plan)};
  const Labels labels(planned.graph);
  for (std::size_t k = 0; k < planned.plan.kernels.size(); ++k)
    profile.kernels.push_back(described(planned, k, labels));
  for (int step = 0; step < options.warm; ++step) program.run();
  std::vector<double> steps;
  Recorder recorder(profile);
  for (int step = 0; step < options.steps; ++step) {
    // In turn, so that both see the same machine.
    program.run(recorder);
    const auto begin = Clock::now();
    program.run();
    steps.push_back(seconds_between(begin, Clock::now()));
  }
  profile.step_seconds = median(std::move(steps));
  for (Profile::KernelTime& row : profile.kernels) row.seconds = median(recorder.times[row.kernel]);
  return profile;
}

double Profile::KernelTime::of_roofline(const MachineLimits& limits) const {
  if (limits.flops <= 0 || limits.bandwidth <= 0 || seconds <= 0) return 0;
  return std::max(flops / limits.flops, static_cast<double>(bytes) / limits.bandwidth) / seconds;
}

std::string Profile::text(std::size_t top, const MachineLimits& limits) const {
  std::vector<std::size_t> order(kernels.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return kernels[a].seconds > kernels[b].seconds; });
  double sum = 0;
  for (const KernelTime& row : kernels) sum += row.seconds;
  std::string text = fmt::format("{}: a step takes {:.4f} ms on {} {}; its {} kernels alone {:.4f} ms\n", name,
                                 1e3 * step_seconds, threads, threads == 1 ? "thread" : "threads", kernels.size(),
                                 1e3 * sum);
  if (limits.flops > 0)
    text += fmt::format("measured limits of this machine: {:.1f} GFLOP/s, {:.1f} GB/s\n", limits.flops * 1e-9,
                        limits.bandwidth * 1e-9);
  text += fmt::format("\n{:>7} {:>10} {:>6} {:>9} {:>8} {:>10}  {}\n", "kernel", "ms", "%", "GFLOP/s", "GB/s",
                      limits.flops > 0 ? "% of limit" : "", "implementation -> results");
  for (std::size_t i = 0; i < std::min(top, order.size()); ++i) {
    const KernelTime& row = kernels[order[i]];
    const double time = std::max(row.seconds, 1e-12);
    text += fmt::format("{:>7} {:>10.4f} {:>6.1f} {:>9.2f} {:>8.2f} {:>10}  {} -> {}{}\n", row.kernel,
                        1e3 * row.seconds, 100 * row.seconds / std::max(sum, 1e-12), row.flops / time * 1e-9,
                        static_cast<double>(row.bytes) / time * 1e-9,
                        limits.flops > 0 ? fmt::format("{:.0f}", 100 * row.of_roofline(limits)) : "",
                        row.implementation, first_of(row.results), row.line.empty() ? "" : " at " + row.line);
  }
  const bool cached = std::any_of(kernels.begin(), kernels.end(),
                                  [&](const KernelTime& row) { return row.of_roofline(limits) > 1; });
  if (cached) text += "% of limit above 100: what the kernel read was still in a cache, which is faster than memory\n";
  if (top < kernels.size()) text += fmt::format("({} faster kernels are left out)\n", kernels.size() - top);
  return text;
}

std::string Profile::json(const MachineLimits& limits) const {
  using Json = nlohmann::ordered_json;
  Json rows = Json::array();
  for (const KernelTime& row : kernels)
    rows.push_back({{"kernel", row.kernel}, {"implementation", row.implementation}, {"results", row.results},
                    {"line", row.line}, {"seconds", row.seconds}, {"flops", row.flops}, {"bytes", row.bytes},
                    {"of_roofline", row.of_roofline(limits)}});
  const Json all = {{"name", name}, {"threads", threads}, {"step_seconds", step_seconds},
                    {"limits", {{"flops", limits.flops}, {"bandwidth", limits.bandwidth}}}, {"kernels", rows}};
  return all.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string Profile::trace() const {
  using Json = nlohmann::ordered_json;
  Json events = Json::array();
  events.push_back({{"name", "process_name"}, {"ph", "M"}, {"pid", 1}, {"args", {{"name", "thalweg " + name}}}});
  for (int t = 0; t < threads; ++t)
    events.push_back({{"name", "thread_name"}, {"ph", "M"}, {"pid", 1}, {"tid", t},
                      {"args", {{"name", t == 0 ? "thread 0 (caller)" : fmt::format("thread {}", t)}}}});
  for (const Span& span : spans) {
    const KernelTime& row = kernels[span.kernel];
    events.push_back({{"name", row.implementation}, {"cat", span.part ? "part" : "kernel"}, {"ph", "X"}, {"pid", 1},
                      {"tid", span.thread}, {"ts", 1e6 * span.begin}, {"dur", 1e6 * span.seconds},
                      {"args", {{"kernel", span.kernel}, {"results", row.results}, {"line", row.line}}}});
    if (!span.part)
      events.push_back({{"name", "arena, live bytes"}, {"ph", "C"}, {"pid", 1}, {"ts", 1e6 * span.begin},
                        {"args", {{"bytes", live_bytes[span.kernel]}}}});
  }
  const Json all = {{"displayTimeUnit", "ms"}, {"traceEvents", events}};
  return all.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace thalweg
