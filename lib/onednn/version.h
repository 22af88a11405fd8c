// SPDX-License-Identifier: Apache-2.0
// Private: which oneDNN computes.
#pragma once

#include <string>

namespace thalweg::onednn {

/// `2.6.3`: of the library that runs, not of the one that was compiled against.
std::string version();
/// The best instruction set that it uses here, as oneDNN numbers them: `0x4f`.
std::string instruction_set();

}  // namespace thalweg::onednn
