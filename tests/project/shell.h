// SPDX-License-Identifier: Apache-2.0
// Runs commands and reads files for the tests of the project itself.
#pragma once

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "../temporary.h"

namespace thalweg::project {

struct Ran {
  int status = 0;  ///< exit status; 128 + signal if a signal ended it
  std::string out;
  std::string err;
};

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (!file) throw std::runtime_error("cannot write " + path.string());
}

using tests::Folder;

/// A path as one word of the shell.
inline std::string word_of(const std::filesystem::path& path) {
  std::string text = "'";
  text += path.string();
  text += '\'';
  return text;
}

/// Runs a shell command; standard output and error apart.
inline Ran run(const std::string& command) {
  const Folder folder;
  const std::filesystem::path err = folder.path() / "err";
  std::string line = "{ ";
  line.append(command).append("\n} 2>").append(word_of(err));
  FILE* pipe = popen(line.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run: " + command);
  Ran ran;
  std::array<char, 4096> block{};
  for (std::size_t n = 0; (n = std::fread(block.data(), 1, block.size(), pipe)) > 0;) ran.out.append(block.data(), n);
  const int status = pclose(pipe);
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  ran.err = read_text(err);
  return ran;
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t from = 0;
  while (from < text.size()) {
    const std::size_t to = std::min(text.find('\n', from), text.size());
    lines.push_back(text.substr(from, to - from));
    from = to + 1;
  }
  return lines;
}

/// What Meson says in the environment; the test fails where it is not set.
inline std::string setting(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) throw std::runtime_error(std::string(name) + " is not set (run the tests by `meson test`)");
  return value;
}

inline std::filesystem::path source_root() { return setting("THALWEG_SOURCE"); }
inline std::filesystem::path build_root() { return setting("THALWEG_BUILD"); }
/// The compiler of the build, with what it needs to find <thalweg/thalweg.h>.
inline std::string compile_command() {
  return setting("THALWEG_CXX") + " -std=c++20 -I" + word_of(build_root() / "include");
}
inline bool has_compiler() { return run(setting("THALWEG_CXX") + " --version").status == 0; }

/// The public headers as paths in the source tree.
inline std::vector<std::string> public_headers() {
  const Ran ran = run(word_of(source_root() / "tools/public-headers"));
  if (ran.status != 0) throw std::runtime_error(ran.err);
  return lines_of(ran.out);
}

}  // namespace thalweg::project
