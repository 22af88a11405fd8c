// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/dual.h"
#include "thalweg/graph/interpret.h"

namespace thalweg {

/// Evaluates a graph together with its exact derivative along one direction of its inputs and variables.
using DualInterpreter = BasicInterpreter<Dual>;
extern template class THALWEG_API BasicInterpreter<Dual>;

}  // namespace thalweg
