// SPDX-License-Identifier: Apache-2.0
// What the sub-commands of `thalweg` have in common.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace thalweg::tool {

/// The exit statuses, as --help states them.
enum Status : int {
  succeeded = 0,
  check_failed = 1,
  wrong_usage = 2,
  bad_input = 3,
  numeric_failure = 4,
  interrupted = 130,
};

/// Thrown where a command ends early: one line for standard error, and the status.
class Stop : public std::runtime_error {
 public:
  Stop(Status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  Status status() const { return status_; }

 private:
  Status status_;
};

/// What runs after the command line has been read.
using Action = std::function<Status()>;

// Each adds its sub-command to the command line and, when chosen, sets `action`.
void add_train(CLI::App& app, Action& action);
void add_models(CLI::App& app, Action& action);
void add_dump(CLI::App& app, Action& action);
void add_html(CLI::App& app, Action& action);
void add_summary(CLI::App& app, Action& action);
void add_memory(CLI::App& app, Action& action);
void add_explain(CLI::App& app, Action& action);
void add_diff(CLI::App& app, Action& action);
void add_passes(CLI::App& app, Action& action);
void add_bisect(CLI::App& app, Action& action);
void add_profile(CLI::App& app, Action& action);
void add_check(CLI::App& app, Action& action);
void add_landscape(CLI::App& app, Action& action);
void add_gallery(CLI::App& app, Action& action);

/// When colours are written.
enum class Colour { automatic, always, never };
/// --color, for the commands that have it: whether standard output gets colours. NO_COLOR forbids, --color overrules.
bool coloured(Colour asked);
void add_colour(CLI::App* command, Colour& colour);
/// The text in a colour of the terminal: "31" red, "32" green, "33" yellow.
std::string painted(std::string_view text, std::string_view code, bool colours);
/// The lines of a difference: `- ` in red, `+ ` in green, `~ ` in yellow.
std::string painted_difference(const std::string& text, bool colours);

}  // namespace thalweg::tool
