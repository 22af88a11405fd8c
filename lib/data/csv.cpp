// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <deque>
#include <limits>
#include <map>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/bytes.h"
#include "thalweg/lib/base/file.h"
#include "thalweg/lib/base/signals.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/data/csv_text.h"

namespace thalweg {
namespace {

constexpr std::size_t longest_field = std::size_t{1} << 20;
constexpr std::size_t most_columns = std::size_t{1} << 20;

struct Place {
  std::size_t line = 1;
  std::size_t column = 1;  ///< bytes, from 1
};

struct Field {
  std::string_view text;
  Place place;
};

/// The number of a whole field. Nothing else may stand in it.
enum class Numeral { number, word, out_of_range, nonfinite };

Numeral read_number(std::string_view text, double& x) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), x);
  if (error == std::errc::invalid_argument || end != text.data() + text.size()) return Numeral::word;
  if (error == std::errc::result_out_of_range) return Numeral::out_of_range;
  return std::isfinite(x) ? Numeral::number : Numeral::nonfinite;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Cuts a text into records of fields (RFC 4180).
class Scanner {
 public:
  Scanner(std::string_view text, const std::string& source, char separator)
      : text_(text), source_(source), separator_(separator) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
    if (text_.starts_with("\xFF\xFE") || text_.starts_with("\xFE\xFF"))
      fail({}, "the text is UTF-16: save it as UTF-8");
  }

  /// The next record that is not an empty line; false at the end. The fields' texts live until the next call.
  bool next(std::vector<Field>& record) {
    while (at_ < text_.size()) {
      record.clear();
      unquoted_.clear();
      read_record(record);
      if (record.size() > 1 || quoted_ || !trimmed(record.front().text).empty()) return true;
    }
    return false;
  }

  /// What follows the last record, and the line where it begins.
  std::string_view rest() const { return text_.substr(at_); }
  std::size_t line() const { return line_; }

  template <class... A>
  [[noreturn]] void fail(Place place, fmt::format_string<A...> text, A&&... args) const {
    run_error("{}:{}:{}: {}", source_, place.line, place.column, fmt::format(text, std::forward<A>(args)...));
  }

 private:
  Place here() const { return {line_, at_ - line_begin_ + 1}; }
  bool at_end() const { return at_ == text_.size(); }

  void read_record(std::vector<Field>& record) {
    quoted_ = false;
    for (;;) {
      if (record.size() == most_columns) fail(here(), "more than {} columns", most_columns);
      record.push_back(read_field());
      if (at_end()) return;
      if (text_[at_] == separator_) {
        ++at_;
        continue;
      }
      end_line();
      return;
    }
  }

  /// Ends with a line feed, a carriage return before one, or a last one that none follows.
  void end_line() {
    if (text_[at_] == '\r') ++at_;
    if (!at_end()) ++at_;
    ++line_;
    line_begin_ = at_;
  }

  bool ends_field(std::size_t at) const {
    const char c = text_[at];
    if (c == separator_ || c == '\n') return true;
    return c == '\r' && (at + 1 == text_.size() || text_[at + 1] == '\n');
  }

  Field read_field() {
    const Place place = here();
    if (!at_end() && text_[at_] == '"') return read_quoted(place);
    const std::size_t begin = at_;
    for (; !at_end() && !ends_field(at_); ++at_) check_byte(begin);
    return {trimmed(text_.substr(begin, at_ - begin)), place};
  }

  void check_byte(std::size_t field_begin) const {
    const char c = text_[at_];
    if (c == '\0') fail(here(), "a NUL byte: this is no text");
    if (c == '\r') fail(here(), "a carriage return that no line feed follows");
    if (c == '"') fail(here(), "a quote inside a field that did not begin with one");
    if (at_ - field_begin > longest_field) fail(here(), "a field longer than {} bytes", longest_field);
  }

  Field read_quoted(Place place) {
    quoted_ = true;
    std::string& content = unquoted_.emplace_back();
    ++at_;
    for (;; ++at_) {
      if (at_end()) fail(place, "a quoted field that never ends");
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        if (at_end() || text_[at_] != '"') break;
      } else if (c == '\0') {
        fail(here(), "a NUL byte: this is no text");
      } else if (c == '\n') {
        ++line_;
        line_begin_ = at_ + 1;
      }
      if (content.size() > longest_field) fail(place, "a field longer than {} bytes", longest_field);
      content.push_back(c);
    }
    if (!at_end() && !ends_field(at_)) fail(here(), "text after the end of a quoted field");
    return {content, place};
  }

  std::string_view text_;
  const std::string& source_;
  char separator_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  std::size_t line_begin_ = 0;
  bool quoted_ = false;
  std::deque<std::string> unquoted_;
};

struct LabelText {
  std::string text;
  Place place;
};

/// Collects records of numbers with one label column.
class Table {
 public:
  Table(std::string_view text, const std::string& source, const CsvOptions& options)
      : scanner_(text, source, options.separator), source_(source), options_(options) {}

  Dataset read() {
    std::vector<Field> record;
    if (!scanner_.next(record)) run_error("{}: is empty", source_);
    columns_ = record.size();
    if (columns_ < 2) scanner_.fail(record[0].place, "one column, and at least a feature and a label are needed");
    const bool header = options_.header.value_or(std::none_of(record.begin(), record.end(), is_number));
    if (header)
      for (const Field& field : record) names_.emplace_back(field.text);
    label_ = label_column(record[0].place);
    if (!header) add(record);
    while (scanner_.next(record)) {
      check_interrupted("reading", source_);
      if (record.size() != columns_)
        scanner_.fail(record.back().place, "{} fields, and {} has {}", record.size(),
                      header ? "the header" : "the first line", columns_);
      add(record);
    }
    if (labels_.empty()) run_error("{}: a header, and no data after it", source_);
    return finish();
  }

 private:
  static bool is_number(const Field& field) {
    double x = 0;
    return read_number(field.text, x) != Numeral::word;
  }

  std::size_t label_column(Place place) const {
    std::optional<std::size_t> found;
    for (std::size_t c = 0; c < names_.size(); ++c) {
      if (names_[c] != options_.label) continue;
      if (found) scanner_.fail(place, "columns {} and {} are both called {}", *found, c, shown(names_[c]));
      found = c;
    }
    if (found) return *found;
    long long position = 0;
    const std::string& label = options_.label;
    const auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), position);
    if (error != std::errc{} || end != label.data() + label.size())
      run_error("{}: no column is called {}{}{}", source_, shown(label), suggestion(label, names_),
                names_.empty() ? ": the file has no header" : "");
    const auto columns = static_cast<long long>(columns_);
    if (position < -columns || position >= columns)
      run_error("{}: label column {} of a table with {} columns", source_, position, columns_);
    return static_cast<std::size_t>(position < 0 ? position + columns : position);
  }

  void add(const std::vector<Field>& record) {
    for (std::size_t c = 0; c < columns_; ++c) {
      if (c != label_) values_.push_back(number(record[c]));
      else if (!options_.classes) targets_.push_back(number(record[c]));
    }
    const Field& label = record[label_];
    if (label.text.empty()) scanner_.fail(label.place, "the label is missing");
    labels_.push_back({std::string(label.text), label.place});
  }

  float number(const Field& field) const {
    double x = 0;
    if (field.text.empty()) scanner_.fail(field.place, "a number is missing");
    switch (read_number(field.text, x)) {
      case Numeral::word: scanner_.fail(field.place, "`{}` is not a number", shown(field.text));
      case Numeral::out_of_range: scanner_.fail(field.place, "{} is out of a number's range", shown(field.text));
      case Numeral::nonfinite:
        if (!options_.allow_nonfinite)
          scanner_.fail(field.place, "{} is not finite (allow_nonfinite lets it through)", shown(field.text));
        break;
      case Numeral::number:
        if (std::fabs(x) > static_cast<double>(std::numeric_limits<float>::max()))
          scanner_.fail(field.place, "{} is out of the range of f32", shown(field.text));
        break;
    }
    return static_cast<float>(x);
  }

  Dataset finish() {
    Dataset data;
    data.name = source_;
    const auto rows = static_cast<Dim>(labels_.size());
    data.inputs = Tensor(f32(rows, static_cast<Dim>(columns_ - 1)));
    std::copy(values_.begin(), values_.end(), data.inputs.as<float>().begin());
    for (std::size_t c = 0; c < names_.size(); ++c)
      if (c != label_) data.features.push_back(names_[c]);
    if (options_.classes) {
      number_classes(data);
    } else {
      data.labels = Tensor(f32(rows, 1));
      std::copy(targets_.begin(), targets_.end(), data.labels.as<float>().begin());
    }
    return data;
  }

  /// The whole number that a label is, if it is one.
  static std::optional<std::int32_t> whole(const std::string& text) {
    double x = 0;
    if (read_number(text, x) != Numeral::number || x != std::trunc(x) || std::fabs(x) > 1e9) return {};
    return static_cast<std::int32_t>(x);
  }

  void number_classes(Dataset& data) const {
    data.labels = Tensor(i32(static_cast<Dim>(labels_.size())));
    std::span<std::int32_t> numbers = data.labels.as<std::int32_t>();
    const auto other = std::find_if(labels_.begin(), labels_.end(), [](const LabelText& l) { return !whole(l.text); });
    if (!options_.class_names.empty()) {
      data.classes = options_.class_names;
      for (std::size_t i = 0; i < labels_.size(); ++i) numbers[i] = named_class(labels_[i]);
    } else if (other == labels_.end()) {
      std::map<std::int32_t, std::int32_t> seen;
      for (const LabelText& label : labels_) seen[*whole(label.text)] = 0;
      for (auto& [value, index] : seen) {
        index = static_cast<std::int32_t>(data.classes.size());
        data.classes.push_back(std::to_string(value));
      }
      for (std::size_t i = 0; i < labels_.size(); ++i) numbers[i] = seen[*whole(labels_[i].text)];
    } else {
      if (all_numbers()) {
        // Numbers with fractions, or beyond any count of classes, are targets and not classes.
        scanner_.fail(other->place, "label {} is not the whole number of a class (classes = false reads targets)",
                      shown(other->text));
      }
      std::map<std::string, std::int32_t> seen;
      for (const LabelText& label : labels_) seen[label.text] = 0;
      for (auto& [text, index] : seen) {
        index = static_cast<std::int32_t>(data.classes.size());
        data.classes.push_back(text);
      }
      for (std::size_t i = 0; i < labels_.size(); ++i) numbers[i] = seen[labels_[i].text];
    }
  }

  std::int32_t named_class(const LabelText& label) const {
    const auto& names = options_.class_names;
    const auto found = std::find(names.begin(), names.end(), label.text);
    if (found == names.end())
      scanner_.fail(label.place, "`{}` is none of the {} classes{}", shown(label.text), names.size(),
                    suggestion(label.text, names));
    return static_cast<std::int32_t>(found - names.begin());
  }

  bool all_numbers() const {
    double x = 0;
    const auto number = [&](const LabelText& l) { return read_number(l.text, x) != Numeral::word; };
    return std::all_of(labels_.begin(), labels_.end(), number);
  }

  Scanner scanner_;
  const std::string& source_;
  const CsvOptions& options_;
  std::vector<std::string> names_;
  std::size_t columns_ = 0;
  std::size_t label_ = 0;
  std::vector<float> values_;
  std::vector<float> targets_;
  std::vector<LabelText> labels_;
};

/// The whole number that a count in a first line is.
std::int64_t count_in(const Scanner& scanner, const Field& field, std::string_view what) {
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(field.text.data(), field.text.data() + field.text.size(), count);
  if (error != std::errc{} || end != field.text.data() + field.text.size() || count < 1)
    scanner.fail(field.place, "`{}` is not {}", shown(field.text), what);
  return count;
}

}  // namespace

Tensor reshaped(const Tensor& tensor, const Shape& shape) {
  Tensor to(TensorType{tensor.type().dtype, shape});
  if (to.bytes() != tensor.bytes()) run_error("{} cannot have shape {}", to_string(tensor.type()), to_string(shape));
  std::memcpy(to.data(), tensor.data(), to.bytes());
  return to;
}

Dataset csv_text(std::string_view text, const std::string& source, const CsvOptions& options) {
  const FloatingPointScope floating_point;
  if (options.separator == '"' || options.separator == '\n' || options.separator == '\r' || options.separator == '\0')
    throw RunError("a separator of fields is neither a quote, a line's end nor NUL");
  return Table(text, source, options).read();
}

Dataset sklearn_csv_text(std::string_view text, const std::string& source) {
  const FloatingPointScope floating_point;
  Scanner scanner(text, source, ',');
  std::vector<Field> first;
  if (!scanner.next(first)) run_error("{}: is empty", source);
  if (first.size() < 3)
    scanner.fail(first[0].place, "the first line holds the number of rows, of features, and the class names");
  const std::int64_t rows = count_in(scanner, first[0], "the number of rows");
  const std::int64_t features = count_in(scanner, first[1], "the number of features");
  std::vector<std::string> names;
  for (std::size_t i = 2; i < first.size(); ++i) names.emplace_back(first[i].text);

  CsvOptions options{.header = true};
  for (std::size_t k = 0; k < names.size(); ++k) options.class_names.push_back(std::to_string(k));
  // The header names columns, as far as the table's own reader goes: give it as many as there are.
  std::string columns;
  const std::size_t width = static_cast<std::size_t>(std::min<std::int64_t>(features, most_columns));
  for (std::size_t c = 0; c < width; ++c) columns += fmt::format("x{},", c);
  // Empty lines stand for those that the first record took, so that errors name the file's own.
  columns += "label" + std::string(scanner.line() - 1, '\n');
  Dataset data = csv_text(columns.append(scanner.rest()), source, options);
  if (data.size() != rows) run_error("{}: {} rows follow, and the first line says {}", source, data.size(), rows);
  data.classes = std::move(names);
  data.features.clear();
  return data;
}

Dataset csv(const std::string& path, const CsvOptions& options) {
  return within_memory(path, [&] {
    const std::vector<std::byte> bytes = read_maybe_gzip(path);
    return csv_text(text_of(bytes), path, options);
  });
}

Dataset sklearn_csv(const std::string& path) {
  return within_memory(path, [&] {
    const std::vector<std::byte> bytes = read_maybe_gzip(path);
    return sklearn_csv_text(text_of(bytes), path);
  });
}

}  // namespace thalweg
