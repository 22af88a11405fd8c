// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/progress.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <ctime>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/train/fit.h"

namespace thalweg {
namespace {

constexpr auto interval = std::chrono::milliseconds(100);

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : value;
}

bool utf8_locale() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"})
    if (const std::string_view value = environment(name); !value.empty())
      return value.find("UTF-8") != value.npos || value.find("utf8") != value.npos || value.find("UTF8") != value.npos;
  return false;
}

/// Writes to a stream that may be a pipe without a reader: that must not end the process.
void write_quietly(int fd, std::string_view text) {
  sigset_t pipe_only, before, pending;
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  sigpending(&pending);
  const bool was_pending = sigismember(&pending, SIGPIPE) == 1;
  pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  if (!was_pending) {
    const timespec now{};
    while (sigtimedwait(&pipe_only, nullptr, &now) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

std::string short_number(double x) {
  if (x >= 1e6) return fmt::format("{:.1f}M", x / 1e6);
  if (x >= 1e3) return fmt::format("{:.1f}k", x / 1e3);
  return fmt::format("{:.0f}", x);
}

std::string duration(double seconds) {
  if (seconds < 60) return fmt::format("{:.0f}s", seconds);
  const auto whole = static_cast<long long>(std::min(seconds, 1e9));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string bar_of(const Screen& screen, double share, int cells) {
  const int full = std::clamp(static_cast<int>(share * cells), 0, cells);
  std::string bar;
  if (!screen.utf8) {
    for (int i = 0; i < cells; ++i) bar += i < full ? '=' : i == full ? '>' : '.';
    return "[" + bar + "]";
  }
  if (screen.colour) bar += "\x1b[32m";
  for (int i = 0; i < full; ++i) bar += "━";
  if (screen.colour) bar += "\x1b[90m";
  for (int i = full; i < cells; ++i) bar += screen.colour ? "━" : "─";
  if (screen.colour) bar += "\x1b[0m";
  return bar;
}

}  // namespace

Screen screen_of_stderr() {
  Screen screen;
  screen.open = ::fcntl(STDERR_FILENO, F_GETFD) != -1;
  screen.terminal = screen.open && ::isatty(STDERR_FILENO) == 1 && environment("TERM") != "dumb";
  screen.utf8 = utf8_locale();
  screen.colour = screen.terminal && environment("NO_COLOR").empty();
  winsize size{};
  if (screen.terminal && ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) screen.width = size.ws_col;
  return screen;
}

std::string measures_text(const std::vector<std::string>& names, const std::vector<double>& values) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const double size = std::fabs(values[i]);
    text += i == 0 ? "" : " - ";
    text += size != 0 && (size < 1e-3 || size >= 1e6) ? fmt::format("{}: {:.4e}", names[i], values[i])
                                                      : fmt::format("{}: {:.4f}", names[i], values[i]);
  }
  return text;
}

std::string bar_line(const Screen& screen, int epoch, int epochs, Dim done, Dim samples, double seconds,
                     std::string_view measures) {
  constexpr int widest_bar = 30, narrowest_bar = 5;
  const double share = static_cast<double>(done) / static_cast<double>(samples);
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  const std::string before = fmt::format("Epoch {}/{} ", epoch, epochs);
  std::string after = fmt::format(" {}/{}", done, samples);
  if (rate > 0)
    after += fmt::format(" {}/s ETA {}", short_number(rate), duration(static_cast<double>(samples - done) / rate));
  if (!measures.empty()) after += fmt::format(" - {}", measures);
  // The last column stays free: many terminals break the line once it is filled.
  const int room = screen.width - 1;
  const int text_width = static_cast<int>(before.size() + after.size());
  const int frame = screen.utf8 ? 0 : 2;
  const int cells = std::min(widest_bar, std::max(narrowest_bar, room - text_width - frame));
  const int left = room - static_cast<int>(before.size()) - cells - frame;
  if (left < 0) return fmt::format("{}{}", before, after).substr(0, static_cast<std::size_t>(std::max(room, 0)));
  return before + bar_of(screen, share, cells) + after.substr(0, static_cast<std::size_t>(left));
}

std::string epoch_line(const History& history, int epochs) {
  std::vector<std::string> names;
  std::vector<double> values;
  for (std::size_t i = 0; i < history.columns.size(); ++i) {
    if (history.columns[i] == "epoch" || history.columns[i] == "seconds") continue;
    names.push_back(history.columns[i]);
    values.push_back(history.rows.back()[i]);
  }
  return fmt::format("Epoch {}/{} - {:.1f}s - {}", history.last("epoch"), epochs, history.last("seconds"),
                     measures_text(names, values));
}

Progress::Progress(int verbose, int epochs, Dim samples)
    : screen_(screen_of_stderr()), epochs_(epochs), samples_(samples), shown_(Clock::now()) {
  if (verbose < verbose_automatic || verbose > verbose_lines)
    run_error("verbose is {}, must be -1 (by itself), 0 (silent), 1 (a bar) or 2 (a line an epoch)", verbose);
  silent_ = verbose == verbose_silent || !screen_.open;
  bar_ = !silent_ && verbose != verbose_lines && screen_.terminal;
}

bool Progress::due() {
  if (!bar_) return false;
  const Clock::time_point now = Clock::now();
  if (now - shown_ < interval) return false;
  shown_ = now;
  return true;
}

void Progress::show(int epoch, Dim done, double seconds, const std::vector<std::string>& names,
                    const std::vector<double>& values) {
  screen_.width = screen_of_stderr().width;  // the window may have changed
  write("\r" + bar_line(screen_, epoch, epochs_, done, samples_, seconds, measures_text(names, values)) + "\x1b[K");
  line_open_ = true;
}

void Progress::end_epoch(const History& history) { say(epoch_line(history, epochs_)); }

void Progress::say(std::string_view text) {
  if (silent_) return;
  write(fmt::format("{}{}\n", line_open_ ? "\r\x1b[K" : "", text));
  line_open_ = false;
}

void Progress::write(std::string_view text) { write_quietly(STDERR_FILENO, text); }

}  // namespace thalweg
