// SPDX-License-Identifier: Apache-2.0
// Files for tests, in a folder of each test's own that vanishes with it.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "thalweg/graph/error.h"

namespace thalweg::testing {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "thalweg-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder for the test");
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path() const { return path_.string(); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(file(name), std::ios::binary) << content;
    return file(name);
  }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
  }

 private:
  std::filesystem::path path_;
};

inline std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The message of the RunError that `f` must throw.
template <class F>
std::string run_error_of(F f) {
  try {
    f();
  } catch (const RunError& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another exception than RunError: " << error.what();
    return {};
  }
  ADD_FAILURE() << "no RunError was thrown";
  return {};
}

/// Folder with real data sets, or nothing: then a test skips.
inline std::string data_folder() {
  const char* folder = std::getenv("THALWEG_DATA");
  return folder == nullptr ? "" : folder;
}

#define EXPECT_CONTAINS(text, part) \
  EXPECT_NE(std::string(text).find(part), std::string::npos) << "in: " << (text) << "\nlooked for: " << (part)

}  // namespace thalweg::testing
