// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/logical_threads.h"

extern "C" {
int omp_get_max_threads() noexcept;
void omp_set_num_threads(int threads) noexcept;
}

namespace thalweg {

LogicalThreads::LogicalThreads(int threads) : before_(omp_get_max_threads()), changed_(before_ != threads) {
  if (changed_) omp_set_num_threads(threads);
}

LogicalThreads::~LogicalThreads() {
  if (changed_) omp_set_num_threads(before_);
}

}  // namespace thalweg
