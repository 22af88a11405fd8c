// SPDX-License-Identifier: Apache-2.0
// Private: memory that begins and ends with a cache line.
#pragma once

#include <cstddef>
#include <memory>

namespace thalweg {

/// Gives a block back.
struct Free {
  std::size_t mapped = 0;  ///< bytes that the system gave for this block alone; 0 where it is the heap's
  void operator()(std::byte* bytes) const;
};
using Block = std::unique_ptr<std::byte, Free>;

/// Bytes that nothing has written yet, rounded up to whole cache lines; null if there is no memory for them.
Block block_of(std::size_t bytes);
/// The same, of zeros; what is large takes no memory before it is written.
Block zeros_of(std::size_t bytes);

}  // namespace thalweg
