// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/team.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <limits>

// What a compiler called for `#pragma omp parallel` before it had GOMP_parallel: the region's begin and end apart.
extern "C" {
void GOMP_parallel_start(void (*function)(void*), void* data, unsigned threads);
void GOMP_parallel_end();
int omp_get_thread_num() noexcept;
int omp_get_num_threads() noexcept;
}

namespace thalweg::detail {

// ---- Job

Job::Job(int parts, std::size_t n, PartFunction function, void* context)
    : parts_(parts), n_(n), function_(function), context_(context), observer_(part_observer()),
      failed_(std::numeric_limits<int>::max()) {}

void Job::run(int part) {
  const auto p = static_cast<std::size_t>(part), count = static_cast<std::size_t>(parts_);
  // n / count first: n * p may overflow.
  const std::size_t each = n_ / count, more = n_ % count;
  const std::size_t begin = p * each + std::min(p, more), end = begin + each + (p < more ? 1 : 0);
  try {
    if (observer_ == nullptr) {
      function_(context_, begin, end, p);
    } else {
      const auto start = std::chrono::steady_clock::now();
      function_(context_, begin, end, p);
      observer_->part(p, start, std::chrono::steady_clock::now());
    }
  } catch (...) {
    const std::lock_guard hold(lock_);
    if (part < failed_) {
      failed_ = part;
      error_ = std::current_exception();
    }
  }
}

// ---- Team

namespace {

// Up to half a millisecond, for sleeping is dear: who is woken beside a busy process waits for the next slice of time.
constexpr int spins = 10'000;
constexpr int spins_between_looks = 64;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Returns when `value` is no longer `old`; calls `look` now and then.
template <class F>
void wait_while(const std::atomic<std::uint32_t>& value, std::uint32_t old, F&& look) {
  for (int i = 0; i < spins; ++i, relax()) {
    if (value.load(std::memory_order_acquire) != old) return;
    if (i % spins_between_looks == 0) look();
  }
  value.wait(old, std::memory_order_acquire);
}

/// Lets the calling thread go on at another core, if it may use one. It may use this one as before, but the system has
/// no reason to bring it back unless it is idle.
void leave_core() {
  cpu_set_t all;
  if (sched_getaffinity(0, sizeof all, &all) != 0) return;
  cpu_set_t others = all;
  CPU_CLR(static_cast<std::size_t>(sched_getcpu()), &others);
  if (sched_setaffinity(0, sizeof others, &others) == 0) sched_setaffinity(0, sizeof all, &all);
}

constinit thread_local Team own_team;

}  // namespace

Team& Team::own() { return own_team; }

void Team::run(Job& job) {
  if (!open()) begin(std::max(kept_, job.parts()));
  const auto parts = static_cast<std::size_t>(job.parts());
  job_ = &job;
  core_.store(sched_getcpu(), std::memory_order_relaxed);
  parts_.store(parts, std::memory_order_relaxed);
  undone_.store(static_cast<std::uint32_t>(parts - 1), std::memory_order_relaxed);
  for (std::size_t part = 1; part < parts; ++part) untaken_[part].store(true, std::memory_order_release);
  news_.fetch_add(1);
  news_.notify_all();
  job.run(0);
  take_parts(0);
  const auto let_others = [this] { let_others_run(); };
  while (const std::uint32_t left = undone_.load(std::memory_order_acquire)) wait_while(undone_, left, let_others);
  job_ = nullptr;
  if (kept_ == 0) end();
}

void Team::take_parts(std::size_t self) {
  const std::size_t parts = parts_.load(std::memory_order_relaxed);
  if (self >= parts) return;  // what it took would be another's own
  for (std::size_t i = 0; i < parts; ++i) {
    const std::size_t part = (self + i) % parts;
    std::atomic<bool>& untaken = untaken_[part];
    if (!untaken.load(std::memory_order_relaxed) || !untaken.exchange(false, std::memory_order_acquire)) continue;
    job_->run(static_cast<int>(part));
    if (undone_.fetch_sub(1) == 1) undone_.notify_all();
  }
}

void Team::begin(int threads) {
  ended_.store(false, std::memory_order_relaxed);
  gone_.store(0, std::memory_order_relaxed);
  crowded_ = hardware_threads() < threads;
  core_.store(sched_getcpu(), std::memory_order_relaxed);
  const auto work_in = [](void* team) {
    static_cast<Team*>(team)->work(static_cast<std::size_t>(omp_get_thread_num()));
  };
  GOMP_parallel_start(work_in, this, static_cast<unsigned>(threads));
  size_ = omp_get_num_threads();
}

void Team::let_others_run() const {
  if (crowded_) sched_yield();
}

// A worker that waits where the caller would run takes that core from it, for whole slices of time: where another
// process keeps the other cores busy, the system sees no reason to part them.
void Team::keep_off_caller() const {
  if (crowded_) sched_yield();
  else if (sched_getcpu() == core_.load(std::memory_order_relaxed)) leave_core();
}

void Team::work(std::size_t self) {
  const FloatingPointScope floating_point;
  keep_off_caller();
  for (;;) {
    const std::uint32_t seen = news_.load(std::memory_order_acquire);
    take_parts(self);
    if (ended_.load(std::memory_order_relaxed)) break;
    wait_while(news_, seen, [this] { keep_off_caller(); });
  }
  gone_.fetch_add(1);
  gone_.notify_all();
}

void Team::end() {
  if (!open()) return;
  ended_.store(true, std::memory_order_relaxed);
  news_.fetch_add(1);
  news_.notify_all();
  const auto workers = static_cast<std::uint32_t>(size_ - 1);
  const auto let_others = [this] { let_others_run(); };
  std::uint32_t gone = 0;
  while ((gone = gone_.load(std::memory_order_acquire)) != workers) wait_while(gone_, gone, let_others);
  GOMP_parallel_end();
  size_ = 0;
}

}  // namespace thalweg::detail
