// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/base/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

extern char** environ;

namespace thalweg {
namespace {

constexpr std::size_t longest_answer = std::size_t{64} << 20;

/// A connection to a child's standard input and output. A socket, for writing to it can be kept from raising SIGPIPE.
class Ends {
 public:
  Ends() { open_ = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both_.data()) == 0; }
  ~Ends() {
    if (!open_) return;
    close(both_[0]);
    release();
  }
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;
  explicit operator bool() const { return open_; }
  int ours() const { return both_[0]; }
  int its() const { return both_[1]; }
  /// The child has its own copy.
  void release() {
    if (both_[1] >= 0) close(std::exchange(both_[1], -1));
  }

 private:
  std::array<int, 2> both_ = {-1, -1};
  bool open_ = false;
};

pid_t spawned(const std::vector<std::string>& command, const Ends& ends) {
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  if (posix_spawn_file_actions_init(&actions) != 0) return -1;
  posix_spawnattr_init(&attributes);
  // The child must not inherit what the host program ignores or blocks.
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                              POSIX_SPAWN_SETPGROUP));
  posix_spawn_file_actions_adddup2(&actions, ends.its(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends.its(), STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = -1;
  if (posix_spawnp(&child, words[0], &actions, &attributes, words.data(), environ) != 0) child = -1;
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return child;
}

/// Writes the input and reads the answer, whichever can go on; false where time or patience ends.
bool talk(int socket, const std::string& input, std::string& answer, std::chrono::steady_clock::time_point end) {
  std::size_t written = 0;
  bool writing = true;
  std::array<char, 65536> block;
  for (;;) {
    if (writing && written == input.size()) {
      shutdown(socket, SHUT_WR);
      writing = false;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd waited{.fd = socket, .events = static_cast<short>(writing ? POLLIN | POLLOUT : POLLIN), .revents = 0};
    const int ready = poll(&waited, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) return false;
    if (ready <= 0) continue;
    if ((waited.revents & POLLOUT) != 0 && writing) {
      const ssize_t n = send(socket, input.data() + written, input.size() - written, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) written += static_cast<std::size_t>(n);
      // It may answer without having read all.
      else if (n < 0 && errno != EAGAIN && errno != EINTR) written = input.size();
    }
    if ((waited.revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
    const ssize_t n = recv(socket, block.data(), block.size(), MSG_DONTWAIT);
    if (n == 0) return true;
    if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (n > 0) answer.append(block.data(), static_cast<std::size_t>(n));
    if (answer.size() > longest_answer) return false;
  }
}

}  // namespace

std::optional<std::string> answer_of(const std::vector<std::string>& command, const std::string& input,
                                     std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  Ends ends;
  if (!ends || command.empty()) return {};
  const pid_t child = spawned(command, ends);
  if (child < 0) return {};
  ends.release();
  std::string answer;
  const bool whole = talk(ends.ours(), input, answer, end);
  if (!whole) kill(-child, SIGKILL);  // and what it started: it leads a group of its own
  int status = 0;
  pid_t waited;
  do waited = waitpid(child, &status, 0);
  while (waited < 0 && errno == EINTR);
  // A host program that ignores SIGCHLD gets no status; a whole answer then counts.
  const bool fine = waited < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 0);
  return whole && fine ? std::optional(std::move(answer)) : std::nullopt;
}

}  // namespace thalweg
