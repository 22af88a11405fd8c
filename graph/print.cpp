// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/print.h"

#include <algorithm>
#include <vector>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"

namespace thalweg {
namespace {

// Longer cells stand out of their column instead of widening it: one long list must not pad 100,000 lines.
constexpr std::size_t widest_name = 24, widest_call = 64, widest_type = 40;
// A list goes on in a new line after so many values, so that no line comes near the parser's limit.
constexpr std::size_t values_a_line = 4096;

struct Line {
  std::string names, call, types, note;
};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

bool is_plain(std::string_view text) {
  return !text.empty() && is_letter(text.front()) && std::all_of(text.begin(), text.end(), [](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '/' || c == '-';
  });
}

template <class T>
std::string list_text(const std::vector<T>& values) {
  std::string text = "[";
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) text += ',';
    if (i > 0 && i % values_a_line == 0) text += "\n      ";
    text += to_string(AttrValue(values[i]));
  }
  return text + "]";
}

std::string value_text(const AttrValue& value) {
  switch (value.kind()) {
    case AttrKind::text: return spelled(value.text());
    case AttrKind::integers: return list_text(value.integers());
    case AttrKind::reals: return list_text(value.reals());
    default: return to_string(value);
  }
}

std::string note_text(const Node& node) {
  std::string text;
  if (node.loc.known()) {
    const std::string at = to_string(node.loc);
    const auto colon = at.rfind(':');
    text += " " + spelled(std::string_view(at).substr(0, colon)) + at.substr(colon);
  }
  if (node.origin != Origin::forward) text += fmt::format(" {}", to_string(node.origin));
  if (!node.scope.empty()) text += " in " + node.scope;
  return text.empty() ? text : "#" + text;
}

Line line_of(const Graph& graph, NodeId id, const Labels& labels) {
  const Node& node = graph.node(id);
  Line line;
  for (std::uint32_t i = 0; i < node.types.size(); ++i) {
    line.names += (i > 0 ? ", " : "") + labels({id, i});
    line.types += (i > 0 ? ", " : "") + to_string(node.types[i]);
  }
  line.call = node.op->name;
  bool first = true;
  for (const ValueId operand : graph.operands(id)) {
    line.call += (first ? " " : ", ") + labels(operand);
    first = false;
  }
  line.call += attributes_text(node);
  line.note = note_text(node);
  return line;
}

void widen(std::size_t& width, const std::string& cell, std::size_t widest) {
  if (cell.size() <= widest) width = std::max(width, cell.size());
}

void append(std::string& text, const std::string& cell, std::size_t width) {
  text += cell;
  if (cell.size() < width) text.append(width - cell.size(), ' ');
}

}  // namespace

std::string attributes_text(const Node& node) {
  std::string text;
  for (const Attr& attr : node.attrs) {
    const AttrSpec* spec = std::find_if(node.op->attrs.begin(), node.op->attrs.end(),
                                        [&](const AttrSpec& s) { return s.name == attr.name; });
    if (spec != node.op->attrs.end() && !spec->required &&
        Attrs({attr}) == Attrs({Attr(attr.name, fallback_of(*spec))}))
      continue;
    text += fmt::format("{}{}={}", text.empty() ? " {" : ", ", attr.name, value_text(attr.value));
  }
  return text.empty() ? text : text + "}";
}

std::string spelled(std::string_view text) {
  if (is_plain(text)) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += {'\\', c};
    else if (c == '\n') quoted += "\\n";
    else if (c == '\t') quoted += "\\t";
    else if (c == '\r') quoted += "\\r";
    else if (c >= 0x20 && c < 0x7f) quoted += c;
    else quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  return quoted + "\"";
}

Labels::Labels(const Graph& graph) : graph_(graph), first_(graph.size()) {
  std::size_t number = 0;
  for (NodeId id = 0; id < graph.size(); ++id) {
    first_[id] = number;
    if (graph.node(id).name.empty()) number += graph.node(id).types.size();
  }
}

std::string Labels::operator()(ValueId id) const {
  const Node& node = graph_.node(id.node);
  if (node.name.empty()) return fmt::format("%{}", first_[id.node] + id.result);
  return (node.op->name == "variable" ? "@" : "%") + node.name;
}

std::string print(const Graph& graph) {
  const Labels labels(graph);
  std::vector<Line> lines;
  lines.reserve(graph.size());
  std::size_t names = 0, calls = 0, types = 0;
  for (NodeId id = 0; id < graph.size(); ++id) {
    lines.push_back(line_of(graph, id, labels));
    widen(names, lines.back().names, widest_name);
    widen(calls, lines.back().call, widest_call);
    if (!lines.back().note.empty()) widen(types, lines.back().types, widest_type);
  }
  std::string text = "graph " + graph.name() + " {\n";
  for (const Line& line : lines) {
    text += "  ";
    append(text, line.names, names);
    text += " = ";
    append(text, line.call, calls);
    text += "  : ";
    append(text, line.types, line.note.empty() ? 0 : types);
    if (!line.note.empty()) text += "  " + line.note;
    text += '\n';
  }
  for (const Graph::Output& out : graph.outputs())
    text += fmt::format("  output {} = {}\n", out.name, labels(out.value));
  for (const Graph::Update& update : graph.updates())
    text += fmt::format("  update {} <- {}\n", labels(update.variable), labels(update.next));
  return text + "}\n";
}

std::string line_text(const Graph& graph, NodeId id, const Labels& labels) {
  const Line line = line_of(graph, id, labels);
  std::string text = fmt::format("{} = {} : {}", line.names, line.call, line.types);
  if (!line.note.empty()) text += "  " + line.note;
  return text;
}

}  // namespace thalweg
