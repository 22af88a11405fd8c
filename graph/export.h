// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Marks what libthalweg shows to its users; everything else is hidden.
#define THALWEG_API __attribute__((visibility("default")))
