// SPDX-License-Identifier: Apache-2.0
// Workers that the system does not run: here they are held where OpenMP starts them.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "thalweg/graph/error.h"
#include "thalweg/lib/base/threads.h"

extern "C" int omp_get_thread_num() noexcept;

namespace {
std::atomic<bool> held{false};
std::atomic<int> regions{0};
struct Start {
  void (*function)(void*);
  void* data;
} start;
}  // namespace

extern "C" void GOMP_parallel_start(void (*function)(void*), void* data, unsigned threads) {
  using Begin = decltype(&GOMP_parallel_start);
  static const auto begin = reinterpret_cast<Begin>(dlsym(RTLD_NEXT, "GOMP_parallel_start"));
  ++regions;
  start = {function, data};
  begin([](void*) {
    while (held) std::this_thread::yield();
    start.function(start.data);
  }, nullptr, threads);
}

namespace thalweg {
namespace {

/// Lets no worker begin while it lives.
class Hold {
 public:
  Hold() { held = true; }
  ~Hold() { held = false; }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
};

TEST(LateWorkers, HoldUpNoPart) {
  const int before = regions;
  const TeamScope team(4);
  const Hold hold;  // is let go before the scope's end, which waits for all
  for (int round = 0; round < 10; ++round) {
    std::vector<int> seen(100);
    std::vector<std::size_t> order;
    parallel_for(4, seen.size(), [&](std::size_t begin, std::size_t end, std::size_t worker) {
      order.push_back(worker);  // one thread runs them all
      for (std::size_t i = begin; i < end; ++i) ++seen[i];
    });
    EXPECT_EQ(seen, std::vector<int>(100, 1));
    EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 2, 3}));
  }
  EXPECT_THROW(parallel_for(4, 4, [](std::size_t, std::size_t, std::size_t worker) {
    if (worker == 3) throw RunError("part 3");
  }), RunError);
  EXPECT_EQ(regions - before, 1) << "one team does for many loops";
}

TEST(LateWorkers, WorkOnceTheyAreThere) {
  const TeamScope team(2);
  {
    const Hold hold;
    parallel_for(2, 2, [](std::size_t, std::size_t, std::size_t) {});
  }
  std::atomic<int> here{0};
  parallel_for(2, 2, [&](std::size_t, std::size_t, std::size_t) {
    ++here;
    while (here < 2) std::this_thread::yield();
  });
  EXPECT_EQ(here, 2);
}

}  // namespace
}  // namespace thalweg
