// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "thalweg/graph/export.h"

namespace thalweg {

/// A line of the user's program. As a default argument it records the caller.
/// (`__builtin_FILE` because clang 14 with libstdc++ 12 has no `std::source_location`.)
struct SourceLoc {
  const char* file = "";
  int line = 0;

  static constexpr SourceLoc current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
  constexpr bool known() const { return line > 0; }
};

/// `mlp.cpp:12`: the file's last path component, so that texts do not depend on where a project lies.
THALWEG_API std::string to_string(SourceLoc loc);

/// Root of everything Thalweg throws. `what()` is the whole message; its first line stands alone.
class THALWEG_API Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, SourceLoc where = {});
  /// The user's line that the message starts with; unknown where there is none.
  SourceLoc where() const { return where_; }
  /// The message without that line.
  std::string_view fact() const;

 private:
  SourceLoc where_;
};

/// The user's graph is wrong: shape, dtype, name, attribute, gradient or text.
class THALWEG_API GraphError : public Error {
 public:
  using Error::Error;
};

/// A run cannot go on: feeds, files, memory, threads or numbers.
class THALWEG_API RunError : public Error {
 public:
  using Error::Error;
};

/// A promise of the library's own is broken; the message says which.
class THALWEG_API InternalError : public Error {
 public:
  using Error::Error;
};

/// What a type rule throws: only the fact ("inner dimensions differ: 128 and 784"). Whoever called the rule knows
/// the place and the operands, and turns it into a GraphError.
class THALWEG_API RuleError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace thalweg
