// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thalweg/graph/attrs.h"

namespace thalweg {

/// How a variable gets its first value. Printed in the text form, so that a text alone can train.
struct Init {
  std::vector<Attr> attrs;  ///< those of the op `variable` that describe it
};

}  // namespace thalweg
