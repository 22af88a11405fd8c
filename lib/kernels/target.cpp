// SPDX-License-Identifier: Apache-2.0
// As the loops do, or Highway refuses to be compiled for a processor that has them.
#define HWY_DISABLED_TARGETS (HWY_AVX3_DL | HWY_SSSE3)
#include "thalweg/lib/kernels/target.h"

#if defined(__x86_64__)
#include <xbyak/xbyak_util.h>

#include "thalweg/lib/onednn/version.h"
#endif

namespace thalweg {

#if defined(__x86_64__)
namespace {

using Cpu = Xbyak::util::Cpu;

template <class... Types>
bool has_all(const Cpu& cpu, Types... types) {
  return (cpu.has(types) && ...);
}

struct Allowed {
  std::int64_t targets = HWY_EMU128 | HWY_SCALAR;
  bool writes_avx2 = false, writes_avx512 = false;
};

/// What Highway's targets need (its set_macros-inl.h says which flags they are compiled with), from the least on: none
/// without those before it.
Allowed allowed() {
  const Cpu cpu;
  Allowed a;
  a.writes_avx2 = onednn::may_use(onednn::Level::avx2) && has_all(cpu, Cpu::tAVX2, Cpu::tFMA);
  if (!has_all(cpu, Cpu::tSSSE3, Cpu::tSSE41, Cpu::tSSE42, Cpu::tPCLMULQDQ, Cpu::tAESNI)) return a;
  a.targets |= HWY_SSE4;
  if (!a.writes_avx2 || !has_all(cpu, Cpu::tAVX, Cpu::tBMI1, Cpu::tBMI2, Cpu::tLZCNT, Cpu::tF16C)) return a;
  a.targets |= HWY_AVX2;
  if (onednn::may_use(onednn::Level::avx512_core) &&
      has_all(cpu, Cpu::tAVX512F, Cpu::tAVX512VL, Cpu::tAVX512DQ, Cpu::tAVX512BW, Cpu::tAVX512CD)) {
    a.targets |= HWY_AVX3;
    a.writes_avx512 = true;
  }
  return a;
}

const Allowed& allowed_here() {
  static const Allowed here = allowed();
  return here;
}

}  // namespace

std::int64_t allowed_targets() { return allowed_here().targets & HWY_TARGETS; }
bool may_write_avx2() { return allowed_here().writes_avx2; }
bool may_write_avx512() { return allowed_here().writes_avx512; }

#else

std::int64_t allowed_targets() { return HWY_TARGETS & (HWY_STATIC_TARGET | HWY_EMU128 | HWY_SCALAR); }
bool may_write_avx2() { return false; }
bool may_write_avx512() { return false; }

#endif

hwy::ChosenTarget& chosen_target() {
  static hwy::ChosenTarget chosen;
  static const bool is_set = (chosen.Update(allowed_targets()), true);
  static_cast<void>(is_set);
  return chosen;
}

}  // namespace thalweg
