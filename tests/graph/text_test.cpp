// SPDX-License-Identifier: Apache-2.0
// The text form: what is printed, and that it reads back.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <string>

#include "message.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/parse.h"
#include "thalweg/graph/print.h"
#include "thalweg/graph/rewrite.h"
#include "thalweg/lib/io/graph_text.h"
#include "thalweg/lib/io/strict_json.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/norm.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/softmax.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

using testing::message_of;

/// Prints, reads back, prints again; the texts and the graphs must be equal.
void expect_round_trip(const Graph& graph) {
  const std::string text = print(graph);
  Graph again;
  ASSERT_NO_THROW(again = parse(text)) << message_of([&] { parse(text); }) << "\n" << text;
  EXPECT_EQ(print(again), text);
  EXPECT_TRUE(same_text(graph, again));
}

constexpr const char* mlp = R"(graph mlp {
  %x     = input                                                : f32[64,784]   # mlp.cpp:6
  @w1    = variable {init=he_normal, seed=7}                    : f32[784,128]  # mlp.cpp:9 in dense
  @b1    = variable                                             : f32[128]      # mlp.cpp:9 in dense
  @count = variable {trainable=false}                           : i64[]
  %0     = matmul %x, @w1                                       : f32[64,128]   # mlp.cpp:9 in dense
  %1     = add %0, @b1                                          : f32[64,128]   # mlp.cpp:9 in dense
  %2     = relu %1                                              : f32[64,128]   # "my mlp.cpp":10
  %3     = constant {values=[0.5]}                              : f32[]         # optimizer
  %4     = mul %2, %3                                           : f32[64,128]   # mlp.cpp:12 backward in loss/scaled
  %5     = matmul %x, %4 {ta=true}                              : f32[784,128]  # backward
  %6     = constant {values=[1,-0,1e-05,nan,inf,-inf,0.1,1e+300]}  : f64[8]
  output y = %2
  output scaled = %4
  update @w1 <- %5
}
)";

std::string without_runs_of_blanks(std::string_view text) {
  std::string out;
  for (const char c : text)
    if (c != ' ' || (!out.empty() && out.back() != ' ')) out += c;
  return out;
}

TEST(Text, IsCanonicalAndAligned) {
  const std::string text = print(parse(mlp));
  EXPECT_EQ(without_runs_of_blanks(text), without_runs_of_blanks(mlp));
  EXPECT_EQ(print(parse(text)), text);
  // Every `=` of a definition stands in one column, and so does every `:` that fits.
  std::size_t column = 0;
  std::size_t begin = text.find('\n') + 1;
  for (; text[begin + 2] == '%' || text[begin + 2] == '@'; begin = text.find('\n', begin) + 1) {
    const std::size_t at = text.find(" = ", begin) - begin;
    if (column == 0) column = at;
    EXPECT_EQ(at, column);
  }
}

TEST(Text, IsExactlyThis) {
  Graph g("net");
  const SourceLoc loc{"/home/somebody/net.cpp", 4};
  const Value x = input(g, "x", f32(2, 3), loc);
  const Value w = variable(g, "w", f32(3), ones(), {}, loc);
  Value y;
  {
    const Frame frame(g, {.loc = {"net.cpp", 9}, .scope = "block1", .origin = Origin::backward});
    y = tanh(x * w);
  }
  Value s;
  {
    const Frame frame(g, {.loc = {"net.cpp", 11}, .origin = Origin::optimizer});
    s = sum(y, {.axes = {0}});
  }
  g.output("y", y);
  g.update(w, s);
  EXPECT_EQ(print(g), R"(graph net {
  %x = input                 : f32[2,3]  # net.cpp:4
  @w = variable {init=ones}  : f32[3]    # net.cpp:4
  %0 = mul %x, @w            : f32[2,3]  # net.cpp:9 backward in block1
  %1 = tanh %0               : f32[2,3]  # net.cpp:9 backward in block1
  %2 = sum %1 {axes=[0]}     : f32[3]    # net.cpp:11 optimizer
  output y = %1
  update @w <- %2
}
)");
  expect_round_trip(g);
}

TEST(Text, OfAnEmptyGraph) {
  EXPECT_EQ(print(Graph("nothing")), "graph nothing {\n}\n");
  expect_round_trip(Graph("nothing"));
}

TEST(Text, RestoresNumbersToTheBit) {
  std::mt19937_64 bits(5);
  std::vector<double> values = {0.0, -0.0, 5e-324, std::numeric_limits<double>::max(), 0.1, 1.0 / 3};
  while (values.size() < 1000) {
    const double x = std::bit_cast<double>(bits());
    if (std::isfinite(x)) values.push_back(x);
  }
  Graph g;
  constant(g, values, f64(1000));
  const std::string text = print(g);
  const Graph again = parse(text);
  EXPECT_EQ(again.node(0).attrs, g.node(0).attrs);
  EXPECT_EQ(print(again), text);
}

TEST(Text, BreaksLongListsBeforeALineGetsTooLong) {
  Graph g;
  std::vector<double> values(200'000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = -1.0 / (1.0 + static_cast<double>(i));
  constant(g, values, f64(200'000));
  expect_round_trip(g);
}

TEST(Text, RestoresSeveralResults) {
  Graph g;
  const Value x = input(g, "x", f32(8, 4));
  const Value gamma = variable(g, "gamma", f32(4), ones()), beta = variable(g, "beta", f32(4));
  const Value y = batch_norm_training(x, gamma, beta).y;
  const Value loss = sum(square(y));
  g.output("loss", loss);
  const auto d = gradients(loss, {x, gamma, beta});
  g.update(gamma, d[1]);
  EXPECT_NE(print(g).find("  %0, %1, %2    = batch_norm_training %x, @gamma, @beta  "), std::string::npos) << print(g);
  expect_round_trip(g);
}

TEST(Text, RestoresGradientsOfAnMlp) {
  Graph g("classifier");
  const Value x = input(g, "x", f32(5, 7));
  const Value w = variable(g, "layer1/w", f32(7, 6), he_normal({.seed = 3})), b = variable(g, "layer1/b", f32(6));
  const Value h = gelu(matmul(x, w) + b);
  const Value gain = variable(g, "norm.gain", f32(6), ones()), bias = variable(g, "norm.bias", f32(6));
  const Value y = log_softmax(layer_norm(h, gain, bias));
  const Value loss = mean(y * y);
  g.output("loss", loss);
  const auto d = gradients(loss, {w, b, gain, bias});
  g.update(w, w - 0.1 * d[0]);
  g.update(b, b - 0.1 * d[1]);
  expect_round_trip(g);
  const auto second = gradients(sum(d[0] * d[0]), {x, w});
  g.output("second", sum(second[1]));
  expect_round_trip(g);
}

TEST(Text, RestoresKeysOfRandomOps) {
  const Graph g = parse("graph g {\n @step = variable : i64[]\n"
                        " %0 = random_uniform @step {key=41} : f32[3]\n output r = %0\n}\n");
  expect_round_trip(g);
  Graph more = parse(print(g));
  EXPECT_EQ(more.next_key(), 42);
  // After the largest key there is none that no other has.
  Graph last = parse("graph g {\n @step = variable : i64[]\n"
                     " %0 = random_uniform @step {key=9223372036854775807} : f32[3]\n output r = %0\n}\n");
  EXPECT_EQ(last.next_key(), 0);
}

TEST(Text, AcceptsWhatAPersonWrites) {
  const Graph g = parse(
      "\n# a comment\n graph  g{ # another\n%x=input:f32[ 2 , 3 ]#a.cpp:1\r\n\n"
      "\t%7 = tanh %x: f32[2,3] # in a/b\n  %named = tanh %7 : f32[2,3]\n# of its own\n  output y=%named\n}\n\n# end\n");
  EXPECT_EQ(print(g), R"(graph g {
  %x     = input    : f32[2,3]  # a.cpp:1
  %0     = tanh %x  : f32[2,3]  # in a/b
  %named = tanh %0  : f32[2,3]
  output y = %named
}
)");
}

TEST(Text, QuotesWhatIsNoPlainWord) {
  EXPECT_EQ(spelled("same"), "same");
  EXPECT_EQ(spelled("a/b-c.d_9"), "a/b-c.d_9");
  EXPECT_EQ(spelled(""), "\"\"");
  EXPECT_EQ(spelled("9lives"), "\"9lives\"");
  EXPECT_EQ(spelled("two words"), "\"two words\"");
  EXPECT_EQ(spelled("q\"\\\n\t\r\x01\xff"), "\"q\\\"\\\\\\n\\t\\r\\x01\\xff\"");
}

TEST(Text, KeepsStrangeFileNames) {
  Graph g;
  input(g, "x", f32(), {"dir/a \"b\"\n#:7.cpp", 3});
  input(g, "y", f32(), {"backward", 3});
  input(g, "z", f32(), {"in", 3});
  input(g, "w", f32(), {"C:\\nets\tof\r\x01.cpp", 3});
  expect_round_trip(g);
}

TEST(Text, KeepsOnlySoManyFileNames) {
  // In a process of its own: the names stay as long as it lives.
  std::string text = "graph g {\n";
  for (int i = 0; i <= 65'536; ++i) {
    const std::string n = std::to_string(i);
    text += "  %v" + n + " = input : f32[]  # net" + n + ".cpp:1\n";
  }
  EXPECT_EXIT(
      {
        const std::string told = message_of([&] { parse(text + "}", "net.txt"); });
        std::exit(told.ends_with(": more than 65536 different file names in annotations") ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(Text, ReadsTypesOfEveryKind) {
  Graph g;
  input(g, "a", f32(1, 2, 3, 4, 5, 6, 7, 8));
  input(g, "b", bf16());
  input(g, "c", f64(1));
  input(g, "d", i32(2147483648));
  input(g, "e", i64(7));
  input(g, "f", u8(7));
  input(g, "g", boolean(7));
  expect_round_trip(g);
}

TEST(Text, GoesToAFileAndBack) {
  const auto path = std::filesystem::temp_directory_path() / "thalweg_text_test.txt";
  const Graph g = parse(mlp);
  write_text(g, path.string());
  EXPECT_EQ(print(read_text(path.string())), print(g));
  std::filesystem::remove(path);
  EXPECT_EQ(message_of([&] { read_text(path.string()); }), path.string() + ": cannot open: No such file or directory (errno 2)");
  EXPECT_NE(message_of([&] { write_text(g, "/proc/nowhere/x.txt"); }).find("cannot create: No such file or directory"),
            std::string::npos);
}

TEST(Text, LeavesOtherFilesAlone) {
  const auto folder = std::filesystem::temp_directory_path() / "thalweg_text_test";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  std::ofstream(folder / "net.txt.part") << "the user's";
  std::filesystem::create_directory(folder / "taken");
  const Graph g = parse(mlp);
  write_text(g, (folder / "net.txt").string());
  write_text(g, (folder / "net.txt").string());
  const std::string taken = (folder / "taken").string();
  EXPECT_EQ(message_of([&] { write_text(g, taken); }), taken + ": cannot write: it is a directory");
  std::string kept;
  std::getline(std::ifstream(folder / "net.txt.part") >> std::ws, kept);
  EXPECT_EQ(kept, "the user's");
  const std::filesystem::directory_iterator files(folder);
  EXPECT_EQ(std::distance(begin(files), end(files)), 3);
  std::filesystem::remove_all(folder);
}

TEST(Text, ReadsManyOutputsUpdatesAndResults) {
  // A search through those before each of them would take minutes.
  constexpr std::size_t many = 100'000;
  std::string text = "graph g {\n", ends, results;
  for (std::size_t i = 0; i < many; ++i) {
    const std::string n = std::to_string(i);
    text += "  @v" + n + " = variable : f32[]\n";
    ends += "  output o" + n + " = @v" + n + "\n  update @v" + n + " <- @v" + n + "\n";
    results += (i > 0 ? ", %" : "%") + n;
  }
  const Graph g = parse(text + ends + "}");
  EXPECT_EQ(g.outputs().size(), many);
  EXPECT_EQ(g.updates().size(), many);
  EXPECT_EQ(g.find("o99999"), g.find("v99999"));
  Graph copy = g.clone();
  EXPECT_EQ(message_of([&] { copy.output("o7", copy.find("v7")); }).substr(0, 9), "text_test");
  copy.drop_outputs();
  copy.drop_updates();
  EXPECT_FALSE(copy.has("o7"));
  copy.output("o7", copy.find("v7"));
  copy.update(copy.find("v7"), copy.find("v8"));
  EXPECT_TRUE(g.has("o8"));
  Graph third("third");
  third.replace_by(std::move(copy));
  EXPECT_TRUE(third.has("o7"));
  EXPECT_FALSE(third.has("o8"));
  EXPECT_THROW(third.update(third.find("v7"), third.find("v8")), GraphError);
  EXPECT_EQ(message_of([&] { parse("graph g {\n  %x = input : f32[]\n  " + results + " = exp %x : f32[]\n}"); }),
            "text:3:3: exp has 1 results, the line defines 100000");
}

constexpr const char* net_json = R"({"name": "g",
"graph": [
{"name": "%x", "op": "input", "attrs": {}, "inputs": [], "outputs": [{"id": 0, "dtype": "f32", "shape": [2, 3]}],
 "scope": "", "origin": "forward", "line": "net.cpp:2"},
{"name": "%0", "op": "sum", "attrs": {"origin": {"value": "backward"}, "scope": {"value": "block"}, "line": {"value": ""}, "axes": {"value": [0]}, "keep_dims": {"value": 0}},
 "inputs": [{"id": 0}], "outputs": [{"id": 1, "dtype": "f32", "shape": [3]}],
 "scope": "block/a", "origin": "backward", "line": ""},
{"name": "@w", "op": "variable", "attrs": {"seed": {"value": -7}, "init": {"value": "he_normal"}}, "inputs": [],
 "outputs": [{"id": 7, "dtype": "undef", "type": "f64[3]", "shape": [3]}], "scope": "", "origin": "forward", "line": ""},
{"name": "%1", "op": "constant", "attrs": {"values": {"value": [1.5, "nan", "-inf"]}}, "inputs": [],
 "outputs": [{"id": 8, "dtype": "f64", "shape": [3]}], "scope": "", "origin": "forward", "line": ""},
{"name": "%2", "op": "leaky_relu", "attrs": {"slope": {"value": 0.5}}, "inputs": [{"id": 1}],
 "outputs": [{"id": 2, "dtype": "f32", "shape": [3]}], "scope": "", "origin": "forward", "line": ""}],
"outputs": [{"name": "y", "value": 2}],
"updates": [{"variable": "w", "value": 8}]}
)";

/// The net with its first `from` replaced.
std::string net_with(std::string_view from, std::string_view to) {
  std::string text = net_json;
  const std::size_t at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Json, IsReadAsTheGraphThatItWas) {
  const std::string text = print(graph_of(net_json, "net.json"));
  for (const char* part : {"sum %x {axes=[0]", "# backward in block/a", "{init=he_normal, seed=-7}", ": f64[3]", "# net.cpp:2",
                           "values=[1.5,nan,-inf]", "output y = %", "update @w <- %"})
    EXPECT_NE(text.find(part), text.npos) << part << " in\n" << text;
  EXPECT_EQ(print(graph_of(net_with(R"("g")", R"("A.b-c")"), "net.json")).substr(0, 13), "graph A.b-c {");
  const Graph bare = graph_of(R"(  {"name": "g", "graph": []})", "net.json");
  EXPECT_TRUE(bare.outputs().empty() && bare.updates().empty());
  const std::string from = R"("f64", "shape": [3]}], "scope")";
  for (const auto& [theirs, ours] : std::vector<std::pair<const char*, const char*>>{
           {"s32", "i32"}, {"s64", "i64"}, {"boolean", "bool"}}) {
    const std::string changed = net_with(from, "\"" + std::string(theirs) + from.substr(4));
    EXPECT_EQ(message_of([&] { graph_of(changed, "net.json"); }),
              "net.json:10:1: node 3: constant: 1.5 is not a value of " + std::string(ours));
  }
}

TEST(Json, IsReadWithSeveralResults) {
  const std::string text = print(graph_of(net_with("\"shape\": [3]}], \"scope\": \"\", \"origin\": \"forward\", \"line\": \"\"}],\n\"outputs\": [",
                                                   R"("shape": [3]}], "scope": "", "origin": "forward", "line": ""},
{"name": "%3", "op": "batch_norm_training", "attrs": {}, "inputs": [{"id": 0}, {"id": 1}, {"id": 2}],
 "outputs": [{"id": 3, "dtype": "f32", "shape": [2, 3]}, {"id": 4, "dtype": "f32", "shape": [3]},
  {"id": 5, "dtype": "f32", "shape": [3]}], "scope": "", "origin": "forward", "line": ""}],
"outputs": [{"name": "variance", "value": 5}, )"), "net.json"));
  for (const char* part : {"  %3, %4, %5 = batch_norm_training %x, %0, %2 ", ": f32[2,3], f32[3], f32[3]", "output variance = %5"})
    EXPECT_NE(text.find(part), text.npos) << part << " in\n" << text;
}

TEST(Json, ElementsOfAListAreFound) {
  struct Case {
    const char *text, *key;
    std::size_t index, at;
  };
  for (const auto& [text, key, index, at] : std::vector<Case>{
           {R"({"a": [10, 20]})", "a", 0, 7},
           {R"({"a": [10, 20]})", "a", 1, 11},
           {"{\"a\":\r\n\t[10,\r\n\t20]}", "a", 1, 15},
           {R"({"o": {"a": [1]}, "a": [10]})", "a", 0, 24},
           {R"({"a\"": [1], "a": ["x\\", 10]})", "a", 1, 26},
           {R"({"a": [[1, 2], {"b": 3}, 10]})", "a", 2, 25},
           {R"({"a": [], "b": 10})", "a", 0, 0},
           {R"({"a": [10]})", "a", 1, 0},
           {R"({"a": [10]})", "b", 0, 0},
           {R"({"a)", "a", 0, 0}})
    EXPECT_EQ(element_in(text, key, index), at) << index << " of " << key << " in " << text;
}

TEST(Json, SaysWhereAndWhatIsWrong) {
  struct Case {
    const char *from, *to, *message;
  };
  for (const auto& [from, to, message] : std::vector<Case>{
           {R"("name": "g",)", "", "net.json:1:1: the graph lacks `name`"},
           {R"("g")", R"("9g")", "net.json:1:1: the graph: graph name '9g' is not allowed"},
           {R"("g")", "7", "the graph has a `name` that is not a text"},
           {R"("g")", R"("")", "the graph has `` as its `name`: only letters, digits and _ . / - may stand there"},
           {R"("g")", R"("{")", "the graph has `{` as its `name`"},
           {R"("g")", R"(":")", "the graph has `:` as its `name`"},
           {R"("g")", R"("!")", "the graph has `!` as its `name`"},
           {R"("g")", R"("a[")", "the graph has `a[` as its `name`"},
           {R"("graph": [)", R"("graph": 3, "rest": [)", "the graph has a `graph` that is not a list"},
           {R"("graph": [)", R"("graph": [7, )", "node 0 is not an object"},
           {R"("graph")", R"("nodes")", "the graph lacks `graph`"},
           {R"("%0")", R"("0")", "net.json:5:1: node 1 is called `0`, and values are called %NAME or @NAME"},
           {R"("%0")", R"("%")", "node 1 is called `%`"},
           {R"("%0")", R"("00")", "node 1 is called `00`"},
           {R"("%0")", R"("%-a")", "net.json:5:1: node 1: sum name '-a' is not allowed"},
           {R"("%0")", R"("%a b")", "node 1 is called `%a b`"},
           {R"("id": 1)", R"("id": -1)", "node 1 has a `id` that is not a whole number from 0 on"},
           {R"("id": 1)", R"("id": 0)", "node 1 makes value 0, which another makes too"},
           {R"([{"id": 0}])", R"([{"id": 9}])", "node 1 reads value 9, which no node makes"},
           {R"([{"id": 0}])", R"([{"id": 1}])", "node 1 reads value 1, which node 1 makes later"},
           {R"([{"id": 0}])", "[3]", "node 1 is not an object"},
           {R"([{"id": 0}])", R"({"id": 0})", "node 1 has a `inputs` that is not a list"},
           {R"([{"id": 0}])", R"([{"id": 0}, {"id": 0}])", "node 1: sum takes 1"},
           {R"("sum")", R"("a sum")", "node 1 has `a sum` as its `op`"},
           {R"("sum")", R"("summ")", "node 1: "},
           {R"("op": "sum", )", "", "node 1 lacks `op`"},
           {R"("attrs": {})", R"("attrs": [])", "node 0 has `attrs` that are not an object"},
           {R"("attrs": {})", R"("attrs": {"a b": {"value": 1}})", "node 0 has an attribute `a b`"},
           {R"("attrs": {})", R"("attrs": {"a": {"value": 1}})", "node 0: "},
           {R"("attrs": {})", R"("attrs": {"a": {"value": "b"}})", "node 0: "},
           {R"("attrs": {})", R"("attrs": {"a": {"value": [1]}})", "node 0: "},
           {R"("attrs": {})", R"("attrs": {"a": {}})", "node 0 lacks `value`"},
           {R"("keep_dims": {"value": 0})", R"("keep_dims": {"value": 2})", "node 1 has `keep_dims` that is neither 0 nor 1"},
           {R"("keep_dims": {"value": 0})", R"("keep_dims": {"value": 0.5})", "node 1 has `keep_dims` that is not a whole number"},
           {R"("keep_dims": {"value": 0})", R"("keep_dims": {"value": 1})", "node 1: "},
           {R"([0]})", R"(0})", "node 1 has `axes` that is not a list"},
           {R"([0]})", R"([0.5]})", "node 1 has `axes` that is not a whole number"},
           {R"("he_normal")", "1", "node 2 has `init` that is not a text"},
           {R"("he_normal")", R"("he said \"")", "node 2: "},
           {R"([1.5, "nan", "-inf"])", R"([1.5, "inf", "many"])", "node 3 has `values` that is not a number"},
           {R"([1.5, "nan", "-inf"])", "[1.5, 2, null]", "node 3 has `values` that is not a number"},
           {R"("slope": {"value": 0.5})", R"("slope": {"value": "steep"})", "node 4 has `slope` that is not a number"},
           {R"("shape": [2, 3])", R"("shape": [2, 1.5])", "node 0 has `shape` that is not a whole number"},
           {R"("shape": [2, 3])", R"("shape": [2, -3])", "node 0: "},
           {R"("shape": [2, 3])", R"("shape": 6)", "node 0 has a `shape` that is not a list"},
           {R"("dtype": "f32")", R"("dtype": "f 32")", "node 0 has `f 32` as its `dtype`"},
           {R"("dtype": "f32")", R"("dtype": "undef")", "node 0 lacks `type`"},
           {R"("type": "f64[3]")", R"("type": "[3]")", "node 2 has `[3]` as its `type`"},
           {R"(net.cpp:2)", "net.cpp", "node 0 has `net.cpp` as its `line`, which is no FILE:LINE"},
           {R"(net.cpp:2)", "net.cpp:", "node 0 has `net.cpp:` as its `line`"},
           {R"(net.cpp:2)", "net.cpp:2a", "node 0 has `net.cpp:2a` as its `line`"},
           {R"(net.cpp:2)", "net.cpp:-2", "node 0 has `net.cpp:-2` as its `line`"},
           {R"("origin": "forward")", R"("origin": "")", "node 0 has `` as its `origin`"},
           {R"("block/a")", R"("a block")", "node 1 has `a block` as its `scope`"},
           {R"("block/a")", "1", "node 1 has a `scope` that is not a text"},
           {R"("name": "y")", R"("name": "a y")", "net.json:14:13: output 0 has `a y` as its `name`"},
           {R"("value": 2})", R"("value": 20})", "output 0 reads value 20, which no node makes"},
           {R"("value": 2})", R"("value": 2}, {"name": "y", "value": 1})", "output 1: "},
           {R"("variable": "w")", R"("variable": "v")", "net.json:15:13: update 0: "},
           {R"("value": 8})", R"("value": "8"})", "update 0 has a `value` that is not a whole number from 0 on"},
           {R"("updates": [)", R"("updates": [[)", "net.json:15:44: the file is not JSON: syntax error while parsing array"},
           {"[1.5", "[1e999", "net.json:10:70: the file is not JSON: number overflow parsing '1e999'"},
           {R"("name": "g")", R"("name": "g", "name": "h")", "holds `name` twice"},
           {R"("name": "y")", R"("name": [[[[[[1]]]]]])", "is nested deeper than the format is"}}) {
    const std::string changed = net_with(from, to);
    const std::string told = message_of([&] { graph_of(changed, "net.json"); });
    EXPECT_TRUE(told.starts_with("net.json:")) << told;
    EXPECT_NE(told.find(message), told.npos) << from << " -> " << to << "\ntold: " << told << "\nlooked for: " << message;
  }
  std::string large = "{";
  large.resize(longest_text + 1, ' ');
  EXPECT_EQ(message_of([&] { graph_of(large, "net.json"); }), "net.json: 268435457 bytes; at most 268435456 are read");
  EXPECT_EQ(message_of([&] { parse(large); }), "text:1:1: the text has 268435457 bytes; at most 268435456 are read");
}

TEST(Json, CountsTheLinesOfManyNumbers) {
  // More numbers than go into one line of the text that they become.
  std::string many = "[0";
  for (int i = 1; i < 9000; ++i) many += ",0";
  std::string text = net_with(R"([1.5, "nan", "-inf"])", many + "]");
  text.replace(text.find(R"("dtype": "f64", "shape": [3])"), 28, R"("dtype": "f64", "shape": [9000])");
  text.replace(text.find(R"("value": 0.5)"), 12, R"("value": 0.5}, "steepness": {"value": 1)");
  EXPECT_NE(message_of([&] { graph_of(text, "net.json"); }).find(": node 4: "), text.npos);
}

TEST(Text, LabelsInMessagesAreThoseOfTheText) {
  Graph g = parse(mlp);
  EXPECT_EQ(label(g, {6, 0}), "%2");
  EXPECT_EQ(label(g, {1, 0}), "@w1");
  EXPECT_EQ(label(g, {0, 0}), "%x");
}

}  // namespace
}  // namespace thalweg
