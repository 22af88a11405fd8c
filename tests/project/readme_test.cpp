// SPDX-License-Identifier: Apache-2.0
// The README tells the truth: its programs are the files they are said to be, its texts are what those print, and
// each of its commands runs.
#include <gtest/gtest.h>

#include "samples.h"
#include "shell.h"

namespace thalweg::project {
namespace {

/// A fenced block, with what the comment before it says of it: `<!-- file: tools/examples/mlp.cpp -->`.
struct Block {
  std::string language;
  std::string kind;     ///< file, part, output; empty without a comment
  std::string subject;  ///< a path, or a command
  std::string text;
  int line = 0;
};

std::vector<Block> blocks() {
  std::vector<Block> found;
  Block block;
  bool inside = false;
  int number = 0;
  for (const std::string& line : lines_of(read_text(source_root() / "README.md"))) {
    ++number;
    if (line.starts_with("```")) {
      if (inside) {
        found.push_back(block);
        block = {};
      } else {
        block.language = line.substr(3);
        block.line = number;
      }
      inside = !inside;
    } else if (inside) {
      block.text += line + "\n";
    } else if (line.starts_with("<!-- ") && line.ends_with(" -->")) {
      const std::size_t colon = line.find(": ");
      if (colon == std::string::npos) continue;
      block.kind = line.substr(5, colon - 5);
      block.subject = line.substr(colon + 2, line.size() - colon - 2 - 4);
    } else if (!line.empty()) {
      block = {};
    }
  }
  return found;
}

std::string without_licence(const std::string& text) {
  return text.starts_with("// SPDX") ? text.substr(text.find('\n') + 1) : text;
}

/// A folder with the data that the README's commands name.
void prepare(const std::filesystem::path& folder) {
  write_small_mnist(folder / "data");
  write_flowers(folder / "flowers.csv");
}

/// Runs in `folder`; programs of the build are those of this build, wherever it is.
Ran run_in(const std::filesystem::path& folder, std::string command) {
  for (std::size_t at; (at = command.find("build/tools/")) != std::string::npos;)
    command.replace(at, 12, (build_root() / "tools").string() + "/");
  return run("cd " + word_of(folder) + " && " + command);
}

/// Whether every line of `shown` is in `real`, in order and next to each other; a line `...` stands for any number.
std::string difference(const std::string& shown, const std::string& real) {
  const std::vector<std::string> lines = lines_of(real);
  std::size_t at = 0;
  bool gap = false;
  for (const std::string& line : lines_of(shown)) {
    if (line.find_first_not_of(' ') != std::string::npos && line.substr(line.find_first_not_of(' ')) == "...") {
      gap = true;
      continue;
    }
    while (gap && at < lines.size() && lines[at] != line) ++at;
    if (at >= lines.size()) return "not printed: " + line;
    if (lines[at] != line) return "printed: " + lines[at] + "\nshown:   " + line;
    ++at;
    gap = false;
  }
  return "";
}

TEST(Readme, ProgramsAreTheFilesTheyNameAndPartsAreInThem) {
  int programs = 0, parts = 0;
  for (const Block& block : blocks()) {
    if (block.kind == "file") {
      ++programs;
      EXPECT_EQ(block.text, without_licence(read_text(source_root() / block.subject))) << "README.md:" << block.line;
    } else if (block.kind == "part") {
      ++parts;
      EXPECT_NE(read_text(source_root() / block.subject).find(block.text), std::string::npos)
          << "README.md:" << block.line << " is not in " << block.subject;
    } else {
      EXPECT_NE(block.language, "cpp") << "README.md:" << block.line << ": a program that no file holds";
    }
  }
  EXPECT_GE(programs, 1);
  EXPECT_GE(parts, 1);
}

TEST(Readme, TextsAreWhatTheProgramsPrint) {
  const Folder folder;
  prepare(folder.path());
  int outputs = 0;
  for (const Block& block : blocks()) {
    if (block.kind != "output") continue;
    ++outputs;
    const Ran ran = run_in(folder.path(), block.subject);
    EXPECT_EQ(difference(block.text, ran.out + ran.err), "") << "README.md:" << block.line << ": " << block.subject;
  }
  EXPECT_GE(outputs, 1);
}

TEST(Readme, EachCommandRuns) {
  const Folder folder;
  prepare(folder.path());
  int commands = 0;
  for (const Block& block : blocks()) {
    if (block.language != "sh") continue;
    for (std::string command : lines_of(block.text)) {
      command = command.substr(0, command.find("  #"));
      if (command.empty()) continue;
      ++commands;
      // This test runs inside the second, and the build that the first starts from is there: their own parts here.
      if (command == "./tools/quickstart") command = "build/tools/thalweg train digits --epochs 1";
      if (command == "./tools/check") command = word_of(source_root() / "tools/check") + " --help";
      const Ran ran = run_in(folder.path(), command);
      EXPECT_EQ(ran.status, 0) << "README.md:" << block.line << ": " << command << "\n" << ran.err;
    }
  }
  EXPECT_GE(commands, 4);
}

TEST(Readme, PathsThatItNamesExist) {
  // Every `word/…` in backquotes that begins with a room of the tree.
  const std::string text = read_text(source_root() / "README.md");
  int paths = 0;
  for (std::size_t from = text.find('`'); from != std::string::npos;) {
    const std::size_t to = text.find('`', from + 1);
    if (to == std::string::npos) break;
    const std::string word = text.substr(from + 1, to - from - 1);
    for (const char* room : {"graph/", "ops/", "optim/", "lib/", "tests/", "bench/", "tools/"}) {
      if (!word.starts_with(room) || word.find_first_of(" *{}\n<") != std::string::npos) continue;
      ++paths;
      EXPECT_TRUE(std::filesystem::exists(source_root() / word)) << word;
    }
    from = text.find('`', to + 1);
  }
  EXPECT_GE(paths, 5);
}

}  // namespace
}  // namespace thalweg::project
