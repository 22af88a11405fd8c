// SPDX-License-Identifier: Apache-2.0
// `thalweg gallery`: every row with code that is in its file, charts and a sentence, on a page that needs no network.
// One test runs it in full and asks that experiments show what they are about.
#include <gtest/gtest.h>

#include <string_view>

#include "samples.h"
#include "shell.h"

namespace thalweg::project {
namespace {

Ran gallery(const std::filesystem::path& folder, const std::string& arguments) {
  return run("cd " + word_of(folder) + " && " + word_of(setting("THALWEG_TOOL")) + " gallery " + arguments);
}

std::vector<std::string> all_rows() {
  std::vector<std::string> rows;
  for (int k = 1; k <= 28; ++k) rows.push_back("s" + std::to_string(k));
  rows.push_back("optimizers");
  rows.push_back("schedules");
  return rows;
}

std::string between(const std::string& text, const std::string& open, const std::string& close) {
  const std::size_t from = text.find(open);
  if (from == std::string::npos) return "";
  const std::size_t begin = from + open.size();
  return text.substr(begin, text.find(close, begin) - begin);
}

std::string unescaped(std::string text) {
  for (const auto& [entity, letter] : {std::pair{"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&amp;", "&"}})
    for (std::size_t at = 0; (at = text.find(entity, at)) != std::string::npos; ++at)
      text.replace(at, std::string_view(entity).size(), letter);
  return text;
}

void expect_exhibit(const std::string& page, const std::string& row) {
  SCOPED_TRACE(row);
  const std::string section = between(page, "<section id=\"" + row + "\">", "</section>");
  ASSERT_NE(section, "");
  EXPECT_NE(section.find("<svg class=\"chart\""), std::string::npos);
  EXPECT_GT(between(section, "<p class=\"says", "</p>").size(), 40U);
  const std::string code = unescaped(between(section, "<pre><code>", "</code></pre>"));
  EXPECT_NE(code, "");
  EXPECT_LE(lines_of(code).size(), 15U);
  const std::string file = between(section, "<div class=\"file\">", "</div>");
  ASSERT_TRUE(file.starts_with("tools/gallery/")) << file;
  const std::string source = read_text(source_root() / file);
  EXPECT_NE(source.find("// [" + row + "\n" + code + "// " + row + "]\n"), std::string::npos)
      << "the code is the file's own";
}

void expect_self_contained(std::string page) {
  const std::string name_space = "xmlns=\"http://www.w3.org/2000/svg\"";
  for (std::size_t at = 0; (at = page.find(name_space, at)) != std::string::npos;) page.erase(at, name_space.size());
  for (const char* outside : {"http:", "https:", "src=", "@import", "url(", "<link", "<script"})
    EXPECT_EQ(page.find(outside), std::string::npos) << outside;
  for (std::size_t at = 0; (at = page.find("href=\"", at)) != std::string::npos; ++at) EXPECT_EQ(page[at + 6], '#');
  for (const std::string& line : lines_of(page)) {
    if (line.find(" d=\"") == std::string::npos) continue;
    for (const char* wrong : {"nan", "inf"}) EXPECT_EQ(line.find(wrong), std::string::npos) << line.substr(0, 200);
  }
}

TEST(Gallery, AQuickLookHasCodeCurveAndSentenceForEveryRow) {
  const Folder folder;
  const Ran ran = gallery(folder.path(), "--epochs 2 --out g");
  ASSERT_EQ(ran.status, 0) << ran.err;
  const std::string page = read_text(folder.path() / "g/index.html");
  for (const std::string& row : all_rows()) expect_exhibit(page, row);
  expect_self_contained(page);
  EXPECT_NE(page.find("prefers-color-scheme: dark"), std::string::npos);
  EXPECT_NE(ran.out.find("written: g/index.html"), std::string::npos) << ran.out;
}

TEST(Gallery, ShowsChosenRowsAndTellsNumbersAsJson) {
  const Folder folder;
  const Ran ran = gallery(folder.path(), "--only s2 --only s8 --epochs 1 --json -o two");
  ASSERT_EQ(ran.status, 0) << ran.err;
  const std::string page = read_text(folder.path() / "two/index.html");
  expect_exhibit(page, "s2");
  expect_exhibit(page, "s8");
  EXPECT_EQ(page.find("<section id=\"s1\""), std::string::npos);
  EXPECT_NE(ran.out.find("\"row\": \"s2\""), std::string::npos) << ran.out;
  // What needs no training holds however short trainings are.
  EXPECT_EQ(ran.out.find("\"holds\": false"), std::string::npos) << ran.out;
}

TEST(Gallery, LearnsFromMnistsFiles) {
  const Folder folder;
  write_small_mnist(folder.path() / "data");
  const Ran ran = gallery(folder.path(), "--data data --only s1 --only s22 --epochs 1 --out g");
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(read_text(folder.path() / "g/index.html").find("1,280 training samples and 320 held out"),
      std::string::npos);
}

TEST(Gallery, GarbageGetsOneLineAndItsStatus) {
  const Folder folder;
  const auto expect = [&](const std::string& arguments, int status, const std::string& message) {
    const Ran ran = gallery(folder.path(), arguments);
    EXPECT_EQ(ran.status, status) << arguments << "\n" << ran.err;
    EXPECT_NE(ran.err.find(message), std::string::npos) << arguments << "\n" << ran.err;
    EXPECT_EQ(lines_of(ran.err).size(), 1U) << ran.err;
  };
  expect("--only s29", 2, "s29");
  expect("--only s1 --epochs 0", 2, "--epochs");
  expect("--epochs many", 2, "--epochs");
  expect("--colour", 2, "--colour");
  expect("--only s1 --data nowhere", 3, "nowhere");
  write_text(folder.path() / "file", "");
  expect("--only s2 --out file", 3, "--out file: cannot make this folder");
}

TEST(Gallery, InFullExperimentsShowWhatTheyAreAbout) {
  const Folder folder;
  const Ran ran = gallery(folder.path(), "--out g");
  ASSERT_EQ(ran.status, 0) << ran.err;
  // Bits differ from one processor to another, and what training a small net ends in may turn on them.
  std::size_t not_shown = 0;
  for (std::size_t at = 0; (at = ran.out.find("(not shown by this run)", at)) != std::string::npos; ++at) ++not_shown;
  EXPECT_LE(not_shown, 2U) << ran.out;
  EXPECT_NE(ran.out.find(" of 30 experiments show what they are about"), std::string::npos) << ran.out;
}

}  // namespace
}  // namespace thalweg::project
