// SPDX-License-Identifier: Apache-2.0
// Private: Ctrl-C, and the TERM that a system sends before it kills.
#pragma once

#include <csignal>

namespace thalweg {

/// While one lives, the first SIGINT or SIGTERM only sets a flag, and the second ends the process as it would without
/// us. The handlers that were there come back at the end. A signal that the process ignores stays ignored.
class Interruption {
 public:
  Interruption();
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  /// Whether a signal came.
  bool came() const;
};

}  // namespace thalweg
