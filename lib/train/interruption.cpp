// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/interruption.h"

#include <atomic>
#include <mutex>

namespace thalweg {
namespace {

std::atomic<int> signals{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may touch nothing else");

// Several threads may train at once: the first puts the handler in, the last takes it out.
std::mutex users_mutex;
int users = 0;
struct sigaction before {};
bool replaced = false;

extern "C" void thalweg_on_interrupt(int signal) {
  if (signals.fetch_add(1) == 0) return;
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

Interruption::Interruption() {
  const std::lock_guard lock(users_mutex);
  if (users++ > 0) return;
  signals = 0;
  sigaction(SIGINT, nullptr, &before);
  replaced = before.sa_handler != SIG_IGN;
  if (!replaced) return;
  struct sigaction ours {};
  ours.sa_handler = thalweg_on_interrupt;
  ours.sa_flags = SA_RESTART;
  sigemptyset(&ours.sa_mask);
  sigaction(SIGINT, &ours, nullptr);
}

Interruption::~Interruption() {
  const std::lock_guard lock(users_mutex);
  if (--users == 0 && replaced) sigaction(SIGINT, &before, nullptr);
}

bool Interruption::came() const { return signals.load(std::memory_order_relaxed) > 0; }

}  // namespace thalweg
