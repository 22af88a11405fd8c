// SPDX-License-Identifier: Apache-2.0
// Private: how much memory there is.
#pragma once

#include <cstddef>
#include <string>

#include "thalweg/graph/error.h"
#include "thalweg/graph/export.h"

namespace thalweg {

/// The RunError of memory that has ended: what it stopped may be right, and work another time.
class OutOfMemory : public RunError {
 public:
  using RunError::RunError;
};

/// Bytes that this process may still take, and what says so.
struct MemoryLimit {
  std::size_t left = 0;
  std::string name;  ///< `RLIMIT_AS`
};

/// The least of the system's MemAvailable, what each cgroup around this process leaves (version 1 or 2), and what
/// RLIMIT_AS and RLIMIT_DATA leave. What a cgroup has in its inactive page cache is left to it: the kernel gives that up
/// first. A limit that cannot be read does not count. /proc and /sys are read below `root`.
THALWEG_API MemoryLimit memory_limit(const std::string& root = {});
/// What RLIMIT_AS alone leaves: it counts addresses, so that stacks and code weigh in whole.
MemoryLimit address_space_limit();
/// What the system gives a new thread for its stack.
std::size_t thread_stack_bytes();

}  // namespace thalweg
