// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/threads.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/memory.h"
#include "thalweg/lib/base/team.h"

// What a compiler calls for `#pragma omp parallel`. Called by name, so that no file needs -fopenmp.
// (clang's packages have no omp.h; these are the OpenMP standard's own declarations.)
extern "C" {
void GOMP_parallel(void (*function)(void*), void* data, unsigned threads, unsigned flags);
int omp_get_thread_num() noexcept;
int omp_get_num_threads() noexcept;
int omp_get_num_procs() noexcept;
int omp_get_thread_limit() noexcept;
int omp_in_parallel() noexcept;
int omp_get_dynamic() noexcept;
void omp_set_dynamic(int on) noexcept;
}

namespace thalweg {
namespace {

std::atomic<bool> pool_started{false};
std::atomic<bool> forked_after_start{false};

void note_pool() {
  if (pool_started.load(std::memory_order_relaxed)) return;
  if (!pool_started.exchange(true)) pthread_atfork(nullptr, nullptr, [] { forked_after_start = true; });
}

void check_not_forked() {
  if (forked_after_start.load(std::memory_order_relaxed))
    run_error("this process was forked after its threads had started, and they do not exist here: fork before the "
              "first run, or start a new process");
}

/// Runs `body(thread, team size)` on every thread of a team.
template <class F>
void on_team(int threads, F body) {
  note_pool();
  GOMP_parallel([](void* data) { (*static_cast<F*>(data))(omp_get_thread_num(), omp_get_num_threads()); }, &body,
                static_cast<unsigned>(threads), 0);
}

}  // namespace

int hardware_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return std::max(1, omp_get_num_procs());
  return std::max(1, CPU_COUNT(&set));
}

namespace {
bool keep_threads_on(const cpu_set_t& cores) {
  bool all = true;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error))
    all = sched_setaffinity(std::stoi(task.path().filename().string()), sizeof cores, &cores) == 0 && all;
  return !error && all;
}
}  // namespace

OneCore::OneCore() {
  if (sched_getaffinity(0, sizeof before_, &before_) != 0) return;
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &before_)) continue;
    CPU_SET(cpu, &one);
    break;
  }
  set_ = keep_threads_on(one);
}

OneCore::~OneCore() {
  if (set_) keep_threads_on(before_);
}

bool in_parallel() { return omp_in_parallel() != 0; }

namespace {

/// Which limit keeps the system from starting another thread: for both the system has the same error.
std::string limit_of_threads() {
  const MemoryLimit memory = memory_limit();
  const std::size_t stack = thread_stack_bytes();
  return memory.left < stack ? fmt::format("{} ({} bytes are left, and a thread's stack takes {})", memory.name, memory.left, stack)
                             : "the limit of processes (RLIMIT_NPROC, pids.max)";
}

/// OpenMP ends the process where the system gives it no thread (RLIMIT_NPROC, a cgroup's pids.max, no room for a
/// stack): so as many are asked for first, once in each thread of the program, for each gets a team of its own.
void check_threads_start(int count) {
  static thread_local int started = 0;
  if (count <= started) return;
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  std::string problem, limit;
  try {
    for (int i = 0; i < count; ++i) threads.emplace_back([&] { over.wait(false); });
  } catch (const std::system_error& error) {
    problem = error.what();
    limit = limit_of_threads();
  }
  over = true;
  over.notify_all();
  for (std::thread& thread : threads) thread.join();
  if (!problem.empty())
    run_error("this program needs {} threads, and the system starts no more than {}: {}; raise {}, or compile "
              "with logical_threads = {}", count + 1, threads.size() + 1, problem, limit, threads.size() + 1);
  started = count;
}

}  // namespace

namespace {
/// Whether a team may be started here at all.
void check_place(int logical) {
  if (in_parallel())
    run_error("a program cannot be compiled or run inside an OpenMP parallel region: its own threads would not start");
  if (logical == 1) return;
  check_not_forked();
  if (omp_get_dynamic() != 0) omp_set_dynamic(0);
}
}  // namespace

void check_run(int logical) {
  check_place(logical);
  if (logical > 1) check_threads_start(logical - 1);
}

void check_threading(int logical) {
  if (logical < 1) throw InternalError("a program needs at least 1 thread");
  check_place(logical);
  if (logical == 1) return;
  omp_set_dynamic(0);
  if (const int limit = omp_get_thread_limit(); limit < logical)
    run_error("this program needs {} threads, and OMP_THREAD_LIMIT allows {}: raise it, or compile with "
              "logical_threads = {}", logical, limit, limit);
  check_threads_start(logical - 1);
  std::atomic<int> team{0};
  on_team(logical, [&](int thread, int size) {
    if (thread == 0) team = size;
  });
  if (team != logical)
    run_error("this program needs {} threads, and OpenMP gave {}: unset OMP_DYNAMIC and OMP_THREAD_LIMIT, or compile "
              "with logical_threads = {}", logical, team.load(), team.load());
}

#if defined(__x86_64__)
FloatingPointState floating_point_state() {
  FloatingPointState state;
  asm volatile("stmxcsr %0" : "=m"(state.vector_control));
  asm volatile("fnstcw %0" : "=m"(state.scalar_control));
  return state;
}
namespace {
void set_vector_control(std::uint32_t control) { asm volatile("ldmxcsr %0" : : "m"(control)); }
}  // namespace
void set_floating_point_state(FloatingPointState state) {
  // Exceptions that wait from before would trap at the next x87 instruction once they are unmasked.
  asm volatile("fnclex");
  set_vector_control(state.vector_control);
  asm volatile("fldcw %0" : : "m"(state.scalar_control));
}
FloatingPointState default_floating_point_state() { return {.vector_control = 0x1f80, .scalar_control = 0x037f}; }
#else
FloatingPointState floating_point_state() { return {}; }
namespace {
void set_vector_control(std::uint32_t) {}
}  // namespace
void set_floating_point_state(FloatingPointState) {}
FloatingPointState default_floating_point_state() { return {}; }
#endif

namespace {

bool is_default(FloatingPointState state) {
  constexpr std::uint32_t flags = 0x3f;  // what has happened, not how to compute
  const FloatingPointState wanted = default_floating_point_state();
  return (state.vector_control & ~flags) == wanted.vector_control && state.scalar_control == wanted.scalar_control;
}

/// Sets the state if it is another, for the time until put_back(); returns the one before. (Loading the registers
/// costs more than reading them.)
FloatingPointState enter_default() {
  const FloatingPointState before = floating_point_state();
  if (!is_default(before)) set_floating_point_state(default_floating_point_state());
  return before;
}
/// Flags that arithmetic has raised stay so in a host that computes in the default state itself: to read them is to wait
/// for all arithmetic that is under way, a tenth of the smallest steps.
void put_back(FloatingPointState before) {
  if (is_default(before)) return;
  const FloatingPointState now = floating_point_state();
  if (now.scalar_control != before.scalar_control) set_floating_point_state(before);
  else if (now.vector_control != before.vector_control) set_vector_control(before.vector_control);
}

}  // namespace

namespace {
std::atomic<PartObserver*> observer_of_parts{nullptr};
}
void observe_parts(PartObserver* observer) { observer_of_parts.store(observer, std::memory_order_release); }

namespace detail {

PartObserver* part_observer() { return observer_of_parts.load(std::memory_order_acquire); }

void run_parts(int parts, std::size_t n, PartFunction function, void* context) {
  Job job(parts, n, function, context);
  Team& team = Team::own();
  if (team.busy() || (in_parallel() && !team.open())) {
    for (int part = 0; part < parts; ++part) job.run(part);
  } else {
    check_not_forked();
    note_pool();
    const FloatingPointScope floating_point;
    team.run(job);
  }
  job.rethrow();
}

}  // namespace detail

TeamScope::TeamScope(int threads) : before_(std::exchange(detail::Team::own().kept_, threads)) {}

TeamScope::~TeamScope() {
  dismiss_team();
  detail::Team::own().kept_ = before_;
}

void dismiss_team() { detail::Team::own().end(); }

FloatingPointScope::FloatingPointScope(int threads)
    : threads_(threads == 1 || in_parallel() ? 1 : std::clamp(threads, 1, most_logical_threads)) {
  if (threads_ == 1) {
    saved_[0] = enter_default();
    return;
  }
  // The team at the end may be the larger one; zeros would unmask every trap in its new threads.
  std::fill_n(saved_, threads_, default_floating_point_state());
  on_team(threads_, [&](int thread, int) { saved_[thread] = enter_default(); });
}

FloatingPointScope::~FloatingPointScope() {
  if (threads_ == 1) {
    put_back(saved_[0]);
    return;
  }
  on_team(threads_, [&](int thread, int) { put_back(saved_[thread]); });
}

}  // namespace thalweg
