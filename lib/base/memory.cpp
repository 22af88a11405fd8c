// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/memory.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <limits>
#include <string_view>
#include <utility>

namespace thalweg {
namespace {

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

std::size_t difference(std::size_t limit, std::size_t used) { return limit > used ? limit - used : 0; }

void lower(MemoryLimit& limit, std::size_t left, std::string name) {
  if (left < limit.left) limit = {left, std::move(name)};
}

/// The number after a word in a file of words and numbers.
std::size_t number_after(const std::string& path, std::string_view wanted, std::size_t otherwise) {
  std::ifstream file(path);
  std::string word;
  std::size_t number = 0;
  while (file >> word)
    if (word == wanted && file >> number) return number;
  return otherwise;
}

std::size_t system_memory(const std::string& root) {
  const std::size_t kilobytes = number_after(root + "/proc/meminfo", "MemAvailable:", unlimited);
  return kilobytes == unlimited ? unlimited : kilobytes * 1024;
}

/// A number in a file; `max` and whatever else is none is no limit.
std::size_t number_in(const std::string& path, std::size_t otherwise) {
  std::ifstream file(path);
  std::size_t number = 0;
  return file >> number ? number : otherwise;
}

/// How a version of control groups calls its files, and the inactive page cache in memory.stat.
struct GroupFiles {
  const char *most, *used, *cache;
};
constexpr GroupFiles version_1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};
constexpr GroupFiles version_2{"memory.max", "memory.current", "inactive_file"};

/// The limits of a control group and of those around it.
void lower_by_groups(MemoryLimit& limit, const std::string& root, std::string group, const GroupFiles& files) {
  for (;; group = group.substr(0, group.rfind('/'))) {
    const std::string folder = root + (group == "/" ? "" : group) + "/";
    if (const std::size_t bytes = number_in(folder + files.most, unlimited); bytes != unlimited) {
      const std::size_t cache = number_after(folder + "memory.stat", files.cache, 0);
      lower(limit, difference(bytes, difference(number_in(folder + files.used, 0), cache)), folder + files.most);
    }
    if (group.empty() || group == "/" || group.rfind('/') == std::string::npos) return;
  }
}

void lower_by_groups(MemoryLimit& limit, const std::string& root) {
  std::ifstream groups(root + "/proc/self/cgroup");  // lines `0::/user` and, of version 1, `7:memory:/user`
  std::string line;
  while (std::getline(groups, line)) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string group = line.substr(second + 1);
    if (controllers == ",,") lower_by_groups(limit, root + "/sys/fs/cgroup", group, version_2);
    if (controllers.find(",memory,") != std::string::npos)
      lower_by_groups(limit, root + "/sys/fs/cgroup/memory", group, version_1);
  }
}

/// What a resource limit leaves; column `column` of /proc/self/statm says in pages what is used of it.
void lower_by_resource(MemoryLimit& limit, decltype(RLIMIT_AS) resource, int column, const char* name) {
  rlimit most{};
  if (getrlimit(resource, &most) != 0 || most.rlim_cur == RLIM_INFINITY) return;
  std::ifstream statm("/proc/self/statm");
  std::size_t pages = 0;
  for (int i = 0; i < column; ++i) statm >> pages;
  const std::size_t used = statm ? pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) : 0;
  lower(limit, difference(most.rlim_cur, used), name);
}

constexpr int statm_size = 1, statm_data = 6;

}  // namespace

MemoryLimit memory_limit(const std::string& root) {
  MemoryLimit limit{system_memory(root), "MemAvailable"};
  lower_by_groups(limit, root);
  lower_by_resource(limit, RLIMIT_AS, statm_size, "RLIMIT_AS");
  lower_by_resource(limit, RLIMIT_DATA, statm_data, "RLIMIT_DATA");
  return limit;
}

MemoryLimit address_space_limit() {
  MemoryLimit limit{unlimited, "no limit"};
  lower_by_resource(limit, RLIMIT_AS, statm_size, "RLIMIT_AS");
  return limit;
}

std::size_t thread_stack_bytes() {
  pthread_attr_t attributes;
  std::size_t bytes = std::size_t{8} << 20;
  if (pthread_attr_init(&attributes) != 0) return bytes;
  pthread_attr_getstacksize(&attributes, &bytes);
  pthread_attr_destroy(&attributes);
  return bytes;
}

}  // namespace thalweg
