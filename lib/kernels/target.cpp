// SPDX-License-Identifier: Apache-2.0
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
  bool writes_avx2 = false;
};

/// What Highway's targets need (its detect_targets.h says of each), from the least on: none without those before it.
Allowed allowed() {
  const Cpu cpu;
  Allowed a;
  if (!has_all(cpu, Cpu::tSSSE3)) return a;
  a.targets |= HWY_SSSE3;
  if (!has_all(cpu, Cpu::tSSE41, Cpu::tSSE42, Cpu::tPCLMULQDQ, Cpu::tAESNI)) return a;
  a.targets |= HWY_SSE4;
  if (!onednn::may_use(onednn::Level::avx2) ||
      !has_all(cpu, Cpu::tAVX, Cpu::tAVX2, Cpu::tFMA, Cpu::tBMI1, Cpu::tBMI2, Cpu::tLZCNT, Cpu::tF16C))
    return a;
  a.targets |= HWY_AVX2;
  a.writes_avx2 = true;
  if (!onednn::may_use(onednn::Level::avx512_core) ||
      !has_all(cpu, Cpu::tAVX512F, Cpu::tAVX512VL, Cpu::tAVX512DQ, Cpu::tAVX512BW, Cpu::tAVX512CD))
    return a;
  a.targets |= HWY_AVX3;
  if (onednn::may_use(onednn::Level::avx512_core_vnni) &&
      has_all(cpu, Cpu::tAVX512_VNNI, Cpu::tVPCLMULQDQ, Cpu::tAVX512_VBMI, Cpu::tAVX512_VBMI2, Cpu::tVAES,
              Cpu::tAVX512_VPOPCNTDQ, Cpu::tAVX512_BITALG))
    a.targets |= HWY_AVX3_DL;
  return a;
}

const Allowed& allowed_here() {
  static const Allowed here = allowed();
  return here;
}

}  // namespace

std::int64_t allowed_targets() { return allowed_here().targets & HWY_TARGETS; }
bool may_write_avx2() { return allowed_here().writes_avx2; }

#else

std::int64_t allowed_targets() { return HWY_TARGETS & (HWY_STATIC_TARGET | HWY_EMU128 | HWY_SCALAR); }
bool may_write_avx2() { return false; }

#endif

hwy::ChosenTarget& chosen_target() {
  static hwy::ChosenTarget chosen;
  static const bool is_set = (chosen.Update(allowed_targets()), true);
  static_cast<void>(is_set);
  return chosen;
}

}  // namespace thalweg
