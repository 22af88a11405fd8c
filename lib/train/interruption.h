// SPDX-License-Identifier: Apache-2.0
// Private: Ctrl-C.
#pragma once

#include <csignal>

namespace thalweg {

/// While one lives, the first SIGINT only sets a flag, and the second ends the process as it would without us. The
/// handler that was there comes back at the end. A process that ignores SIGINT goes on ignoring it.
class Interruption {
 public:
  Interruption();
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  /// Whether SIGINT came.
  bool came() const;
};

}  // namespace thalweg
