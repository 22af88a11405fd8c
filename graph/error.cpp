// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/error.h"

#include <fmt/format.h>

namespace thalweg {

std::string to_string(SourceLoc loc) {
  if (!loc.known()) return "?";
  std::string_view file = loc.file;
  if (const auto slash = file.find_last_of("/\\"); slash != std::string_view::npos) file.remove_prefix(slash + 1);
  return fmt::format("{}:{}", file, loc.line);
}

Error::Error(const std::string& message, SourceLoc where)
    : std::runtime_error(where.known() ? to_string(where) + ": " + message : message), where_(where) {}

}  // namespace thalweg
