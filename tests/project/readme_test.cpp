// SPDX-License-Identifier: Apache-2.0
// The README tells the truth: its programs are the files they are said to be, its texts are what those print, and
// each of its commands runs.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>

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
  // Not found again in what was put there: a build directory may itself be called `build`.
  const std::string named = "build/tools/", real = (build_root() / "tools").string() + "/";
  for (std::size_t at = 0; (at = command.find(named, at)) != std::string::npos; at += real.size())
    command.replace(at, named.size(), real);
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

/// The text without blanks and line ends: a wrapped line is the same.
std::string dense_text(const std::string& text) {
  std::string out;
  std::copy_if(text.begin(), text.end(), std::back_inserter(out), [](char c) { return c != ' ' && c != '\n'; });
  return out;
}

TEST(Readme, TechniquesAreTrainedWithAsTheyStand) {
  const std::string program = dense_text(read_text(source_root() / "tests/train/techniques_test.cpp"));
  bool inside = false;
  int rows = 0, options = 0;
  for (const std::string& line : lines_of(read_text(source_root() / "README.md"))) {
    if (line.starts_with("#")) inside = line == "## Every technique";
    if (!inside || !line.starts_with("| ") || line.starts_with("| technique ")) continue;
    ++rows;
    // The second of the columns; no option has a bar in it.
    const std::size_t from = line.find(" | ") + 3;
    const std::string column = line.substr(from, line.find(" | ", from) - from);
    EXPECT_GT(std::count(column.begin(), column.end(), '`'), 1) << line;
    for (std::size_t at = column.find('`'); at != std::string::npos;) {
      const std::size_t end = column.find('`', at + 1);
      const std::string option = column.substr(at + 1, end - at - 1);
      ++options;
      EXPECT_NE(program.find(dense_text(option)), std::string::npos) << option;
      at = column.find('`', end + 1);
    }
  }
  EXPECT_GE(rows, 30);
  EXPECT_GE(options, 100);
}

void write_program(const std::filesystem::path& file, const std::string& text) {
  write_text(file, "#!/bin/sh\n" + text + "\n");
  std::filesystem::permissions(file, std::filesystem::perms::owner_all);
}

/// In folder/bin: a dpkg-query that knows all packages but the `missing` ones, an `id` that says who calls, and an
/// apt-get that leaves a trace and installs nothing.
void write_fake_system(const std::filesystem::path& folder, const std::string& missing, int user) {
  std::filesystem::create_directories(folder / "bin");
  write_program(folder / "bin/dpkg-query",
                "for name; do :; done\ncase ' " + missing + " ' in *\" $name \"*) exit 1 ;; esac\nprintf installed");
  write_program(folder / "bin/id", "echo " + std::to_string(user));
  write_program(folder / "bin/apt-get", "echo \"$@\" >>" + word_of(folder / "apt-was-called") + "\nexit 1");
}

/// Both commands name libfmt-dev and libhwy-dev, no other package, install nothing, and end with status 2.
void expect_missing(const std::filesystem::path& folder, const std::string& path) {
  for (const char* script : {"tools/quickstart", "tools/check"}) {
    const Ran ran = run(path + " bash " + word_of(source_root() / script));
    EXPECT_EQ(ran.status, 2) << script << "\n" << ran.err;
    EXPECT_EQ(ran.out, "");
    EXPECT_NE(ran.err.find("missing packages: libfmt-dev libhwy-dev\n"), std::string::npos) << ran.err;
    EXPECT_NE(ran.err.find("apt-get install libfmt-dev libhwy-dev)"), std::string::npos) << ran.err;
    EXPECT_FALSE(std::filesystem::exists(folder / "apt-was-called"));
  }
}

/// tools/quickstart itself, on this build, with relative paths that are meant from the caller's folder.
void run_quickstart(const std::filesystem::path& folder) {
  write_fake_system(folder, "", 1000);
  const Ran ran = run("cd " + word_of(folder) + " && THALWEG_BUILD=" + word_of(build_root()) + " PATH=" +
                      word_of(folder / "bin") + ":\"$PATH\" " + word_of(source_root() / "tools/quickstart") +
                      " --epochs 1 --out quick");
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(ran.out.find("test accuracy "), std::string::npos) << ran.out << ran.err;
  EXPECT_TRUE(std::filesystem::exists(folder / "quick/weights.safetensors"));
}

TEST(Readme, EachCommandRuns) {
  const Folder folder;
  prepare(folder.path());
  int commands = 0;
  bool quickstart = false;
  for (const Block& block : blocks()) {
    if (block.language != "sh") continue;
    for (std::string command : lines_of(block.text)) {
      command = command.substr(0, command.find("  #"));
      if (command.empty()) continue;
      ++commands;
      // This test runs inside the second. The first gets this build by THALWEG_BUILD, and one epoch.
      if (command == "./tools/quickstart") {
        quickstart = true;
        run_quickstart(folder.path());
        continue;
      }
      if (command == "./tools/check") command = word_of(source_root() / "tools/check") + " --help";
      const Ran ran = run_in(folder.path(), command);
      EXPECT_EQ(ran.status, 0) << "README.md:" << block.line << ": " << command << "\n" << ran.err;
    }
  }
  EXPECT_GE(commands, 4);
  EXPECT_TRUE(quickstart);
}

TEST(Scripts, AreRightInSyntax) {
  int scripts = 0;
  for (const char* folder : {"tools", ".ci"})
    for (const auto& entry : std::filesystem::directory_iterator(source_root() / folder)) {
      if (!entry.is_regular_file() || entry.path().has_extension()) continue;
      const std::string first = lines_of(read_text(entry.path())).at(0);
      const bool bash = first == "#!/usr/bin/env bash" || first == "# shellcheck shell=bash";
      if (!bash && first != "#!/bin/sh") continue;
      ++scripts;
      const Ran ran = run((bash ? "bash -n " : "sh -n ") + word_of(entry.path()));
      EXPECT_EQ(ran.status, 0) << entry.path() << "\n" << ran.err;
    }
  EXPECT_GE(scripts, 6);
}

TEST(Scripts, WithoutRootTheMissingPackagesAreNamed) {
  const Folder folder;
  write_fake_system(folder.path(), "libfmt-dev libhwy-dev", 1000);
  write_program(folder.path() / "bin/sudo", "exit 1");
  expect_missing(folder.path(), "PATH=" + word_of(folder.path() / "bin") + ":\"$PATH\"");
}

TEST(Scripts, WithoutAptTheMissingPackagesAreNamed) {
  const Folder folder;
  write_fake_system(folder.path(), "libfmt-dev libhwy-dev", 0);
  std::filesystem::remove(folder.path() / "bin/apt-get");
  for (const char* name : {"bash", "dirname"}) {
    const Ran found = run(std::string("command -v ") + name);
    ASSERT_EQ(found.status, 0);
    std::filesystem::create_symlink(lines_of(found.out).at(0), folder.path() / "bin" / name);
  }
  expect_missing(folder.path(), "PATH=" + word_of(folder.path() / "bin"));
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
