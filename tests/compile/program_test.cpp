// SPDX-License-Identifier: Apache-2.0
// What a program promises: no allocation, exact memory, the same bits for any number of cores, and steps that either
// happen or do not.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <set>
#include <thread>

#include "tests/allocations.h"
#include "tests/compile/run.h"
#include "tests/trust/soak.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/compile/plan.h"
#include "thalweg/lib/compile/precision.h"
#include "thalweg/lib/kernels/vector_code.h"
#include "thalweg/ops/conv.h"
#include "thalweg/ops/init.h"
#include "thalweg/ops/layers.h"
#include "thalweg/ops/loss.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/movement.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/pool.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"
#include "thalweg/optim/adam.h"
#include "thalweg/optim/clip.h"
#include "thalweg/optim/minimize.h"
#include "thalweg/optim/sgd.h"

// oneDNN 2.6 makes a map of the arguments at each call, inside: what it allocates there is counted apart.
std::atomic<long> onednn_calls{0};
extern "C" int dnnl_primitive_execute(const void* primitive, void* stream, int count, const void* arguments) {
  using Execute = decltype(&dnnl_primitive_execute);
  static const auto execute = reinterpret_cast<Execute>(dlsym(RTLD_NEXT, "dnnl_primitive_execute"));
  const thalweg::testing::Uncounted uncounted;
  if (uncounted.counted()) ++onednn_calls;
  return execute(primitive, stream, count, arguments);
}

// Every team of threads, ours and oneDNN's, starts through here.
std::atomic<long> teams{0};
extern "C" void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags) {
  using Parallel = decltype(&GOMP_parallel);
  static const auto parallel = reinterpret_cast<Parallel>(dlsym(RTLD_NEXT, "GOMP_parallel"));
  ++teams;
  parallel(body, data, threads, flags);
}
extern "C" void GOMP_parallel_start(void (*body)(void*), void* data, unsigned threads) {
  using Start = decltype(&GOMP_parallel_start);
  static const auto start = reinterpret_cast<Start>(dlsym(RTLD_NEXT, "GOMP_parallel_start"));
  ++teams;
  start(body, data, threads);
}

namespace thalweg::testing {
namespace {

Graph mlp(Dim batch, bool with_dropout = true) {
  Graph g("mlp");
  const Value x = input(g, "image", f32(batch, 20)), t = input(g, "label", i32(batch));
  Value h = dense(x, 32, {.activation = [](Operand v) { return relu(v); }});
  if (with_dropout) h = dropout(h, 0.25);
  const Value y = dense(h, 5);
  const Value loss = mean(sparse_cross_entropy(y, t));
  minimize(loss, Adam{.rate = 0.01}, {.penalty = l2(1e-4), .clip = by_global_norm(1.0)});
  g.output("loss", loss);
  g.output("accuracy", accuracy(y, t));
  return g;
}

Graph cnn(Dim batch, Dim size = 16) {
  Graph g("cnn");
  const Value x = input(g, "image", f32(batch, size, size, 3)), t = input(g, "label", i32(batch));
  Value h = relu(conv(x, 16, 3, {.padding = "same"}));
  h = max_pool(relu(batch_norm(conv(h, 32, 3, {.padding = "same"}))), 2);
  const Value y = dense(flatten(h), 10);
  const Value loss = mean(sparse_cross_entropy(y, t));
  minimize(loss, Sgd{.rate = 0.05, .momentum = 0.9});
  g.output("loss", loss);
  return g;
}

/// The same batch every time: numbers from a counter.
void fill(Program& p, int salt = 0) {
  for (const std::string& name : p.input_names()) {
    const TensorType& type = p.input_type(name);
    std::vector<double> values(static_cast<std::size_t>(type.elements()));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto n = static_cast<std::int64_t>((i * 2654435761U + static_cast<std::size_t>(salt) * 40503U) % 1000);
      values[i] = is_float(type.dtype) ? static_cast<double>(n) / 500 - 1 : static_cast<double>(n % 5);
    }
    p.feed(name, Tensor(type, values));
  }
}

std::string bits(const Program& p) {
  std::string all;
  for (const std::string& name : p.variables().names()) {
    const Tensor t = p.variables().at(name);
    all.append(static_cast<const char*>(t.data()), t.bytes());
  }
  return all;
}

CompileOptions threads(int logical) {
  CompileOptions options;
  options.logical_threads = logical;
  options.variables = Variables();
  return options;
}

std::string train(const Graph& g, int logical, int steps) {
  Program p = compile(g, threads(logical));
  for (int i = 0; i < steps; ++i) {
    fill(p, i);
    p.run();
  }
  return bits(p);
}

TEST(Program, AllocatesNothingInAStep) {
  std::uint64_t steps = 0;
  for (const Graph& g : {mlp(8), cnn(4), cnn(32, 24)}) {
    for (const int logical : {1, 2}) {
      Program p = compile(g, threads(logical));
      fill(p);
      p.run();
      const auto allocations = allocations_of([&] { for (int i = 0; i < 20; ++i, ++steps) p.run(); });
      if (!allocations) GTEST_SKIP() << "the sanitizer owns the heap";
      EXPECT_EQ(*allocations, 0) << g.name() << " with " << logical << " threads";
      if (g.name() == "cnn") {
        EXPECT_GT(onednn_calls.exchange(0), 0) << "nothing went through the counted door";
      }
    }
  }
  testing::report("steps in which nothing of ours was allocated", steps);
}

TEST(Program, ComputesTheSameBitsOnOneCoreAndOnTwo) {
  cpu_set_t all;
  ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  if (CPU_COUNT(&all) < 2) GTEST_SKIP() << "one core only";
  for (const Graph& g : {mlp(64), cnn(32)}) {
    const std::string wide = train(g, 2, 20);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int c = 0; c < CPU_SETSIZE; ++c)
      if (CPU_ISSET(c, &all)) {
        CPU_SET(c, &one);
        break;
      }
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    const std::string narrow = train(g, 2, 20);
    sched_setaffinity(0, sizeof all, &all);
    EXPECT_TRUE(wide == narrow) << g.name();
    EXPECT_TRUE(train(g, 2, 20) == wide) << g.name() << ": not even from run to run";
  }
}

TEST(Program, LearnsItsBatch) {
  Program p = compile(mlp(16, false), threads(0));
  fill(p);
  p.run();
  const double first = p.scalar("loss");
  for (int i = 0; i < 300; ++i) p.run();
  EXPECT_LT(p.scalar("loss"), first * 0.3);
  EXPECT_EQ(p.variables().at("step").number(0), 301);
}

TEST(Program, RunsInOneThreadAtATime) {
  Program p = compile(mlp(64), threads(1));
  fill(p);
  std::atomic<int> refused{0}, ran{0};
  {
    std::vector<std::jthread> both;
    for (int i = 0; i < 2; ++i)
      both.emplace_back([&] {
        for (int step = 0; step < 20'000 && refused == 0; ++step) try {
            p.run();
            ++ran;
          } catch (const RunError& error) {
            EXPECT_NE(std::string(error.what()).find("is already running in another thread"), std::string::npos);
            ++refused;
          }
      });
  }
  EXPECT_GT(refused, 0);
  // Each step that was not refused ran whole.
  EXPECT_EQ(p.variables().at("step").number(0), ran.load());
  EXPECT_NO_THROW(p.run());
}

TEST(Program, LeavesVariablesAloneWhenAStepThrows) {
  Program p = compile(mlp(8), threads(1));
  fill(p);
  p.run();
  const std::string before = bits(p);
  p.input<std::int32_t>("label")[3] = 5;
  EXPECT_THROW(p.run(), RunError);
  EXPECT_TRUE(bits(p) == before);
  p.input<std::int32_t>("label")[3] = 4;
  p.run();
  EXPECT_FALSE(bits(p) == before);
}

TEST(Program, CommitsUpdatesTogether) {
  Graph g("swap");
  const Value a = variable(g, "a", f32(3), values({1, 2, 3})), b = variable(g, "b", f32(3), values({4, 5, 6}));
  const Value c = variable(g, "c", f32(3), values({7, 8, 9}));
  g.update(a, b);
  g.update(b, a);
  g.update(c, reshape(a + b, {3}));
  g.output("old", a);
  Program p = compile(g);
  p.run();
  EXPECT_EQ(p.variables().at("a").numbers(), (std::vector<double>{4, 5, 6}));
  EXPECT_EQ(p.variables().at("b").numbers(), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(p.variables().at("c").numbers(), (std::vector<double>{5, 7, 9}));
  EXPECT_EQ(p.fetch("old").numbers(), (std::vector<double>{1, 2, 3}));
}

TEST(Program, ReadsTheOldValueInEveryUpdate) {
  Graph g("average");
  const Value w = variable(g, "w", f32(4), ones()), average = variable(g, "average", f32(4), zeros());
  const Value next = w * 2.0;
  g.update(w, next);
  g.update(average, average * 0.5 + w * 0.5);
  Program p = compile(g);
  p.run();
  p.run();
  EXPECT_EQ(p.variables().at("w").numbers(), (std::vector<double>(4, 4)));
  EXPECT_EQ(p.variables().at("average").numbers(), (std::vector<double>(4, 1.25)));
}

TEST(Program, KeepsItsInputs) {
  Graph g("inputs");
  const Value x = input(g, "x", f32(1000));
  g.output("y", relu(x) + 1.0);
  Program p = compile(g);
  for (float& v : p.input<float>("x")) v = -2;
  p.run();
  p.run();
  for (const float v : p.input<float>("x")) ASSERT_EQ(v, -2);
  for (const float v : p.output<float>("y")) ASSERT_EQ(v, 1);
}

TEST(Program, SharesVariablesBetweenBatchSizes) {
  CompileOptions options = threads(1);
  Program large = compile(mlp(8), options), small = compile(mlp(3), options);
  EXPECT_EQ(large.variables().at("dense/kernel").data(), small.variables().at("dense/kernel").data());
  fill(small);
  small.run();
  EXPECT_EQ(large.variables().at("step").number(0), 1);
}

TEST(Program, UsesNoReferenceImplementation) {
  for (const Graph& g : {mlp(64), cnn(32)}) {
    const Program p = compile(g, threads(2));
    for (const std::string& name : p.implementations()) EXPECT_EQ(name.find("ref"), std::string::npos) << name;
  }
}

TEST(Program, AStepOfSmallKernelsWakesNobody) {
  if (!has_generated_loops()) GTEST_SKIP() << "no code is written for this processor's small products: oneDNN computes them";
  const auto teams_of_a_step = [](const Graph& g) {
    Program p = compile(g, threads(2));
    fill(p);
    p.run();
    const long before = teams;
    p.run();
    return teams - before;
  };
  EXPECT_EQ(teams_of_a_step(mlp(15, false)), 0);
  EXPECT_GT(teams_of_a_step(cnn(32, 24)), 0) << "no team went through the counted door";
}

TEST(Program, AStepStartsOneTeamForEachRunOfOwnKernels) {
  Graph g("own");
  const Value x = input(g, "x", f32(64, 2048));
  Value y = x;
  for (int i = 0; i < 4; ++i) y = transpose(exp(sum(y * y, {.axes = {1}, .keep_dims = true}) - y), {1, 0});
  g.output("y", y);
  Program p = compile(g, threads(2));
  fill(p);
  EXPECT_GT(p.kernels(), 4U);
  for (const std::string& name : p.implementations()) ASSERT_TRUE(name.starts_with("own:")) << name;
  p.run();
  const long before = teams;
  p.run();
  EXPECT_EQ(teams - before, 1);
  struct : StepObserver {
    void before(std::size_t, std::span<const void* const>) override { EXPECT_FALSE(in_parallel()); }
    void after(std::size_t, std::span<void* const>) override { EXPECT_FALSE(in_parallel()); }
  } outside;
  p.run(outside);
}

TEST(Program, CountsItsMemoryExactly) {
  const Program p = compile(cnn(32), threads(1));
  const MemoryReport& m = p.memory();
  EXPECT_GE(m.arena, m.largest_live);
  EXPECT_LE(static_cast<double>(m.arena), 1.05 * static_cast<double>(m.largest_live));
  EXPECT_EQ(m.inputs, 32U * 16 * 16 * 3 * 4 + 32 * 4);
  EXPECT_EQ(m.variables, p.variables().bytes());
}

TEST(Program, PlansTheArenaUpToItsLastByteAndNoFurther) {
  for (Graph g : {mlp(64), cnn(32)}) {
    separate_results(g);
    const ValueIndex index(g);
    const CompileOptions options = threads(2);
    const Plan plan = plan_kernels(g, index, options, 2);
    const Placement placement = place(g, index, plan, options);
    std::size_t high_water = 0;
    for (const Buffer& b : placement.buffers)
      if (b.region == Region::arena) high_water = std::max(high_water, b.offset + (b.bytes + 63) / 64 * 64);
    EXPECT_EQ(high_water, placement.arena) << g.name();
  }
}

/// What was planned against what a step writes: the memory is filled with a pattern, then with its complement.
TEST(Program, WritesTheArenaUpToItsLastCacheLine) {
  for (const Graph& g : {mlp(64), cnn(32)}) {
    Program p = compile(g, threads(1));
    fill(p);
    p.run();
    const PlanReport& plan = p.plan();
    const PlannedBuffer& loss = plan.buffers[plan.outputs.front()];
    ASSERT_EQ(g.outputs().front().name, "loss");
    ASSERT_EQ(loss.region, Region::arena);
    auto* const arena =
        reinterpret_cast<std::uint8_t*>(const_cast<float*>(p.output<float>("loss").data())) - loss.offset;
    std::size_t touched = 0;
    for (const std::uint8_t pattern : std::array<std::uint8_t, 2>{0x5a, 0xa5}) {
      std::memset(arena, pattern, p.memory().arena);
      p.run();
      for (std::size_t at = touched; at < p.memory().arena; ++at)
        if (arena[at] != pattern) touched = at + 1;
    }
    EXPECT_GT(touched + 64, p.memory().arena) << g.name();
  }
}

TEST(Program, ExactOnWholeNumbers) {
  for (const auto& [m, k, n] : {std::array<Dim, 3>{1, 1, 1}, {7, 13, 5}, {64, 31, 33}, {128, 100, 17}}) {
    Graph g("whole");
    const Value a = input(g, "a", f32(m, k)), b = input(g, "b", f32(k, n));
    g.output("y", matmul(a, b));
    const Value s = sum(matmul(a, b) * 2.0);
    const std::vector<Value> d = gradients(s, {a, b});
    g.output("da", d[0]);
    g.output("db", d[1]);
    Bounds::Feeds feeds;
    for (const char* name : {"a", "b"}) {
      Array<double> v(g.find(name).shape());
      for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<double>((i * 37) % 17) - 8;
      feeds.emplace(name, v);
    }
    const Bounds bounds(g, feeds);
    Program p = compile(g, threads(2));
    set_all(p, feeds);
    p.run();
    for (const char* name : {"y", "da", "db"}) EXPECT_EQ(p.fetch(name).numbers(), bounds.at(name).value.data) << name;
  }
}

TEST(Program, PropagatesNaNThroughReluAndPooling) {
  Graph g("nan");
  const Value x = input(g, "x", f32(1, 4, 4, 2)), w = variable(g, "w", f32(2, 3), ones());
  const Value h = relu(matmul(max_pool(x, 2), w) + variable(g, "b", f32(3), zeros()));
  g.output("y", h);
  g.output("c", clip(h, {.low = 0, .high = 1}));
  Program p = compile(g);
  for (float& v : p.input<float>("x")) v = 1;
  p.input<float>("x")[0] = std::numeric_limits<float>::quiet_NaN();
  p.run();
  EXPECT_TRUE(std::isnan(p.output<float>("y")[0]));
  EXPECT_TRUE(std::isnan(p.output<float>("c")[0]));
  EXPECT_EQ(p.output<float>("y")[3], 2);
}

std::string error_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Program, SaysWhatIsWrongWithAFeed) {
  Program p = compile(mlp(8), threads(1));
  EXPECT_EQ(error_of([&] { p.feed("imag", Tensor(f32(8, 20))); }),
            "program 'mlp' has no input 'imag' (did you mean image?); it has image, label");
  EXPECT_EQ(error_of([&] { p.feed("image", Tensor(f32(8, 21))); }),
            "input 'image' is f32[8,20], the tensor given is f32[8,21]");
  EXPECT_EQ(error_of([&] { p.input<double>("image"); }),
            "'image' is f32[8,20]: it was asked for as another C++ element type");
  EXPECT_EQ(error_of([&] { p.scalar("los"); }),
            "program 'mlp' has no output 'los' (did you mean loss?); it has loss, accuracy");
  EXPECT_EQ(error_of([&] { p.variables().at("dense/kernle"); }),
            "there is no variable 'dense/kernle' (did you mean dense/kernel, dense_1/kernel?)");
  EXPECT_EQ(error_of([&] { compile(mlp(8), threads(-1)); }), "logical_threads is -1, must be 0 (chosen) to 256");
}

TEST(Program, NamesTheUsersLineWhenAStepFails) {
  Program p = compile(mlp(8), threads(1));
  fill(p);
  p.input<std::int32_t>("label")[3] = 5;
  const std::string error = error_of([&] { p.run(); });
  EXPECT_TRUE(error.starts_with("program_test.cpp:")) << error;
  EXPECT_NE(error.find("sample 3"), std::string::npos) << error;
}

TEST(Program, RefusesToRunBeforeItIsFed) {
  Graph g("sum");
  const Value a = input(g, "a", f32(2)), b = input(g, "b", f32(2));
  g.output("y", a + b);
  Program p = compile(g);
  EXPECT_EQ(error_of([&] { p.run(); }),
            "program 'sum' was run before its input 'a' (f32[2]), 'b' (f32[2]) was fed");
  p.feed("a", Tensor(f32(2), std::vector<double>{1, 2}));
  EXPECT_EQ(error_of([&] { p.feed("b", Tensor(f32(3))); }), "input 'b' is f32[2], the tensor given is f32[3]");
  EXPECT_EQ(error_of([&] { p.run(); }), "program 'sum' was run before its input 'b' (f32[2]) was fed");
  p.input<float>("b")[0] = 4;
  p.run();
  EXPECT_EQ(p.output<float>("y")[0], 5);
}

TEST(Program, AllocationsAreCounted) {
  void* volatile kept = nullptr;
  const auto touch = [&] { std::free(kept); kept = std::malloc(8); };
  const auto counted = allocations_of([&] { touch(); const Uncounted quiet; touch(); });
  std::free(kept);
  if (!counted) GTEST_SKIP() << "the sanitizer owns the heap";
  EXPECT_EQ(*counted, 1);
}

TEST(Program, RefusesWhatTheMachineCannotHold) {
  Graph g("huge");
  g.output("y", relu(input(g, "x", f32(1 << 20, 1 << 20))));
  const std::string error = error_of([&] { compile(g); });
  EXPECT_TRUE(error.starts_with("graph 'huge' needs at least 4398046511104 bytes")) << error;
  EXPECT_NE(error.find("4398046511104  %x   f32[1048576,1048576]"), std::string::npos) << error;
}

TEST(Program, RefusesEmptyTensorsAndMovedPrograms) {
  Graph g("scalar");
  const Value s = input(g, "s", f32()), w = variable(g, "w", f32());
  g.output("y", s + w);
  Program p = compile(g);
  EXPECT_EQ(error_of([&] { p.feed("s", Tensor()); }), "input 's' was given an empty tensor");
  EXPECT_EQ(error_of([&] { p.variables().set("w", Tensor()); }), "variable 'w' was given an empty tensor");
  const Program q = std::move(p);
  EXPECT_EQ(error_of([&] { p.run(); }), "a Program was used after it was moved from");  // NOLINT: that is the test
  EXPECT_EQ(q.input_names(), std::vector<std::string>{"s"});
}

/// Runs `act` on a thread with a stack of `bytes`.
void on_small_stack(std::size_t bytes, const std::function<void()>& act) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, bytes);
  pthread_t thread;
  const auto entry = [](void* argument) -> void* {
    (*static_cast<const std::function<void()>*>(argument))();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, entry, const_cast<void*>(static_cast<const void*>(&act))), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

TEST(Program, CompilesAndRunsAChainOf100000NodesOnASmallStack) {
  on_small_stack(256 * 1024, [] {
    Graph g("chain");
    const Value w = variable(g, "w", f32(4), values({1, 2, 3, 4}));
    Value x = w;
    for (int i = 0; i < 50000; ++i) x = neg(x) * 0.9999;
    const Value loss = sum(x);
    g.output("loss", loss);
    g.output("slope", gradients(loss, {w})[0]);
    for (const bool fuse : {true, false}) {
      CompileOptions options = threads(1);
      options.fuse = fuse;
      Program p = compile(g, options);
      p.run();
      EXPECT_NEAR(p.fetch("slope").number(0), std::pow(0.9999, 50000), 1e-5);
    }
  });
}

// ---- how many kernels a step has, and what they move

/// The net that a step of a microsecond is promised for: 4-16-3, batch 15, momentum.
Graph tiny(const MinimizeOptions& options = {}) {
  Graph g("tiny");
  const Value x = input(g, "x", f32(15, 4)), t = input(g, "label", i32(15));
  const Value y = dense(dense(x, 16, {.activation = relu}), 3);
  const Value loss = mean(sparse_cross_entropy(y, t));
  minimize(loss, Sgd{.rate = 0.1, .momentum = 0.9}, options);
  g.output("loss", loss);
  return g;
}

std::size_t count_named(const Program& p, std::string_view part) {
  const auto names = p.implementations();
  return static_cast<std::size_t>(std::count_if(
      names.begin(), names.end(), [&](const std::string& name) { return name.find(part) != std::string::npos; }));
}

TEST(Kernels, ATinyStepIsEight) {
  const Program p = compile(tiny(), threads(1));
  if (!has_generated_loops()) GTEST_SKIP() << "this machine has no AVX2";
  EXPECT_EQ(p.kernels(), 8U) << p.text();
  EXPECT_EQ(count_named(p, "own:product"), 5U) << p.text();
  EXPECT_EQ(count_named(p, "own:product+gate"), 1U) << p.text();
  EXPECT_EQ(count_named(p, "own:product+column_sums"), 2U) << p.text();
  EXPECT_EQ(count_named(p, "own:product+bias+relu"), 1U) << p.text();
  EXPECT_EQ(count_named(p, "own:sparse_cross_entropy+backward+mean"), 1U) << p.text();
  EXPECT_EQ(count_named(p, "(mul,mul,sub,add on 4 tensors)"), 1U) << p.text();
  EXPECT_EQ(count_named(p, "onednn"), 0U) << p.text();
}

TEST(Kernels, AClippedStepReadsTheGradientsOnceForTheirNormAndOnceForTheUpdate) {
  const Program p = compile(tiny({.clip = by_global_norm(1.0)}), threads(1));
  if (!has_generated_loops()) GTEST_SKIP() << "this machine has no AVX2";
  EXPECT_EQ(count_named(p, "own:sums(cast,square,sum on 4 tensors)"), 1U) << p.text();
  EXPECT_EQ(count_named(p, "own:sum("), 0U) << p.text();
  EXPECT_EQ(count_named(p, "mul,mul,mul,sub,add on 4 tensors"), 1U) << p.text();
  EXPECT_EQ(p.kernels(), 10U) << "the norm and the factor are two more: " << p.text();
  // With a penalty the gradients that are clipped are stored, once, for the norm and for the update.
  const Program penalized = compile(tiny({.penalty = l2(1e-3), .clip = by_global_norm(1.0)}), threads(1));
  EXPECT_EQ(count_named(penalized, "own:sums(cast,square,sum on 4 tensors)") +
                count_named(penalized, "own:sums(cast,square,sum on 2 tensors)"), 1U) << penalized.text();
  EXPECT_EQ(count_named(penalized, "own:sum("), 0U) << penalized.text();
}

TEST(Kernels, TwoSumsOverOneGroupEachReadWhatTheyNeed) {
  Graph g("sums");
  const Value x = input(g, "x", f32(40)), y = tanh(x);
  const Value squares = sum(square(y)), plain = sum(y);
  g.output("squares", squares);
  g.output("plain", plain);
  Program p = compile(g, threads(1));
  fill(p);
  p.run();
  double want_squares = 0, want_plain = 0;
  for (const float value : p.input<float>("x")) {
    want_plain += std::tanh(static_cast<double>(value));
    want_squares += std::pow(std::tanh(static_cast<double>(value)), 2);
  }
  EXPECT_NEAR(p.scalar("squares"), want_squares, 1e-5);
  EXPECT_NEAR(p.scalar("plain"), want_plain, 1e-5);
}

TEST(Kernels, AnUpdateMovesEachByteOnce) {
  Graph g = tiny();
  separate_results(g);
  const ValueIndex index(g);
  for (const bool generate : {true, false}) {
    CompileOptions options = threads(1);
    options.generate = generate;
    const Plan plan = plan_kernels(g, index, options, 1);
    std::size_t moved = 0, late = 0;
    for (const Work& work : plan.works) {
      EXPECT_FALSE(work.to_variable) << "an update is copied";
      if (!work.late || work.groups[0].space.elements() == 1) continue;
      ++late;
      std::set<std::size_t> read;
      for (const ValueId v : work.in)
        if (g.node(v.node).op->name != "constant" && read.insert(index(v)).second) moved += g.type(v).bytes();
      for (const ValueId v : work.out) moved += g.type(v).bytes();
    }
    const std::size_t parameters = 4 * 16 + 16 + 16 * 3 + 3;
    EXPECT_EQ(late, 1U);
    // Gradient, velocity and weight read; velocity and weight written.
    EXPECT_EQ(moved, parameters * sizeof(float) * 5);
  }
}

TEST(Kernels, WrittenCodeComputesTheSameBits) {
  // Without products, whose oneDNN kernels add up in another order.
  Graph g("update");
  const Value x = input(g, "x", f32(40, 30));
  const Value w = variable(g, "w", f32(30), filled(0.5));
  const Value loss = mean(square(tanh(x * w) - 0.25));
  minimize(loss, Adam{.rate = 0.01}, {.penalty = l2(1e-3)});
  g.output("loss", loss);
  std::vector<std::string> seen;
  for (const bool generate : {true, false}) {
    CompileOptions options = threads(1);
    options.generate = generate;
    Program p = compile(g, options);
    for (int i = 0; i < 5; ++i) {
      fill(p, i);
      p.run();
    }
    seen.push_back(bits(p));
  }
  EXPECT_EQ(seen[0], seen[1]);
}

// ---- the checker of placements

struct Planned {
  Graph graph;
  ValueIndex index;
  Plan plan;
  Placement placement;
};

Planned planned() {
  Graph g = cnn(4);
  separate_results(g);
  const ValueIndex index(g);
  CompileOptions options = threads(1);
  Plan plan = plan_kernels(g, index, options, 1);
  Placement placement = place(g, index, plan, options);
  return {g, index, std::move(plan), std::move(placement)};
}

TEST(CheckPlacement, AcceptsWhatPlaceMakes) {
  const Planned p = planned();
  EXPECT_NO_THROW(check_placement(p.graph, p.index, p.plan, p.placement));
}

TEST(CheckPlacement, FindsEveryBufferThatIsMovedOntoALiveOne) {
  const Planned p = planned();
  int tried = 0, found = 0;
  for (std::size_t a = 0; a < p.placement.buffers.size(); ++a) {
    for (std::size_t b = 0; b < p.placement.buffers.size(); ++b) {
      const Buffer &x = p.placement.buffers[a], &y = p.placement.buffers[b];
      // b is written while a is alive and is still to be read: b over a destroys a.
      if (a == b || x.region != Region::arena || y.region != Region::arena) continue;
      if (!(x.first < y.first && y.first < x.last) || x.bytes == 0) continue;
      Placement broken = p.placement;
      broken.buffers[b].offset = x.offset;
      if (broken.buffers[b].offset + y.bytes > broken.arena) continue;
      ++tried;
      try {
        check_placement(p.graph, p.index, p.plan, broken);
      } catch (const InternalError&) {
        ++found;
      }
    }
  }
  EXPECT_GT(tried, 50);
  EXPECT_EQ(found, tried);
}

TEST(CheckPlacement, FindsALateReadOfAnUpdatedVariable) {
  Planned p = planned();
  std::size_t writer = p.plan.works.size();
  for (std::size_t k = 0; k < p.plan.works.size(); ++k)
    if (p.plan.works[k].late && writer == p.plan.works.size()) writer = k;
  ASSERT_LT(writer, p.plan.works.size());
  std::rotate(p.plan.works.begin(), p.plan.works.begin() + static_cast<std::ptrdiff_t>(writer), p.plan.works.end());
  std::rotate(p.placement.works.begin(), p.placement.works.begin() + static_cast<std::ptrdiff_t>(writer),
              p.placement.works.end());
  EXPECT_THROW(check_placement(p.graph, p.index, p.plan, p.placement), InternalError);
}


TEST(Precision, Bf16RoundsProductsOnly) {
  Graph g("net");
  const Value x = input(g, "x", f32(16, 6, 6, 16));
  const Value w = variable(g, "w", f32(3, 3, 16, 16), glorot_uniform());
  const Value v = variable(g, "v", f32(256, 16), glorot_uniform());
  const Value y = matmul(reshape(relu(conv2d(x, w)), {16, 256}), v);
  const Value loss = mean(square(y));
  minimize(loss, Sgd{.rate = 0.1});
  g.output("y", y);
  Graph narrow = g.clone();
  ASSERT_TRUE(use_bf16_products(narrow));
  std::size_t products = 0;
  for (NodeId id = 0; id < narrow.size(); ++id) {
    const Node& node = narrow.node(id);
    const bool product = node.op->name == "matmul" || node.op->name.starts_with("conv2d");
    products += product;
    if (product || node.op->name == "cast") continue;
    EXPECT_NE(node.types[0].dtype, DType::bf16) << label(narrow, {id, 0});
  }
  EXPECT_EQ(products, 5U);  // two forward, two of weights, one of data
}

TEST(Precision, NarrowProductsStayInF32) {
  const auto changes = [](Dim m, Dim n, Dim k, Dim channels, Dim filters) {
    Graph g("net");
    g.output("y", matmul(input(g, "a", f32(m, k)), input(g, "b", f32(k, n))));
    if (channels > 0)
      g.output("z", conv2d(input(g, "x", f32(1, 5, 5, channels)), input(g, "w", f32(3, 3, channels, filters))));
    return use_bf16_products(g);
  };
  EXPECT_TRUE(changes(16, 16, 16, 0, 0));
  EXPECT_FALSE(changes(15, 16, 16, 0, 0));
  EXPECT_FALSE(changes(16, 15, 16, 0, 0));
  EXPECT_FALSE(changes(16, 16, 15, 6, 16));
  EXPECT_FALSE(changes(16, 16, 15, 16, 8));
  EXPECT_TRUE(changes(16, 16, 15, 16, 16));
}

TEST(Precision, Bf16ProductsStayWithinTheirRounding) {
  Graph g("product");
  const Value a = input(g, "a", f32(18, 40)), b = input(g, "b", f32(40, 17));
  g.output("y", matmul(a, b));
  ASSERT_TRUE(use_bf16_products(g));
  Program program = compile(g);
  float next = 0.5F;
  for (const char* name : {"a", "b"})
    for (float& value : program.input<float>(name)) value = next = next * 3.7F * (1 - next);
  program.run();
  const auto x = program.input<float>("a"), w = program.input<float>("b");
  double most = 0;
  for (std::size_t i = 0; i < 18; ++i)
    for (std::size_t j = 0; j < 17; ++j) {
      double exact = 0;
      for (std::size_t k = 0; k < 40; ++k) exact += double{x[i * 40 + k]} * double{w[k * 17 + j]};
      const double off = std::abs(double{program.output<float>("y")[i * 17 + j]} - exact);
      // All terms are positive: each operand and the result is off by 1/512 at most; f32 sums add far less.
      EXPECT_LE(off, exact * 3.1 / 512);
      most = std::max(most, off);
    }
  EXPECT_GT(most, 0);
}

TEST(Precision, SaysWhereItCannotBeHad) {
  Graph g("net");
  const Value x = input(g, "x", f32(16, 32));
  g.output("y", matmul(x, variable(g, "w", f32(32, 16), glorot_uniform())));
  EXPECT_TRUE(compile(g).notices().empty());
  const Program program = compile(g, {.precision = Precision::bf16});
  const bool rounds = program.text().find("bf16") != std::string::npos;
  const std::vector<std::string> expected = {"graph 'net' is computed in f32: this processor does not multiply bf16"};
  EXPECT_EQ(program.notices(), rounds ? std::vector<std::string>{} : expected);
}

TEST(Program, TunedKernelsComputeTheSame) {
  Graph g("net");
  const Value x = input(g, "x", f32(3, 6, 6, 8));
  g.output("y", relu(conv2d(x, constant(g, 0.5, f32(3, 3, 8, 16)))));
  std::vector<double> results[2];
  for (const bool tune : {false, true}) {
    Program program = compile(g, {.logical_threads = 1, .tune = tune});
    float next = 0;
    for (float& value : program.input<float>("x")) value = static_cast<float>(static_cast<int>(next++) % 7 - 3);
    program.run();
    results[tune] = program.fetch("y").numbers();
  }
  EXPECT_EQ(results[0], results[1]);  // whole and half numbers: exact in any order
}

}  // namespace
}  // namespace thalweg::testing
