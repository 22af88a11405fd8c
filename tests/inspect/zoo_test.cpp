// SPDX-License-Identifier: Apache-2.0
// The nets of the zoo are what their papers say: counted parameter by parameter, and trainable as they are.
#include <gtest/gtest.h>

#include <map>

#include "../../tools/zoo/zoo.h"
#include "thalweg/thalweg.h"

namespace thalweg {
namespace {

std::int64_t trained_parameters(const Graph& g) {
  std::int64_t count = 0;
  for (const NodeId id : g.variables())
    if (g.node(id).attrs.flag("trainable")) count += g.node(id).types[0].elements();
  return count;
}

TEST(Zoo, HasAsManyParametersAsThePapersCount) {
  // lenet: LeNet-5 with whole connections. resnet50: torchvision's count. resnet20: 269,722 and three 1x1 projections.
  const std::map<std::string_view, std::int64_t> expected = {
      {"tiny", 131},        {"lecture", 131},         {"digits", 320 + 18'496 + 131'200 + 1'290},
      {"lenet", 61'706},    {"autoencoder", 435'536}, {"mlp", 669'706},
      {"dbn", 1'665'010},   {"resnet20", 272'474},    {"resnet50", 25'557'032},
  };
  ASSERT_EQ(zoo::models().size(), expected.size());
  for (const zoo::Model& model : zoo::models()) {
    SCOPED_TRACE(model.name);
    const Graph g = model.build(model.batch);
    verify(g);
    EXPECT_EQ(g.name(), model.name);
    EXPECT_EQ(trained_parameters(g), expected.at(model.name));
    EXPECT_EQ(g.find("x").shape()[0], model.batch);
    EXPECT_EQ(model.build(3).find("x").shape()[0], 3);
    EXPECT_EQ(g.find("loss").rank(), 0U);
    EXPECT_EQ(zoo::find(model.name), &model);
  }
  EXPECT_EQ(zoo::find("vgg"), nullptr);
}

TEST(Zoo, EachNetLowersItsLoss) {
  for (const zoo::Model& model : zoo::models()) {
    if (model.name == "resnet50") continue;  // seconds a step; resnet20 is made of the same parts
    SCOPED_TRACE(model.name);
    Program program = compile(model.build(4));
    EXPECT_EQ(program.reorders(), 0U) << program.text();
    EXPECT_LE(static_cast<double>(program.memory().arena), 1.05 * static_cast<double>(program.memory().largest_live));
    for (const std::string& name : program.implementations()) EXPECT_EQ(name.find(":ref"), std::string::npos) << name;
    std::uint32_t state = 1;
    for (float& x : program.input<float>("x")) {
      state = state * 1664525U + 1013904223U;
      x = static_cast<float>(state >> 8) * 0x1p-24F;
    }
    if (model.name != "autoencoder")
      for (int k = 0; std::int32_t& label : program.input<std::int32_t>("label")) label = k++ % 3;
    program.run();
    const double first = program.scalar("loss");
    for (int step = 0; step < 5; ++step) program.run();
    EXPECT_LT(program.scalar("loss"), first);
  }
}

/// Losses of a few steps on made-up samples.
std::vector<double> losses(Program& program) {
  std::uint32_t state = 1;
  for (float& x : program.input<float>("x")) {
    state = state * 1664525U + 1013904223U;
    x = static_cast<float>(state >> 8) * 0x1p-24F;
  }
  for (int k = 0; std::int32_t& label : program.input<std::int32_t>("label")) label = k++ % 3;
  std::vector<double> all;
  for (int step = 0; step < 3; ++step) {
    program.run();
    all.push_back(program.scalar("loss"));
  }
  return all;
}

TEST(Zoo, FitsABudgetWithTheSameBits) {
  const Graph g = zoo::resnet20(16);
  Program plain = compile(g, {.logical_threads = 1});
  const MemoryReport& memory = plain.memory();
  // What is not activations cannot shrink.
  const std::size_t fixed = memory.total() - memory.arena;
  const std::size_t budget = fixed + memory.arena * 13 / 20;
  Program small = compile(g, {.logical_threads = 1, .memory_budget = budget});
  EXPECT_LE(small.memory().total(), budget);
  EXPECT_GT(small.kernels(), plain.kernels());
  EXPECT_EQ(losses(small), losses(plain));
  try {
    compile(g, {.memory_budget = fixed});
    FAIL() << "no memory for activations was enough";
  } catch (const RunError& error) {
    EXPECT_NE(std::string_view(error.what()).find("more than the memory_budget of"), std::string_view::npos);
  }
}

}  // namespace
}  // namespace thalweg
