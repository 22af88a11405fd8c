// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/parse.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/base/threads.h"
#include "thalweg/lib/io/graph_text.h"
#include "thalweg/lib/io/strict_json.h"

namespace thalweg {
namespace {

using nlohmann::json;

constexpr int deepest = 5;  // file, "graph", node, "outputs", tensor, "shape"
constexpr std::size_t values_a_line = 4096;

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '/' || c == '-';
  });
}

/// A place in a file: the graph itself, or an element of one of its lists.
struct At {
  const char* list = nullptr;
  std::size_t index = 0;

  std::string text() const {
    if (list == nullptr) return "the graph";
    const std::string_view name = list;
    return fmt::format("{} {}", name == "graph" ? "node" : name.substr(0, name.size() - 1), index);
  }
};

/// Writes the JSON of a graph as its text, whose parser then judges it: one set of rules, and one way to build.
class Converter {
 public:
  Converter(const json& file, std::string_view source, const std::string& path)
      : file_(file), source_(source), path_(path) {}

  Graph run() {
    text_ = "graph " + word(file_, "name", {}) + " {\n";
    const json& nodes = list(file_, "graph", {});
    nodes_ = nodes.size();
    name_values(nodes);
    for (std::size_t i = 0; i < nodes.size(); ++i) add_line({"graph", i}, node_line(nodes[i], {"graph", i}));
    if (file_.contains("outputs")) add_outputs(list(file_, "outputs", {}));
    if (file_.contains("updates")) add_updates(list(file_, "updates", {}));
    text_ += "}\n";
    try {
      return parse(text_, "text");
    } catch (const GraphError& error) {
      retell(error.what());
    }
  }

 private:
  [[noreturn]] void fail(const At& at, std::string_view what) const { fail_text(at, fmt::format(" {}", what)); }
  [[noreturn]] void fail_text(const At& at, std::string_view what) const {
    const std::size_t byte =
        at.list == nullptr ? source_.find('{') : element_in(source_, at.list, at.index);
    throw GraphError(fmt::format("{}:{}: {}{}", shown(path_), line_and_column(source_, byte), at.text(), what));
  }

  const json& member(const json& from, const char* key, const At& at) const {
    if (!from.is_object()) fail(at, "is not an object");
    const auto found = from.find(key);
    if (found == from.end()) fail(at, fmt::format("lacks `{}`", key));
    return *found;
  }
  const json& list(const json& from, const char* key, const At& at) const {
    const json& found = member(from, key, at);
    if (!found.is_array()) fail(at, fmt::format("has a `{}` that is not a list", key));
    return found;
  }
  std::string string_in(const json& from, const char* key, const At& at) const {
    const json& found = member(from, key, at);
    if (!found.is_string()) fail(at, fmt::format("has a `{}` that is not a text", key));
    return found.get<std::string>();
  }
  std::string word(const json& from, const char* key, const At& at) const {
    std::string text = string_in(from, key, at);
    if (!is_word(text))
      fail(at, fmt::format("has `{}` as its `{}`: only letters, digits and _ . / - may stand there", shown(text), key));
    return text;
  }
  std::uint64_t number_in(const json& from, const char* key, const At& at) const {
    const json& found = member(from, key, at);
    if (!found.is_number_unsigned()) fail(at, fmt::format("has a `{}` that is not a whole number from 0 on", key));
    return found.get<std::uint64_t>();
  }

  void add_line(const At& at, const std::string& line) {
    lines_.push_back({newlines_, at});
    newlines_ += 1 + static_cast<std::size_t>(std::count(line.begin(), line.end(), '\n'));
    text_ += line + '\n';
  }

  /// `text:12:5: what` as `net.json:34:3: node 10: what`.
  [[noreturn]] void retell(std::string_view message) const {
    std::size_t line = 0;
    std::from_chars(message.data() + std::min(message.size(), message.find(':') + 1), message.data() + message.size(), line);
    const auto after = std::upper_bound(lines_.begin(), lines_.end(), line,
                                        [](std::size_t n, const Line& l) { return n < l.first; });
    fail_text(after == lines_.begin() ? At{} : (after - 1)->at, message.substr(message.find(": ")));
  }

  /// What the text calls each value; of a node's name only what its first result is called.
  void name_values(const json& nodes) {
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const At at{"graph", i};
      const json& outputs = list(nodes[i], "outputs", at);
      const std::string label = string_in(nodes[i], "name", at);
      if (label.size() < 2 || (label[0] != '%' && label[0] != '@') || !is_word(label.substr(1)))
        fail(at, fmt::format("is called `{}`, and values are called %NAME or @NAME", shown(label)));
      const bool named = outputs.size() == 1 && !(label[1] >= '0' && label[1] <= '9');
      for (const json& output : outputs) {
        const std::uint64_t id = number_in(output, "id", at);
        if (!values_.emplace(id, Made{named ? label : fmt::format("%{}", id), i}).second)
          fail(at, fmt::format("makes value {}, which another makes too", id));
      }
    }
  }

  const std::string& value(const json& from, const char* key, const At& at, std::size_t before) const {
    const std::uint64_t id = number_in(from, key, at);
    const auto found = values_.find(id);
    if (found == values_.end()) fail(at, fmt::format("reads value {}, which no node makes", id));
    if (found->second.node >= before)
      fail(at, fmt::format("reads value {}, which node {} makes later", id, found->second.node));
    return found->second.label;
  }

  std::string node_line(const json& node, const At& at) const {
    const std::size_t index = lines_.size();
    std::string line = "  ";
    const json& outputs = node["outputs"];
    for (const json& output : outputs) {
      if (&output != &outputs.front()) line += ", ";
      line += values_.at(output["id"].get<std::uint64_t>()).label;
    }
    const std::string op = word(node, "op", at);
    line += " = " + op;
    const json& inputs = list(node, "inputs", at);
    for (const json& input : inputs) line += (&input == &inputs.front() ? " " : ", ") + value(input, "id", at, index);
    line += attrs_text(member(node, "attrs", at), find_op(op), at) + " :";
    for (const json& output : outputs) line += (&output == &outputs.front() ? " " : ", ") + type_text(output, at);
    return line + note_text(node, at);
  }

  std::string type_text(const json& output, const At& at) const {
    static const std::unordered_map<std::string, std::string> ours{{"s32", "i32"}, {"s64", "i64"}, {"boolean", "bool"}};
    std::string dtype = word(output, "dtype", at);
    if (dtype == "undef") {  // one that viewers do not know; the type beside it says which
      const std::string type = string_in(output, "type", at);
      dtype = type.substr(0, type.find('['));
      if (!is_word(dtype)) fail(at, fmt::format("has `{}` as its `type`", shown(type)));
    }
    const auto known = ours.find(dtype);
    std::string text = (known == ours.end() ? dtype : known->second) + "[";
    const json& shape = list(output, "shape", at);
    for (const json& size : shape) text += (&size == &shape.front() ? "" : ",") + whole(size, "shape", at);
    return text + "]";
  }

  std::string note_text(const json& node, const At& at) const {
    std::string note;
    if (const std::string line = string_in(node, "line", at); !line.empty()) {
      const std::size_t colon = std::min(line.rfind(':'), line.size());
      const std::string number = line.substr(std::min(colon + 1, line.size()));
      if (number.empty() || !std::all_of(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; }))
        fail(at, fmt::format("has `{}` as its `line`, which is no FILE:LINE", shown(line)));
      note += " " + spelled(line.substr(0, colon)) + ":" + number;
    }
    if (const std::string origin = word(node, "origin", at); origin != to_string(Origin::forward)) note += " " + origin;
    if (!string_in(node, "scope", at).empty()) note += " in " + word(node, "scope", at);
    return note.empty() ? note : "  #" + note;
  }

  std::string attrs_text(const json& attrs, const OpDef* op, const At& at) const {
    if (!attrs.is_object()) fail(at, "has `attrs` that are not an object");
    std::string text;
    for (const auto& [name, attr] : attrs.items()) {
      // For viewers, which show attributes alone; the node says them itself.
      if (name == "origin" || name == "scope" || name == "line") continue;
      if (!is_word(name)) fail(at, fmt::format("has an attribute `{}`", shown(name)));
      const json& value = member(attr, "value", at);
      text += (text.empty() ? " {" : ", ") + name + "=" + attr_text(value, kind_of(op, name, value), name, at);
    }
    return text.empty() ? text : text + "}";
  }

  /// The kind that the op's table gives; where it gives none, one that lets the parser say so.
  static AttrKind kind_of(const OpDef* op, const std::string& name, const json& value) {
    if (op != nullptr)
      for (const AttrSpec& spec : op->attrs)
        if (spec.name == name) return spec.kind;
    return value.is_array() ? AttrKind::reals : value.is_string() ? AttrKind::text : AttrKind::real;
  }

  std::string attr_text(const json& value, AttrKind kind, const std::string& name, const At& at) const {
    switch (kind) {
      case AttrKind::flag: {
        const std::string number = whole(value, name, at);
        if (number != "0" && number != "1") fail(at, fmt::format("has `{}` that is neither 0 nor 1", name));
        return number == "1" ? "true" : "false";
      }
      case AttrKind::integer: return whole(value, name, at);
      case AttrKind::real: return real(value, name, at);
      case AttrKind::text:
        if (!value.is_string()) fail(at, fmt::format("has `{}` that is not a text", name));
        return spelled(value.get_ref<const std::string&>());
      case AttrKind::integers:
        return list_text(value, name, at, [&](const json& x) { return whole(x, name, at); });
      case AttrKind::reals:
        return list_text(value, name, at, [&](const json& x) { return real(x, name, at); });
    }
    return {};
  }

  template <class F>
  std::string list_text(const json& values, const std::string& name, const At& at, F element) const {
    if (!values.is_array()) fail(at, fmt::format("has `{}` that is not a list", name));
    std::string text = "[";
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i > 0) text += i % values_a_line == 0 ? ",\n" : ",";
      text += element(values[i]);
    }
    return text + "]";
  }
  std::string whole(const json& value, std::string_view name, const At& at) const {
    if (!value.is_number_integer()) fail(at, fmt::format("has `{}` that is not a whole number", name));
    return value.is_number_unsigned() ? std::to_string(value.get<std::uint64_t>())
                                      : std::to_string(value.get<std::int64_t>());
  }
  std::string real(const json& value, std::string_view name, const At& at) const {
    if (value.is_number()) return to_string(AttrValue(value.get<double>()));
    // What JSON has no number for.
    if (value.is_string())
      if (const std::string text = value.get<std::string>(); text == "nan" || text == "inf" || text == "-inf") return text;
    fail(at, fmt::format("has `{}` that is not a number", name));
  }

  void add_outputs(const json& outputs) {
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const At at{"outputs", i};
      const std::string name = word(outputs[i], "name", at);
      add_line(at, fmt::format("  output {} = {}", name, value(outputs[i], "value", at, nodes_)));
    }
  }
  void add_updates(const json& updates) {
    for (std::size_t i = 0; i < updates.size(); ++i) {
      const At at{"updates", i};
      const std::string name = word(updates[i], "variable", at);
      add_line(at, fmt::format("  update @{} <- {}", name, value(updates[i], "value", at, nodes_)));
    }
  }

  struct Line {
    std::size_t first;  ///< in the text, from 1
    At at;
  };
  struct Made {
    std::string label;
    std::size_t node;
  };
  const json& file_;
  std::string_view source_;
  const std::string& path_;
  std::string text_;
  std::size_t nodes_ = 0;
  std::vector<Line> lines_;
  std::size_t newlines_ = 2;  ///< the number of the line that comes next
  std::unordered_map<std::uint64_t, Made> values_;
};

bool is_json(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first != text.npos && text[first] == '{';
}

}  // namespace

Graph graph_of(std::string_view text, const std::string& file) {
  const FloatingPointScope floating_point;  // numbers are read the same, however the host rounds
  if (!is_json(text)) return parse(text, file);
  if (text.size() > longest_text)
    throw GraphError(fmt::format("{}: {} bytes; at most {} are read", shown(file), text.size(), longest_text));
  const json parsed = strict_json(text, deepest, "the file", [&](std::size_t at) {
    return fmt::format("{}:{}", shown(file), line_and_column(text, at));
  });
  return Converter(parsed, text, file).run();
}

}  // namespace thalweg
