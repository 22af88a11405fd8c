// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <clocale>
#include <cmath>

#include "files.h"
#include "thalweg/lib/data/csv_text.h"

namespace thalweg {
namespace {

using testing::data_folder;
using testing::Folder;
using testing::run_error_of;

Dataset read(const std::string& text, const CsvOptions& options = {}) { return csv_text(text, "t.csv", options); }
std::string error_of(const std::string& text, const CsvOptions& options = {}) {
  return run_error_of([&] { read(text, options); });
}
using Numbers = std::vector<double>;
using Words = std::vector<std::string>;

TEST(Csv, NumbersWithoutAHeader) {
  const Dataset data = read("1,2.5,0\n-3e2,4,1\n");
  EXPECT_EQ(data.inputs.type(), f32(2, 2));
  EXPECT_EQ(data.inputs.numbers(), (Numbers{1, 2.5, -300, 4}));
  EXPECT_EQ(data.labels.numbers(), (Numbers{0, 1}));
  EXPECT_EQ(data.classes, (Words{"0", "1"}));
}

TEST(Csv, HeaderQuotesMarksAndLineEnds) {
  const Dataset data = read("\xEF\xBB\xBF\"a, b\",kind,c\r\n1,\"x \"\"y\"\"\",2\r\n\r\n 3 ,z,\t4",
                            {.label = "kind"});
  EXPECT_EQ(data.features, (Words{"a, b", "c"}));
  EXPECT_EQ(data.classes, (Words{"x \"y\"", "z"}));
  EXPECT_EQ(data.inputs.numbers(), (Numbers{1, 2, 3, 4}));
  EXPECT_EQ(data.labels.numbers(), (Numbers{0, 1}));
}

TEST(Csv, TheLastLineEndsAsItLikes) {
  for (const char* end : {"", "\n", "\r\n", "\r"}) {
    EXPECT_EQ(read(std::string("1,2\n3,4") + end).labels.numbers(), (Numbers{0, 1}));
    EXPECT_EQ(read(std::string("1,x\n3,\"y\"") + end).classes, (Words{"x", "y"}));
  }
}

TEST(Csv, LinesInsideAQuotedField) {
  const std::string two_lines = "1,\"x\ny\"\n";
  EXPECT_EQ(read(two_lines).classes, (Words{"x\ny"}));
  EXPECT_EQ(error_of(two_lines + "?,z\n"), "t.csv:3:1: `?` is not a number");
}

TEST(Csv, LabelByPositionAndSeparator) {
  EXPECT_EQ(read("7;1;2\n9;3;4\n", {.label = "0", .separator = ';'}).inputs.numbers(), (Numbers{1, 2, 3, 4}));
  EXPECT_EQ(read("7;1;2\n9;3;4\n", {.label = "-3", .separator = ';'}).labels.numbers(), (Numbers{0, 1}));
  EXPECT_CONTAINS(error_of("1,2\n", {.label = "2"}), "label column 2 of a table with 2 columns");
  EXPECT_EQ(error_of("1,2\n", {.label = "-3"}), "t.csv: label column -3 of a table with 2 columns");
  EXPECT_EQ(error_of("1,2\n", {.label = "1st"}), "t.csv: no column is called 1st: the file has no header");
  EXPECT_CONTAINS(error_of("alpha,kind\n1,2\n", {.label = "knd"}), "did you mean kind");
  EXPECT_CONTAINS(error_of("1,2\n", {.label = "kind"}), "the file has no header");
  EXPECT_CONTAINS(error_of("a,a\n1,2\n", {.label = "a"}), "both called a");
  for (const char separator : {'"', '\n', '\r', '\0'})
    EXPECT_EQ(error_of("1,2\n", {.separator = separator}),
              "a separator of fields is neither a quote, a line's end nor NUL");
}

TEST(Csv, ClassesAreSortedAndMapped) {
  EXPECT_EQ(read("1,10\n1,9\n1,-2\n").classes, (Words{"-2", "9", "10"}));
  EXPECT_EQ(read("1,pear\n1,apple\n1,pear\n").labels.numbers(), (Numbers{1, 0, 1}));
  EXPECT_EQ(read("1,b\n1,b\n", {.class_names = {"c", "b", "a"}}).labels.numbers(), (Numbers{1, 1}));
  EXPECT_CONTAINS(error_of("1,b\n1,d\n", {.class_names = {"c", "b"}}), "t.csv:2:3: `d` is none of the 2 classes");
  const Dataset real = read("1,0.5\n2,-1.5\n", {.classes = false});
  EXPECT_EQ(real.labels.type(), f32(2, 1));
  EXPECT_EQ(real.labels.numbers(), (Numbers{0.5, -1.5}));
  EXPECT_TRUE(real.classes.empty());
  // Words among numbers are names of classes, and so are the numbers then.
  EXPECT_EQ(read("1,0.5\n2,x\n").classes, (Words{"0.5", "x"}));
  const std::string no_class = " is not the whole number of a class (classes = false reads targets)";
  EXPECT_EQ(error_of("1,0.5\n2,1\n"), "t.csv:1:3: label 0.5" + no_class);
  EXPECT_EQ(error_of("1,2\n2,-2e9\n"), "t.csv:2:3: label -2e9" + no_class);
  EXPECT_EQ(error_of("1,2\n2,inf\n"), "t.csv:2:3: label inf" + no_class);
}

struct Bad {
  const char* text;
  std::size_t size;
  const char* message;
};
#define BAD(text, message) Bad{text, sizeof(text) - 1, message}

TEST(Csv, ErrorsNameLineAndColumn) {
  const Bad cases[] = {
      BAD("", "t.csv: is empty"),
      BAD("\n\n", "t.csv: is empty"),
      BAD("a,b\n", "t.csv: a header, and no data after it"),
      BAD("\"5\"\n6\n", "t.csv:1:1: one column, and at least a feature and a label are needed"),
      BAD("5\n6\n", "t.csv:1:1: one column, and at least a feature and a label are needed"),
      BAD("1,2\n3\n", "t.csv:2:1: 1 fields, and the first line has 2"),
      BAD("1,2\n3,4,5\n", "t.csv:2:5: 3 fields, and the first line has 2"),
      BAD("1,2\n,4\n", "t.csv:2:1: a number is missing"),
      BAD("1,2\n4,\n", "t.csv:2:3: the label is missing"),
      BAD("1,2\n4,", "t.csv:2:3: the label is missing"),
      BAD("1,2\nx,4\n", "t.csv:2:1: `x` is not a number"),
      BAD("1,2\n0x1p3,4\n", "t.csv:2:1: `0x1p3` is not a number"),
      BAD("1,2\n+1,4\n", "t.csv:2:1: `+1` is not a number"),
      BAD("1,2\n\"1,5\",4\n", "t.csv:2:1: `1,5` is not a number"),
      BAD("1,2\nnan,4\n", "t.csv:2:1: nan is not finite (allow_nonfinite lets it through)"),
      BAD("1,2\n-inf,4\n", "t.csv:2:1: -inf is not finite (allow_nonfinite lets it through)"),
      BAD("1,2\n1e999,4\n", "t.csv:2:1: 1e999 is out of a number's range"),
      BAD("1,2\n1e39,4\n", "t.csv:2:1: 1e39 is out of the range of f32"),
      BAD("1,2\n3\0,4\n", "t.csv:2:2: a NUL byte: this is no text"),
      BAD("1,2\n\"3\0\",4\n", "t.csv:2:3: a NUL byte: this is no text"),
      BAD("1,2\n3\r,4\n", "t.csv:2:2: a carriage return that no line feed follows"),
      BAD("1,2\n3\"4\",4\n", "t.csv:2:2: a quote inside a field that did not begin with one"),
      BAD("1,2\n\"3\"4,4\n", "t.csv:2:4: text after the end of a quoted field"),
      BAD("1,2\n3,\"4\n", "t.csv:2:3: a quoted field that never ends"),
      BAD("\xFF\xFE" "1\0,\0", "t.csv:1:1: the text is UTF-16: save it as UTF-8"),
      BAD("\xFE\xFF" "\0""1\0,", "t.csv:1:1: the text is UTF-16: save it as UTF-8"),
      BAD("1,2\n\x1b[31m,4\n", "t.csv:2:1: `\\x1b[31m` is not a number"),
  };
  for (const Bad& bad : cases) EXPECT_EQ(error_of(std::string(bad.text, bad.size)), bad.message);
}

TEST(Csv, NonfiniteWhereItIsAllowed) {
  const Dataset data = read("nan,1\ninf,2\n", {.header = false, .allow_nonfinite = true});
  EXPECT_TRUE(std::isnan(data.inputs.number(0)));
  EXPECT_TRUE(std::isinf(data.inputs.number(1)));
}

TEST(Csv, LongLinesHaveALimit) {
  EXPECT_CONTAINS(error_of("1,2\n" + std::string(2 << 20, '1') + ",4\n"), "a field longer than");
  EXPECT_EQ(error_of("1,2\n\"" + std::string(2 << 20, '1') + "\",4\n"), "t.csv:2:1: a field longer than 1048576 bytes");
  EXPECT_CONTAINS(error_of(std::string(2 << 20, ',')), "more than 1048576 columns");
}

TEST(Csv, LocaleDoesNotMatter) {
  const std::string before = std::setlocale(LC_ALL, nullptr);
  for (const char* name : {"de_DE.UTF-8", "C.UTF-8", "C"}) {
    if (std::setlocale(LC_ALL, name) == nullptr) continue;
    EXPECT_EQ(read("1.5,0\n").inputs.numbers(), (Numbers{1.5})) << name;
  }
  std::setlocale(LC_ALL, before.c_str());
}

TEST(SklearnCsv, ReadsTheirFirstLine) {
  const Dataset data = sklearn_csv_text("3,2,red,green\n1,2,0\n3,4,1\n5,6,0\n", "s.csv");
  EXPECT_EQ(data.inputs.numbers(), (Numbers{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(data.labels.numbers(), (Numbers{0, 1, 0}));
  EXPECT_EQ(data.classes, (Words{"red", "green"}));
  const auto error = [](const std::string& text) { return run_error_of([&] { sklearn_csv_text(text, "s.csv"); }); };
  EXPECT_EQ(error("4,2,red,green\n1,2,0\n3,4,1\n"), "s.csv: 2 rows follow, and the first line says 4");
  EXPECT_EQ(error("2,3,red,green\n1,2,0\n3,4,1\n"), "s.csv:2:5: 3 fields, and the header has 4");
  EXPECT_CONTAINS(error("2,2,red,green\n1,2,0\n3,4,2\n"), "s.csv:3:5: `2` is none of the 2 classes");
  EXPECT_CONTAINS(error("1,2\n"), "the first line holds");
  EXPECT_EQ(error(""), "s.csv: is empty");
  EXPECT_EQ(error("1,2,red"), "s.csv: a header, and no data after it");
  for (const std::string rows : {"x", "2x", "0", "99999999999999999999"})
    EXPECT_EQ(error(rows + ",2,red,green\n"), "s.csv:1:1: `" + rows + "` is not the number of rows");
  EXPECT_EQ(error("1,-2,red,green\n"), "s.csv:1:3: `-2` is not the number of features");
}

TEST(SklearnCsv, TheFirstLineMayComeLateAndSpanLines) {
  const std::string first = "\n\n2,1,\"light\nred\",green\n";
  EXPECT_EQ(sklearn_csv_text(first + "1,0\n2,1\n", "s.csv").classes, (Words{"light\nred", "green"}));
  EXPECT_EQ(run_error_of([&] { sklearn_csv_text(first + "1,0\n?,1\n", "s.csv"); }), "s.csv:6:1: `?` is not a number");
}

TEST(Reshaped, ToAsManyElements) {
  const Tensor row(f32(1, 4), Numbers{1, 2, 3, 4});
  EXPECT_EQ(reshaped(row, {2, 2}).type(), f32(2, 2));
  EXPECT_EQ(reshaped(row, {2, 2}).numbers(), row.numbers());
  EXPECT_EQ(run_error_of([&] { reshaped(row, {2, 3}); }), "f32[1,4] cannot have shape [2,3]");
}

TEST(SklearnCsv, ReadsTheRealIris) {
  if (data_folder().empty()) GTEST_SKIP() << "THALWEG_DATA is not set";
  const Dataset iris = sklearn_csv(data_folder() + "/tabular/iris.csv");
  EXPECT_EQ(iris.inputs.type(), f32(150, 4));
  EXPECT_EQ(iris.classes, (Words{"setosa", "versicolor", "virginica"}));
  EXPECT_EQ(iris.labels.number(0), 0);
  EXPECT_EQ(iris.labels.number(149), 2);
  EXPECT_FLOAT_EQ(static_cast<float>(iris.inputs.number(0)), 5.1f);
}

}  // namespace
}  // namespace thalweg
