// SPDX-License-Identifier: Apache-2.0
#include "allocations.h"

#include <atomic>
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define THALWEG_FOREIGN_HEAP 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define THALWEG_FOREIGN_HEAP 1
#endif
#endif

namespace {
std::atomic<bool> counting{false};
std::atomic<long> allocations{0};
}  // namespace

#if !defined(THALWEG_FOREIGN_HEAP)
namespace {
void note() {
  if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
}
}  // namespace

// glibc's own names of the functions below; `operator new` calls malloc.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void* malloc(std::size_t size) { note(); return __libc_malloc(size); }
void* calloc(std::size_t n, std::size_t size) { note(); return __libc_calloc(n, size); }
void* realloc(void* p, std::size_t size) { note(); return __libc_realloc(p, size); }
void* aligned_alloc(std::size_t a, std::size_t size) { note(); return __libc_memalign(a, size); }
int posix_memalign(void** p, std::size_t a, std::size_t size) {
  note();
  return (*p = __libc_memalign(a, size)) ? 0 : 12;
}
}
#endif

namespace thalweg::testing {

Uncounted::Uncounted() : counted_(counting.exchange(false)) {}
Uncounted::~Uncounted() { counting = counted_; }

std::optional<long> allocations_of(void (*work)(void*), void* context) {
  allocations = 0;
  counting = true;
  work(context);
  counting = false;
#if defined(THALWEG_FOREIGN_HEAP)
  return {};
#else
  return allocations.load();
#endif
}

}  // namespace thalweg::testing
