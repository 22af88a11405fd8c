// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/io/strict_json.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <vector>

#include "thalweg/graph/fail.h"

namespace thalweg {

using nlohmann::json;

namespace {

/// Iterates over a text and leaves where it is for others to see.
class Reader {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Reader(const char* at, const char*& seen) : at_(at), seen_(&seen) {}
  reference operator*() const { return *at_; }
  Reader& operator++() {
    *seen_ = at_++;
    return *this;
  }
  Reader operator++(int) {
    const Reader before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Reader& other) const { return at_ == other.at_; }
  bool operator!=(const Reader& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** seen_;
};

/// Refuses keys that come twice and nesting that the format does not have, while the JSON is being parsed.
class Watch {
 public:
  explicit Watch(int most_depth) : most_depth_(most_depth) {}

  /// What is wrong; empty if nothing is.
  std::string operator()(int depth, json::parse_event_t event, const json& parsed) {
    if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start) {
      if (depth > most_depth_) return "is nested deeper than the format is";
      if (event == json::parse_event_t::object_start) keys_.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      keys_.pop_back();
    } else if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second) return fmt::format("holds `{}` twice", shown(key));
    }
    return "";
  }

 private:
  int most_depth_;
  std::vector<std::set<std::string>> keys_;
};

/// "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error …" from "syntax error" on; "number
/// overflow …" follows the first bracket at once.
std::string_view told_by(std::string_view message) {
  for (const std::string_view before : {"] ", ": "})
    if (const auto at = message.find(before); at != message.npos) message.remove_prefix(at + before.size());
  return message;
}

/// The quote that ends the string that begins at `at`.
std::size_t end_of_string(std::string_view text, std::size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at)
    if (text[at] == '\\') ++at;
  return at;
}

}  // namespace

json strict_json(std::string_view text, int most_depth, std::string_view what,
                 const std::function<std::string(std::size_t)>& place) {
  const char* seen = text.data();
  const auto fail = [&](std::string_view why) {
    run_error("{}: {} {}", place(static_cast<std::size_t>(seen - text.data())), what, why);
  };
  Watch watch(most_depth);
  try {
    return json::parse(Reader(text.data(), seen), Reader(text.data() + text.size(), seen),
                       [&](int depth, json::parse_event_t event, json& parsed) {
                         if (const std::string wrong = watch(depth, event, parsed); !wrong.empty()) fail(wrong);
                         return true;
                       });
  } catch (const json::exception& error) {
    fail(fmt::format("is not JSON: {}", shown(told_by(error.what()))));
  }
  return {};
}

std::string line_and_column(std::string_view text, std::size_t byte) {
  const std::string_view before = text.substr(0, byte);
  const auto lines = std::count(before.begin(), before.end(), '\n');
  const std::size_t newline = before.rfind('\n');
  return fmt::format("{}:{}", lines + 1, newline == before.npos ? byte + 1 : byte - newline);
}

std::size_t element_in(std::string_view text, std::string_view key, std::size_t index) {
  int depth = 0;
  std::size_t passed = 0;
  bool in_list = false, begins = false;
  std::string_view last;  // string of the outermost object: before a list, its key
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
    if (begins && passed == index && c != ']') return i;
    begins = false;
    if (c == '"') {
      const std::size_t end = end_of_string(text, i);
      if (depth == 1) last = text.substr(i + 1, end - i - 1);
      i = end;
    } else if (c == '{' || c == '[') {
      if (++depth == 2) in_list = begins = c == '[' && last == key;
    } else if (c == '}' || c == ']') {
      if (--depth == 1) in_list = false;
    } else if (c == ',' && in_list && depth == 2) {
      ++passed;
      begins = true;
    }
  }
  return 0;
}

}  // namespace thalweg
