// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/compile/bounds.h"
#include "thalweg/lib/compile/program.h"

namespace thalweg::testing {

/// Sets a program's inputs and variables.
inline void set_all(Program& program, const Bounds::Feeds& feeds) {
  for (const std::string& name : program.input_names())
    program.feed(name, Tensor(program.input_type(name), feeds.at(name).data));
  for (const std::string& name : program.variables().names()) {
    const auto it = feeds.find(name);
    if (it != feeds.end()) program.variables().set(name, Tensor(program.variables().at(name).type(), it->second.data));
  }
}

/// The largest |got - expected| / bound over a tensor; infinite where one is NaN and the other is not.
inline double worst(const Expected& expected, const std::vector<double>& got) {
  double most = 0;
  for (std::size_t k = 0; k < got.size(); ++k) {
    const double e = expected.value[k], g = got[k];
    if (std::isnan(e) && std::isnan(g)) continue;
    if (e == g) continue;
    const double off = std::fabs(g - e) / expected.bound[k];
    most = std::max(most, std::isnan(off) ? std::numeric_limits<double>::infinity() : off);
  }
  return most;
}

/// Compares all outputs and updated variables after one run; the text names the worst one, empty if all are within
/// their bounds.
inline std::string departure(const Program& program, const Bounds& bounds) {
  for (const auto& [name, expected] : bounds.all()) {
    const std::vector<double> got = name.starts_with("@") ? program.variables().at(name.substr(1)).numbers()
                                                          : program.fetch(name).numbers();
    if (got.size() != expected.value.size()) return name + " has another size";
    if (const double w = worst(expected, got); w > 1) {
      std::string text = name + " is off by " + std::to_string(w) + " bounds";
      for (std::size_t k = 0; k < got.size(); ++k)
        if (std::fabs(got[k] - expected.value[k]) > expected.bound[k])
          return text + fmt::format(": element {} is {}, expected {} within {}", k, got[k], expected.value[k],
                                    expected.bound[k]);
      return text;
    }
  }
  return {};
}

}  // namespace thalweg::testing
