// SPDX-License-Identifier: Apache-2.0
// The whole text of what users read when a graph, in C++ or as text, is wrong. Golden: a change of a message is a
// change of these lines. Numbers in front of a fault are those of reference/reliability.
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "message.h"
#include "thalweg/graph/graph.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/parse.h"
#include "thalweg/graph/print.h"
#include "thalweg/ops/layers.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

using testing::message_of;

// ---- Texts

struct Row {
  const char* name;
  std::string text;
  const char* message;
};

/// The lines of a body, from line 4 on, after an input `%image` and a variable `@weight`.
std::string in_graph(const std::string& body) {
  return "graph g {\n  %image = input : f32[4,3]\n  @weight = variable : f32[3,2]\n" + body + "\n}\n";
}

const std::vector<Row> rows = {
    {"Empty", "",
     "net.txt:1:1: expected 'graph', got the end of the text"},
    {"OnlyBlanks", "\n\n  ",
     "net.txt:3:3: expected 'graph', got the end of the text"},
    {"NoGraph", "program g {\n}\n",
     "net.txt:1:1: expected 'graph', got 'program'"},
    {"NoName", "graph {\n}\n",
     "net.txt:1:7: expected the graph's name, got '{'"},
    {"BadName", "graph 9lives {\n}\n",
     "net.txt:1:7: graph name '9lives' is not allowed: a letter or _ first, then letters, digits, . / - _, at "
     "most 200 in all"},
    {"NoBrace", "graph g\n}\n",
     "net.txt:1:8: expected '{' after the graph's name, got the end of the line"},
    {"NoEnd", "graph g {\n  %x = input : f32[2]\n",
     "net.txt:3:1: expected '}' at the end of the graph, got the end of the text"},
    {"AfterTheEnd", "graph g {\n}\ngraph h {\n}\n",
     "net.txt:3:1: expected the end of the text after '}', got 'graph'"},
    {"UnknownKeyword", in_graph("  ouput y = %image"),
     "net.txt:4:3: expected a value to define, 'output', 'update' or '}', got 'ouput' (did you mean output?)"},
    {"ControlCharacter", in_graph("  \x1b[31mred"),
     "net.txt:4:3: expected a value to define, 'output', 'update' or '}', got '\\x1b'"},
    {"NoEquals", in_graph("  %0 relu %image : f32[4,3]"),
     "net.txt:4:6: expected '=' after the values that the line defines, got 'relu'"},
    {"NoValueName", in_graph("  % = relu %image : f32[4,3]"),
     "net.txt:4:4: expected a name or number after '%', got ' '"},
    {"UnknownOp", in_graph("  %0 = rellu %image : f32[4,3]"),
     "net.txt:4:8: no op is called 'rellu' (did you mean relu, elu, gelu?)"},
    {"UnknownOpWithoutLikeness", in_graph("  %0 = zzzzzzzzzzzz %image : f32[4,3]"),
     "net.txt:4:8: no op is called 'zzzzzzzzzzzz'"},
    {"UnknownAttribute", in_graph("  %0 = sum %image {axis=[0]} : f32[3]"),
     "net.txt:4:20: sum has no attribute 'axis' (did you mean axes?)"},
    {"AttributeTwice", in_graph("  %0 = sum %image {axes=[0], axes=[1]} : f32[3]"),
     "net.txt:4:29: attribute axes is given twice"},
    {"AttributeOfAnotherKind", in_graph("  %0 = sum %image {axes=0} : f32[3]"),
     "net.txt:4:25: expected '[' before a list, got '0'"},
    {"AttributeOutOfRange", in_graph("  @v = variable {init=random_normal, stddev=-1} : f32[3]"),
     "net.txt:4:8: variable 'v': attribute stddev is -1, must be finite and at least 0"},
    {"FlagIsANumber", in_graph("  %0 = sum %image {keep_dims=1} : f32[]"),
     "net.txt:4:30: expected true or false, got '1'"},
    {"ChoiceUnknown", in_graph("  @v = variable {init=he_norm} : f32[3]"),
     "net.txt:4:8: variable 'v': attribute init is 'he_norm', must be one of zeros|ones|constant|values|"
     "random_uniform|random_normal|truncated_normal|glorot_uniform|glorot_normal|he_uniform|he_normal|"
     "lecun_uniform|lecun_normal|variance_scaling|orthogonal|identity"},
    {"IntegerTooLarge", in_graph("  %0 = sum %image {axes=[9223372036854775808]} : f32[3]"),
     "net.txt:4:26: a whole number is out of range: '9223372036854775808'"},
    {"IntegerWithFraction", in_graph("  %0 = sum %image {axes=[0.5]} : f32[3]"),
     "net.txt:4:26: expected a whole number, got '0.5'"},
    {"ListWithoutEnd", in_graph("  %0 = sum %image {axes=[0 : f32[3]"),
     "net.txt:4:28: expected ',' or ']' in a list, got ':'"},
    {"AttributesWithoutEnd", in_graph("  %0 = sum %image {axes=[0] : f32[3]"),
     "net.txt:4:29: expected ',' or '}' after an attribute, got ':'"},
    {"QuoteWithoutEnd", in_graph("  @v = variable {init=\"zeros} : f32[3]"),
     "net.txt:4:23: this quoted text has no end in its line"},
    {"UnknownEscape", in_graph("  @v = variable {init=\"z\\q\"} : f32[3]"),
     "net.txt:4:25: there is no escape '\\q': only \\\" \\\\ \\n \\t \\r and \\xNN"},
    {"UnknownDigits", in_graph("  @v = variable {init=\"\\xg1\"} : f32[3]"),
     "net.txt:4:24: expected two hexadecimal digits after '\\x'"},
    {"DigitsWithoutEnd", "graph g {\n  @v = variable {init=\"\\x1",
     "net.txt:2:24: expected two hexadecimal digits after '\\x'"},
    {"EscapeWithoutEnd", in_graph("  @v = variable {init=\"z\\"),
     "net.txt:4:23: this quoted text has no end in its line"},
    {"EscapeAtTheEnd", "graph g {\n  @v = variable {init=\"z\\",
     "net.txt:2:23: this quoted text has no end in its line"},
    {"NoType", in_graph("  %0 = relu %image"),
     "net.txt:4:19: expected ':' before the type, got the end of the line"},
    {"UnknownDtype", in_graph("  %0 = relu %image : f23[4,3]"),
     "net.txt:4:22: no dtype is called 'f23' (did you mean f32, f64?)"},
    {"NoShape", in_graph("  %0 = relu %image : f32"),
     "net.txt:4:25: expected '[' after the dtype, got the end of the line"},
    {"ZeroSize", in_graph("  %y = input : f32[4,0]"),
     "net.txt:4:16: shape [4,0] has a size of 0: every size must be at least 1"},
    {"TooManyElements", in_graph("  %y = input : f32[4294967296,4294967296]"),
     "net.txt:4:16: shape [4294967296,4294967296] has more than 2^44 elements"},
    {"TooManyAxes", in_graph("  %y = input : f32[1,1,1,1,1,1,1,1,1]"),
     "net.txt:4:16: shape [1,1,1,1,1,1,1,1,1] has 9 axes; at most 8 are allowed"},
    {"WrongType", in_graph("  %0 = relu %image : f32[4,4]"),
     "net.txt:4:22: relu: the result is f32[4,3], the text says f32[4,4]"},
    {"TypeRule", in_graph("  %0 = matmul @weight, %image : f32[3,3]  # net.cpp:7"),
     "net.txt:4:8: matmul: inner dimensions differ: 2 and 4\n"
     "    a  @weight f32[3,2]       variable\n"
     "    b  %image f32[4,3]       input"},
    {"TooFewOperands", in_graph("  %0 = add %image : f32[4,3]"),
     "net.txt:4:8: add takes 2 operands, got 1"},
    {"TooManyResults", in_graph("  %0, %1 = relu %image : f32[4,3], f32[4,3]"),
     "net.txt:4:3: relu has 1 results, the line defines 2"},
    {"NameAmongResults", in_graph("  %0, %b = relu %image : f32[4,3], f32[4,3]"),
     "net.txt:4:7: one of several results cannot have a name, only a number"},
    {"WrongTypeOfAResult",
     in_graph("  @s = variable : f32[3]\n  %0, %1, %2 = batch_norm_training %image, @s, @s : f32[4,3], f32[3], f32[4]"),
     "net.txt:5:53: batch_norm_training: the result is f32[4,3], f32[3], f32[3], the text says f32[4,3], f32[3], f32[4]"},
    {"ResultTwice", in_graph("  %0, %0 = relu %image : f32[4,3], f32[4,3]"),
     "net.txt:4:7: %0 is defined twice, first at line 4"},
    {"NumberTwice", in_graph("  %0 = relu %image : f32[4,3]\n  %0 = relu %image : f32[4,3]"),
     "net.txt:5:3: %0 is defined twice, first at line 4"},
    {"NameTwice", in_graph("  %weight = input : f32[]"),
     "net.txt:4:13: input: the name 'weight' is taken\n"
     "    @weight f32[3,2]       variable"},
    {"UnknownName", in_graph("  %0 = relu %imag : f32[4,3]"),
     "net.txt:4:13: %imag is not defined (did you mean %image?)"},
    {"UnknownNumber", in_graph("  %0 = relu %7 : f32[4,3]"),
     "net.txt:4:13: %7 is not defined"},
    {"UsedBeforeDefined", in_graph("  %0 = relu %1 : f32[4,3]\n  %1 = relu %image : f32[4,3]"),
     "net.txt:4:13: %1 is used before it is defined, at line 5"},
    {"Cycle", in_graph("  %0 = add %image, %2 : f32[4,3]\n  %1 = relu %0 : f32[4,3]\n  %2 = tanh %1 : f32[4,3]"),
     "net.txt:4:20: the values form a cycle: %0 -> %1 -> %2 -> %0"},
    {"CycleOfOne", in_graph("  %0 = relu %0 : f32[4,3]"),
     "net.txt:4:13: the values form a cycle: %0 -> %0"},
    {"CycleOfMany", in_graph([] {
       std::string lines = "  %0 = relu %17 : f32[4,3]";
       for (int i = 1; i < 18; ++i) lines += "\n  %" + std::to_string(i) + " = relu %" + std::to_string(i - 1) + " : f32[4,3]";
       return lines;
     }()),
     "net.txt:4:13: the values form a cycle: %0 -> %1 -> %2 -> %3 -> %4 -> %5 -> %6 -> %7 -> %8 -> %9 -> %10 -> %11 -> "
     "%12 -> %13 -> %14 -> %15 -> 2 more -> %0"},
    {"VariableWithPercent", in_graph("  %v = variable : f32[3]"),
     "net.txt:4:3: variable defines %v: a variable is written @name, every other value with %"},
    {"InputWithoutName", in_graph("  %0 = input : f32[3]"),
     "net.txt:4:3: input needs a name, not the number 0"},
    {"BadValueName", in_graph("  %a..b = input : f32[3]"),
     "net.txt:4:11: input name 'a..b' is not allowed: a letter or _ first, then letters, digits, . / - _, at "
     "most 200 in all"},
    {"BadNote", in_graph("  %0 = relu %image : f32[4,3]  # my favourite"),
     "net.txt:4:34: expected an annotation 'file:line origin in scope', got 'my' (a comment has a line of its own)"},
    {"BadLineNumber", in_graph("  %0 = relu %image : f32[4,3]  # net.cpp:0"),
     "net.txt:4:42: a line number must be at least 1 and at most 2147483647"},
    {"LineNumberTooLarge", in_graph("  %0 = relu %image : f32[4,3]  # net.cpp:2147483648"),
     "net.txt:4:42: a line number must be at least 1 and at most 2147483647"},
    {"LongFileName", in_graph("  %0 = relu %image : f32[4,3]  # " + std::string(256, 'a') + ":1"),
     "net.txt:4:34: this is no file name: at most 255 bytes, none of them zero"},
    {"ZeroInAFileName", in_graph("  %0 = relu %image : f32[4,3]  # \"a\\x00b\":1"),
     "net.txt:4:34: this is no file name: at most 255 bytes, none of them zero"},
    {"BadScope", in_graph("  %0 = relu %image : f32[4,3]  # in a//b"),
     "net.txt:4:37: 'a//b' is no scope"},
    {"RestOfTheLine", in_graph("  output y = %image %image"),
     "net.txt:4:21: expected the end of the line, got '%image'"},
    {"OutputTwice", in_graph("  output y = %image\n  output y = %image"),
     "net.txt:5:10: there is already an output 'y'"},
    {"OutputBadName", in_graph("  output .. = %image"),
     "net.txt:4:10: output name '..' is not allowed: a letter or _ first, then letters, digits, . / - _, at "
     "most 200 in all"},
    {"UpdateOfAnInput", in_graph("  update %image <- %image"),
     "net.txt:4:10: update: only a variable can be updated\n"
     "    %image f32[4,3]       input"},
    {"UpdateOfAnotherType", in_graph("  update @weight <- %image"),
     "net.txt:4:10: update: variable 'weight' is f32[3,2] and its next value f32[4,3]\n"
     "    @weight f32[3,2]       variable\n"
     "    %image f32[4,3]       input"},
    {"UpdateTwice", in_graph("  update @weight <- @weight\n  update @weight <- @weight"),
     "net.txt:5:10: update: variable 'weight' is updated twice in one step"},
    {"UpdateWithoutArrow", in_graph("  update @weight = @weight"),
     "net.txt:4:18: expected '<-' after the variable to update, got '='"},
    {"LongLine", "graph g {\n  " + std::string((std::size_t{1} << 20) + 1, 'x') + "\n}\n",
     "net.txt:2:1: a line of 1048579 bytes; at most 1048576 are read"},
    {"LongShape", in_graph("  %y = input : f32[" + [] {
       std::string ones = "1";
       for (int i = 0; i < 999; ++i) ones += ",1";
       return ones;
     }() + "]"),
     "net.txt:4:16: a shape of 1000 axes; at most 8 are allowed"},
    {"ControlCharacterInAnAttribute",
     in_graph("  @v = variable {init=\"\\x1b[31m" + std::string(500, 'x') + "\"} : f32[3]"),
     "net.txt:4:8: variable 'v': attribute init is "
     "'\\x1b[31mxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...', must be one of zeros|ones|"
     "constant|values|random_uniform|random_normal|truncated_normal|glorot_uniform|glorot_normal|he_uniform|"
     "he_normal|lecun_uniform|lecun_normal|variance_scaling|orthogonal|identity"},
    {"ControlCharacterInAQuote", in_graph("  @v = variable {init=\"\x1b\"} : f32[3]"),
     "net.txt:4:24: '\\x1b' must be written as an escape in a quoted text"},
    {"DeleteInAQuote", in_graph("  @v = variable {init=\"\x7f\"} : f32[3]"),
     "net.txt:4:24: '\\x7f' must be written as an escape in a quoted text"},
    {"LongWord", in_graph("  %0 = " + std::string(1000, 'x') + " %image : f32[4,3]"),
     "net.txt:4:8: no op is called 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...'"},
};

class Texts : public ::testing::TestWithParam<Row> {};

TEST_P(Texts, Message) {
  EXPECT_EQ(message_of([] { parse(GetParam().text, "net.txt"); }), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(Errors, Texts, ::testing::ValuesIn(rows),
                         [](const auto& row) { return std::string(row.param.name); });

// ---- Graphs built in C++

/// Built at fixed lines, so that the messages do not move with this file.
struct Built {
  Graph g{"net"};
  Value image = input(g, "image", f32(4, 3), {"net.cpp", 3});
  Value weight = variable(g, "weight", f32(3, 2), zeros(), {}, {"net.cpp", 4});
  Value labels = input(g, "labels", i32(4), {"net.cpp", 5});
  Value mask = input(g, "mask", boolean(4, 3), {"net.cpp", 6});

  /// An operand as if it stood in line 12 of net.cpp.
  static Operand at(const Value& value) { return {value, {"net.cpp", 12}}; }
};

struct BuildRow {
  const char* name;
  void (*act)(Built&);
  const char* message;
  /// It does something allowed first (a smaller op, an output, an update, another content), which stays.
  bool changes = false;
};

/// The size of an axis as net.cpp:12 gives it.
AxisSize there(Dim size) { return AxisSize(size, {"net.cpp", 12}); }

const std::vector<BuildRow> build_rows = {
    {"G1_MatmulInner", [](Built& b) { matmul(b.at(b.weight), b.image); },
     "net.cpp:12: matmul: inner dimensions differ: 2 and 4\n"
     "    a  @weight f32[3,2]       variable at net.cpp:4\n"
     "    b  %image f32[4,3]       input at net.cpp:3"},
    {"G1_MatmulOfAVector", [](Built& b) { matmul(b.at(sum(b.at(b.image), {.axes = {0}})), b.weight); },
     "net.cpp:12: matmul: an operand must have at least 2 axes, is f32[3]\n"
     "    a  %0   f32[3]         sum at net.cpp:12\n"
     "    b  @weight f32[3,2]       variable at net.cpp:4",
     true},
    {"G1_AddDoesNotBroadcast", [](Built& b) { add(b.at(b.image), b.weight); },
     "net.cpp:12: add: shapes [4,3] and [3,2] do not broadcast: sizes 3 and 2 at axis -1\n"
     "    a  %image f32[4,3]       input at net.cpp:3\n"
     "    b  @weight f32[3,2]       variable at net.cpp:4"},
    {"G1_BroadcastDown", [](Built& b) { broadcast(b.at(b.image), Shape{3}); },
     "net.cpp:12: broadcast: [4,3] does not broadcast to [3]\n"
     "    a  %image f32[4,3]       input at net.cpp:3"},
    {"G1_ReshapeElements", [](Built& b) { reshape(b.at(b.image), {5, 3}); },
     "net.cpp:12: reshape: [4,3] has 12 elements, [5,3] has 15\n"
     "    a  %image f32[4,3]       input at net.cpp:3"},
    {"G3_DtypesDiffer", [](Built& b) { add(b.at(b.labels), reshape(b.at(b.image), {12})); },
     "net.cpp:12: add: dtypes differ: i32 and f32 (there is no implicit cast; use cast)\n"
     "    a  %labels i32[4]         input at net.cpp:5\n"
     "    b  %0   f32[12]        reshape at net.cpp:12",
     true},
    {"G3_FloatNeeded", [](Built& b) { exp(b.at(b.labels)); },
     "net.cpp:12: exp: the operand must be f32, bf16 or f64, is i32[4]\n"
     "    a  %labels i32[4]         input at net.cpp:5"},
    {"G3_BooleanInArithmetic", [](Built& b) { add(b.at(b.mask), b.mask); },
     "net.cpp:12: add: an operand must be numeric, is bool[4,3]\n"
     "    a  %mask bool[4,3]      input at net.cpp:6\n"
     "    b  %mask bool[4,3]      input at net.cpp:6"},
    {"G3_UnknownDtype", [](Built&) { dtype_named("float32"); },
     "no dtype is called 'float32': f32, bf16, f64, i32, i64, u8 or bool"},
    {"G4_AxisOutOfRange", [](Built& b) { sum(b.at(b.image), {.axes = {2}}); },
     "net.cpp:12: sum: axis 2 is out of range for rank 2: [-2, 2)\n"
     "    a  %image f32[4,3]       input at net.cpp:3"},
    {"G4_NegativeAxisOutOfRange", [](Built& b) { sum(b.at(b.image), {.axes = {-3}}); },
     "net.cpp:12: sum: axis -3 is out of range for rank 2: [-2, 2)\n"
     "    a  %image f32[4,3]       input at net.cpp:3"},
    {"G4_AxisTwice", [](Built& b) { sum(b.at(b.image), {.axes = {1, -1}}); },
     "net.cpp:12: sum: attribute axes is [1,-1], names axis 1 twice\n"
     "    a  %image f32[4,3]       input at net.cpp:3"},
    {"G4_TooManyAxes", [](Built& b) { reshape(b.at(b.image), {4, 3, 1, 1, 1, 1, 1, 1, 1}); },
     "net.cpp:12: reshape: shape [4,3,1,1,1,1,1,1,1] has 9 axes; at most 8 are allowed\n"
     "    a  %image f32[4,3]       input at net.cpp:3"},
    {"G4_AxisOfAScalar", [](Built& b) { sum(b.at(sum(b.at(b.image))), {.axes = {0}}); },
     "net.cpp:12: sum: axis 0 is out of range for rank 0: [0, 0)\n"
     "    a  %0   f32[]          sum at net.cpp:12",
     true},
    {"G6_TooManyElements", [](Built&) { f32(Dim{1} << 40, there(1 << 10)); },
     "net.cpp:12: shape [1099511627776,1024] has more than 2^44 elements"},
    {"G6_Overflow", [](Built&) { f32(std::numeric_limits<Dim>::max(), there(2)); },
     "net.cpp:12: shape [9223372036854775807,2] has more than 2^44 elements"},
    {"G6_ZeroSize", [](Built&) { f32(4, 0, there(3)); },
     "net.cpp:12: shape [4,0,3] has a size of 0: every size must be at least 1"},
    {"G6_NegativeSize", [](Built&) { f32(there(-1)); },
     "net.cpp:12: shape [-1] has a size of -1: every size must be at least 1"},
    {"G6_BroadcastOverflow", [](Built& b) { broadcast(b.at(b.image), Shape({Dim{1} << 42, 4, 3}, {"net.cpp", 12})); },
     "net.cpp:12: shape [4398046511104,4,3] has more than 2^44 elements"},
    {"G6_OfALayer", [](Built& b) { dense(b.at(b.image), Dim{1} << 60); },
     "net.cpp:12: shape [3,1152921504606846976] has more than 2^44 elements"},
    {"G7_OperandMadeLater",
     [](Built& b) {
       const std::vector<ValueId> later = {{9, 0}};
       b.g.add_copy(b.g.node(0), later);
     },
     "input: operand 0 is not a value made before it"},
    {"G8_NameTaken", [](Built& b) { input(b.g, "weight", f32(), {"net.cpp", 12}); },
     "net.cpp:12: input: the name 'weight' is taken\n"
     "    @weight f32[3,2]       variable at net.cpp:4"},
    {"G8_EmptyOutputName", [](Built& b) { b.g.output("", b.at(b.image)); },
     "net.cpp:12: output name '' is not allowed: a letter or _ first, then letters, digits, . / - _, at most "
     "200 in all"},
    {"G8_ControlCharacterInAName", [](Built& b) { input(b.g, "im\x1b[31mage\n", f32(), {"net.cpp", 12}); },
     "net.cpp:12: input name 'im\\x1b[31mage\\x0a' is not allowed: a letter or _ first, then letters, digits, . "
     "/ - _, at most 200 in all"},
    {"G8_NotUtf8", [](Built& b) { input(b.g, "\xff\xfe", f32(), {"net.cpp", 12}); },
     "net.cpp:12: input name '\\xff\\xfe' is not allowed: a letter or _ first, then letters, digits, . / - _, "
     "at most 200 in all"},
    {"G8_PathInAName", [](Built& b) { input(b.g, "a/../../etc", f32(), {"net.cpp", 12}); },
     "net.cpp:12: input name 'a/../../etc' is not allowed: a letter or _ first, then letters, digits, . / - _, "
     "at most 200 in all"},
    {"G8_LongName", [](Built& b) { input(b.g, std::string(201, 'n'), f32(), {"net.cpp", 12}); },
     "net.cpp:12: input name 'nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...' is not "
     "allowed: a letter or _ first, then letters, digits, . / - _, at most 200 in all"},
    {"G8_UnknownName", [](Built& b) { b.g.find("imagee"); },
     "graph 'net' has no input, variable or output 'imagee' (did you mean image?)"},
    {"G8_OutputTwice",
     [](Built& b) {
       b.g.output("y", b.at(b.image));
       b.g.output("y", b.at(b.weight));
     },
     "net.cpp:12: there is already an output 'y'",
     true},
    {"G8_BadScope", [](Built& b) { const Scope scope(b.g, "my block"); },
     "scope name 'my block' is not allowed: a letter or _ first, then letters, digits, . / - _, at most 200 in all"},
    {"G8_BadGraphName", [](Built&) { Graph("my net"); },
     "graph name 'my net' is not allowed: a letter or _ first, then letters, digits, . / - _, at most 200 in all"},
    {"G9_OtherGraph",
     [](Built& b) {
       Graph other("other");
       add(b.at(b.image), input(other, "x", f32(4, 3), {"net.cpp", 9}));
     },
     "net.cpp:12: add: operand 1 belongs to another graph ('other', not 'net')"},
    {"G9_OutputOfAnotherGraph",
     [](Built& b) {
       Graph other("other");
       other.output("y", b.at(b.image));
     },
     "net.cpp:12: output 'y' is not a value of graph 'other'"},
    {"G9_EmptyValue", [](Built&) { static_cast<void>(Value().type()); },
     "an empty Value was used: it belongs to no graph"},
    {"G9_StaleValue",
     [](Built& b) {
       b.g.replace_by(Graph("renewed"));
       relu(b.at(b.image));
     },
     "a Value of graph 'renewed' from before a pass renumbered it was used; take it again with Graph::find",
     true},
    {"G9_OnlyNumbers", [](Built&) { add(Operand(1.0, {"net.cpp", 12}), 2); },
     "net.cpp:12: an op needs at least one value of a graph among its operands"},
    {"G12_UpdateTwice",
     [](Built& b) {
       b.g.update(b.at(b.weight), mul(b.at(b.weight), 2));
       b.g.update(b.at(b.weight), b.weight);
     },
     "net.cpp:12: update: variable 'weight' is updated twice in one step at net.cpp:12",
     true},
    {"G12_UpdateOfAnInput", [](Built& b) { b.g.update(b.at(b.image), b.image); },
     "net.cpp:12: update: only a variable can be updated\n"
     "    %image f32[4,3]       input at net.cpp:3"},
    {"G12_UpdateOfAnotherType", [](Built& b) { b.g.update(b.at(b.weight), b.image); },
     "net.cpp:12: update: variable 'weight' is f32[3,2] and its next value f32[4,3]\n"
     "    @weight f32[3,2]       variable at net.cpp:4\n"
     "    %image f32[4,3]       input at net.cpp:3"},
    {"G5_AttributeKind",
     [](Built& b) {
       const std::vector<Operand> x = {b.at(b.image)};
       b.g.add(op_named("sum"), x, {Attr("axes", "all")}, {}, {}, {"net.cpp", 12});
     },
     "net.cpp:12: sum: attribute axes is all, must be a list of whole numbers\n"
     "    a  %image f32[4,3]       input at net.cpp:3"},
    {"G5_AttributeUnknown",
     [](Built& b) {
       const std::vector<Operand> x = {b.at(b.image)};
       b.g.add(op_named("leaky_relu"), x, {Attr("slop", 0.1)}, {}, {}, {"net.cpp", 12});
     },
     "net.cpp:12: leaky_relu: there is no attribute 'slop' (did you mean slope?)\n"
     "    a  %image f32[4,3]       input at net.cpp:3"},
    {"G5_StddevOutOfRange",
     [](Built& b) { variable(b.g, "v", f32(3), {{{"init", "random_normal"}, {"stddev", -0.5}}}, {}, {"net.cpp", 12}); },
     "net.cpp:12: variable 'v': attribute stddev is -0.5, must be finite and at least 0"},
    {"G5_StddevIsNan",
     [](Built& b) {
       const double nan = std::numeric_limits<double>::quiet_NaN();
       variable(b.g, "v", f32(3), {{{"init", "random_normal"}, {"stddev", nan}}}, {}, {"net.cpp", 12});
     },
     "net.cpp:12: variable 'v': attribute stddev is nan, must be finite and at least 0"},
    {"TooManyOperands",
     [](Built& b) {
       const std::vector<Operand> x(3, b.at(b.image));
       b.g.add(op_named("add"), x, {}, {}, {}, {"net.cpp", 12});
     },
     "net.cpp:12: add takes 2 operands, got 3"},
    {"TypeNotDeclared", [](Built& b) { b.g.add(op_named("input"), {}, {}, {}, "x", {"net.cpp", 12}); },
     "net.cpp:12: input 'x': its result type must be declared"},
    {"ConstantOutOfRange", [](Built& b) { constant(b.g, 256, u8(), {"net.cpp", 12}); },
     "net.cpp:12: constant: 256 is out of the range of u8"},
    {"ConstantCount", [](Built& b) { constant(b.g, {1, 2, 3}, f32(2), {"net.cpp", 12}); },
     "net.cpp:12: constant: attribute values has 3 elements, f32[2] needs 1 or 2"},
    {"UnknownOpName", [](Built&) { op_named("conv3d"); },
     "the vocabulary has no op 'conv3d'"},
};

class Builds : public ::testing::TestWithParam<BuildRow> {};

TEST_P(Builds, Message) {
  EXPECT_EQ(message_of([] {
              Built built;
              GetParam().act(built);
            }),
            GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(Errors, Builds, ::testing::ValuesIn(build_rows),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(Errors, AFailedCallLeavesTheGraphAsItWas) {
  for (const BuildRow& row : build_rows) {
    Built built;
    const std::string before = print(built.g);
    const std::string message = message_of([&] { row.act(built); });
    EXPECT_NE(message, "nothing was thrown") << row.name;
    if (row.changes) EXPECT_NE(print(built.g), before) << row.name;
    else EXPECT_EQ(print(built.g), before) << row.name;
    EXPECT_EQ(print(parse(print(built.g))), print(built.g)) << row.name;
  }
}

TEST(Errors, WhatFailsHalfwayTakesBackWhatItMade) {
  Built built;
  Graph& g = built.g;
  const std::string before = print(g);
  const std::int64_t key = g.clone().next_key();
  Value made;
  EXPECT_EQ(message_of([&] {
              const Scope block(g, "block");
              made = relu(built.at(built.image));
              const Value w = variable(g, "w", f32(3, 2), zeros(), {}, {"net.cpp", 12});
              g.update(w, w * 0.5);
              g.output("made", made);
              g.next_key();
              matmul(built.at(w), w);
            }),
            "net.cpp:12: matmul: inner dimensions differ: 2 and 3\n"
            "    a  @w   f32[3,2]       variable at net.cpp:12\n"
            "    b  @w   f32[3,2]       variable at net.cpp:12");
  EXPECT_EQ(print(g), before);
  EXPECT_FALSE(g.has("w"));
  EXPECT_FALSE(g.has("made"));
  EXPECT_EQ(g.next_key(), key);
  // The node's number is given anew; the old Value must not mean the new node.
  const Value other = tanh(built.at(built.image));
  EXPECT_EQ(message_of([&] { static_cast<void>(made.type()); }),
            "a Value of graph 'net' was used whose node was taken back when the call that made it failed");
  EXPECT_EQ(other.node().op->name, "tanh");
  EXPECT_EQ(other.node().scope, "");
  EXPECT_EQ(built.image.id(), g.find("image").id());
}

TEST(Errors, NothingEchoesMoreThanAScreenful) {
  for (const Row& row : rows) {
    const std::string message = message_of([&] { parse(row.text); });
    EXPECT_LT(message.size(), 2200U) << row.name;
    for (const char c : message) EXPECT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f)) << row.name;
  }
}

constexpr const char* every_part =
    "  %0 = matmul %image, @weight {tb=false} : f32[4,2]  # \"a b.cpp\":7 backward in a/b\n"
    "  %1 = constant {values=[1,-2.5e-3,nan]} : f64[3]\n"
    "  output y = %0\n"
    "  update @weight <- @weight";

TEST(Errors, EveryPrefixOfATextIsReadOrRefused) {
  const std::string text = in_graph(every_part);
  EXPECT_NO_THROW(parse(text));
  for (std::size_t n = 0; n + 2 < text.size(); ++n)
    EXPECT_THROW(parse(text.substr(0, n)), GraphError) << text.substr(0, n);
}

TEST(Errors, AChangedByteIsReadOrRefusedButNeverWorse) {
  const std::string text = in_graph(every_part);
  std::size_t refused = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (const char c : {'\0', '\n', ' ', '"', '%', '0', '[', '{', '}', '\xff'}) {
      std::string changed = text;
      changed[at] = c;
      try {
        const Graph g = parse(changed);
        EXPECT_EQ(print(parse(print(g))), print(g));
      } catch (const GraphError&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, text.size());
}

}  // namespace
}  // namespace thalweg
