// SPDX-License-Identifier: Apache-2.0
// The same functions without their variants for wider vectors, in a namespace of their own.
#define THALWEG_ALSO_WIDER 0
#define thalweg thalweg_baseline
#include "../../graph/philox.cpp"
