// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace thalweg {
namespace {

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

std::size_t difference(std::size_t limit, std::size_t used) { return limit > used ? limit - used : 0; }

std::size_t system_memory() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  std::size_t kilobytes = 0;
  while (file >> word)
    if (word == "MemAvailable:" && file >> kilobytes) return kilobytes * 1024;
  return unlimited;
}

/// A number in a file; `max` and whatever else is none is no limit.
std::size_t number_in(const std::string& path, std::size_t otherwise) {
  std::ifstream file(path);
  std::size_t number = 0;
  return file >> number ? number : otherwise;
}

std::size_t group_memory() {
  const std::size_t limit = number_in("/sys/fs/cgroup/memory.max", unlimited);
  return limit == unlimited ? unlimited : difference(limit, number_in("/sys/fs/cgroup/memory.current", 0));
}

std::size_t address_space() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return unlimited;
  const std::size_t pages = number_in("/proc/self/statm", 0);
  return difference(limit.rlim_cur, pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
}

}  // namespace

std::size_t available_memory() { return std::min({system_memory(), group_memory(), address_space()}); }

}  // namespace thalweg
