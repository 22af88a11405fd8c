// SPDX-License-Identifier: Apache-2.0
// Private: the threads that share the parts of parallel_for. They are OpenMP's; what they do between a region's begin
// and end is here.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>

#include "thalweg/lib/base/threads.h"

namespace thalweg::detail {

/// One parallel_for: parts that may run in any thread, in any order.
class Job {
 public:
  Job(int parts, std::size_t n, PartFunction function, void* context);
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  int parts() const { return parts_; }
  /// Keeps what it throws.
  void run(int part);
  /// To be called when all parts are done.
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  int parts_;
  std::size_t n_;
  PartFunction function_;
  void* context_;
  PartObserver* observer_;
  std::mutex lock_;
  std::exception_ptr error_;
  int failed_;  ///< the part that threw it
};

/// A caller with its workers, in an OpenMP region that begins with the first job and stays for the next ones. Each part
/// of a job is taken by whoever comes first, its owner before others: so a core meets the same data in each job, and
/// a worker that the system does not run holds up nobody but at the region's end.
class Team {
 public:
  /// The one that the calling thread is the caller of.
  static Team& own();
  /// Whether a region is open; its caller counts as inside of it, for OpenMP.
  bool open() const { return size_ > 0; }
  /// Whether the caller runs a part right now.
  bool busy() const { return job_ != nullptr; }
  /// Runs all parts of `job`, and returns when they are done. Begins a region if there is none; in a TeamScope it
  /// stays.
  void run(Job& job);
  /// Ends the region, if there is one.
  void end();

 private:
  friend class thalweg::TeamScope;
  void begin(int threads);
  void work(std::size_t self);
  void take_parts(std::size_t self);
  void let_others_run() const;
  void keep_off_caller() const;

  int kept_ = 0;  ///< threads of a region that stays after its first job; 0: none stays
  int size_ = 0;  ///< threads of the open region
  bool crowded_ = false;  ///< there is no core for each of them
  Job* job_ = nullptr;
  /// Parts that nobody has taken yet: whoever takes one may read job_, which stays until the part is done.
  std::array<std::atomic<bool>, most_logical_threads> untaken_{};
  std::atomic<std::size_t> parts_{0};
  std::atomic<bool> ended_{false};
  std::atomic<int> core_{0};  ///< where the caller was last seen
  alignas(64) std::atomic<std::uint32_t> news_{0};  ///< counts what workers wait for: jobs, and the end
  alignas(64) std::atomic<std::uint32_t> undone_{0};  ///< parts of the job
  std::atomic<std::uint32_t> gone_{0};  ///< workers that have seen the end
};

}  // namespace thalweg::detail
