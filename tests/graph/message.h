// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "thalweg/graph/error.h"

namespace thalweg::testing {

/// The whole message of what `act` throws.
inline std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace thalweg::testing
