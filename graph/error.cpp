// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/error.h"

#include "thalweg/graph/fail.h"

namespace thalweg {

std::string to_string(SourceLoc loc) {
  if (!loc.known()) return "?";
  std::string_view file = loc.file;
  if (const auto slash = file.find_last_of("/\\"); slash != std::string_view::npos) file.remove_prefix(slash + 1);
  return fmt::format("{}:{}", file, loc.line);
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text)
    out += c >= 0x20 && c < 0x7f ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return out;
}

std::string shown(std::string_view text) {
  constexpr std::size_t limit = 64;
  return printable(text.substr(0, limit)) + (text.size() > limit ? "..." : "");
}

Error::Error(const std::string& message, SourceLoc where)
    : std::runtime_error(where.known() ? to_string(where) + ": " + message : message), where_(where) {}

std::string_view Error::fact() const {
  std::string_view text = what();
  if (where_.known()) text.remove_prefix(to_string(where_).size() + 2);
  return text;
}

}  // namespace thalweg
