// SPDX-License-Identifier: Apache-2.0
// The command line: results on standard output, progress and errors on standard error.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <new>

#include "command.h"
#include "thalweg/graph/error.h"

namespace thalweg::tool {
namespace {

constexpr const char* statuses =
    "Exit status: 0 success, 1 what was checked is wrong, 2 wrong usage, 3 bad input, 4 numeric failure "
    "(a loss that is not finite), 130 interrupted.";

/// Files are written under another name and renamed, so that stopping at any moment leaves no half file.
void stop_on_interrupt(int) {
  const char message[] = "\nthalweg: interrupted\n";
  if (write(STDERR_FILENO, message, sizeof message - 1) < 0) _exit(interrupted);
  _exit(interrupted);
}

Status complain(Status status, const std::string& message) {
  std::fflush(stdout);
  fmt::print(stderr, "thalweg: {}\n", message);
  return status;
}

Status run(int argc, char** argv) {
  CLI::App app("Thalweg: automatic differentiation on a static graph, compiled onto oneDNN.", "thalweg");
  app.set_version_flag("--version", "thalweg " THALWEG_VERSION);
  app.require_subcommand(1);
  app.footer(statuses);
  Action action;
  add_train(app, action);
  add_dump(app, action);
  add_check(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    app.exit(success);
    return succeeded;
  } catch (const CLI::ParseError& error) {
    return complain(wrong_usage, fmt::format("{} (see thalweg --help)", error.what()));
  }
  const Status status = action();
  if (std::fflush(stdout) != 0) return complain(bad_input, "cannot write to standard output");
  return status;
}

Status guarded_run(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const Stop& stop) {
    return complain(stop.status(), stop.what());
  } catch (const InternalError& error) {
    return complain(check_failed, fmt::format("internal error: {}", error.what()));
  } catch (const Error& error) {
    return complain(bad_input, error.what());
  } catch (const std::bad_alloc&) {
    return complain(bad_input, "not enough memory");
  } catch (const std::exception& error) {
    return complain(bad_input, error.what());
  }
}

}  // namespace
}  // namespace thalweg::tool

int main(int argc, char** argv) {
  struct sigaction action = {};
  action.sa_handler = thalweg::tool::stop_on_interrupt;
  sigaction(SIGINT, &action, nullptr);
  return thalweg::tool::guarded_run(argc, argv);
}
