// SPDX-License-Identifier: Apache-2.0
// The verifier must catch every way in which a graph can be corrupted; so each test breaks the storage by hand.
#include "thalweg/graph/verify.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "message.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/parse.h"
#include "thalweg/graph/storage.h"

namespace thalweg {
namespace {

using detail::Access;
using testing::message_of;

Graph sound() {
  return parse(R"(graph g {
  %x = input : f32[2,3]
  @w = variable : f32[3]
  %0 = mul %x, @w : f32[2,3] # g.cpp:3
  %1 = leaky_relu %0 : f32[2,3]
  %2 = sum %1 {axes=[0]} : f32[3]
  output y = %1
  update @w <- %2
})");
}

std::string problems_after(void (*corrupt)(detail::GraphState&)) {
  Graph g = sound();
  verify(g);
  corrupt(Access::state(g));
  return message_of([&] { verify(g); });
}

TEST(Verify, AcceptsASoundGraph) {
  EXPECT_NO_THROW(verify(sound()));
  EXPECT_NO_THROW(verify(Graph("empty")));
}

TEST(Verify, CatchesAWrongType) {
  EXPECT_EQ(problems_after([](auto& s) { s.nodes[2].types[0] = f32(3, 2); }),
            "graph 'g' is not valid:\n"
            "    %0 mul at g.cpp:3: its type is f32[3,2], the op's rule says f32[2,3]\n"
            "    %1 leaky_relu: its type is f32[2,3], the op's rule says f32[3,2]");
}

TEST(Verify, CatchesOperandsThatComeLater) {
  EXPECT_EQ(problems_after([](auto& s) { s.operands[0] = {3, 0}; }),
            "graph 'g' is not valid:\n    %0 mul at g.cpp:3: operand 0 is node 3, which does not come before it");
  EXPECT_EQ(problems_after([](auto& s) { s.operands[0] = {2, 0}; }),
            "graph 'g' is not valid:\n    %0 mul at g.cpp:3: operand 0 is node 2, which does not come before it");
}

TEST(Verify, CatchesAResultThatIsNotThere) {
  EXPECT_EQ(problems_after([](auto& s) { s.operands[2] = {2, 1}; }),
            "graph 'g' is not valid:\n    %1 leaky_relu: operand 0 is result 1 of %0 mul at g.cpp:3, which has 1");
}

TEST(Verify, CatchesEdgesThatDifferFromTheOperands) {
  EXPECT_EQ(problems_after([](auto& s) { s.operands[0] = {1, 0}; }),
            "graph 'g' is not valid:\n"
            "    %0 mul at g.cpp:3: the edges of the storage differ from the operands\n"
            "    %0 mul at g.cpp:3: its type is f32[2,3], the op's rule says f32[3]");
}

TEST(Verify, CatchesAWrongNumberOfOperands) {
  EXPECT_EQ(problems_after([](auto& s) {
              s.operands.pop_back();
              s.first_operand.back() = s.operands.size();
            }),
            "graph 'g' is not valid:\n"
            "    %2 sum: the edges of the storage differ from the operands\n"
            "    %2 sum: 0 operands are not what the op takes");
  EXPECT_EQ(problems_after([](auto& s) { s.operands.pop_back(); }),
            "graph 'g' is not valid:\n    the operand list does not fit the 5 nodes");
  for (void (*corrupt)(detail::GraphState&) : {+[](detail::GraphState& s) { s.first_operand.pop_back(); },
                                               +[](detail::GraphState& s) { s.first_operand.front() = 1; },
                                               +[](detail::GraphState& s) { std::fill_n(s.first_operand.begin(), 3, 1u); },
                                               +[](detail::GraphState& s) { std::swap(s.first_operand[2], s.first_operand[4]); }})
    EXPECT_EQ(problems_after(corrupt), "graph 'g' is not valid:\n    the operand list does not fit the 5 nodes");
}

TEST(Verify, CatchesListsOfOperandsThatDoNotFit) {
  EXPECT_EQ(problems_after([](auto& s) {
              s.operands.push_back({0, 0});
              s.operands.push_back({0, 0});
              s.first_operand.back() = s.operands.size();
            }),
            "graph 'g' is not valid:\n"
            "    %2 sum: the edges of the storage differ from the operands\n"
            "    %2 sum: 3 operands are not what the op takes");
  // The second result of what reads it, and another place among its operands.
  EXPECT_EQ(problems_after([](auto& s) {
              auto edges = boost::in_edges(2, s.nodes);
              s.nodes[*edges.first].operand = 7;
            }),
            "graph 'g' is not valid:\n    %0 mul at g.cpp:3: the edges of the storage differ from the operands");
}

TEST(Verify, CatchesBadAttributes) {
  EXPECT_EQ(problems_after([](auto& s) { s.nodes[3].attrs = Attrs({Attr("slope", "steep")}); }),
            "graph 'g' is not valid:\n    %1 leaky_relu: attribute slope is steep, must be a number");
  EXPECT_EQ(problems_after([](auto& s) { s.nodes[3].attrs = Attrs(); }),
            "graph 'g' is not valid:\n    %1 leaky_relu: its attributes are not complete or not in order");
  EXPECT_EQ(problems_after([](auto& s) {
              s.nodes[4].attrs = Attrs({Attr("axes", std::vector<std::int64_t>{5}), Attr("keep_dims", false)});
            }),
            "graph 'g' is not valid:\n    %2 sum: axis 5 is out of range for rank 2: [-2, 2)");
}

TEST(Verify, CatchesBadNames) {
  EXPECT_EQ(problems_after([](auto& s) { s.nodes[0].name.clear(); }),
            "graph 'g' is not valid:\n    %0 input: it has no name");
  EXPECT_EQ(problems_after([](auto& s) { s.nodes[1].name = "x"; }),
            "graph 'g' is not valid:\n    @x variable: the name 'x' is taken by node 0");
  EXPECT_EQ(problems_after([](auto& s) { s.nodes[1].name = "a b"; }),
            "graph 'g' is not valid:\n    @a b variable: its name is not allowed");
  EXPECT_EQ(problems_after([](auto& s) { s.nodes[1].name = "v"; }),
            "graph 'g' is not valid:\n    @v variable: its name is not in the graph's list");
  EXPECT_EQ(problems_after([](auto& s) { s.nodes[2].scope = "a//b"; }),
            "graph 'g' is not valid:\n    %0 mul at g.cpp:3: the scope 'a//b' is not allowed");
  EXPECT_EQ(problems_after([](auto& s) { s.name = "\x1b"; }),
            "graph '\\x1b' is not valid:\n    the graph's name '\\x1b' is not allowed");
}

TEST(Verify, CatchesBadOutputs) {
  EXPECT_EQ(problems_after([](auto& s) { s.outputs.push_back({"y", {2, 0}}); }),
            "graph 'g' is not valid:\n    there are two outputs 'y'");
  EXPECT_EQ(problems_after([](auto& s) { s.outputs[0].value = {17, 0}; }),
            "graph 'g' is not valid:\n    output 'y' is not a value of the graph");
  EXPECT_EQ(problems_after([](auto& s) { s.outputs[0].name = ""; }),
            "graph 'g' is not valid:\n    the output name '' is not allowed");
}

TEST(Verify, CatchesBadUpdates) {
  EXPECT_EQ(problems_after([](auto& s) { s.updates[0].variable = {0, 0}; }),
            "graph 'g' is not valid:\n"
            "    update of %x input, which is not a variable\n"
            "    update of %x input: it is f32[2,3] and its next value f32[3]");
  EXPECT_EQ(problems_after([](auto& s) { s.updates[0].next = {9, 0}; }),
            "graph 'g' is not valid:\n    an update speaks of a value that is not in the graph");
  EXPECT_EQ(problems_after([](auto& s) { s.updates[0].variable = {1, 1}; }),
            "graph 'g' is not valid:\n    an update speaks of a value that is not in the graph");
  EXPECT_EQ(problems_after([](auto& s) { s.updates.push_back(s.updates[0]); }),
            "graph 'g' is not valid:\n    @w variable is updated twice");
  EXPECT_EQ(problems_after([](auto& s) { s.updates[0].variable = {9, 0}; }),
            "graph 'g' is not valid:\n    an update speaks of a value that is not in the graph");
  EXPECT_EQ(problems_after([](auto& s) { s.updates[0].next = {4, 1}; }),
            "graph 'g' is not valid:\n    an update speaks of a value that is not in the graph");
}

TEST(Verify, CatchesANodeWithoutAnOpOrResult) {
  EXPECT_EQ(problems_after([](auto& s) { s.nodes[3].op = nullptr; }),
            "graph 'g' is not valid:\n    %3: a node without an op");
  EXPECT_EQ(problems_after([](auto& s) {
              s.nodes[2].op = nullptr;
              s.nodes[2].types.clear();
              s.outputs.clear();
            }),
            "graph 'g' is not valid:\n"
            "    %2: a node without an op\n"
            "    %0 leaky_relu: operand 0 is result 0 of %0 ? at g.cpp:3, which has 0");
  EXPECT_EQ(problems_after([](auto& s) { s.nodes[1].op = nullptr; }),
            "graph 'g' is not valid:\n    %1: a node without an op");
  EXPECT_NE(problems_after([](auto& s) { s.nodes[0].types.clear(); }).find("operand 0 is result 0 of %x input"),
            std::string::npos);
  EXPECT_NE(problems_after([](auto& s) {
              s.nodes[0].op = nullptr;
              s.nodes[0].types.clear();
            }).find("operand 0 is result 0 of %x ?"),
            std::string::npos);
}

TEST(Verify, CatchesANodeWithManyOrNoResults) {
  EXPECT_EQ(problems_after([](auto& s) { s.nodes[0].types.push_back(f32()); }),
            "graph 'g' is not valid:\n"
            "    %x input: a named node must have one result\n"
            "    %x input: its type is f32[2,3], f32[], the op's rule says f32[2,3]");
  EXPECT_EQ(problems_after([](auto& s) {
              s.nodes[4].types.clear();
              s.updates.clear();
            }),
            "graph 'g' is not valid:\n    %2 sum: it has no result");
}

TEST(Verify, ListsTwentyProblemsAndNoMore) {
  Graph g("g");
  Value x = parse("graph h {\n %x = input : f32[2]\n}").value({0, 0});
  for (int i = 0; i < 50; ++i) {
    const Value y = g.add_copy(x.node(), {});
    static_cast<void>(y);
  }
  const std::string message = message_of([&] { verify(g); });
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 21);
  EXPECT_TRUE(message.ends_with("\n    (and perhaps more)")) << message;
  const std::string outputs = problems_after([](auto& s) { s.outputs.resize(50, s.outputs[0]); });
  EXPECT_EQ(std::count(outputs.begin(), outputs.end(), '\n'), 21);
  EXPECT_TRUE(outputs.ends_with("there are two outputs 'y'\n    (and perhaps more)")) << outputs;
}

}  // namespace
}  // namespace thalweg
