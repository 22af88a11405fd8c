// SPDX-License-Identifier: Apache-2.0
// Private: which oneDNN computes.
#pragma once

#include <string>

namespace thalweg::onednn {

/// `2.6.3`: of the library that runs, not of the one that was compiled against.
std::string version();
/// The best instruction set that it uses here, as oneDNN numbers them: `0x4f`.
std::string instruction_set();

/// Instruction sets that oneDNN is built around, in which each has those before it.
enum class Level { avx2, avx512_core, avx512_core_bf16 };
/// Whether oneDNN uses it here: the processor has it, and ONEDNN_MAX_CPU_ISA does not forbid it.
bool may_use(Level level);

}  // namespace thalweg::onednn
