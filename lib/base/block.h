// SPDX-License-Identifier: Apache-2.0
// Private: memory that begins and ends with a cache line.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>

namespace thalweg {

struct Free {
  void operator()(std::byte* bytes) const { std::free(bytes); }
};
using Block = std::unique_ptr<std::byte, Free>;

/// Bytes that nothing has written yet, rounded up to whole cache lines; null if there is no memory for them.
inline Block block_of(std::size_t bytes) {
  constexpr std::size_t line = 64;
  return Block(static_cast<std::byte*>(std::aligned_alloc(line, (bytes + line - 1) / line * line)));
}

}  // namespace thalweg
