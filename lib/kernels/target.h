// SPDX-License-Identifier: Apache-2.0
// Private: which of the instruction sets that loops are compiled for a process uses. In the place of Highway's own
// choice, which knows of no limit that the user sets, and whose library measures its timer whenever it is loaded (5 ms).
#pragma once

#include <cstdint>

#include "hwy/targets.h"

namespace thalweg {

/// The sets, as HWY_AVX2, that this processor has and that ONEDNN_MAX_CPU_ISA allows: what holds oneDNN to a smaller set
/// holds our own loops too, so that results are those of a smaller machine to the last bit.
std::int64_t allowed_targets();

/// What THALWEG_CHOSEN uses: the best of the allowed sets, unless a test has set another.
hwy::ChosenTarget& chosen_target();

/// Whether code that is written while a program runs may use AVX2 and FMA.
bool may_write_avx2();
/// Whether it may use AVX-512 (F, VL, DQ, BW) too.
bool may_write_avx512();

}  // namespace thalweg

/// Defines the table of a function's variants, one for each instruction set; THALWEG_CHOSEN is the one to use.
#define THALWEG_VARIANTS(FUNCTION)                                                                 \
  static constexpr decltype(&HWY_STATIC_DISPATCH(FUNCTION)) HWY_DISPATCH_TABLE(                    \
      FUNCTION)[HWY_MAX_DYNAMIC_TARGETS + 2] = {nullptr, HWY_CHOOSE_TARGET_LIST(FUNCTION),         \
                                                HWY_CHOOSE_FALLBACK(FUNCTION)}
#define THALWEG_CHOSEN(FUNCTION) (*HWY_DISPATCH_TABLE(FUNCTION)[thalweg::chosen_target().GetIndex()])
