// SPDX-License-Identifier: Apache-2.0
// The training of worker.cpp in a process of its own.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../data/files.h"

namespace thalweg::testing {

class Worker {
 public:
  /// Starts `WRAPPER… trust_worker WORDS…`, with more variables in its environment (`A=1`).
  explicit Worker(std::vector<std::string> words, std::vector<std::string> environment = {},
                  const std::vector<std::string>& wrapper = {})
      : program_(std::getenv("THALWEG_TRUST_WORKER") == nullptr ? "" : std::getenv("THALWEG_TRUST_WORKER")) {
    words.insert(words.begin(), program_);
    words.insert(words.begin(), wrapper.begin(), wrapper.end());
    std::vector<char*> arguments, variables;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    for (std::string& variable : environment) variables.push_back(variable.data());  // the first of a name counts
    for (char** variable = environ; *variable != nullptr; ++variable) variables.push_back(*variable);
    variables.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 2, output_.file("errors").c_str(), O_WRONLY | O_CREAT, 0600);
    const int error = posix_spawnp(&id_, words[0].c_str(), &files, nullptr, arguments.data(), variables.data());
    posix_spawn_file_actions_destroy(&files);
    if (error != 0) throw std::runtime_error("cannot start '" + program_ + "': run this test by meson");
  }
  ~Worker() {
    if (done_) return;
    ::kill(id_, SIGKILL);
    wait();
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  pid_t id() const { return id_; }
  void kill(int signal) { ::kill(id_, signal); }
  /// Waits for the end: its status, or minus the signal that ended it.
  int wait() {
    if (!done_) note(waitpid(id_, &status_, 0));
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_);
  }
  /// Whether it ended within that time.
  bool wait_for(std::chrono::microseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (!done_) {
      note(waitpid(id_, &status_, WNOHANG));
      if (done_ || std::chrono::steady_clock::now() >= end) break;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return done_;
  }
  /// What it said of errors.
  std::string text() const { return content_of(output_.file("errors")); }

 private:
  void note(pid_t waited) { done_ = done_ || waited == id_; }
  std::string program_;
  Folder output_;
  pid_t id_ = 0;
  int status_ = 0;
  bool done_ = false;
};

}  // namespace thalweg::testing
