// SPDX-License-Identifier: Apache-2.0
// What this library and oneDNN ask of OpenMP, on plain threads, for builds with ThreadSanitizer: it does not know how
// GCC's runtime synchronizes, and would call every parallel region a race. Linked before libgomp, this takes its place,
// for oneDNN too. A region's begin and end order each of its threads and the one that began it, and nothing orders them
// among each other.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace {

int setting(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  const int number = text == nullptr ? 0 : std::atoi(text);
  return number > 0 ? number : otherwise;
}

/// A region's threads meet here.
class Meeting {
 public:
  explicit Meeting(int size) : size_(size) {}
  void wait() {
    std::unique_lock lock(mutex_);
    const unsigned round = round_;
    if (++here_ == size_) {
      here_ = 0;
      ++round_;
      all_.notify_all();
      return;
    }
    all_.wait(lock, [&] { return round_ != round; });
  }

 private:
  const int size_;
  int here_ = 0;
  unsigned round_ = 0;
  std::mutex mutex_;
  std::condition_variable all_;
};

struct Region {
  Region(void (*function_of)(void*), void* data_of, int size_of)
      : function(function_of), data(data_of), size(size_of) {}
  void (*function)(void*);
  void* data;
  int size;
  Meeting meeting{size};
};
thread_local Region* region = nullptr;
thread_local int number = 0;
thread_local int wanted = 0;  ///< of the next region; 0: as many as there are cores

/// Waits until `is_so`, by asking: a mutex would order threads of a region that nothing else orders, and hide races.
template <class F>
void wait_until(F is_so) {
  for (int i = 0; !is_so(); ++i) {
    if (i < 200) std::this_thread::yield();
    else std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

void take_part(Region& in, int as) {
  region = &in;
  number = as;
  in.function(in.data);
  region = nullptr;
  number = 0;
}

/// A thread that waits for regions. Its task is all that orders it and the thread that it works for.
class Worker {
 public:
  explicit Worker(int as) : thread_([this, as] { work(as); }) {}
  ~Worker() {
    task_.store(&last_, std::memory_order_release);
    thread_.join();
  }
  void begin(Region& next) { task_.store(&next, std::memory_order_release); }
  void wait_for_end() const {
    wait_until([&] { return task_.load(std::memory_order_acquire) == nullptr; });
  }

 private:
  void work(int as) {
    for (;;) {
      Region* next = nullptr;
      wait_until([&] { return (next = task_.load(std::memory_order_acquire)) != nullptr; });
      if (next == &last_) return;
      take_part(*next, as);
      task_.store(nullptr, std::memory_order_release);
    }
  }
  Region last_{nullptr, nullptr, 0};
  std::atomic<Region*> task_{nullptr};
  std::thread thread_;
};

/// The threads that work for one, as libgomp keeps them: the same ones in every region of it.
class Pool {
 public:
  void begin(Region& next) {
    const auto others = static_cast<std::size_t>(next.size - 1);
    while (workers_.size() < others)
      workers_.push_back(std::make_unique<Worker>(static_cast<int>(workers_.size()) + 1));
    for (std::size_t i = 0; i < others; ++i) workers_[i]->begin(next);
  }
  void wait_for_end(const Region& of) const {
    for (std::size_t i = 0; i + 1 < static_cast<std::size_t>(of.size); ++i) workers_[i]->wait_for_end();
  }

 private:
  std::vector<std::unique_ptr<Worker>> workers_;
};

thread_local Pool pool;
/// The region that GOMP_parallel_start began; there is one at a time.
thread_local std::optional<Region> started;
thread_local Region* around_started = nullptr;

/// A region inside another has one thread, as it is by default.
int size_of_next(unsigned threads) {
  return region != nullptr ? 1 : static_cast<int>(threads);
}

}  // namespace

extern "C" {

int omp_get_num_procs() noexcept { return static_cast<int>(std::thread::hardware_concurrency()); }
int omp_get_max_threads() noexcept { return wanted > 0 ? wanted : setting("OMP_NUM_THREADS", omp_get_num_procs()); }
void omp_set_num_threads(int threads) noexcept { wanted = threads; }
int omp_get_thread_limit() noexcept { return setting("OMP_THREAD_LIMIT", std::numeric_limits<int>::max()); }
int omp_get_dynamic() noexcept { return 0; }
void omp_set_dynamic(int) noexcept {}
int omp_get_thread_num() noexcept { return number; }
int omp_get_num_threads() noexcept { return region == nullptr ? 1 : region->size; }
int omp_in_parallel() noexcept { return region != nullptr && region->size > 1 ? 1 : 0; }

void GOMP_parallel(void (*function)(void*), void* data, unsigned threads, unsigned) {
  Region* const outer = region;
  const int outer_number = number;
  Region next{function, data, size_of_next(threads > 0 ? threads : static_cast<unsigned>(omp_get_max_threads()))};
  if (next.size > 1) pool.begin(next);
  take_part(next, 0);
  if (next.size > 1) pool.wait_for_end(next);
  region = outer;
  number = outer_number;
}
void GOMP_parallel_start(void (*function)(void*), void* data, unsigned threads) {
  around_started = region;
  started.emplace(function, data, size_of_next(threads));
  if (started->size > 1) pool.begin(*started);
  region = &*started;
}
void GOMP_parallel_end() {
  if (started->size > 1) pool.wait_for_end(*started);
  region = around_started;
  started.reset();
}
void GOMP_barrier() {
  if (region != nullptr) region->meeting.wait();
}

}  // extern "C"
