// SPDX-License-Identifier: Apache-2.0
// Reads every #include of the tree: nothing includes upward, and each foreign library stays in its room.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <string_view>

#include "shell.h"

namespace thalweg::project {
namespace {

namespace fs = std::filesystem;

struct Include {
  std::string file;  ///< relative to the source root
  int line = 0;
  std::string target;
  bool quoted = false;
  std::string place() const { return file + ":" + std::to_string(line) + ": includes " + target; }
};

const std::map<std::string, int> floor_of = {{"graph", 0}, {"ops", 1},   {"optim", 2}, {"lib", 3},
                                             {"tests", 4}, {"bench", 4}, {"tools", 4}};

std::string room_of(const std::string& path) { return path.substr(0, path.find('/')); }

bool begins(const std::string& text, std::string_view with) { return text.starts_with(with); }

std::vector<Include> includes_of(const std::string& file, const std::string& text) {
  static const std::regex pattern(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  std::vector<Include> found;
  int number = 0;
  for (const std::string& line : lines_of(text)) {
    ++number;
    std::smatch match;
    if (std::regex_search(line, match, pattern)) found.push_back({file, number, match[2], match[1] == "\""});
  }
  return found;
}

/// Every breach of the floors among `includes`, as `file:line: …`.
std::vector<std::string> breaches(const std::vector<Include>& includes, const std::set<std::string>& public_files) {
  std::vector<std::string> wrong;
  for (const Include& i : includes) {
    const int floor = floor_of.at(room_of(i.file));
    std::string target = i.target;
    if (begins(target, "thalweg/")) {
      target = target == "thalweg/thalweg.h" ? "lib/thalweg.h" : target.substr(8);
      const auto room = floor_of.find(room_of(target));
      if (room == floor_of.end())
        wrong.push_back(i.place() + ", which is in no room");
      else if (room->second > floor)
        wrong.push_back(i.place() + ", a floor above");
    } else if (i.quoted && floor < 4 && !begins(target, "hwy/")) {  // Highway must be included with quotes
      wrong.push_back(i.place() + ", which is not spelt \"thalweg/…\"");
    }
    if ((begins(target, "oneapi/") || begins(target, "dnnl")) && !begins(i.file, "lib/onednn/"))
      wrong.push_back(i.place() + " outside lib/onednn/");
    // Files are read and written through lib/base/file_system.h, or no test can let them fail. (progress.cpp asks about
    // standard error.)
    for (const char* way : {"fstream", "filesystem", "fcntl.h", "sys/stat.h", "dirent.h"})
      if (target == way && floor < 4 && !begins(i.file, "lib/base/") && i.file != "lib/train/progress.cpp")
        wrong.push_back(i.place() + " outside lib/base/");
    const bool graph_source = begins(i.file, "graph/") && i.file.ends_with(".cpp");
    if (begins(target, "boost/") && !graph_source && i.file != "graph/storage.h")
      wrong.push_back(i.place() + " outside graph/*.cpp and graph/storage.h");
    if (public_files.contains(i.file))
      for (const char* foreign :
           {"nlohmann/", "CLI/", "fmt/", "boost/", "oneapi/", "dnnl", "hwy/", "xbyak/", "zlib.h", "omp.h"})
        if (begins(target, foreign)) wrong.push_back(i.place() + " in a public header");
  }
  return wrong;
}

std::vector<Include> all_includes() {
  std::vector<Include> all;
  for (const auto& [room, floor] : floor_of) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(source_root() / room)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cpp" && extension != ".hpp") continue;
      const std::string file = fs::relative(entry.path(), source_root()).generic_string();
      for (Include& i : includes_of(file, read_text(entry.path()))) all.push_back(std::move(i));
    }
  }
  return all;
}

TEST(Floors, NothingIncludesUpwardAndForeignLibrariesStayInTheirRooms) {
  const std::vector<Include> all = all_includes();
  ASSERT_GT(all.size(), 100U);
  const std::vector<std::string> headers = public_headers();
  std::string report;
  for (const std::string& breach : breaches(all, {headers.begin(), headers.end()})) report += breach + "\n";
  EXPECT_EQ(report, "");
}

TEST(Floors, EachKindOfBreachIsFoundWithItsLine) {
  const std::string text = "// a comment\n#include \"thalweg/ops/make.h\"\n#  include <oneapi/dnnl/dnnl.h>\n";
  const std::vector<std::string> graph = breaches(includes_of("graph/a.cpp", text), {});
  ASSERT_EQ(graph.size(), 2U);
  EXPECT_EQ(graph[0], "graph/a.cpp:2: includes thalweg/ops/make.h, a floor above");
  EXPECT_EQ(graph[1], "graph/a.cpp:3: includes oneapi/dnnl/dnnl.h outside lib/onednn/");
  EXPECT_TRUE(breaches(includes_of("lib/onednn/a.cpp", text), {}).empty());
  EXPECT_EQ(breaches(includes_of("lib/a.cpp", "#include <boost/graph/copy.hpp>\n"), {}).size(), 1U);
  EXPECT_TRUE(breaches(includes_of("graph/a.cpp", "#include <boost/graph/copy.hpp>\n"), {}).empty());
  EXPECT_EQ(breaches(includes_of("graph/a.h", "#include <boost/graph/copy.hpp>\n"), {}).size(), 1U);
  EXPECT_EQ(breaches(includes_of("lib/a.h", "#include <fmt/format.h>\n"), {"lib/a.h"}).size(), 1U);
  EXPECT_TRUE(breaches(includes_of("lib/b.h", "#include <fmt/format.h>\n"), {"lib/a.h"}).empty());
  EXPECT_EQ(breaches(includes_of("lib/io/a.cpp", "#include <fstream>\n"), {}).size(), 1U);
  EXPECT_TRUE(breaches(includes_of("lib/base/a.cpp", "#include <fstream>\n"), {}).empty());
  EXPECT_EQ(breaches(includes_of("lib/a.cpp", "#include \"b.h\"\n"), {}).size(), 1U);
  EXPECT_EQ(breaches(includes_of("lib/a.cpp", "#include \"thalweg/nowhere/b.h\"\n"), {}).size(), 1U);
}

TEST(Floors, EverySourceFileStartsWithItsLicence) {
  std::string report;
  for (const auto& [room, floor] : floor_of) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(source_root() / room)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".h" && extension != ".cpp") continue;
      const std::string text = read_text(entry.path());
      const std::string file = fs::relative(entry.path(), source_root()).generic_string();
      if (!begins(text, "// SPDX-License-Identifier: Apache-2.0\n")) report += file + ":1: no licence line\n";
      const bool many_times = file.ends_with("-inl.h");  // included once for each instruction set
      if (extension == ".h" && !many_times && text.find("#pragma once") == std::string::npos)
        report += file + ": no #pragma once\n";
    }
  }
  EXPECT_EQ(report, "");
}

TEST(Floors, EveryTestIsNamedInItsFoldersBuildFile) {
  const std::string rooms = read_text(source_root() / "tests/meson.build");
  std::string report;
  int tests = 0;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(source_root() / "tests")) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with("_test.cpp")) continue;
    ++tests;
    const fs::path folder = entry.path().parent_path();
    const std::string file = fs::relative(entry.path(), source_root()).generic_string();
    if (rooms.find("'" + folder.filename().string() + "'") == std::string::npos)
      report += file + ": tests/meson.build does not name its folder\n";
    const std::string build = fs::exists(folder / "meson.build") ? read_text(folder / "meson.build") : "";
    const std::string topic = name.substr(0, name.size() - std::string_view("_test.cpp").size());
    if (build.find("'" + topic + "'") == std::string::npos && build.find("'" + name + "'") == std::string::npos)
      report += file + ": not in its folder's meson.build\n";
  }
  EXPECT_GT(tests, 30);
  EXPECT_EQ(report, "");
}

}  // namespace
}  // namespace thalweg::project
