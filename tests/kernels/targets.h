// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_AVX3_DL | HWY_SSSE3)  // as the loops have it
#endif
#include "thalweg/lib/kernels/simd.h"
#include "thalweg/lib/kernels/target.h"

namespace thalweg::testing {

/// Runs the body once for each instruction set that this machine has and Highway's loops are compiled for.
template <class F>
void on_every_target(F body) {
  const auto all = allowed_targets();
  std::size_t seen = 0;
  for (auto left = all; left != 0; left &= left - 1) {
    chosen_target().Update(left & -left);
    SCOPED_TRACE(std::string(simd().target));
    body();
    ++seen;
  }
  chosen_target().Update(all);
  EXPECT_GE(seen, 1u);
}

}  // namespace thalweg::testing
