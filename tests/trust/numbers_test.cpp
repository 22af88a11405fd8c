// SPDX-License-Identifier: Apache-2.0
// nan and infinity are seen in the step that makes them, and named; the floating-point state of the host program
// changes no bit, and is found as it was left.
#include <gtest/gtest.h>

#include <cfenv>
#include <cmath>
#include <limits>

#include "../data/files.h"
#include "job.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/kernels/finite.h"
#include "thalweg/lib/train/check_finite.h"

namespace thalweg {
namespace {

using testing::bits_of;
using testing::finish;
using testing::Folder;
using testing::job_cnn;
using testing::job_mlp;
using testing::spiral;

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

TEST(Finite, FindsOneAmongMany) {
  for (const std::size_t n : {1u, 7u, 4096u, 10'000u}) {
    std::vector<float> f32(n, std::numeric_limits<float>::max());
    std::vector<double> f64(n, -std::numeric_limits<double>::max());
    std::vector<std::uint16_t> bf16(n, 0x7f7f);
    EXPECT_TRUE(all_finite(DType::f32, f32.data(), n));
    EXPECT_TRUE(all_finite(DType::f64, f64.data(), n));
    EXPECT_TRUE(all_finite(DType::bf16, bf16.data(), n));
    for (const std::size_t at : {std::size_t{0}, n / 2, n - 1}) {
      for (const float x : {inf, -inf, nan, -nan}) {
        f32[at] = x;
        f64[at] = static_cast<double>(x);
        bf16[at] = bf16_of(x);
        EXPECT_FALSE(all_finite(DType::f32, f32.data(), n)) << x << " at " << at;
        EXPECT_FALSE(all_finite(DType::f64, f64.data(), n)) << x << " at " << at;
        EXPECT_FALSE(all_finite(DType::bf16, bf16.data(), n)) << x << " at " << at;
      }
      f32[at] = std::numeric_limits<float>::denorm_min();
      f64[at] = 0;
      bf16[at] = 0xff7f;
    }
  }
  const std::int32_t number = 0x7f800000;
  EXPECT_TRUE(all_finite(DType::i32, &number, 1));
  EXPECT_TRUE(all_finite(DType::f32, nullptr, 0));
}

/// A net whose loss does not see that its hidden layer is broken: relu keeps what is not nan, max takes the larger.
Graph hiding(Dim batch, const Optimizer& optimizer) {
  Graph g("hiding");
  const Value x = input(g, "x", f32(batch, 2)), t = input(g, "t", i32(batch));
  finish(g, dense(relu(dense(x, 4)), 3), t, optimizer);
  return g;
}

TEST(Finite, AWeightThatBreaksIsSeenInItsStep) {
  for (const bool fuse : {true, false}) {
    for (const Optimizer& optimizer : std::vector<Optimizer>{Sgd{}, Sgd{.momentum = 0.9}, Adam{}, RmsProp{}}) {
      const Graph g = hiding(16, optimizer);
      Program program = compile(g, {.fuse = fuse});
      const Dataset data = spiral(16);
      const auto step = [&] {
        program.feed("x", data.inputs);
        program.feed("t", data.labels);
        program.run();
      };
      step();
      EXPECT_TRUE(program.finite());
      for (const float broken : {nan, inf, -inf}) {
        const Variables before = program.variables().clone();
        program.variables().at("dense/bias").as<float>()[2] = broken;
        step();
        EXPECT_FALSE(program.finite()) << optimizer.name() << " with " << broken;
        for (const std::string& name : before.names()) program.variables().set(name, before.at(name));
        step();
        EXPECT_TRUE(program.finite()) << optimizer.name();
      }
    }
  }
}

TEST(Finite, AnInputThatIsNotIsSeenInItsStep) {
  const Graph g = hiding(16, Adam{});
  Dataset data = spiral(64);
  data.inputs = data.inputs.clone();
  data.inputs.as<float>()[2 * 37] = nan;
  try {
    fit(g, data, {.shuffle = false, .verbose = 0});
    FAIL() << "nothing was thrown";
  } catch (const Diverged& error) {
    EXPECT_CONTAINS(error.what(), "in epoch 1, step 3 of 4");
  }
}

/// A step in which the third node of the loss breaks.
Graph breaking(int& line) {
  Graph g("breaking");
  const Value x = input(g, "x", f32(4, 2)), t = input(g, "t", f32(4, 1));
  const Value y = dense(x, 1);
  line = __LINE__ + 1;
  const Value broken = log(y * 0.0);
  const Value loss = mean(square(y - t) + exp(broken));
  g.output("loss", loss);
  g.output("measure", mean(broken));
  minimize(loss, Sgd{.rate = 0.1});
  return g;
}

TEST(CheckFinite, NamesTheNodeAndItsLine) {
  int line = 0;
  const Graph g = breaking(line);
  Variables variables;
  for (const NodeId id : g.variables()) variables.ensure(g, id);
  const std::map<std::string, Tensor> inputs{{"x", Tensor(f32(4, 2), std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8})},
                                             {"t", Tensor(f32(4, 1))}};
  const Variables before = variables.clone();
  const auto found = check_finite(g, variables, inputs);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->where.line, line);
  EXPECT_EQ(g.node(found->node).op->name, "log");
  EXPECT_EQ(found->index, 0u);
  EXPECT_EQ(found->number, -std::numeric_limits<double>::infinity());
  EXPECT_CONTAINS(found->text, "numbers_test.cpp:" + std::to_string(line) + ": %");
  EXPECT_CONTAINS(found->text, "the result of log, is -inf at element 0, and all that it reads is finite");
  for (const std::string& name : before.names()) EXPECT_EQ(variables.at(name).numbers(), before.at(name).numbers());

  std::map<std::string, Tensor> bad = inputs;
  bad.at("x") = Tensor(f32(4, 2), std::vector<double>{1, 2, 3, HUGE_VAL, 5, 6, 7, 8});
  EXPECT_CONTAINS(check_finite(g, variables, bad)->text, "%x, the input, is inf at element 3");
  EXPECT_CONTAINS(testing::run_error_of([&] { check_finite(g, variables, {}); }), "input 'x' of graph 'breaking' is not given");

  const Folder folder;
  write_replay(g, variables, inputs, folder.file("nan"));
  const auto again = replay(folder.file("nan"));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->value, found->value);
  EXPECT_EQ(again->text, found->text);
}

TEST(CheckFinite, NothingIsFoundWhereAllIsFinite) {
  const Graph g = hiding(8, Adam{});
  Variables variables;
  for (const NodeId id : g.variables()) variables.ensure(g, id);
  const Dataset data = spiral(8);
  EXPECT_FALSE(check_finite(g, variables, {{"x", data.inputs}, {"t", data.labels}}));
}

TEST(CheckFinite, FitTellsTheNodeAndKeepsTheStep) {
  const Folder folder;
  int line = 0;
  const Graph g = breaking(line);
  Dataset data;
  data.inputs = Tensor(f32(8, 2), std::vector<double>(16, 1));
  data.labels = Tensor(f32(8, 1));
  try {
    fit(g, data, {.verbose = 0, .check_finite = folder.file("nan")});
    FAIL() << "nothing was thrown";
  } catch (const Diverged& error) {
    EXPECT_CONTAINS(error.what(), "numbers_test.cpp:" + std::to_string(line) + ": ");
    EXPECT_CONTAINS(error.what(), "the step is in " + folder.file("nan"));
  }
  EXPECT_TRUE(replay(folder.file("nan")));
}

TEST(Diverged, RestoresTheLastWholeEpoch) {
  const Graph g = hiding(16, Sgd{.rate = 0.1});
  Dataset data = spiral(64);
  std::vector<Variables> after;
  const auto keep = [&](TrainingRun& run) { after.push_back(run.variables().clone()); };
  const auto spoil = LambdaCallback({.on_train_batch_begin = [](TrainingRun& run) {
    if (run.epoch() == 3 && run.step() == 2) run.variables().at("dense/bias").as<float>()[0] = inf;
  }});
  const History history = fit(g, data, {.epochs = 9, .verbose = 0, .callbacks = {keep, spoil},
                                        .when_diverged = WhenDiverged::restore});
  EXPECT_TRUE(history.diverged);
  ASSERT_EQ(history.epochs(), 2u);
  for (const std::string& name : history.variables.names())
    EXPECT_EQ(history.variables.at(name).numbers(), after[1].at(name).numbers()) << name;
  EXPECT_THROW(fit(g, data, {.epochs = 9, .verbose = 0, .callbacks = {spoil}}), Diverged);
}

/// The floating-point states that a host program may leave: denormals flushed, rounding elsewhere, traps on.
std::vector<std::pair<std::string, FloatingPointState>> states() {
  const FloatingPointState usual = default_floating_point_state();
  const auto with = [&](std::uint32_t set, std::uint32_t clear, std::uint16_t x87) {
    FloatingPointState s = usual;
    s.vector_control = (s.vector_control | set) & ~clear;
    s.scalar_control = static_cast<std::uint16_t>(s.scalar_control | x87);
    return s;
  };
  return {{"denormals flushed", with(0x8040, 0, 0)},
          {"rounding up", with(0x4000, 0, 0x800)},
          {"rounding down", with(0x2000, 0, 0x400)},
          {"rounding to zero", with(0x6000, 0, 0xc00)},
          {"traps on", with(0, 0x1e80, 0)}};
}

TEST(FloatingPoint, TheHostsStateChangesNoBitAndStays) {
  if (default_floating_point_state() == FloatingPointState{}) GTEST_SKIP() << "this processor has no such state";
  const Graph g = job_mlp(16, Adam{.rate = 0.05});
  const Dataset data = spiral(50);
  const FitOptions options{.epochs = 2, .validation = 0.2, .verbose = 0, .patience = 1,
                           .compile = {.logical_threads = 2}};
  const FloatingPointState before = floating_point_state();
  const History usual = fit(g, data, options);
  const double usual_loss = evaluate(g, usual.variables, data)["loss"];
  EXPECT_EQ(floating_point_state(), before);
  for (const auto& [name, state] : states()) {
    set_floating_point_state(state);
    const History history = fit(g, data, options);
    const FloatingPointState after = floating_point_state();
    const double loss = evaluate(g, history.variables, data)["loss"];
    const FloatingPointState after_evaluation = floating_point_state();
    set_floating_point_state(before);
    EXPECT_EQ(bits_of(history), bits_of(usual)) << name;
    EXPECT_EQ(loss, usual_loss) << name;
    EXPECT_EQ(after.vector_control & 0xffc0u, state.vector_control & 0xffc0u) << name;
    EXPECT_EQ(after.scalar_control, state.scalar_control) << name;
    EXPECT_EQ(after_evaluation.vector_control & 0xffc0u, state.vector_control & 0xffc0u) << name;
  }
}

}  // namespace
}  // namespace thalweg
