// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/opdef.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "thalweg/graph/fail.h"

namespace thalweg {

Value Vjp::x(std::size_t i) const { return graph_.value(graph_.operands(node_)[i]); }
Value Vjp::y(std::size_t i) const { return graph_.value({node_, static_cast<std::uint32_t>(i)}); }
std::size_t Vjp::operands() const { return graph_.operands(node_).size(); }

const OpDef* find_op(std::string_view name) {
  static const std::unordered_map<std::string_view, const OpDef*> by_name = [] {
    std::unordered_map<std::string_view, const OpDef*> map;
    for (const OpDef* op : op_table()) map.emplace(op->name, op);
    return map;
  }();
  const auto it = by_name.find(name);
  return it == by_name.end() ? nullptr : it->second;
}

const OpDef& op_named(std::string_view name) {
  if (const OpDef* op = find_op(name)) return *op;
  throw InternalError(fmt::format("the vocabulary has no op '{}'", name));
}

namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::vector<std::string> nearest(std::string_view name, std::span<const std::string> known) {
  name = name.substr(0, 64);
  std::vector<std::pair<std::size_t, std::string>> close;
  for (const std::string& candidate : known) {
    if (candidate.size() > 80) continue;
    const std::size_t distance = edit_distance(name, candidate);
    const bool prefix = name.size() >= 3 && candidate.starts_with(name);
    if (prefix || distance <= std::max<std::size_t>(1, std::min(name.size(), candidate.size()) / 3 + 1))
      close.emplace_back(distance, candidate);
  }
  std::sort(close.begin(), close.end());
  close.erase(std::unique(close.begin(), close.end()), close.end());
  std::vector<std::string> names;
  for (std::size_t i = 0; i < close.size() && i < 3; ++i) names.push_back(close[i].second);
  return names;
}

std::string suggestion(std::string_view name, std::span<const std::string> known) {
  const std::vector<std::string> close = nearest(name, known);
  return close.empty() ? "" : fmt::format(" (did you mean {}?)", fmt::join(close, ", "));
}

}  // namespace thalweg
