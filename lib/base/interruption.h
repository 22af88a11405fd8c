// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "thalweg/graph/error.h"
#include "thalweg/graph/export.h"

namespace thalweg {

/// SIGINT or SIGTERM came while an Interruption lives: what was read or computed is given up.
class THALWEG_API Interrupted : public RunError {
 public:
  using RunError::RunError;
};

/// Ctrl-C, and the TERM that a system sends before it kills, for a whole program and not for fit() alone. While one
/// lives, the first SIGINT or SIGTERM only sets a flag: fit() and pretrain() end after their step with `interrupted`,
/// readers of files, evaluate() and predict() throw Interrupted, and what is being written is written to its end. The
/// second signal does what it would without us: by default it ends the process. The handlers that were there come back
/// at the end, and get a first signal of which nobody was told, neither by came(), Interrupted nor `interrupted`: also
/// where another exception ends what was being done, unless the signal would end the process before anybody can read it.
/// A signal that the process ignores stays ignored.
///
///     Interruption interruption;
///     TrainTest data = mnist("data");
class THALWEG_API Interruption {
 public:
  Interruption();
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  /// Whether a signal came.
  bool came() const;
};

}  // namespace thalweg
