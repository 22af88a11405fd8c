// SPDX-License-Identifier: Apache-2.0
// Private: how much memory there is.
#pragma once

#include <cstddef>

namespace thalweg {

/// Bytes that this process may still take: the least of the system's MemAvailable, what its cgroup leaves, and what
/// RLIMIT_AS leaves. A limit that cannot be read does not count.
std::size_t available_memory();

}  // namespace thalweg
