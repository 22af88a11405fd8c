// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "thalweg/lib/compile/program.h"

namespace thalweg {

/// The arena of a program over a step: which bytes hold what, and when.
struct MemoryMap {
  struct Entry {
    std::size_t offset = 0, bytes = 0;
    std::size_t birth = 0, death = 0;  ///< kernels; death is the number of kernels for what outlives the step
    std::string what = {};                  ///< `%3 relu`, `scratch of %7 matmul`
    NodeId node = 0;                        ///< the first that is held; of a scratch the kernel's first
    Origin origin = Origin::forward;
    std::vector<std::string> shares = {};   ///< the values that follow in the same bytes, in place
    std::string line = {};                  ///< the user's line of the first
    std::string scope = {};                 ///< and its scope
  };
  std::string name = {};
  std::vector<Entry> entries = {};  ///< by birth, then offset
  std::size_t kernels = 0;
  MemoryReport memory;
  std::size_t peak_kernel = 0;           ///< the first at which most is alive
  std::vector<std::size_t> live_at_peak = {};  ///< entries, the largest first
  bool places = true;                    ///< whether offsets are known, and what they add up to

  /// The same without what differs between machines and numbers of threads: the room that kernels work in, and so the
  /// offsets. What is alive at the peak is then the largest set of values.
  THALWEG_API MemoryMap portable() const;
  /// A table, the totals, and what is alive at the peak. `rows`: how many of the largest entries (0: all).
  THALWEG_API std::string text(std::size_t rows = 0) const;
  /// Offset against time, a rectangle for each entry, coloured by origin, named when pointed at.
  THALWEG_API std::string svg() const;
  THALWEG_API std::string json() const;

 private:
  std::string totals() const;
};
THALWEG_API MemoryMap memory_map(const PlannedProgram& planned);

}  // namespace thalweg
