// SPDX-License-Identifier: Apache-2.0
// The reference numbers (optimizers, schedules, losses, …) that the tests compare with.
#pragma once

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace thalweg::testing {

/// The file that THALWEG_VECTORS names, else the project's own; read once.
inline const nlohmann::json& vectors() {
  static const nlohmann::json loaded = [] {
    const char* other = std::getenv("THALWEG_VECTORS");
    const char* source = std::getenv("THALWEG_SOURCE");
    const std::string path =
        other && *other ? std::string(other) : std::string(source ? source : ".") + "/tests/reference_vectors.json";
    std::ifstream file(path);
    if (!file) throw std::runtime_error("the reference vectors cannot be read: " + path);
    return nlohmann::json::parse(file);
  }();
  return loaded;
}

/// The section of that name; throws when there is none.
inline const nlohmann::json& vectors(const std::string& section) { return vectors().at(section); }

/// All numbers of a (nested) list, in row-major order.
inline std::vector<double> numbers(const nlohmann::json& list) {
  if (!list.is_array()) return {list.get<double>()};
  std::vector<double> all;
  for (const nlohmann::json& item : list)
    for (const double x : numbers(item)) all.push_back(x);
  return all;
}

/// The sizes of a rectangular nested list, outermost first.
inline std::vector<std::int64_t> sizes(const nlohmann::json& list) {
  std::vector<std::int64_t> dims;
  for (const nlohmann::json* at = &list; at->is_array(); at = &at->front()) {
    dims.push_back(static_cast<std::int64_t>(at->size()));
    if (at->empty()) break;
  }
  return dims;
}

/// Whether `got` is `want` up to `tolerance`, relative to max(1, |want|).
inline bool near(double got, double want, double tolerance = 1e-12) {
  if (std::isnan(want)) return std::isnan(got);
  if (std::isinf(want)) return got == want;
  return std::fabs(got - want) <= tolerance * std::fmax(1.0, std::fabs(want));
}

}  // namespace thalweg::testing
