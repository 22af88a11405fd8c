// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>

namespace thalweg::testing {

/// While it lives, this process may take so many bytes of data more than it has (RLIMIT_DATA).
class DataLimit {
 public:
  explicit DataLimit(std::size_t more) {
    getrlimit(RLIMIT_DATA, &before_);
    std::ifstream statm("/proc/self/statm");
    std::size_t pages = 0;
    for (int column = 0; column < 6; ++column) statm >> pages;  // the sixth says what is used of it
    rlimit tight = before_;
    tight.rlim_cur = pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) + more;
    set_ = setrlimit(RLIMIT_DATA, &tight) == 0;
  }
  ~DataLimit() { setrlimit(RLIMIT_DATA, &before_); }
  DataLimit(const DataLimit&) = delete;
  DataLimit& operator=(const DataLimit&) = delete;
  bool is_set() const { return set_; }

 private:
  rlimit before_{};
  bool set_ = false;
};

}  // namespace thalweg::testing
