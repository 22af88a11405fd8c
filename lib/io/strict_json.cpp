// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/io/strict_json.h"

#include <set>
#include <vector>

#include "thalweg/graph/fail.h"

namespace thalweg {

using nlohmann::json;

namespace {

/// Refuses keys that come twice and nesting that the format does not have, while the JSON is being parsed.
class Watch {
 public:
  Watch(int most_depth, const std::string& path, std::string_view what)
      : most_depth_(most_depth), path_(path), what_(what) {}

  bool operator()(int depth, json::parse_event_t event, const json& parsed) {
    if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start) {
      if (depth > most_depth_) run_error("{}: {} is nested deeper than the format is", path_, what_);
      if (event == json::parse_event_t::object_start) keys_.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      keys_.pop_back();
    } else if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second) run_error("{}: {} holds `{}` twice", path_, what_, shown(key));
    }
    return true;
  }

 private:
  int most_depth_;
  const std::string& path_;
  std::string_view what_;
  std::vector<std::set<std::string>> keys_;
};

}  // namespace

json strict_json(std::string_view text, int most_depth, const std::string& path, std::string_view what) {
  Watch watch(most_depth, path, what);
  try {
    return json::parse(text.begin(), text.end(), [&](int depth, json::parse_event_t event, json& parsed) {
      return watch(depth, event, parsed);
    });
  } catch (const json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: …"
    const std::string_view message = error.what();
    const std::size_t close = message.find("] ");
    run_error("{}: {} is not JSON: {}", path, what,
              shown(close == message.npos ? message : message.substr(close + 2)));
  }
}

}  // namespace thalweg
