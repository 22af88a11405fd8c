// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/interruption.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <exception>
#include <mutex>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/signals.h"

namespace thalweg {
namespace {

/// The first signal that came; 0: none.
std::atomic<int> first_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may touch nothing else");
/// Whether whoever called us was told of it.
std::atomic<bool> told{false};
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
  int none = 0;
  if (first_signal.compare_exchange_strong(none, signal)) return;
  for (const Handled& h : handled)
    if (h.signal == signal) sigaction(signal, &h.before, nullptr);
  std::raise(signal);
}

void begin_use() {
  const std::lock_guard lock(users_mutex);
  if (users++ > 0) return;
  first_signal = 0;
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

/// Puts back the handler that was there, unless somebody has set another one since.
void put_back(const Handled& h) {
  struct sigaction now {};
  sigaction(h.signal, nullptr, &now);
  if (h.replaced && now.sa_handler == thalweg_on_interrupt) sigaction(h.signal, &h.before, nullptr);
}

/// To this thread, so that it is handled before anything else is done; to the process where this thread blocks it. Not
/// where it would end the process with an exception on its way: what that says would be lost with it.
void send(int signal) {
  struct sigaction now {};
  sigaction(signal, nullptr, &now);
  if (std::uncaught_exceptions() > 0 && now.sa_handler == SIG_DFL) return;
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  if (sigismember(&blocked, signal) == 1) ::kill(::getpid(), signal);
  else std::raise(signal);
}

void end_use() {
  int lost = 0;
  {
    const std::lock_guard lock(users_mutex);
    if (--users > 0) return;
    std::for_each(handled.begin(), handled.end(), put_back);
    if (!told) lost = first_signal;
  }
  if (lost != 0) send(lost);
}

bool signal_came() { return first_signal.load(std::memory_order_relaxed) != 0; }

}  // namespace

Interruption::Interruption() {
  begin_use();
  ++asking;
}
Interruption::~Interruption() {
  --asking;
  end_use();
}
bool Interruption::came() const {
  if (signal_came()) told = true;
  return signal_came();
}

HeldSignals::HeldSignals() {
  begin_use();
  ++held;
}
HeldSignals::~HeldSignals() {
  --held;
  end_use();
}
bool HeldSignals::came() const { return signal_came(); }
void HeldSignals::told_of() const {
  if (signal_came()) told = true;
}

void check_interrupted(std::string_view doing, std::string_view path) {
  if (asking.load(std::memory_order_relaxed) == 0 || held > 0 || !signal_came()) return;
  told = true;
  throw Interrupted(fmt::format("interrupted by a signal while {}{}{}", doing, path.empty() ? "" : " ", shown(path)));
}

}  // namespace thalweg
