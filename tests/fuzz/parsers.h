// SPDX-License-Identifier: Apache-2.0
// Every reader of a stranger's bytes, for fuzzing: by libFuzzer (target.cpp), and in the default suite by a corpus and a
// simple mutator (fuzz_test.cpp).
#pragma once

#include <cstddef>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace thalweg::testing {

struct Parser {
  std::string_view name;
  void (*read)(const std::string& path);
  std::vector<std::string> (*seeds)();  ///< good files
  std::vector<std::string> (*refused)() = nullptr;  ///< files that are no good, and lead far into the reader
};
std::span<const Parser> parsers();
inline void PrintTo(const Parser& parser, std::ostream* out) { *out << parser.name; }

/// While it lives, every file that is opened has these bytes; what is written lands nowhere.
class InMemory {
 public:
  explicit InMemory(std::span<const std::byte> bytes);
  ~InMemory();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Lets the parser read a file of these bytes, which is in memory only. RunError and GraphError are its right; any other
/// exception comes through.
void feed(const Parser& parser, std::span<const std::byte> bytes);

}  // namespace thalweg::testing
