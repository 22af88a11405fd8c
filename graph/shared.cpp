// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/shared.h"

#include <atomic>

namespace thalweg::detail {

void enter(Home* home) noexcept { std::atomic_ref(home->handles).fetch_add(1, std::memory_order_relaxed); }

void leave(Home* home) noexcept {
  if (std::atomic_ref(home->handles).fetch_sub(1, std::memory_order_acq_rel) == 1) home->end(home);
}

}  // namespace thalweg::detail
