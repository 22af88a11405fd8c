// SPDX-License-Identifier: Apache-2.0
// Private: threads. Everything runs on the one OpenMP pool that oneDNN uses too: two pools that spin would fight.
#pragma once

#include <sched.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace thalweg {

/// How many threads a program may be cut for.
inline constexpr int most_logical_threads = 256;
/// How many cores this process may run on (its affinity mask), at least 1.
int hardware_threads();
/// While it lives, every thread of the process runs on one core; false where that cannot be set.
class OneCore {
 public:
  OneCore();
  ~OneCore();
  OneCore(const OneCore&) = delete;
  OneCore& operator=(const OneCore&) = delete;
  explicit operator bool() const { return set_; }

 private:
  cpu_set_t before_{};
  bool set_ = false;
};

/// Whether the caller is inside an OpenMP parallel region.
bool in_parallel();

/// Before primitives are made or run for `logical` threads: turns OpenMP's dynamic teams off, and throws RunError,
/// naming OMP_DYNAMIC or OMP_THREAD_LIMIT, unless a team of that size really starts. oneDNN computes wrong numbers
/// or hangs in a smaller team than it planned for.
void check_threading(int logical);
/// Before each run: cheap. Throws RunError inside an OpenMP parallel region, and in a child that was forked after
/// the pool had started (its threads do not exist there, so the run would hang).
void check_run(int logical);

/// Sees each part of each parallel_for that is cut into several, from the thread that ran it: for traces. `worker` is
/// the part's number, which is its thread's unless that was late.
class PartObserver {
 public:
  virtual ~PartObserver() = default;
  virtual void part(std::size_t worker, std::chrono::steady_clock::time_point begin,
                    std::chrono::steady_clock::time_point end) = 0;
};
/// Sets the one observer; nullptr for none. Not while parts run.
void observe_parts(PartObserver* observer);

/// While it lives, the workers that the caller's parallel_for calls start stay for the next ones: a team of `threads`
/// starts when the first of them is cut into parts, none before, and again after dismiss_team(). While they stay, the
/// caller counts as inside an OpenMP region.
class TeamScope {
 public:
  explicit TeamScope(int threads);
  ~TeamScope();
  TeamScope(const TeamScope&) = delete;
  TeamScope& operator=(const TeamScope&) = delete;

 private:
  int before_;
};
/// Lets the caller's workers go, if any stayed. For whoever starts OpenMP's threads otherwise, as oneDNN does: inside a
/// region it would get none.
void dismiss_team();

namespace detail {
PartObserver* part_observer();
using PartFunction = void (*)(void* context, std::size_t begin, std::size_t end, std::size_t worker);
void run_parts(int parts, std::size_t n, PartFunction function, void* context);
}  // namespace detail

/// How many parts parallel_for cuts n items into: none smaller than `grain`, at most `threads`.
inline int parts_of(int threads, std::size_t n, std::size_t grain) {
  const std::size_t worth = grain > 1 ? n / grain : n;
  const int most = threads < most_logical_threads ? threads : most_logical_threads;
  const std::size_t parts = worth < static_cast<std::size_t>(most) ? worth : static_cast<std::size_t>(most);
  return parts > 1 ? static_cast<int>(parts) : 1;
}

/// Cuts [0, n) into contiguous parts and calls `body(begin, end, worker)` for each; worker is the part's number, in
/// [0, threads). The parts depend on `threads`, `n` and `grain` only, so that a core meets the same data every time
/// and results do not depend on how many cores there are. One part runs in the caller and wakes nobody. Of several each
/// has its own thread, part 0 the caller; the parts of threads that are late are done by others. They are computed in
/// the default floating-point state. An exception of the lowest part that threw is rethrown in the caller.
template <class F>
void parallel_for(int threads, std::size_t n, std::size_t grain, F&& body) {
  const int parts = parts_of(threads, n, grain);
  if (parts == 1) {
    if (n > 0) body(std::size_t{0}, n, std::size_t{0});
    return;
  }
  using Body = std::remove_reference_t<F>;
  detail::run_parts(
      parts, n,
      [](void* context, std::size_t begin, std::size_t end, std::size_t worker) {
        (*static_cast<Body*>(context))(begin, end, worker);
      },
      const_cast<void*>(static_cast<const void*>(std::addressof(body))));
}
template <class F>
void parallel_for(int threads, std::size_t n, F&& body) {
  parallel_for(threads, n, 1, std::forward<F>(body));
}

/// The floating-point environment of one thread.
struct FloatingPointState {
  std::uint32_t vector_control;  ///< MXCSR; 0 where there is none
  std::uint16_t scalar_control;  ///< the x87 control word
  friend bool operator==(const FloatingPointState&, const FloatingPointState&) = default;
};
FloatingPointState floating_point_state();
void set_floating_point_state(FloatingPointState state);
/// Rounding to nearest, no traps, denormals kept: what every kernel is computed in.
FloatingPointState default_floating_point_state();

/// While it lives, the caller and the pool's first `threads` workers compute in the default floating-point state, so
/// that bits do not depend on the host program; at its end each has its own state again, but for flags of what happened
/// that are raised where it is the default one. parallel_for needs it for the caller only: more is for those who start the workers otherwise, as oneDNN, and wakes each of them twice.
class FloatingPointScope {
 public:
  explicit FloatingPointScope(int threads = 1);
  ~FloatingPointScope();
  FloatingPointScope(const FloatingPointScope&) = delete;
  FloatingPointScope& operator=(const FloatingPointScope&) = delete;

 private:
  int threads_;
  // Only those of its threads are ever set: a step has no time to clear all.
  FloatingPointState saved_[most_logical_threads];
};

}  // namespace thalweg
