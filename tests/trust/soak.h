// SPDX-License-Identifier: Apache-2.0
// How much of a test that could go on for ever is done.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

namespace thalweg::testing {

/// The number in the environment's variable `name` if it is set, else `by_default`. The soak suite sets them.
inline std::uint64_t count_of(const char* name, std::uint64_t by_default) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? by_default : std::stoull(text);
}

/// A line that says what was done: the figures of a soak run.
inline void report(const std::string& what, std::uint64_t count) {
  std::cout << "[ figure   ] " << what << ": " << count << std::endl;
}

}  // namespace thalweg::testing
