// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/interruption.h"

#include <array>
#include <atomic>
#include <csignal>
#include <mutex>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/signals.h"

namespace thalweg {
namespace {

std::atomic<int> signals{0};
/// The first of them, and whether anybody who can end what it does knows of it.
std::atomic<int> first_signal{0};
std::atomic<bool> told{false};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may touch nothing else");
/// How many Interruptions live: only they ask for exceptions.
std::atomic<int> asking{0};
/// How often this thread holds the signals.
thread_local int held = 0;

/// A signal, and what happened at it before.
struct Handled {
  int signal;
  struct sigaction before {};
  bool replaced = false;
};
// Several threads may train at once: the first puts the handlers in, the last takes them out.
std::mutex users_mutex;
int users = 0;
std::array<Handled, 2> handled{{{.signal = SIGINT}, {.signal = SIGTERM}}};

extern "C" void thalweg_on_interrupt(int signal) {
  if (signals.fetch_add(1) == 0) {
    first_signal = signal;
    return;
  }
  for (const Handled& h : handled)
    if (h.signal == signal) sigaction(signal, &h.before, nullptr);
  std::raise(signal);
}

void begin_use() {
  const std::lock_guard lock(users_mutex);
  if (users++ > 0) return;
  signals = 0;
  told = false;
  for (Handled& h : handled) {
    sigaction(h.signal, nullptr, &h.before);
    h.replaced = h.before.sa_handler != SIG_IGN;
    if (!h.replaced) continue;
    struct sigaction ours {};
    ours.sa_handler = thalweg_on_interrupt;
    ours.sa_flags = SA_RESTART;
    sigemptyset(&ours.sa_mask);
    sigaction(h.signal, &ours, nullptr);
  }
}

void end_use() {
  const std::lock_guard lock(users_mutex);
  if (--users > 0) return;
  for (const Handled& h : handled)
    if (h.replaced) sigaction(h.signal, &h.before, nullptr);
  // Nobody has ended anything for it: it must not be lost.
  if (signals > 0 && !told) std::raise(first_signal);
}

bool signal_came() { return signals.load(std::memory_order_relaxed) > 0; }
bool tell() {
  if (!signal_came()) return false;
  told = true;
  return true;
}

}  // namespace

Interruption::Interruption() {
  begin_use();
  ++asking;
}
Interruption::~Interruption() {
  --asking;
  end_use();
}
bool Interruption::came() const { return tell(); }

HeldSignals::HeldSignals() {
  begin_use();
  ++held;
}
HeldSignals::~HeldSignals() {
  --held;
  end_use();
}
bool HeldSignals::came() const { return tell(); }

void check_interrupted(std::string_view doing, std::string_view path) {
  if (asking.load(std::memory_order_relaxed) == 0 || held > 0 || !tell()) return;
  throw Interrupted(fmt::format("interrupted by a signal while {}{}{}", doing, path.empty() ? "" : " ", shown(path)));
}

}  // namespace thalweg
