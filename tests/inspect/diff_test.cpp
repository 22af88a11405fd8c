// SPDX-License-Identifier: Apache-2.0
// Differences by meaning: numbers, order and lines do not count; what changed is named once, not all that reads it.
#include "thalweg/graph/diff.h"

#include <gtest/gtest.h>

#include "thalweg/thalweg.h"

namespace thalweg {
namespace {

const char* const net =
    "graph g {\n"
    "  %x = input : f32[4,3]\n"
    "  @w = variable : f32[3,2]\n"
    "  %0 = matmul %x, @w : f32[4,2]\n"
    "  %1 = leaky_relu %0 {slope=0.1} : f32[4,2]  # net.cpp:7\n"
    "  %2 = exp %1 : f32[4,2]\n"
    "  %3 = add %2, %0 : f32[4,2]\n"
    "  output y = %3\n"
    "}\n";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos) throw std::runtime_error("no " + from);
  return text.replace(at, from.size(), to);
}

std::string difference(const std::string& before, const std::string& after) {
  const Graph a = parse(before), b = parse(after);
  return diff(a, b).text(a, b);
}

TEST(Diff, EqualMeaningIsNoDifference) {
  EXPECT_EQ(difference(net, net), "0 removed, 0 added, 0 changed; 0 results differ\n");
  // Another order of lines, other numbers, another source line, a commutative op the other way round.
  const std::string other =
      "graph h {\n"
      "  @w = variable : f32[3,2]\n"
      "  %x = input : f32[4,3]\n"
      "  %10 = matmul %x, @w : f32[4,2]\n"
      "  %11 = leaky_relu %10 {slope=0.1} : f32[4,2]  # other.cpp:1\n"
      "  %12 = exp %11 : f32[4,2]\n"
      "  %13 = add %10, %12 : f32[4,2]\n"
      "  output y = %13\n"
      "}\n";
  EXPECT_EQ(difference(net, other), "0 removed, 0 added, 0 changed; 0 results differ\n");
}

TEST(Diff, AChangedAttributeIsOneChangeThoughAllAfterItReadsIt) {
  EXPECT_EQ(difference(net, replaced(net, "slope=0.1", "slope=0.2")),
            "~ %1 -> %1 leaky_relu: slope 0.1 -> 0.2\n"
            "0 removed, 0 added, 1 changed; 0 results differ\n");
}

TEST(Diff, AnotherOpIsRemovedAndAdded) {
  EXPECT_EQ(difference(net, replaced(net, "exp", "tanh")),
            "- %2 = exp %1 : f32[4,2]\n"
            "+ %2 = tanh %1 : f32[4,2]\n"
            "~ %3 -> %3 add: operand 0 %2 -> %2\n"
            "1 removed, 1 added, 1 changed; 0 results differ\n");
}

TEST(Diff, NamesTypesOperandsOutputsAndUpdates) {
  const std::string other =
      "graph g {\n"
      "  %x = input : f32[4,3]\n"
      "  @w = variable {init=ones} : f32[3,2]\n"
      "  %0 = matmul %x, @w : f32[4,2]\n"
      "  %1 = leaky_relu %0 {slope=0.1} : f32[4,2]  # net.cpp:7\n"
      "  %2 = exp %0 : f32[4,2]\n"
      "  %3 = add %2, %0 : f32[4,2]\n"
      "  output y = %1\n"
      "  output z = %3\n"
      "}\n";
  EXPECT_EQ(difference(net, other),
            "~ @w -> @w variable: init zeros -> ones\n"
            "~ %2 -> %2 exp: operand 0 %1 -> %0\n"
            "~ output y = %3 -> %1\n"
            "+ output z\n"
            "0 removed, 0 added, 2 changed; 2 results differ\n");
}

TEST(Diff, CounterpartsLeadFromOneGraphToTheOther) {
  const Graph a = parse(net), b = parse(replaced(net, "exp", "tanh"));
  const Difference d = diff(a, b);
  ASSERT_EQ(d.counterpart.size(), a.size());
  for (NodeId id = 0; id < a.size(); ++id) EXPECT_EQ(d.counterpart[id].has_value(), a.node(id).op->name != "exp");
}

}  // namespace
}  // namespace thalweg
