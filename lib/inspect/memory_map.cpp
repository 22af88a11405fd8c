// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/memory_map.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <numeric>

#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/compile/summary.h"
#include "thalweg/lib/inspect/formats.h"

namespace thalweg {
namespace {

std::string commas(std::size_t bytes) { return with_commas(static_cast<std::int64_t>(bytes)); }

std::string place_of(const MemoryMap::Entry& e) {
  return (e.line.empty() ? "" : " at " + e.line) + (e.scope.empty() ? "" : " in " + e.scope);
}

constexpr std::string_view scratch_mark = "scratch of ";

/// Finds the largest live set kernel by kernel.
void find_peak(MemoryMap& map) {
  map.peak_kernel = 0;
  map.live_at_peak.clear();
  std::vector<std::ptrdiff_t> change(map.kernels + 2);
  for (const MemoryMap::Entry& e : map.entries) {
    change[e.birth] += static_cast<std::ptrdiff_t>(e.bytes);
    change[e.death + 1] -= static_cast<std::ptrdiff_t>(e.bytes);
  }
  std::ptrdiff_t live = 0, most = 0;
  for (std::size_t k = 0; k < map.kernels; ++k) {
    live += change[k];
    if (live <= most) continue;
    most = live;
    map.peak_kernel = k;
  }
  for (std::size_t i = 0; i < map.entries.size(); ++i)
    if (map.entries[i].birth <= map.peak_kernel && map.peak_kernel <= map.entries[i].death)
      map.live_at_peak.push_back(i);
  std::stable_sort(map.live_at_peak.begin(), map.live_at_peak.end(), [&](std::size_t a, std::size_t b) {
    return map.entries[a].bytes > map.entries[b].bytes;
  });
}

}  // namespace

MemoryMap memory_map(const PlannedProgram& planned) {
  const Graph& graph = planned.graph;
  const Labels labels(graph);
  const PlanReport& plan = planned.plan;
  MemoryMap map{.name = graph.name(), .entries = {}, .kernels = plan.kernels.size(), .memory = planned.memory};
  const auto named = [&](ValueId v) { return fmt::format("{} {}", labels(v), graph.node(v.node).op->name); };
  std::vector<std::vector<ValueId>> held(plan.buffers.size());
  std::map<std::uint32_t, std::size_t> scratch_of;
  for (std::size_t k = 0; k < plan.kernels.size(); ++k) {
    const PlannedKernel& kernel = plan.kernels[k];
    for (std::size_t i = 0; i < kernel.out.size(); ++i) held[kernel.out_buffers[i]].push_back(kernel.out[i]);
    if (kernel.scratch) scratch_of.emplace(*kernel.scratch, k);
  }
  for (std::uint32_t b = 0; b < plan.buffers.size(); ++b) {
    const PlannedBuffer& buffer = plan.buffers[b];
    if (buffer.region != Region::arena) continue;
    MemoryMap::Entry e{.offset = buffer.offset, .bytes = buffer.bytes, .birth = buffer.first, .death = buffer.last};
    NodeId node = buffer.node;
    if (const auto scratch = scratch_of.find(b); scratch != scratch_of.end()) {
      node = plan.kernels[scratch->second].members.front();
      e.what = std::string(scratch_mark) + named({node, 0});
    } else if (!held[b].empty()) {
      node = held[b].front().node;
      e.what = named(held[b].front());
      for (std::size_t i = 1; i < held[b].size(); ++i) e.shares.push_back(named(held[b][i]));
    }
    e.node = node;
    e.origin = graph.node(node).origin;
    e.line = graph.node(node).loc.known() ? to_string(graph.node(node).loc) : "";
    e.scope = graph.node(node).scope;
    map.entries.push_back(std::move(e));
  }
  std::stable_sort(map.entries.begin(), map.entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.birth, a.offset) < std::pair(b.birth, b.offset);
  });
  find_peak(map);
  return map;
}

MemoryMap MemoryMap::portable() const {
  MemoryMap map = *this;
  map.places = false;
  std::erase_if(map.entries, [](const Entry& e) { return e.what.starts_with(scratch_mark); });
  for (Entry& e : map.entries) e.offset = 0;
  std::stable_sort(map.entries.begin(), map.entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.birth, a.node) < std::pair(b.birth, b.node);
  });
  find_peak(map);
  return map;
}

std::string MemoryMap::text(std::size_t rows) const {
  std::vector<std::size_t> shown(entries.size());
  std::iota(shown.begin(), shown.end(), std::size_t{0});
  if (rows > 0 && rows < entries.size()) {
    std::stable_sort(shown.begin(), shown.end(), [&](auto a, auto b) { return entries[a].bytes > entries[b].bytes; });
    shown.resize(rows);
    std::sort(shown.begin(), shown.end());
  }
  const auto offset = [&](const std::string& words) { return places ? fmt::format("{:>14} ", words) : ""; };
  std::string text = offset("offset") + fmt::format("{:>14} {:>6} {:>6}  {:<12} {}\n", "bytes", "birth", "death",
                                                    "origin", "holds");
  for (const std::size_t i : shown) {
    const Entry& e = entries[i];
    text += offset(commas(e.offset)) + fmt::format("{:>14} {:>6} {:>6}  {:<12} {}", commas(e.bytes), e.birth,
                                                   e.death == kernels ? "end" : std::to_string(e.death),
                                                   to_string(e.origin), e.what);
    if (!e.shares.empty()) text += fmt::format(", then {}", fmt::join(e.shares, ", "));
    text += "\n";
  }
  if (shown.size() < entries.size())
    text += fmt::format("({} smaller ones are left out)\n", entries.size() - shown.size());
  text += totals();
  if (entries.empty()) return text;
  text += fmt::format("\nalive at the peak, kernel {} of {}:\n", peak_kernel, kernels);
  constexpr std::size_t most = 20;
  for (std::size_t i = 0; i < std::min(most, live_at_peak.size()); ++i) {
    const Entry& e = entries[live_at_peak[i]];
    text += fmt::format("{:>14}  {:<12} {}{}\n", commas(e.bytes), to_string(e.origin), e.what, place_of(e));
  }
  if (live_at_peak.size() > most) text += fmt::format("          (and {} smaller)\n", live_at_peak.size() - most);
  return text;
}

std::string MemoryMap::totals() const {
  if (!places) {
    std::size_t live = 0;
    for (const std::size_t i : live_at_peak) live += entries[i].bytes;
    return fmt::format("\nvariables {}, inputs {} bytes; largest set of values that are alive at once: {} bytes\n",
                       commas(memory.variables), commas(memory.inputs), commas(live));
  }
  const double times = memory.largest_live == 0
                           ? 1.0
                           : static_cast<double>(memory.arena) / static_cast<double>(memory.largest_live);
  return fmt::format("\nvariables {}, constants {}, inputs {}, arena {}: {} bytes in all\n"
                     "largest live set {} bytes, which no arena can undercut: this one is {:.3f} times that\n",
                     commas(memory.variables), commas(memory.constants), commas(memory.inputs), commas(memory.arena),
                     commas(memory.total()), commas(memory.largest_live), times);
}

std::string MemoryMap::json() const {
  using Json = nlohmann::ordered_json;
  Json list = Json::array();
  for (const Entry& e : entries) {
    Json entry = {{"bytes", e.bytes}, {"birth", e.birth}, {"death", e.death}, {"what", e.what},
                  {"origin", to_string(e.origin)}, {"shares", e.shares}, {"line", e.line}, {"scope", e.scope}};
    if (places) entry["offset"] = e.offset;
    list.push_back(std::move(entry));
  }
  Json sums = {{"variables", memory.variables}, {"inputs", memory.inputs}};
  if (places)
    sums.update({{"constants", memory.constants}, {"arena", memory.arena}, {"largest_live", memory.largest_live},
                 {"total", memory.total()}});
  const Json all = {{"name", name}, {"kernels", kernels}, {"memory", sums}, {"peak_kernel", peak_kernel},
                    {"live_at_peak", live_at_peak}, {"entries", list}};
  return all.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

namespace {

/// As much of a text as so many pixels take.
std::string cut(const std::string& text, double width) {
  const auto letters = static_cast<std::size_t>(width / 6.2);
  return text.size() <= letters ? text : letters < 6 ? "" : text.substr(0, letters - 2) + "..";
}

}  // namespace

std::string MemoryMap::svg() const {
  constexpr double width = 1000, height = 520, left = 90, top = 40;
  const double per_kernel = width / static_cast<double>(std::max<std::size_t>(kernels, 1));
  const double per_byte = height / static_cast<double>(std::max<std::size_t>(memory.arena, 1));
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
      "<text x=\"{2}\" y=\"24\" font-size=\"15\">{3}: {4} bytes of arena (upward, by offset) over {5} kernels (from "
      "left to right)</text>\n",
      left + width + 20, top + height + 70, left, xml_text(name), commas(memory.arena), kernels);
  svg += fmt::format("<rect x=\"{:.0f}\" y=\"{:.0f}\" width=\"{:.0f}\" height=\"{:.0f}\" fill=\"#f4f4f4\"/>\n", left,
                     top, width, height);
  for (const Entry& e : entries) {
    std::string hint = fmt::format("{}\n{} bytes at {}\nkernels {} to {}", e.what, commas(e.bytes), commas(e.offset),
                                   e.birth, e.death == kernels ? "the end" : std::to_string(e.death));
    if (!e.shares.empty()) hint += fmt::format("\nthen {}", fmt::join(e.shares, ", "));
    if (const std::string place = place_of(e); !place.empty()) hint += "\n" + place.substr(1);
    const double end = static_cast<double>(std::min(e.death + 1, kernels));
    svg += fmt::format(
        "<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" fill=\"{}\" stroke=\"#ffffff\" "
        "stroke-width=\"0.5\"><title>{}</title></rect>\n",
        left + per_kernel * static_cast<double>(e.birth),
        top + height - per_byte * static_cast<double>(e.offset + e.bytes),
        per_kernel * (end - static_cast<double>(e.birth)), per_byte * static_cast<double>(e.bytes),
        colour_of(e.origin), xml_text(hint));
  }
  for (const Entry& e : entries) {
    const double wide = per_kernel * static_cast<double>(std::min(e.death + 1, kernels) - e.birth);
    const double high = per_byte * static_cast<double>(e.bytes);
    const std::string words = cut(fmt::format("{}, {}", e.what, commas(e.bytes)), wide - 6);
    if (high < 12 || words.empty()) continue;
    svg += fmt::format(
        "<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\" font-size=\"10\" "
        "pointer-events=\"none\">{}</text>\n",
        left + per_kernel * static_cast<double>(e.birth) + wide / 2,
        top + height - per_byte * static_cast<double>(e.offset) - high / 2 + 4, xml_text(words));
  }
  const double peak_x = left + per_kernel * (static_cast<double>(peak_kernel) + 0.5);
  svg += fmt::format("<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.0f}\" y2=\"{2:.0f}\" stroke=\"#cc0000\" "
                     "stroke-dasharray=\"4 3\"/>\n<text x=\"{0:.1f}\" y=\"{3:.0f}\" fill=\"#cc0000\" "
                     "text-anchor=\"middle\">peak: kernel {4}</text>\n",
                     peak_x, top, top + height, top + height + 16, peak_kernel);
  for (int tick = 0; tick <= 4; ++tick) {
    const double y = top + height * (1 - tick / 4.0);
    svg += fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"end\" font-size=\"10\">{}</text>\n", left - 6,
                       y + 4, commas(memory.arena * static_cast<std::size_t>(tick) / 4));
  }
  double x = left;
  for (const Origin origin : {Origin::forward, Origin::backward, Origin::regularizer, Origin::clip, Origin::schedule,
                              Origin::optimizer}) {
    if (std::none_of(entries.begin(), entries.end(), [&](const Entry& e) { return e.origin == origin; })) continue;
    svg += fmt::format("<rect x=\"{:.0f}\" y=\"{:.0f}\" width=\"14\" height=\"14\" fill=\"{}\"/><text x=\"{:.0f}\" "
                       "y=\"{:.0f}\">{}</text>\n", x, top + height + 34, colour_of(origin), x + 20, top + height + 46,
                       to_string(origin));
    x += 130;
  }
  return svg + "</svg>\n";
}

}  // namespace thalweg
