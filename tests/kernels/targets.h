// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include "thalweg/lib/kernels/simd.h"

namespace thalweg::testing {

/// Runs the body once for each instruction set that this machine has and Highway's loops are compiled for.
template <class F>
void on_every_target(F body) {
  const auto all = hwy::SupportedTargets();
  std::size_t seen = 0;
  for (auto left = all; left != 0; left &= left - 1) {
    hwy::SetSupportedTargetsForTest(left & -left);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    SCOPED_TRACE(std::string(simd().target));
    body();
    ++seen;
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  EXPECT_GE(seen, 1u);
}

}  // namespace thalweg::testing
