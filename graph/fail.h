// SPDX-License-Identifier: Apache-2.0
// Private: short ways to throw with a formatted message.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <string_view>
#include <utility>

#include "thalweg/graph/error.h"

namespace thalweg {

/// Text of a stranger's as a message may show it: printable ASCII, the rest as `\x1b`, cut after 64 bytes.
std::string shown(std::string_view text);
/// The whole text as printable ASCII: other bytes as `\xff`.
std::string printable(std::string_view text);

/// The line of the innermost Frame of this thread: what a composite was called at; `otherwise` where there is none.
SourceLoc framed_line(SourceLoc otherwise);

/// Throws RuleError: what a type rule says of what is wrong.
template <class... A>
[[noreturn]] void rule_error(fmt::format_string<A...> text, A&&... args) {
  throw RuleError(fmt::format(text, std::forward<A>(args)...));
}
/// Throws GraphError at a line of the user's.
template <class... A>
[[noreturn]] void graph_error(SourceLoc loc, fmt::format_string<A...> text, A&&... args) {
  throw GraphError(fmt::format(text, std::forward<A>(args)...), loc);
}
/// Throws RunError.
template <class... A>
[[noreturn]] void run_error(fmt::format_string<A...> text, A&&... args) {
  throw RunError(fmt::format(text, std::forward<A>(args)...));
}

}  // namespace thalweg
