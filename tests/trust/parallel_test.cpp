// SPDX-License-Identifier: Apache-2.0
// Trainings that run every kind of parallel kernel, and several of them at once: what ThreadSanitizer is to look at
// (`-Db_sanitize=thread`). Elsewhere they must give the same bits as one after another.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <thread>

#include "job.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/ops/index.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/norm.h"
#include "thalweg/ops/softmax.h"

namespace thalweg {
namespace {

using testing::bits_of;
using testing::corners;
using testing::job_cnn;
using testing::job_mlp;
using testing::spiral;

/// What the other jobs lack: groups and reductions that are worth several threads, over any axis; indices, grouped
/// convolutions, averages, softmax between two products.
Graph mixture(Dim batch) {
  Graph g("mixture");
  const Value x = input(g, "x", f32(batch, 16, 16, 8)), t = input(g, "t", i32(batch));
  const Value a = avg_pool(relu(conv(x, 16, 3)), 2);
  const Value b = group_norm(conv(a, 16, 3, {.padding = "same", .groups = 4}), {.groups = 4});
  const Value c = layer_norm(reshape(b, {batch, 7, 7 * 16}));
  const Value e = softmax(matmul(c, transpose(c, {0, 2, 1})));
  const Value f = concat({flatten(e), flatten(max(b, {.axes = {1, 2}}))}, 1);
  const Value table = variable(g, "table", f32(10, 64), random_uniform_init({-1, 1, 3}));
  const Value h = dense(f, 64, {.activation = relu}) * gather(table, t);
  testing::finish(g, dense(dropout(h, 0.1), 10), t, Adam{.rate = 0.01}, {.clip = by_global_norm(1.0)});
  return g;
}

Dataset maps() {
  Dataset data;
  data.inputs = Tensor(f32(40, 16, 16, 8));
  data.labels = Tensor(i32(40));
  const std::span<float> numbers = data.inputs.as<float>();
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i * 37 % 101) / 101.0f;
  for (std::size_t i = 0; i < 40; ++i) data.labels.as<std::int32_t>()[i] = static_cast<std::int32_t>(i % 10);
  return data;
}

std::string trained(const Graph& graph, const Dataset& data, int threads, bool generate) {
  return bits_of(fit(graph, data, {.epochs = 2, .validation = 0.2, .seed = 3, .verbose = 0,
                                   .compile = {.logical_threads = threads, .generate = generate}}));
}

std::array<std::string, 3> all_trained(int threads, bool generate) {
  return {trained(job_mlp(64, Adam{.rate = 0.01}), spiral(320), threads, generate),
          trained(job_cnn(16), corners(64), threads, generate), trained(mixture(8), maps(), threads, generate)};
}

TEST(Parallel, TrainingsAreTheSameEachTime) {
  for (const int threads : {2, 4})
    for (const bool generate : {false, true}) EXPECT_EQ(all_trained(threads, generate), all_trained(threads, generate));
}

#if defined(__SANITIZE_THREAD__)
TEST(Parallel, ARaceWouldBeSeen) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({
    std::size_t sum = 0;
    parallel_for(4, 1000, [&](std::size_t begin, std::size_t end, std::size_t) {
      for (std::size_t i = begin; i < end; ++i) sum += i;
    });
    std::exit(sum == 1 ? 1 : 0);  // the sanitizer makes a failure of it
  }, "data race");
}
#endif

TEST(Parallel, TrainingsAtOnceShareNothing) {
  for (const bool generate : {false, true}) {
    const auto one = [&] { return all_trained(2, generate); };
    const auto alone = one();
    std::array<std::array<std::string, 3>, 3> at_once;
    std::vector<std::thread> threads;
    for (auto& result : at_once) threads.emplace_back([&] { result = one(); });
    for (std::thread& thread : threads) thread.join();
    for (const auto& result : at_once) EXPECT_EQ(result, alone);
  }
}

}  // namespace
}  // namespace thalweg
