// SPDX-License-Identifier: Apache-2.0
// Private: the thread count that oneDNN plans for.
#pragma once

namespace thalweg {

/// While it lives, OpenMP regions of the calling thread (and so oneDNN's) are of this size, however many cores there
/// are; afterwards as before. The setting belongs to one thread: a new std::thread starts with the environment's.
class LogicalThreads {
 public:
  explicit LogicalThreads(int threads);
  ~LogicalThreads();
  LogicalThreads(const LogicalThreads&) = delete;
  LogicalThreads& operator=(const LogicalThreads&) = delete;

 private:
  int before_;
  bool changed_;
};

}  // namespace thalweg
