// SPDX-License-Identifier: Apache-2.0
// Private: how calls that take long hear of SIGINT and SIGTERM.
#pragma once

#include <string_view>

namespace thalweg {

/// While one lives, the first SIGINT or SIGTERM only sets a flag, as for an Interruption; but nothing that this thread
/// calls throws Interrupted: who holds the signals looks at came(), and ends as it sees fit.
class HeldSignals {
 public:
  HeldSignals();
  ~HeldSignals();
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  /// Whether a signal came.
  bool came() const;
  /// To be called by who is about to tell the caller that one came. Of which nobody is told, for what was being done
  /// failed otherwise, goes to the handlers that were there.
  void told_of() const;
};

/// For loops that take long, each time around: throws Interrupted if a signal came while an Interruption lives, unless
/// this thread holds the signals. `doing` completes "interrupted by a signal while …". Cheap.
void check_interrupted(std::string_view doing, std::string_view path = {});

}  // namespace thalweg
