// SPDX-License-Identifier: Apache-2.0
// Private: what training shows on standard error.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "thalweg/graph/type.h"
#include "thalweg/lib/train/history.h"

namespace thalweg {

/// How the stream that gets the progress looks.
struct Screen {
  bool open = true;
  bool terminal = false;
  bool utf8 = false;
  bool colour = false;
  int width = 80;
};
/// Standard error as it is now: NO_COLOR, TERM and the locale's variables are looked at.
Screen screen_of_stderr();

/// One line of a bar: `Epoch 2/5 [=====>....] 120/422 12.3k/s ETA 3s - loss: 0.35`, cut to the screen's width.
std::string bar_line(const Screen& screen, int epoch, int epochs, Dim done, Dim samples, double seconds,
                     std::string_view measures);
/// `Epoch 2/5 - 1.2s - loss: 0.3541 - accuracy: 0.8991`
std::string epoch_line(const History& history, int epochs);
/// `loss: 0.3541 - accuracy: 0.8991`
std::string measures_text(const std::vector<std::string>& names, const std::vector<double>& values);

/// Shows a training run. Nothing that happens to the stream stops the training.
class Progress {
 public:
  /// `verbose` as in FitOptions; throws RunError for another number.
  Progress(int verbose, int epochs, Dim samples);
  /// Whether the screen is due: ten times a second at most.
  bool due();
  void show(int epoch, Dim done, double seconds, const std::vector<std::string>& names,
            const std::vector<double>& values);
  void end_epoch(const History& history);
  /// A line about something that happened.
  void say(std::string_view text);

 private:
  using Clock = std::chrono::steady_clock;
  void write(std::string_view text);
  Screen screen_;
  bool bar_ = false;
  bool silent_ = false;
  bool line_open_ = false;
  int epochs_;
  Dim samples_;
  Clock::time_point shown_;
};

}  // namespace thalweg
