// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/kernels/pool_rows.h"

// Two instruction sets that no kernel here gains from.
#define HWY_DISABLED_TARGETS (HWY_AVX3_DL | HWY_SSSE3)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "thalweg/lib/kernels/pool_rows.cpp"
#include "hwy/foreach_target.h"
//
#include "hwy/highway.h"
#include "thalweg/lib/kernels/target.h"

HWY_BEFORE_NAMESPACE();
namespace thalweg {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

void take(const float* x, std::uint32_t here, std::size_t n, float* largest, std::uint32_t* pixel) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> places;
  std::size_t c = 0;
  for (; c + hn::Lanes(d) <= n; c += hn::Lanes(d)) {
    const auto candidate = hn::LoadU(d, x + c), best = hn::LoadU(d, largest + c);
    const auto wins = hn::Or(hn::Gt(candidate, best), hn::AndNot(hn::IsNaN(best), hn::IsNaN(candidate)));
    hn::StoreU(hn::IfThenElse(wins, candidate, best), d, largest + c);
    const auto at = hn::LoadU(places, pixel + c);
    hn::StoreU(hn::IfThenElse(hn::RebindMask(places, wins), hn::Set(places, here), at), places, pixel + c);
  }
  for (; c < n; ++c)
    if (x[c] > largest[c] || (x[c] != x[c] && largest[c] == largest[c])) {
      largest[c] = x[c];
      pixel[c] = here;
    }
}

TakeLargest chosen() { return take; }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace thalweg
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace thalweg {
THALWEG_VARIANTS(chosen);

TakeLargest take_largest() { return THALWEG_CHOSEN(chosen)(); }

}  // namespace thalweg
#endif
