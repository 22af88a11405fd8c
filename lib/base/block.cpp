// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/block.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

namespace thalweg {
namespace {

constexpr std::size_t line = 64, page = 4096;
/// From here on a block is mapped by itself: the system gives zeros, and takes the block back whole. Never where
/// AddressSanitizer shall see what is read beyond a block.
#if defined(__has_feature)
#define THALWEG_FINDS_OVERRUNS __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define THALWEG_FINDS_OVERRUNS 1
#endif
#if THALWEG_FINDS_OVERRUNS
constexpr std::size_t large = static_cast<std::size_t>(-1);
#else
constexpr std::size_t large = std::size_t{256} << 10;
#endif

constexpr std::size_t rounded_up(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

/// Blocks that are mapped one after another lie side by side, so that huge pages hold several of them: one fault for
/// each, where small pages take 512.
Block mapped_of(std::size_t bytes) {
  const std::size_t size = rounded_up(bytes, page);
  void* const begin = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (begin == MAP_FAILED) return {};
  madvise(begin, size, MADV_HUGEPAGE);
  return Block(static_cast<std::byte*>(begin), Free{size});
}

Block heap_of(std::size_t bytes) {
  return Block(static_cast<std::byte*>(std::aligned_alloc(line, rounded_up(bytes, line))));
}

}  // namespace

void Free::operator()(std::byte* bytes) const {
  if (mapped > 0)
    munmap(bytes, mapped);
  else
    std::free(bytes);
}

Block block_of(std::size_t bytes) { return bytes < large ? heap_of(bytes) : mapped_of(bytes); }

Block zeros_of(std::size_t bytes) {
  Block block = block_of(bytes);
  if (block && bytes < large) std::memset(block.get(), 0, bytes);
  return block;
}

}  // namespace thalweg
