// SPDX-License-Identifier: Apache-2.0
// Our parallel code under ThreadSanitizer: tests/trust/tsan builds and runs this. GCC's OpenMP runtime synchronizes in
// ways that the sanitizer does not see, so every parallel region, oneDNN's too, runs on plain threads here.
#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "job.h"
#include "thalweg/graph/interpret.h"
#include "thalweg/ops/index.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/norm.h"
#include "thalweg/ops/softmax.h"

namespace {

struct Team {
  explicit Team(int n) : size(n), barrier(n) {}
  int size;
  std::barrier<> barrier;
};
thread_local Team* team = nullptr;
thread_local int number = 0;

}  // namespace

extern "C" {
void GOMP_parallel(void (*function)(void*), void* data, unsigned threads, unsigned) {
  constexpr unsigned by_default = 4;
  const int size = static_cast<int>(threads == 0 ? by_default : threads);
  Team now(size);
  const auto be = [&](int i) {
    team = &now;
    number = i;
    function(data);
    team = nullptr;
    number = 0;
  };
  std::vector<std::thread> others;
  for (int i = 1; i < size; ++i) others.emplace_back(be, i);
  be(0);
  for (std::thread& other : others) other.join();
}
void GOMP_barrier() {
  if (team != nullptr) team->barrier.arrive_and_wait();
}
int omp_get_thread_num() noexcept { return number; }
int omp_get_num_threads() noexcept { return team == nullptr ? 1 : team->size; }
int omp_in_parallel() noexcept { return team != nullptr && team->size > 1 ? 1 : 0; }
}

namespace {

using namespace thalweg;
using namespace thalweg::testing;

/// What jobs lack: large pointwise groups, reductions over every axis, indices, norms, own convolutions and pools.
Graph mixture(Dim batch) {
  Graph g("mixture");
  const Value x = input(g, "x", f32(batch, 16, 16, 8)), t = input(g, "t", i32(batch));
  const Value a = avg_pool(relu(conv(x, 16, 3)), 2);
  const Value b = group_norm(conv(a, 16, 3, {.groups = 4}), {.groups = 4});
  const Value c = layer_norm(reshape(b, {batch, 8, 8 * 16}));
  const Value d = transpose(c, {0, 2, 1});
  const Value e = softmax(matmul(c, d));
  const Value f = concat({flatten(e), flatten(max(b, {.axes = {1, 2}}))}, 1);
  const Value h = gather(dense(f, 64, {.activation = relu}), cast(t, DType::i32));
  finish(g, dense(dropout(h, 0.1), 10), t, Adam{.rate = 0.01}, {.clip = by_global_norm(1.0)});
  return g;
}

void train(const Graph& graph, const Dataset& data, int threads) {
  FitOptions options{.epochs = 2, .validation = 0.2, .verbose = 0,
                     .compile = {.logical_threads = threads, .generate = false}};
  const History history = fit(graph, data, options);
  std::printf("%-8s %d threads: loss %.6f\n", graph.name().c_str(), threads, history.last("loss"));
}

}  // namespace

int main() {
  Dataset maps;
  maps.inputs = Tensor(f32(40, 16, 16, 8));
  maps.labels = Tensor(i32(40));
  for (std::size_t i = 0; i < maps.inputs.as<float>().size(); ++i)
    maps.inputs.as<float>()[i] = static_cast<float>(i * 37 % 101) / 101.0f;
  for (std::size_t i = 0; i < 40; ++i) maps.labels.as<std::int32_t>()[i] = static_cast<std::int32_t>(i % 8);
  for (const int threads : {2, 4}) {
    train(job_mlp(16, Adam{.rate = 0.01}), spiral(150), threads);
    train(job_cnn(16), corners(64), threads);
    train(mixture(8), maps, threads);
  }
  // Two trainings at once share nothing.
  std::thread other([] { train(job_mlp(16, Sgd{.rate = 0.1}), spiral(90), 2); });
  train(job_cnn(16), corners(32), 2);
  other.join();
  std::puts("no race");
  return 0;
}
