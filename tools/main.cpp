// SPDX-License-Identifier: Apache-2.0
// The command line: results on standard output, progress and errors on standard error.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <vector>

#include "command.h"
#include "options.h"
#include "thalweg/graph/error.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/interruption.h"

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

/// A closed standard stream leaves its number to the next file that is opened, and progress would go into the weights.
/// It gets /dev/null instead: errors are dropped, while reading input and writing results fail as they did.
void keep_standard_streams() {
  constexpr int access[] = {O_WRONLY, O_RDONLY, O_WRONLY};
  for (int stream = 0; stream < 3; ++stream)
    if (fcntl(stream, F_GETFD) < 0) static_cast<void>(open("/dev/null", access[stream]));  // the lowest free number
}

Status complain(Status status, const std::string& message) {
  std::fflush(stdout);
  // Called where an exception is handled: standard error that cannot be written to must not become another one.
  std::fputs(("thalweg: " + message + "\n").c_str(), stderr);
  return status;
}

/// What was wrong with the words, in those of the command that they lead to.
std::string usage_error(const CLI::App& app, int argc, char** argv, const std::string& otherwise) {
  const CLI::App* command = &app;
  std::string path;
  int k = 1;
  const auto commands = [&] { return command->get_subcommands([](const CLI::App*) { return true; }); };
  const auto chosen = [&](const CLI::App* one) { return one->get_name() == argv[k]; };
  for (; k < argc; ++k) {
    const auto all = commands();
    const auto next = std::find_if(all.begin(), all.end(), chosen);
    if (next == all.end()) break;
    command = *next;
    path += " " + command->get_name();
  }
  const auto see = [&](const std::string& text) { return fmt::format("{} (see thalweg{} --help)", text, path); };
  if (const auto all = commands(); !all.empty()) {
    std::vector<std::string> names;
    for (const CLI::App* one : all) names.push_back(one->get_name());
    if (k >= argc) return see(fmt::format("thalweg{} needs a command: {}", path, fmt::join(names, ", ")));
    const std::string word = std::string(argv[k]).substr(0, 60);
    if (!word.starts_with("-")) return see(fmt::format("there is no command '{}'{}", word, suggestion(word, names)));
  }
  std::vector<std::string> options;
  for (const CLI::Option* option : command->get_options())
    for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
  for (; k < argc; ++k) {
    const std::string word = std::string(argv[k]).substr(0, std::string(argv[k]).find('='));
    if (word == "--") break;
    if (word.starts_with("--") && std::find(options.begin(), options.end(), word) == options.end())
      return see(fmt::format("there is no option '{}'{}", word.substr(0, 60), suggestion(word, options)));
  }
  return see(otherwise);
}

Status run(int argc, char** argv) {
  CLI::App app("Thalweg: automatic differentiation on a static graph, compiled onto oneDNN.", "thalweg");
  app.set_version_flag("--version", "thalweg " THALWEG_VERSION);
  app.require_subcommand(1);
  app.footer(statuses);
  Action action;
  for (const auto add : {add_train, add_models, add_dump, add_html, add_summary, add_memory, add_explain, add_diff,
                         add_passes, add_bisect, add_profile, add_check, add_landscape, add_gallery})
    add(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    app.exit(success);
    return succeeded;
  } catch (const CLI::ParseError& error) {
    return complain(wrong_usage, usage_error(app, argc, argv, error.what()));
  }
  const Status status = action();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
    return complain(bad_input, "cannot write to standard output");
  return status;
}

Status guarded_run(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const Stop& stop) {
    return complain(stop.status(), stop.what());
  } catch (const Interrupted& signal) {
    return complain(interrupted, signal.what());
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

const CLI::Validator finite(
    [](std::string& text) -> std::string {
      double value = 0;
      return CLI::detail::lexical_cast(text, value) && std::isfinite(value) ? "" : text + " is no finite number";
    },
    "NUMBER", "finite");
const CLI::Validator positive(
    [](std::string& text) -> std::string {
      double value = 0;
      const bool right = CLI::detail::lexical_cast(text, value) && std::isfinite(value) && value > 0;
      return right ? "" : text + " is no finite number above 0";
    },
    "NUMBER > 0", "positive");

void made_folder(const std::string& name) {
  std::error_code error;
  std::filesystem::create_directories(name, error);
  if (error || !std::filesystem::is_directory(name))
    throw Stop(bad_input,
               fmt::format("--out {}: cannot make this folder{}", name, error ? ": " + error.message() : ""));
}

bool coloured(Colour asked) {
  if (asked != Colour::automatic) return asked == Colour::always;
  const char* no_colour = std::getenv("NO_COLOR");
  const bool forbidden = no_colour != nullptr && *no_colour != '\0';
  return !forbidden && isatty(STDOUT_FILENO) == 1;
}

void add_colour(CLI::App* command, Colour& colour) {
  const std::map<std::string, Colour> words = {
      {"auto", Colour::automatic}, {"always", Colour::always}, {"never", Colour::never}};
  command->add_option("--color", colour, "auto, always or never; NO_COLOR is heeded")
      ->transform(CLI::CheckedTransformer(words).description(""));
}

std::string painted(std::string_view text, std::string_view code, bool colours) {
  return colours && !code.empty() ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
}

std::string painted_difference(const std::string& text, bool colours) {
  std::string all;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t to = std::min(text.find('\n', from), text.size());
    const std::string line = text.substr(from, to - from);
    const char mark = line.empty() ? ' ' : line[0];
    all += painted(line, mark == '+' ? "32" : mark == '-' ? "31" : mark == '~' ? "33" : "", colours) + "\n";
    from = to + 1;
  }
  return all;
}

}  // namespace thalweg::tool

int main(int argc, char** argv) {
  thalweg::tool::keep_standard_streams();
  struct sigaction action = {};
  action.sa_handler = thalweg::tool::stop_on_interrupt;
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
  return thalweg::tool::guarded_run(argc, argv);
}
