// SPDX-License-Identifier: Apache-2.0
// The one header that a program includes.
#pragma once

#include "thalweg/graph/attrs.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/error.h"
#include "thalweg/graph/graph.h"
#include "thalweg/graph/interpret.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/type.h"
#include "thalweg/lib/base/tensor.h"
#include "thalweg/lib/compile/program.h"
#include "thalweg/ops/init.h"
#include "thalweg/ops/pointwise.h"
