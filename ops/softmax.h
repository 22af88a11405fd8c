// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/graph.h"

namespace thalweg {

/// exp(x) / sum(exp(x)) along one axis, computed from x - max(x): no logit overflows. Float.
THALWEG_API Value softmax(Operand x, Dim axis = -1);
/// log(softmax(x)) along one axis, as x - max(x) - log(sum(exp(x - max(x)))): finite wherever x is. Float.
THALWEG_API Value log_softmax(Operand x, Dim axis = -1);

}  // namespace thalweg
