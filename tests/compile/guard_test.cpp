// SPDX-License-Identifier: Apache-2.0
// Where OpenMP would give fewer threads than a program was planned for, oneDNN computes wrong numbers or hangs: each
// such condition must end in an error, and soon.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/compile/program.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/source.h"

extern "C" {
void GOMP_parallel(void (*function)(void*), void* data, unsigned threads, unsigned flags);
int omp_get_max_threads() noexcept;
}

namespace thalweg::testing {
namespace {

Program product(int threads) {
  Graph g("product");
  const Value x = input(g, "x", f32(64, 128)), w = variable(g, "w", f32(128, 64), glorot_uniform());
  g.output("y", matmul(x, w));
  CompileOptions options;
  options.logical_threads = threads;
  Program p = compile(g, options);
  p.feed("x", Tensor(f32(64, 128)));
  return p;
}

std::string error_of_run(int threads) {
  try {
    Program p = product(threads);
    p.run();
  } catch (const RunError& error) {
    return error.what();
  }
  return "no error";
}

/// What a fresh process of this program prints under an environment: OpenMP reads it only once.
std::string under(const std::string& environment, const std::string& act) {
  const std::string command = environment + " THALWEG_GUARD=" + act + " timeout 30 '" +
                              std::filesystem::read_symlink("/proc/self/exe").string() +
                              "' --gtest_filter=Child.Acts 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  std::string text;
  char part[256];
  while (fgets(part, sizeof part, pipe)) text += part;
  pclose(pipe);
  const auto begin = text.find("<<"), end = text.find(">>");
  return begin == text.npos || end == text.npos ? "nothing: " + text : text.substr(begin + 2, end - begin - 2);
}

TEST(Child, Acts) {
  const char* act = std::getenv("THALWEG_GUARD");
  if (!act) GTEST_SKIP() << "runs inside the tests below";
  std::printf("<<%s>>\n", error_of_run(std::atoi(act)).c_str());
}

TEST(Guards, AThreadLimitIsNamed) {
  EXPECT_EQ(under("OMP_THREAD_LIMIT=1", "2"),
            "this program needs 2 threads, and OMP_THREAD_LIMIT allows 1: raise it, or compile with logical_threads = 1");
  EXPECT_EQ(under("OMP_THREAD_LIMIT=2", "4"),
            "this program needs 4 threads, and OMP_THREAD_LIMIT allows 2: raise it, or compile with logical_threads = 2");
  EXPECT_EQ(under("OMP_THREAD_LIMIT=1", "1"), "no error");
}

TEST(Guards, DynamicTeamsAreTurnedOff) { EXPECT_EQ(under("OMP_DYNAMIC=true", "4"), "no error"); }

TEST(Guards, OtherSettingsDoNotMatter) {
  for (const char* setting : {"OMP_NUM_THREADS=1", "OMP_NUM_THREADS=7", "OMP_WAIT_POLICY=passive", "OMP_NESTED=true"})
    EXPECT_EQ(under(setting, "3"), "no error") << setting;
}

TEST(Guards, TheCallersThreadCountIsKept) {
  const int before = omp_get_max_threads();
  Program p = product(before + 2);
  p.run();
  EXPECT_EQ(omp_get_max_threads(), before);
}

TEST(Guards, AParallelRegionIsRefused) {
  Program p = product(2);
  struct Seen {
    Program& program;
    std::string run, compile;
  } seen{p, {}, {}};
  const auto inside = [](void* data) {
    Seen& s = *static_cast<Seen*>(data);
    try {
      s.program.run();
    } catch (const RunError& error) {
      s.run = error.what();
    }
    s.compile = error_of_run(1);
  };
  // A region of one thread counts as none; two of which one acts.
  struct Call {
    void (*act)(void*);
    void* data;
    std::atomic<int> number{0};
  } call{inside, &seen};
  GOMP_parallel([](void* data) {
    Call& c = *static_cast<Call*>(data);
    if (c.number++ == 0) c.act(c.data);
  }, &call, 2, 0);
  EXPECT_NE(seen.run.find("inside an OpenMP parallel region"), std::string::npos) << seen.run;
  EXPECT_NE(seen.compile.find("inside an OpenMP parallel region"), std::string::npos) << seen.compile;
  EXPECT_NO_THROW(p.run());
}

TEST(Guards, AForkedChildGetsAnErrorAndDoesNotHang) {
  Program p = product(2);
  p.run();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);
    try {
      p.run();
    } catch (const RunError& error) {
      _exit(std::string(error.what()).find("forked") != std::string::npos ? 7 : 8);
    }
    _exit(9);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(Guards, TheHostsFloatingPointStateIsKeptAndChangesNothing) {
  Program p = product(2);
  for (float& x : p.input<float>("x")) x = 1e-30F;
  p.run();
  const std::vector<double> plain = p.fetch("y").numbers();
  const FloatingPointState before = floating_point_state();
  FloatingPointState flushed = before;
  flushed.vector_control |= 0x8040;  // FTZ and DAZ
  flushed.vector_control |= 0x6000;  // round towards zero
  set_floating_point_state(flushed);
  p.run();
  const FloatingPointState after = floating_point_state();
  set_floating_point_state(before);
  EXPECT_TRUE(after == flushed);
  EXPECT_EQ(p.fetch("y").numbers(), plain);
}

}  // namespace
}  // namespace thalweg::testing
