// SPDX-License-Identifier: Apache-2.0
// What a program's translation unit pulls in with <thalweg/thalweg.h>, and that each public header stands alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <thread>

#include "shell.h"

namespace thalweg::project {
namespace {

TEST(Headers, AProgramSeesNoForeignLibrary) {
  if (!has_compiler()) GTEST_SKIP() << "no compiler here";
  const Folder folder;
  const std::filesystem::path file = folder.path() / "user.cpp";
  write_text(file, "#include <thalweg/thalweg.h>\nint main() {}\n");
  const Ran ran = run(compile_command() + " -E " + word_of(file));
  ASSERT_EQ(ran.status, 0) << ran.err;
  // A line marker of the preprocessor: # 12 "/usr/include/x.h" 1
  std::set<std::string> paths;
  for (const std::string& line : lines_of(ran.out)) {
    if (!line.starts_with("# ")) continue;
    const std::size_t from = line.find('"'), to = line.find('"', from + 1);
    if (from != std::string::npos && to != std::string::npos) paths.insert(line.substr(from + 1, to - from - 1));
  }
  EXPECT_TRUE(
      std::any_of(paths.begin(), paths.end(), [](const std::string& p) { return p.ends_with("graph/graph.h"); }));
  for (const std::string& path : paths)
    for (const char* foreign : {"/boost/", "/oneapi/", "dnnl", "/nlohmann/", "/CLI/", "/fmt/", "/hwy/", "zlib.h"})
      EXPECT_EQ(path.find(foreign), std::string::npos) << path;
}

/// What makes a file that includes it slow to compile, in a measure that no busy machine disturbs.
TEST(Headers, AProgramReadsLittleOfTheStandardLibrary) {
  if (!has_compiler()) GTEST_SKIP() << "no compiler here";
  const Folder folder;
  const std::filesystem::path file = folder.path() / "user.cpp";
  write_text(file, "#include <thalweg/thalweg.h>\n");
  const Ran ran = run(compile_command() + " -E " + word_of(file));
  ASSERT_EQ(ran.status, 0) << ran.err;
  std::size_t ours = 0, all = 0;
  bool in_ours = false;
  for (const std::string& line : lines_of(ran.out)) {
    if (line.starts_with("# ")) {
      in_ours = line.find("/thalweg/") != std::string::npos;
      for (const char* slow : {"variant", "filesystem", "iostream", "sstream", "regex", "chrono", "thread", "mutex",
                               "random", "algorithm", "cmath", "ranges", "format", "memory", "ostream", "functional",
                               "unordered_map"})
        EXPECT_EQ(line.find(std::string("/") + slow + "\""), std::string::npos) << line;
    }
    all += line.size() + 1;
    if (in_ours) ours += line.size() + 1;
  }
  EXPECT_GT(ours, 100'000U);
  EXPECT_LT(ours, 400'000U);
  EXPECT_LT(all, 1'500'000U);
  RecordProperty("bytes_after_the_preprocessor", static_cast<int>(all));
}

TEST(Headers, EachPublicHeaderCompilesAlone) {
  if (!has_compiler()) GTEST_SKIP() << "no compiler here";
  const Folder folder;
  const std::vector<std::string> headers = public_headers();
  ASSERT_GT(headers.size(), 10U);
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::string report;
  const auto compile_each = [&] {
    for (std::size_t i = 0; (i = next++) < headers.size();) {
      const std::filesystem::path file = folder.path() / (std::to_string(i) + ".cpp");
      const std::string name = headers[i] == "lib/thalweg.h" ? "thalweg.h" : headers[i];
      write_text(file, "#include <thalweg/" + name + ">\n#include <thalweg/" + name + ">\n");
      const Ran ran = run(compile_command() + " -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror " +
                          word_of(file));
      const std::lock_guard lock(mutex);
      if (ran.status != 0) report += headers[i] + ":\n" + ran.err;
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) threads.emplace_back(compile_each);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(report, "");
}

/// One option holds the clip: two at once are the compiler's error, at the user's line.
TEST(Headers, TwoClipsAtOnceDoNotCompile) {
  if (!has_compiler()) GTEST_SKIP() << "no compiler here";
  const Folder folder;
  const std::filesystem::path file = folder.path() / "user.cpp";
  const auto compiled = [&](const std::string& options) {
    write_text(file, "#include <thalweg/thalweg.h>\nusing namespace thalweg;\nvoid train(Value loss) {\n"
                     "  minimize(loss, Sgd{}, {" + options + "});\n}\n");
    return run(compile_command() + " -fsyntax-only -Werror " + word_of(file));
  };
  EXPECT_EQ(compiled(".clip = by_norm(1)").status, 0);
  const Ran ran = compiled(".clip = by_norm(1), .clip = by_value(1)");
  EXPECT_NE(ran.status, 0);
  EXPECT_NE(ran.err.find("user.cpp:4:"), std::string::npos) << ran.err;
}

TEST(Headers, NoPublicHeaderCallsItselfPrivate) {
  for (const std::string& header : public_headers())
    EXPECT_EQ(read_text(source_root() / header).find("// Private:"), std::string::npos) << header;
}

}  // namespace
}  // namespace thalweg::project
