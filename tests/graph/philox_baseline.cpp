// SPDX-License-Identifier: Apache-2.0
// The same functions without their variants for AVX2, in a namespace of their own.
#define THALWEG_ALSO_AVX2 0
#define thalweg thalweg_baseline
#include "../../graph/philox.cpp"
