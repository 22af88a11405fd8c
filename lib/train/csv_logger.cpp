// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/train/csv_logger.h"

#include <charconv>
#include <limits>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/base/append.h"
#include "thalweg/lib/base/file.h"

namespace thalweg {
namespace {

/// The lines of the file without those at its end that are of later epochs, and without a last line that has no end.
/// Before them may stand the epochs of other trainings.
std::string_view kept_lines(std::string_view text, char separator, int epochs) {
  text = text.substr(0, text.rfind('\n') + 1);
  while (!text.empty()) {
    const std::size_t begin = text.rfind('\n', text.size() - 2) + 1;
    const std::string_view line = text.substr(begin);
    int epoch = 0;
    std::from_chars(line.data(), line.data() + std::min(line.find(separator), line.size()), epoch);
    if (epoch <= epochs) break;
    text = text.substr(0, begin);
  }
  return text;
}

}  // namespace

CSVLogger::CSVLogger(std::string path, CSVLoggerOptions options, SourceLoc loc)
    : path_(std::move(path)), options_(options), loc_(loc) {
  if (path_.empty()) throw RunError("CSVLogger: the path is empty", loc);
  if (std::string_view(",;\t|").find(options.separator) == std::string_view::npos)
    throw RunError(fmt::format("CSVLogger: the separator is '{}', must be a comma, a semicolon, a tab or a bar",
                               shown(std::string_view(&options.separator, 1))), loc);
}

void CSVLogger::on_train_begin(TrainingRun& run) {
  const std::string header = fmt::format("{}\n", fmt::join(run.history().columns, std::string(1, options_.separator)));
  const bool goes_on = options_.append || run.epoch() > 0;
  if (!goes_on || !is_there(path_)) {
    write_file(path_, header);
    return;
  }
  const std::vector<std::byte> bytes = read_file(path_);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.empty() && !text.starts_with(header))
    throw RunError(fmt::format("CSVLogger: {} cannot be appended to: its first line is not '{}'", shown(path_),
                               shown(header.substr(0, header.size() - 1))), loc_);
  const int epochs = run.epoch() > 0 ? run.epoch() : std::numeric_limits<int>::max();
  const std::string_view kept = kept_lines(text, options_.separator, epochs);
  if (kept.size() != text.size() || text.empty()) write_file(path_, kept.empty() ? header : kept);
}

void CSVLogger::on_epoch_end(TrainingRun& run) {
  const std::string line =
      fmt::format("{}\n", fmt::join(run.history().rows.back(), std::string(1, options_.separator)));
  append_file(path_, std::as_bytes(std::span(line)));
}

}  // namespace thalweg
