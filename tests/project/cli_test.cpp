// SPDX-License-Identifier: Apache-2.0
// The command line: every sub-command, its exit statuses, and that a wrong call gets one clear line.
#include <gtest/gtest.h>

#include "shell.h"

namespace thalweg::project {
namespace {

Ran thalweg_run(const std::string& arguments) { return run(word_of(setting("THALWEG_TOOL")) + " " + arguments); }

/// One line on standard error that starts with the program's name, nothing on standard output.
void expect_complaint(const Ran& ran, int status, const std::string& part) {
  EXPECT_EQ(ran.status, status) << ran.out << ran.err;
  EXPECT_EQ(ran.out, "");
  EXPECT_TRUE(ran.err.starts_with("thalweg: ")) << ran.err;
  EXPECT_EQ(lines_of(ran.err).size(), 1U) << ran.err;
  EXPECT_NE(ran.err.find(part), std::string::npos) << ran.err;
}

const char* const graph_text =
    "graph g {\n"
    "  %x = input : f32[2]\n"
    "  %0 = tanh %x : f32[2]\n"
    "  output y = %0\n"
    "}\n";

TEST(Cli, HelpStatesTheExitStatuses) {
  const Ran ran = thalweg_run("--help");
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.err, "");
  for (const char* part : {"train", "dump", "check", "2 wrong usage", "3 bad input", "4 numeric failure", "130"})
    EXPECT_NE(ran.out.find(part), std::string::npos) << part;
  for (const char* command : {"train", "train digits", "train mnist", "train csv", "dump", "check"})
    EXPECT_EQ(thalweg_run(std::string(command) + " --help").status, 0) << command;
}

TEST(Cli, VersionIsTheProjects) {
  const Ran ran = thalweg_run("--version");
  EXPECT_EQ(ran.status, 0);
  EXPECT_EQ(ran.out, "thalweg " + setting("THALWEG_PROJECT_VERSION") + "\n");
}

TEST(Cli, WrongUsageIsOneLineAndStatusTwo) {
  for (const char* arguments : {"", "tarin", "train", "train cifar", "dump", "dump a b", "train digits --epochs zero",
                                "train digits --epochs 0", "train digits --epochs -3", "train digits --model rnn",
                                "train digits --rate nan", "train digits --rate -1", "train digits --batch 0",
                                "train digits --colour red", "train mnist", "train csv --label 0",
                                "train digits --threads 100000"})
    expect_complaint(thalweg_run(arguments), 2, "--help");
}

TEST(Cli, DumpIsCanonicalAndStable) {
  const Folder folder;
  write_text(folder.path() / "g.txt", graph_text);
  const Ran once = thalweg_run("dump " + word_of(folder.path() / "g.txt"));
  EXPECT_EQ(once.status, 0) << once.err;
  EXPECT_EQ(once.err, "");
  write_text(folder.path() / "h.txt", once.out);
  const Ran twice = thalweg_run("dump - <" + word_of(folder.path() / "h.txt"));
  EXPECT_EQ(twice.status, 0) << twice.err;
  EXPECT_EQ(twice.out, once.out);
}

TEST(Cli, DumpOfAWrongTextOrFileIsBadInput) {
  const Folder folder;
  const std::filesystem::path file = folder.path() / "g.txt";
  const Ran missing = thalweg_run("dump " + word_of(file));
  expect_complaint(missing, 3, "g.txt");
  EXPECT_EQ(thalweg_run("dump " + word_of(folder.path())).status, 3);
  write_text(file, "graph g {\n  %x = inptu : f32[2]\n}\n");
  const Ran wrong = thalweg_run("dump " + word_of(file));
  EXPECT_EQ(wrong.status, 3);
  EXPECT_EQ(wrong.out, "");
  EXPECT_NE(wrong.err.find("g.txt:2:"), std::string::npos) << wrong.err;
  EXPECT_NE(wrong.err.find("input"), std::string::npos) << wrong.err;
}

TEST(Cli, AnErrorThatCannotBeShownKeepsItsStatus) {
  for (const char* redirection : {"2>&-", "2>/dev/full", ">&- 2>&-", "<&- 2>&-"}) {
    const Ran ran = thalweg_run(std::string("dump /nonexistent ") + redirection);
    EXPECT_EQ(ran.status, 3) << redirection;
    EXPECT_EQ(ran.out + ran.err, "") << redirection;
    EXPECT_EQ(thalweg_run(std::string("tarin ") + redirection).status, 2) << redirection;
  }
}

TEST(Cli, AResultThatCannotBeWrittenIsAnError) {
  const Folder folder;
  write_text(folder.path() / "g.txt", graph_text);
  for (const char* command : {"dump ", "check "})
    for (const char* redirection : {" >/dev/full", " >&-"})
      expect_complaint(thalweg_run(command + word_of(folder.path() / "g.txt") + redirection), 3, "write");
}

TEST(Cli, StandardInputWithoutEndIsRefused) {
  expect_complaint(thalweg_run("dump - </dev/zero"), 3, "256 MiB");
  expect_complaint(thalweg_run("check - </dev/zero"), 3, "256 MiB");
  expect_complaint(thalweg_run("dump - <&-"), 3, "cannot be read");
}

TEST(Cli, CheckTellsValidFromInvalidAndUnreadable) {
  const Folder folder;
  const std::filesystem::path file = folder.path() / "g.txt";
  write_text(file, graph_text);
  const Ran valid = thalweg_run("check " + word_of(file));
  EXPECT_EQ(valid.status, 0) << valid.err;
  EXPECT_TRUE(valid.out.starts_with("g: valid: 2 nodes, 1 inputs, 0 variables, 1 outputs, 0 updates\n")) << valid.out;
  write_text(file, "graph g {\n  %x = input : f32[2]\n  %0 = tanh %x : f32[3]\n}\n");
  const Ran invalid = thalweg_run("check " + word_of(file));
  EXPECT_EQ(invalid.status, 3);
  EXPECT_NE(invalid.err.find("g.txt:3"), std::string::npos) << invalid.err;
  EXPECT_EQ(thalweg_run("check " + word_of(folder.path() / "none.txt")).status, 3);
}

}  // namespace
}  // namespace thalweg::project
