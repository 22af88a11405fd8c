// SPDX-License-Identifier: Apache-2.0
// Files for tests, and what goes wrong with them.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "../temporary.h"
#include "thalweg/graph/error.h"

namespace thalweg::testing {

using tests::Folder;

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
