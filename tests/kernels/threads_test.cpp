// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/threads.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <numeric>
#include <thread>
#include <vector>

#include "thalweg/graph/error.h"

namespace thalweg {
namespace {

TEST(Threads, PartsCoverEverythingOnceAndAreContiguous) {
  for (const int threads : {1, 2, 3, 4, 7})
    for (const std::size_t n : {0u, 1u, 2u, 5u, 100u, 1001u}) {
      std::vector<int> seen(n);
      std::atomic<int> most{-1};
      parallel_for(threads, n, [&](std::size_t begin, std::size_t end, std::size_t worker) {
        for (std::size_t i = begin; i < end; ++i) ++seen[i];
        int before = most;
        while (before < static_cast<int>(worker) && !most.compare_exchange_weak(before, static_cast<int>(worker))) {
        }
      });
      EXPECT_EQ(std::accumulate(seen.begin(), seen.end(), 0), static_cast<int>(n));
      EXPECT_LT(most, threads);
    }
}

TEST(Threads, SmallWorkStaysWithTheCaller) {
  int calls = 0;
  parallel_for(4, 100, 1000, [&](std::size_t begin, std::size_t end, std::size_t worker) {
    ++calls;
    EXPECT_EQ(begin, 0u);
    EXPECT_EQ(end, 100u);
    EXPECT_EQ(worker, 0u);
  });
  EXPECT_EQ(calls, 1);
}

TEST(Threads, TheLowestPartsExceptionComesBack) {
  for (int round = 0; round < 20; ++round) try {
      parallel_for(4, 4, [](std::size_t begin, std::size_t, std::size_t) {
        if (begin > 0) throw RunError("part " + std::to_string(begin));
      });
      FAIL() << "nothing was thrown";
    } catch (const RunError& error) {
      EXPECT_STREQ(error.what(), "part 1");
    }
}

TEST(Threads, HardwareThreadsAndProbes) {
  EXPECT_GE(hardware_threads(), 1);
  EXPECT_FALSE(in_parallel());
  EXPECT_NO_THROW(check_threading(1));
  EXPECT_NO_THROW(check_threading(4));
  EXPECT_NO_THROW(check_run(4));
  parallel_for(2, 2, [](std::size_t, std::size_t, std::size_t) {
    EXPECT_TRUE(in_parallel());
    EXPECT_THROW(check_run(2), RunError);
  });
  EXPECT_THROW(check_threading(0), InternalError);
}

TEST(Threads, AForkedChildGetsAnErrorAndDoesNotHang) {
  check_threading(2);
  const pid_t child = fork();
  if (child == 0) {
    alarm(10);
    try {
      check_run(2);
    } catch (const RunError&) {
      _exit(7);
    }
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

/// Which thread ran each part, with all of them there: each part waits for the others to begin.
std::vector<std::thread::id> met(int parts) {
  std::vector<std::thread::id> threads(static_cast<std::size_t>(parts));
  std::atomic<int> here{0};
  parallel_for(parts, threads.size(), [&](std::size_t, std::size_t, std::size_t worker) {
    threads[worker] = std::this_thread::get_id();
    ++here;
    while (here < parts) std::this_thread::yield();
  });
  return threads;
}

TEST(Threads, EachPartHasAThreadOfItsOwnThatItKeeps) {
  for (const int parts : {2, 4}) {
    const TeamScope team(parts);
    std::vector<std::thread::id> threads = met(parts);
    EXPECT_EQ(threads[0], std::this_thread::get_id());
    // Of two parts the caller's is the first. Which late worker took whose part is not told among more.
    for (int round = 0; parts == 2 && round < 50; ++round) EXPECT_EQ(met(parts), threads);
    std::sort(threads.begin(), threads.end());
    EXPECT_EQ(std::unique(threads.begin(), threads.end()), threads.end());
  }
}

TEST(Threads, ATeamStaysUntilItIsDismissed) {
  const auto loop = [](int parts) {
    std::vector<int> seen(1000);
    parallel_for(parts, seen.size(), [&](std::size_t begin, std::size_t end, std::size_t) {
      EXPECT_TRUE(in_parallel());
      for (std::size_t i = begin; i < end; ++i) ++seen[i];
      parallel_for(2, 2, [](std::size_t, std::size_t, std::size_t) {});  // inside a part: no other team
    });
    EXPECT_EQ(seen, std::vector<int>(1000, 1));
  };
  {
    const TeamScope team(3);
    EXPECT_FALSE(in_parallel());
    for (int round = 0; round < 3; ++round) {
      for (const int parts : {2, 3, 5, 2}) loop(parts);
      EXPECT_TRUE(in_parallel());
      const auto fails = [](std::size_t, std::size_t, std::size_t) { throw RunError("a part"); };
      EXPECT_THROW(parallel_for(3, 3, fails), RunError);
      dismiss_team();
      EXPECT_FALSE(in_parallel());
    }
    loop(3);
  }
  EXPECT_FALSE(in_parallel());
  loop(3);
  EXPECT_FALSE(in_parallel());
}

TEST(Threads, EachCallerHasATeamOfItsOwn) {
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 3; ++caller)
    callers.emplace_back([] {
      const TeamScope team(2);
      for (int round = 0; round < 100; ++round) {
        std::vector<std::size_t> sums(2);
        parallel_for(2, 1000, [&](std::size_t begin, std::size_t end, std::size_t worker) {
          for (std::size_t i = begin; i < end; ++i) sums[worker] += i;
        });
        EXPECT_EQ(sums[0] + sums[1], 499'500u);
      }
    });
  for (std::thread& caller : callers) caller.join();
}

#if defined(__x86_64__)
TEST(Threads, TheFloatingPointStateOfTheHostDoesNotMatterAndComesBack) {
  const FloatingPointState before = floating_point_state();
  FloatingPointState host = before;
  host.vector_control |= 0x8040;  // denormals to zero
  set_floating_point_state(host);
  std::fesetround(FE_UPWARD);
  const FloatingPointState odd = floating_point_state();
  // A scope of the caller alone is enough for parallel_for.
  for (const auto& [threads, parts] : {std::pair{1, 1}, {2, 2}, {1, 2}}) {
    {
      const FloatingPointScope scope(threads);
      parallel_for(parts, 2, [](std::size_t, std::size_t, std::size_t) {
        EXPECT_EQ(floating_point_state().vector_control & 0xffc0u, default_floating_point_state().vector_control & 0xffc0u);
        volatile float tiny = 1e-40f;
        EXPECT_NE(tiny * 0.5f, 0.0f);
      });
    }
    EXPECT_EQ(floating_point_state().vector_control & 0xffc0u, odd.vector_control & 0xffc0u);
    EXPECT_EQ(floating_point_state().scalar_control, odd.scalar_control);
  }
  set_floating_point_state(before);
}
#endif

}  // namespace
}  // namespace thalweg
