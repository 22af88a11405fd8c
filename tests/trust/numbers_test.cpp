// SPDX-License-Identifier: Apache-2.0
// nan and infinity are seen in the step that makes them, and named; the floating-point state of the host program
// changes no bit, and is found as it was left.
#include <gtest/gtest.h>

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "../data/files.h"
#include "faults.h"
#include "job.h"
#include "optimizers.h"
#include "soak.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/data/readers.h"
#include "thalweg/lib/io/graph_text.h"
#include "thalweg/lib/kernels/finite.h"
#include "thalweg/lib/train/check_finite.h"
#include "thalweg/ops/softmax.h"

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

/// A net of layers that are drawn, of which some keep nan to themselves if they can. To each result an input is added,
/// by which a test spoils it; returns how many results there are.
int drawn_net(Graph& g, std::uint64_t seed, Dim batch) {
  std::mt19937_64 random(seed);
  int results = 0;
  const auto spoiled = [&](const Value& x) {
    return x + input(g, "spoil" + std::to_string(results++), x.type());
  };
  Value h = spoiled(input(g, "x", f32(batch, 2)));
  if (seed % 3 == 0) {
    h = spoiled(dense(h, 16));
    h = spoiled(conv(reshape(h, {batch, 4, 4, 1}), 3, 3));
    h = spoiled(max_pool(spoiled(relu(h)), 2));
    h = spoiled(flatten(h));
  }
  const std::vector<std::function<Value(const Value&)>> layers{
      [](const Value& x) { return relu(x); },
      [](const Value& x) { return tanh(x); },
      [](const Value& x) { return sigmoid(x); },
      [](const Value& x) { return leaky_relu(x); },
      [](const Value& x) { return clip(x, {.low = -1.0, .high = 1.0}); },
      [](const Value& x) { return max(x, 0.1); },
      [](const Value& x) { return min(x, 0.9); },
      [](const Value& x) { return exp(neg(abs(x))); },
      [](const Value& x) { return hard_sigmoid(x); },
      [](const Value& x) { return gelu(x); },
      [](const Value& x) { return softmax(x); },
      [](const Value& x) { return batch_norm(x); },
      [](const Value& x) { return layer_norm(x); },
      [](const Value& x) { return square(x) * 0.5; }};
  for (std::uint64_t n = 2 + random() % 3; n > 0; --n) {
    h = spoiled(dense(h, 6));
    for (std::uint64_t k = 1 + random() % 2; k > 0; --k) h = spoiled(layers[random() % layers.size()](h));
  }
  finish(g, spoiled(dense(h, 3)), input(g, "t", i32(batch)), Sgd{.rate = 0.01});
  return results;
}

TEST(Finite, NanAtEveryNodeOfManyNetsIsSeenInItsStep) {
  const Dim batch = 8;
  const Dataset data = spiral(batch);
  std::uint64_t seen = 0;
  for (std::uint64_t seed = 0; seed < testing::count_of("THALWEG_SOAK_NETS", 12); ++seed) {
    Graph g("drawn");
    const int results = drawn_net(g, seed, batch);
    for (const bool fuse : {true, false}) {
      Program program = compile(g, {.logical_threads = 2, .fuse = fuse});
      program.feed("x", data.inputs);
      program.feed("t", data.labels);
      const auto spoil = [&](int i) { return program.input<float>("spoil" + std::to_string(i)); };
      for (int i = 0; i < results; ++i) std::ranges::fill(spoil(i), 0.0f);
      const Variables before = program.variables().clone();
      program.run();
      ASSERT_TRUE(program.finite()) << "net " << seed;
      for (int i = 0; i < results; ++i) {
        for (const bool all : {true, false}) {
          for (const std::string& name : before.names()) program.variables().set(name, before.at(name));
          const std::span<float> values = spoil(i);
          if (all) std::ranges::fill(values, nan);
          else values[values.size() / 2] = nan;
          program.run();
          EXPECT_FALSE(program.finite()) << "net " << seed << (fuse ? ", fused" : "") << ", result " << i << " of "
                                         << results << (all ? "" : ", one number") << "\n" << print(g).substr(0, 4000);
          std::ranges::fill(values, 0.0f);
          ++seen;
        }
      }
    }
  }
  testing::report("results that were nan and were seen in their step", seen);
}

/// Every update rule on variables whose gradients are inputs, of sizes that fill vectors and leave rests.
Graph prescribed(const Optimizer& optimizer, const MinimizeOptions& options) {
  Graph g("prescribed");
  Value loss;
  for (const Dim n : {Dim{3}, Dim{67}, Dim{1000}}) {
    const std::string name = "w" + std::to_string(n);
    const Value w = variable(g, name, f32(n, 2), filled(0.5));
    const Value part = sum(w * input(g, "g" + name, f32(n, 2)));
    loss = loss ? loss + part : part;
  }
  g.output("loss", loss);
  minimize(loss, optimizer, options);
  return g;
}

TEST(Finite, EveryUpdateOfEveryOptimizerSeesIt) {
  std::uint64_t seen = 0;
  const std::map<std::string, MinimizeOptions> around{
      {"alone", {}}, {"clipped", {.clip = by_global_norm(1.0)}}, {"averaged", {.average = ema(0.9)}}};
  for (const auto& [name, optimizer] : testing::optimizers(0.01)) {
    for (const auto& [what, options] : around) {
      if (what != "alone" && name != "adam" && name != "momentum") continue;
      const Graph g = prescribed(optimizer, options);
      for (const bool generate : {true, false}) {
        for (const bool fuse : {true, false}) {
          for (const int threads : {1, 2}) {
            Program program = compile(g, {.logical_threads = threads, .fuse = fuse, .generate = generate});
            const auto fill = [&] {
              for (const std::string& input : program.input_names()) std::ranges::fill(program.input<float>(input), 0.25f);
            };
            fill();
            program.run();
            EXPECT_TRUE(program.finite()) << name << ", " << what;
            for (const std::string& input : program.input_names()) {
              const std::size_t n = program.input<float>(input).size();
              for (const std::size_t at : {std::size_t{0}, n / 2, n - 1}) {
                const Variables before = program.variables().clone();
                program.input<float>(input)[at] = nan;
                program.run();
                EXPECT_FALSE(program.finite()) << name << ", " << what << ", nan in " << input << " at " << at;
                for (const std::string& variable : before.names()) program.variables().set(variable, before.at(variable));
                fill();
                ++seen;
              }
            }
          }
        }
      }
    }
  }
  testing::report("gradients that are nan and were seen in their step", seen);
}

TEST(Finite, ARateThatFallsToZeroStopsEveryOptimizer) {
  const Dataset data = spiral(50);
  for (const auto& [name, optimizer] : testing::optimizers(piecewise_constant({2}, {0.05, 0}))) {
    // The first epoch of three steps learns; those after it have a rate of 0.
    FitOptions options{.epochs = 1, .seed = 3, .verbose = 0};
    options.batch = 20;
    const Graph graph = testing::mlp(20, optimizer);
    const History first = fit(graph, data, options);
    options.epochs = 3;
    const History all = fit(graph, data, options);
    EXPECT_TRUE(std::isfinite(all.last("loss"))) << name;
    if (name != "ftrl") continue;
    for (const std::string& variable : all.variables.names()) {
      if (variable == "step") continue;
      EXPECT_EQ(all.variables.at(variable).numbers(), first.variables.at(variable).numbers()) << variable;
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

/// Data for breaking().
Dataset of_ones() {
  Dataset data;
  data.inputs = Tensor(f32(8, 2), std::vector<double>(16, 1));
  data.labels = Tensor(f32(8, 1));
  return data;
}

TEST(CheckFinite, FitTellsTheNodeAndKeepsTheStep) {
  const Folder folder;
  int line = 0;
  const Graph g = breaking(line);
  const Dataset data = of_ones();
  try {
    fit(g, data, {.verbose = 0, .check_finite = folder.file("nan")});
    FAIL() << "nothing was thrown";
  } catch (const Diverged& error) {
    EXPECT_CONTAINS(error.what(), "numbers_test.cpp:" + std::to_string(line) + ": ");
    EXPECT_CONTAINS(error.what(), "the step is in " + folder.file("nan"));
  }
  EXPECT_TRUE(replay(folder.file("nan")));
}

TEST(CheckFinite, ADiskThatTakesNoStepHidesNoDivergence) {
  const Folder folder;
  int line = 0;
  const Graph g = breaking(line);
  const Dataset data = of_ones();
  testing::FailingFileSystem full({.call = 1, .error = ENOSPC, .stays = true});
  const FileSystemScope scope(full);
  const auto with = [&](WhenDiverged when) {
    return FitOptions{.verbose = 0, .when_diverged = when, .check_finite = folder.file("nan")};
  };
  try {
    fit(g, data, with(WhenDiverged::raise));
    FAIL() << "nothing was thrown";
  } catch (const Diverged& error) {
    EXPECT_CONTAINS(error.what(), "numbers_test.cpp:" + std::to_string(line) + ": ");
    EXPECT_CONTAINS(error.what(), "the step could not be kept: ");
    EXPECT_CONTAINS(error.what(), "No space left on device");
  }
  EXPECT_TRUE(fit(g, data, with(WhenDiverged::restore)).diverged);
}

TEST(CheckFinite, FindsTheNodeOfAStepInMicroBatches) {
  const Folder folder;
  // A sample whose gradient overflows f32 when it is added up, or that breaks by itself.
  for (const bool in_sum : {true, false}) {
    Graph g("micro");
    const Value x = input(g, "x", f32(4, 2)), t = input(g, "t", f32(4, 1));
    const int line = __LINE__ + 1;
    const Value y = in_sum ? dense(x, 1) : log(dense(x, 1, {.init = filled(0.5)}));
    const Value loss = mean(in_sum ? y * t : square(y - t));
    g.output("loss", loss);
    minimize(loss, Sgd{.rate = 0.1});
    Dataset data;
    data.inputs = Tensor(f32(8, 2), std::vector<double>(16, 1));
    data.labels = Tensor(f32(8, 1), std::vector<double>(8, in_sum ? 3e38 : 1.0));
    if (!in_sum) data.inputs.as<float>()[2 * 5] = -1;  // log(0) in the third micro-batch
    const std::string kept = folder.file(in_sum ? "sum" : "sample");
    try {
      fit(g, data, {.batch = 8, .micro_batch = 2, .shuffle = false, .verbose = 0, .check_finite = kept});
      FAIL() << "nothing was thrown";
    } catch (const Diverged& error) {
      EXPECT_CONTAINS(error.what(), "the step is in " + kept);
      if (!in_sum) EXPECT_CONTAINS(error.what(), "numbers_test.cpp:" + std::to_string(line) + ": ");
      else EXPECT_CONTAINS(error.what(), "and all that it reads is finite");
    }
    EXPECT_TRUE(replay(kept));
  }
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
  const auto with = [&](std::uint32_t set, std::uint32_t clear, std::uint16_t x87, std::uint16_t clear_x87 = 0) {
    FloatingPointState s = usual;
    s.vector_control = (s.vector_control | set) & ~clear;
    s.scalar_control = static_cast<std::uint16_t>((s.scalar_control | x87) & ~clear_x87);
    return s;
  };
  return {{"denormals flushed", with(0x8040, 0, 0)},
          {"rounding up", with(0x4000, 0, 0x800)},
          {"rounding down", with(0x2000, 0, 0x400)},
          {"rounding to zero", with(0x6000, 0, 0xc00)},
          {"traps on", with(0, 0x1e80, 0, 0x3d)}};
}

/// What is computed while a graph is compiled, and while files are read: as one text of all bits.
std::string compiled_and_read(const Graph& graph, const Folder& folder) {
  Program program = compile(graph);
  program.feed("x", Tensor(f32(2), std::vector<double>{0.75, 1.25}));
  program.run();
  std::string text;
  const auto add = [&](const Tensor& tensor) {
    const auto* bytes = static_cast<const unsigned char*>(tensor.data());
    for (std::size_t i = 0; i < tensor.bytes(); ++i) text += std::to_string(bytes[i]) + " ";
    text += '\n';
  };
  add(program.fetch("y"));
  const Dataset table = csv(folder.file("table.csv"));
  add(table.inputs);
  add(standardization(table)(table).inputs);
  add(read_idx_images(folder.file("images"), folder.file("labels")).inputs);
  return text + print(read_text(folder.file("graph")));
}

TEST(FloatingPoint, TheHostsStateChangesNoBitOfWhatIsCompiledOrRead) {
  if (default_floating_point_state() == FloatingPointState{}) GTEST_SKIP() << "this processor has no such state";
  const Folder folder;
  folder.write("table.csv", "a,b,label\n0.1,2.7,0\n1e-42,123456789.123,1\n-0.3,3.3e-7,0\n");
  folder.write("images", std::string("\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x03", 16) + "abcdef");
  folder.write("labels", std::string("\0\0\x08\x01\0\0\0\x02\x03\x04", 10));
  folder.write("graph", "graph g {\n  %0 = constant {values=[0.1,1e-310,3.3]} : f64[3]\n  output y = %0\n}\n");
  Graph g("folded");
  const Value third = constant(g, 1.0, f32()) / constant(g, 3.0, f32());
  const Value tiny = constant(g, 1e-30, f32()) * constant(g, 1e-10, f32());
  const Value none = constant(g, 1.0, f32()) / constant(g, 0.0, f32());
  g.output("y", input(g, "x", f32(2)) * third + tiny + min(none, 5.0));
  const FloatingPointState before = floating_point_state();
  const std::string usual = compiled_and_read(g, folder);
  for (auto [name, state] : states()) {
    // The standard library itself is inexact, and underflows.
    state.vector_control |= 0x1800;
    set_floating_point_state(state);
    const std::string now = compiled_and_read(g, folder);
    const FloatingPointState after = floating_point_state();
    set_floating_point_state(before);
    EXPECT_EQ(now, usual) << name;
    EXPECT_EQ(after.vector_control & 0xffc0u, state.vector_control & 0xffc0u) << name;
  }
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
