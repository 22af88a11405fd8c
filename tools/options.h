// SPDX-License-Identifier: Apache-2.0
// What several commands ask of their options.
#pragma once

#include <string>

#include "command.h"

namespace thalweg::tool {

/// Checks of options: a finite number above 0; a finite number.
extern const CLI::Validator positive, finite;
/// Makes the folder that --out names, and those above it.
void made_folder(const std::string& name);

}  // namespace thalweg::tool
