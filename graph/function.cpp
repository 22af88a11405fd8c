// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/function.h"

#include "thalweg/graph/error.h"

namespace thalweg::detail {

void throw_empty_function() { throw RunError("a function that holds nothing was called"); }

}  // namespace thalweg::detail
