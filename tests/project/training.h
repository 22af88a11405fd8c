// SPDX-License-Identifier: Apache-2.0
// Runs `thalweg train` and reads what it reached.
#pragma once

#include "shell.h"

namespace thalweg::project {

inline Ran train(const std::filesystem::path& folder, const std::string& arguments) {
  return run("cd " + word_of(folder) + " && " + word_of(setting("THALWEG_TOOL")) + " train " + arguments);
}

/// The test accuracy in percent, which the last line tells; -1 without one.
inline double accuracy_of(const Ran& ran) {
  const std::vector<std::string> lines = lines_of(ran.out);
  if (lines.empty() || !lines.back().starts_with("test accuracy ") || !lines.back().ends_with(" %")) return -1;
  return std::stod(lines.back().substr(14));
}

}  // namespace thalweg::project
