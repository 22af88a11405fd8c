// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/parse.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>
#include <mutex>
#include <set>
#include <unordered_map>
#include <vector>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/storage.h"
#include "thalweg/graph/verify.h"
#include "thalweg/graph/walk.h"

namespace thalweg {
namespace {

constexpr std::size_t longest_line = std::size_t{1} << 20;
constexpr std::size_t longest_list = std::size_t{1} << 24;
constexpr std::size_t most_files = 65'536;
constexpr std::size_t longest_file_name = 255;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool in_word(char c) { return is_letter(c) || is_digit(c) || c == '.' || c == '/' || c == '-'; }

/// File names in a text's annotations live as long as the process, as those of compiled code do. Null when full.
const char* permanent(std::string_view name) {
  static std::mutex mutex;
  static std::set<std::string, std::less<>> names;
  const std::lock_guard lock(mutex);
  if (const auto it = names.find(name); it != names.end()) return it->c_str();
  if (names.size() >= most_files) return nullptr;
  return names.emplace(name).first->c_str();
}

/// A piece of the text, and where it stands.
struct Piece {
  std::string_view text;
  std::size_t at = 0;
};

/// One line that defines values, as written.
struct Definition {
  std::vector<Piece> results;  ///< with their `%` or `@`
  const OpDef* op = nullptr;
  std::size_t op_at = 0;
  std::vector<Piece> operands;
  std::vector<Attr> attrs;
  std::vector<TensorType> types;
  std::size_t types_at = 0;
  SourceLoc loc;
  Origin origin = Origin::forward;
  std::string scope;
};

/// Reads tokens, and says what is wrong where.
class Scanner {
 public:
  Scanner(std::string_view text, std::string_view file) : text_(text), file_(file) {}

  template <class... A>
  [[noreturn]] void fail(std::size_t at, fmt::format_string<A...> what, A&&... args) const {
    fail_text(at, fmt::format(what, std::forward<A>(args)...));
  }
  [[noreturn]] void fail_text(std::size_t at, const std::string& what) const {
    std::size_t line_start = 0;
    if (at > 0)
      if (const auto newline = text_.rfind('\n', at - 1); newline != text_.npos) line_start = newline + 1;
    throw GraphError(fmt::format("{}:{}:{}: {}", shown(file_), line_of(at), at - line_start + 1, what));
  }
  std::size_t line_of(std::size_t at) const {
    return 1 + static_cast<std::size_t>(
                   std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
  }

  void check_lengths() const {
    if (text_.size() > longest_text) fail(0, "the text has {} bytes; at most {} are read", text_.size(), longest_text);
    std::size_t start = 0;
    while (start < text_.size()) {
      const std::size_t end = std::min(text_.find('\n', start), text_.size());
      if (end - start > longest_line) fail(start, "a line of {} bytes; at most {} are read", end - start, longest_line);
      start = end + 1;
    }
  }

  std::size_t at() const { return at_; }
  bool at_end() const { return at_ == text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  char after(std::size_t n) const { return at_ + n < text_.size() ? text_[at_ + n] : '\0'; }

  void skip_blanks() {
    while (!at_end() && (text_[at_] == ' ' || text_[at_] == '\t' || (text_[at_] == '\r' && after(1) == '\n'))) ++at_;
  }
  /// Within braces a list may go on in the next line.
  void skip_space() {
    for (skip_blanks(); !at_end() && text_[at_] == '\n'; skip_blanks()) ++at_;
  }
  /// To the next line that says something: past blank lines and comments.
  void skip_lines() {
    for (skip_space(); peek() == '#'; skip_space()) at_ = std::min(text_.find('\n', at_), text_.size());
  }

  /// What stands here, for messages.
  std::string got() const {
    if (at_end()) return "the end of the text";
    if (text_[at_] == '\n' || text_[at_] == '\r') return "the end of the line";
    std::size_t end = at_ + 1;
    if (in_word(text_[at_]) || text_[at_] == '%' || text_[at_] == '@')
      while (end < text_.size() && in_word(text_[end])) ++end;
    return "'" + shown(text_.substr(at_, end - at_)) + "'";
  }

  /// Steps over `c`, which is not '\0', if it stands here.
  bool takes(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(std::string_view mark, std::string_view where) {
    skip_blanks();
    if (!text_.substr(at_).starts_with(mark)) fail(at_, "expected '{}' {}, got {}", mark, where, got());
    at_ += mark.size();
  }
  void expect_end_of_line() {
    skip_blanks();
    if (!at_end() && peek() != '\n' && peek() != '#') fail(at_, "expected the end of the line, got {}", got());
    if (peek() == '#') at_ = std::min(text_.find('\n', at_), text_.size());
  }

  /// Letters, digits, `.`, `/`, `-`; may be empty.
  Piece word_or_nothing() {
    const std::size_t start = at_;
    while (!at_end() && in_word(text_[at_])) ++at_;
    return {text_.substr(start, at_ - start), start};
  }
  Piece word(std::string_view what) {
    skip_blanks();
    const Piece piece = word_or_nothing();
    if (piece.text.empty()) fail(at_, "expected {}, got {}", what, got());
    return piece;
  }
  Piece value_name(std::string_view what) {
    skip_blanks();
    const std::size_t start = at_;
    if (peek() != '%' && peek() != '@') fail(at_, "expected {}, got {}", what, got());
    ++at_;
    if (word_or_nothing().text.empty()) fail(at_, "expected a name or number after '{}', got {}", text_[start], got());
    return {text_.substr(start, at_ - start), start};
  }

  std::int64_t whole_number(std::string_view what) {
    std::int64_t number = 0;
    read_number(number, what);
    return number;
  }
  double real_number(std::string_view what) {
    double number = 0;
    read_number(number, what);
    return number;
  }

  std::string quoted() {
    const std::size_t start = at_++;
    std::string value;
    for (;;) {
      const char c = next_quoted(start);
      if (c == '"') return value;
      if (c == '\\') value += escaped(start);
      else if (c >= 0x20 && c < 0x7f) value += c;
      else fail(at_ - 1, "'{}' must be written as an escape in a quoted text", shown({&c, 1}));
    }
  }

 private:
  template <class T>
  void read_number(T& number, std::string_view what) {
    skip_space();
    const char* const begin = text_.data() + at_;
    const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), number);
    if (error == std::errc::result_out_of_range)
      fail(at_, "{} is out of range: '{}'", what, shown({begin, static_cast<std::size_t>(end - begin)}));
    if (error != std::errc()) fail(at_, "expected {}, got {}", what, got());
    // "12abc" and, where a whole number stands, "1.5" are one wrong word, not a number and a rest.
    if (end != text_.data() + text_.size() && in_word(*end)) fail(at_, "expected {}, got {}", what, got());
    at_ = static_cast<std::size_t>(end - text_.data());
  }

  char next_quoted(std::size_t quote) {
    if (at_end() || peek() == '\n') fail(quote, "this quoted text has no end in its line");
    return text_[at_++];
  }
  char escaped(std::size_t quote) {
    const std::size_t start = at_ - 1;
    const char c = next_quoted(quote);
    switch (c) {
      case '"':
      case '\\': return c;
      case 'n': return '\n';
      case 't': return '\t';
      case 'r': return '\r';
      case 'x': {
        unsigned byte = 0;
        const char* const digits = text_.data() + at_;
        if (text_.size() - at_ < 2 || std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2)
          fail(start, "expected two hexadecimal digits after '\\x'");
        at_ += 2;
        return static_cast<char>(static_cast<unsigned char>(byte));
      }
      default: fail(start, "there is no escape '\\{}': only \\\" \\\\ \\n \\t \\r and \\xNN", shown({&c, 1}));
    }
  }

  std::string_view text_;
  std::string_view file_;
  std::size_t at_ = 0;
};

// ---- One line

std::vector<std::string> op_names() {
  std::vector<std::string> names;
  for (const OpDef* op : op_table()) names.emplace_back(op->name);
  return names;
}

const OpDef* read_op(Scanner& in, Piece& word) {
  word = in.word("the name of an op");
  const OpDef* op = find_op(word.text);
  if (!op) in.fail(word.at, "no op is called '{}'{}", shown(word.text), suggestion(word.text, op_names()));
  return op;
}

template <class T, class F>
std::vector<T> read_list(Scanner& in, F element) {
  in.skip_space();
  const std::size_t start = in.at();
  if (!in.takes('[')) in.fail(start, "expected '[' before a list, got {}", in.got());
  std::vector<T> list;
  in.skip_space();
  if (in.takes(']')) return list;
  for (;;) {
    if (list.size() == longest_list) in.fail(start, "this list has more than {} values", longest_list);
    list.push_back(element());
    in.skip_space();
    if (in.takes(']')) return list;
    if (!in.takes(',')) in.fail(in.at(), "expected ',' or ']' in a list, got {}", in.got());
  }
}

AttrValue read_flag(Scanner& in) {
  const Piece word = in.word("true or false");
  if (word.text != "true" && word.text != "false")
    in.fail(word.at, "expected true or false, got '{}'", shown(word.text));
  return word.text == "true";
}

AttrValue read_attr_value(Scanner& in, const AttrSpec& spec) {
  in.skip_space();
  switch (spec.kind) {
    case AttrKind::flag: return read_flag(in);
    case AttrKind::integer: return in.whole_number("a whole number");
    case AttrKind::real: return in.real_number("a number");
    case AttrKind::text:
      return in.peek() == '"' ? in.quoted() : std::string(in.word("a word or a quoted text").text);
    case AttrKind::integers:
      return read_list<std::int64_t>(in, [&] { return in.whole_number("a whole number"); });
    case AttrKind::reals: return read_list<double>(in, [&] { return in.real_number("a number"); });
  }
  return {};
}

const AttrSpec& read_attr_name(Scanner& in, const OpDef& op) {
  in.skip_space();
  const Piece word = in.word("the name of an attribute");
  std::vector<std::string> known;
  for (const AttrSpec& spec : op.attrs) {
    if (spec.name == word.text) return spec;
    known.emplace_back(spec.name);
  }
  in.fail(word.at, "{} has no attribute '{}'{}", op.name, shown(word.text), suggestion(word.text, known));
}

std::vector<Attr> read_attrs(Scanner& in, const OpDef& op) {
  std::vector<Attr> attrs;
  in.skip_blanks();
  if (!in.takes('{')) return attrs;
  for (;;) {
    const std::size_t start = in.at();
    const AttrSpec& spec = read_attr_name(in, op);
    if (std::any_of(attrs.begin(), attrs.end(), [&](const Attr& other) { return other.name == spec.name; }))
      in.fail(start, "attribute {} is given twice", spec.name);
    in.expect("=", "after the attribute's name");
    attrs.emplace_back(spec.name, read_attr_value(in, spec));
    in.skip_space();
    if (in.takes('}')) return attrs;
    if (!in.takes(',')) in.fail(in.at(), "expected ',' or '}}' after an attribute, got {}", in.got());
  }
}

TensorType read_type(Scanner& in) {
  static const std::vector<std::string> names = {"f32", "bf16", "f64", "i32", "i64", "u8", "bool"};
  const Piece word = in.word("a type such as f32[2,3]");
  if (std::find(names.begin(), names.end(), word.text) == names.end())
    in.fail(word.at, "no dtype is called '{}'{}", shown(word.text), suggestion(word.text, names));
  if (in.peek() != '[') in.fail(in.at(), "expected '[' after the dtype, got {}", in.got());
  const auto sizes = read_list<Dim>(in, [&] { return in.whole_number("a size"); });
  if (sizes.size() > 4 * Shape::max_rank)
    in.fail(word.at, "a shape of {} axes; at most {} are allowed", sizes.size(), Shape::max_rank);
  try {
    return {dtype_named(word.text), Shape(sizes)};
  } catch (const GraphError& error) {
    in.fail(word.at, "{}", error.what());
  }
}

/// `# mlp.cpp:9 backward in block1/dense`, each part optional.
void read_note(Scanner& in, Definition& line) {
  in.skip_blanks();
  if (!in.takes('#')) return;
  in.skip_blanks();
  std::size_t start = in.at();
  std::string word = in.peek() == '"' ? in.quoted() : std::string(in.word_or_nothing().text);
  if (in.takes(':')) {
    if (word.size() > longest_file_name || word.find('\0') != word.npos)
      in.fail(start, "this is no file name: at most {} bytes, none of them zero", longest_file_name);
    const std::size_t number_at = in.at();
    const std::int64_t number = in.whole_number("a line number");
    if (number < 1 || number > std::numeric_limits<int>::max())
      in.fail(number_at, "a line number must be at least 1 and at most {}", std::numeric_limits<int>::max());
    line.loc = {permanent(word), static_cast<int>(number)};
    if (!line.loc.file) in.fail(start, "more than {} different file names in annotations", most_files);
    in.skip_blanks();
    start = in.at();
    word = in.word_or_nothing().text;
  }
  for (int i = 1; i <= static_cast<int>(Origin::optimizer); ++i)
    if (word == to_string(static_cast<Origin>(i))) {
      line.origin = static_cast<Origin>(i);
      in.skip_blanks();
      start = in.at();
      word = in.word_or_nothing().text;
      break;
    }
  if (word == "in") {
    const Piece scope = in.word("a scope after 'in'");
    if (!detail::good_name(scope.text)) in.fail(scope.at, "'{}' is no scope", shown(scope.text));
    line.scope = scope.text;
    in.skip_blanks();
    start = in.at();
    word = in.word_or_nothing().text;
  }
  if (!word.empty())
    in.fail(start, "expected an annotation 'file:line origin in scope', got '{}' (a comment has a line of its own)",
            shown(word));
}

Definition read_definition(Scanner& in) {
  Definition line;
  line.results.push_back(in.value_name("a value to define"));
  for (in.skip_blanks(); in.takes(','); in.skip_blanks()) line.results.push_back(in.value_name("a value to define"));
  in.expect("=", "after the values that the line defines");
  Piece op;
  line.op = read_op(in, op);
  line.op_at = op.at;
  in.skip_blanks();
  if (in.peek() == '%' || in.peek() == '@') {
    line.operands.push_back(in.value_name("an operand"));
    for (in.skip_blanks(); in.takes(','); in.skip_blanks()) line.operands.push_back(in.value_name("an operand"));
  }
  line.attrs = read_attrs(in, *line.op);
  in.expect(":", "before the type");
  in.skip_blanks();
  line.types_at = in.at();
  line.types.push_back(read_type(in));
  for (in.skip_blanks(); in.takes(','); in.skip_blanks()) line.types.push_back(read_type(in));
  read_note(in, line);
  in.expect_end_of_line();
  return line;
}

// ---- The whole text

class Builder {
 public:
  Builder(std::string_view text, std::string_view file) : in_(text, file) { in_.check_lengths(); }

  Graph build() {
    read_header();
    for (;;) {
      in_.skip_lines();
      if (in_.takes('}')) break;
      if (in_.peek() == '%' || in_.peek() == '@') define(read_definition(in_));
      else read_keyword();
    }
    in_.skip_lines();
    if (!in_.at_end()) in_.fail(in_.at(), "expected the end of the text after '}}', got {}", in_.got());
    said_at(0, [&] { verify(graph_); });
    return graph_;
  }

 private:
  struct Known {
    ValueId id;
    std::size_t at;
  };

  void read_header() {
    in_.skip_lines();
    const Piece keyword = in_.word("'graph'");
    if (keyword.text != "graph") in_.fail(keyword.at, "expected 'graph', got '{}'", shown(keyword.text));
    const Piece name = in_.word("the graph's name");
    said_at(name.at, [&] { graph_.rename(std::string(name.text)); });
    in_.expect("{", "after the graph's name");
    in_.expect_end_of_line();
  }

  /// A rule may quote an attribute from the text: no control characters, and no more than a screenful.
  static std::string tame(std::string_view message) {
    constexpr std::size_t screenful = 2000;
    std::string out;
    for (const char c : message.substr(0, screenful)) out += c == '\n' ? "\n" : shown({&c, 1});
    return message.size() > screenful ? out + "..." : out;
  }

  /// Runs `f`; what it finds wrong is said of this place in the text.
  template <class F>
  void said_at(std::size_t at, F f) {
    try {
      f();
    } catch (const GraphError& error) {
      in_.fail_text(at, tame(error.what()));
    }
  }

  void read_keyword() {
    if (in_.at_end()) in_.fail(in_.at(), "expected '}}' at the end of the graph, got the end of the text");
    const Piece keyword = in_.word("a value to define, 'output', 'update' or '}'");
    if (keyword.text == "output") return read_output();
    if (keyword.text == "update") return read_update();
    in_.fail(keyword.at, "expected a value to define, 'output', 'update' or '}}', got '{}'{}", shown(keyword.text),
             suggestion(keyword.text, std::vector<std::string>{"output", "update"}));
  }

  void read_output() {
    const Piece name = in_.word("the output's name");
    in_.expect("=", "after the output's name");
    const Piece value = in_.value_name("a value");
    in_.expect_end_of_line();
    const ValueId id = known(value, nullptr);
    said_at(name.at, [&] { graph_.output(std::string(name.text), Operand(graph_.value(id), SourceLoc{})); });
  }

  void read_update() {
    const Piece variable = in_.value_name("the variable to update");
    in_.expect("<-", "after the variable to update");
    const Piece next = in_.value_name("its next value");
    in_.expect_end_of_line();
    const ValueId v = known(variable, nullptr), n = known(next, nullptr);
    said_at(variable.at, [&] {
      graph_.update(Operand(graph_.value(v), SourceLoc{}), Operand(graph_.value(n), SourceLoc{}));
    });
  }

  void define(const Definition& line) {
    const std::string name = name_of(line);
    std::vector<Operand> operands;
    for (const Piece& operand : line.operands)
      operands.emplace_back(graph_.value(known(operand, &line)), SourceLoc{});
    check_new(line.results);
    std::optional<TensorType> declared;
    if (line.op->declares) declared = line.types.front();
    said_at(line.op_at, [&] { graph_.add(*line.op, operands, line.attrs, declared, name, SourceLoc{}); });
    const auto id = static_cast<NodeId>(graph_.size() - 1);
    check_types(line, graph_.node(id));
    detail::GraphState& state = detail::Access::state(graph_);
    Node& node = state.nodes[id];
    node.loc = line.loc;
    node.origin = line.origin;
    node.scope = line.scope;
    if (line.op->random) keep_key(node);
    for (std::uint32_t i = 0; i < line.results.size(); ++i)
      values_.emplace(line.results[i].text, Known{{id, i}, line.results[i].at});
  }

  void check_new(const std::vector<Piece>& results) const {
    std::unordered_map<std::string_view, std::size_t> in_line;
    for (const Piece& result : results) {
      const auto [first, is_new] = in_line.emplace(result.text, result.at);
      const auto it = values_.find(result.text);
      if (it == values_.end() && is_new) continue;
      in_.fail(result.at, "{} is defined twice, first at line {}", shown(result.text),
               in_.line_of(it == values_.end() ? first->second : it->second.at));
    }
  }

  /// A node that is added later must not draw the same numbers.
  void keep_key(const Node& node) {
    std::int64_t& keys = detail::Access::state(graph_).keys;
    const std::int64_t key = node.attrs.integer("key");
    if (key < std::numeric_limits<std::int64_t>::max()) keys = std::max(keys, key + 1);
  }

  /// The name that the results give to the node: empty if they are numbers.
  std::string name_of(const Definition& line) const {
    std::string_view name;
    for (const Piece& result : line.results) {
      const bool variable = line.op->name == "variable";
      if (variable != (result.text.front() == '@'))
        in_.fail(result.at, "{} defines {}: a variable is written @name, every other value with %",
                 line.op->name, shown(result.text));
      const std::string_view rest = result.text.substr(1);
      if (is_digit(rest.front())) {
        if (!std::all_of(rest.begin(), rest.end(), is_digit))
          in_.fail(result.at, "{} is neither a number nor a name", shown(result.text));
        if (variable || line.op->name == "input")
          in_.fail(result.at, "{} needs a name, not the number {}", line.op->name, shown(rest));
      } else {
        if (line.results.size() > 1) in_.fail(result.at, "one of several results cannot have a name, only a number");
        name = rest;
      }
    }
    return std::string(name);
  }

  void check_types(const Definition& line, const Node& node) const {
    if (line.results.size() != node.types.size())
      in_.fail(line.results.front().at, "{} has {} results, the line defines {}", line.op->name, node.types.size(),
               line.results.size());
    if (line.types == node.types) return;
    std::string rule, text;
    for (const TensorType& type : node.types) rule += (rule.empty() ? "" : ", ") + to_string(type);
    for (const TensorType& type : line.types) text += (text.empty() ? "" : ", ") + to_string(type);
    in_.fail(line.types_at, "{}: the result is {}, the text says {}", line.op->name, rule, text);
  }

  ValueId known(const Piece& piece, const Definition* line) {
    if (const auto it = values_.find(piece.text); it != values_.end()) return it->second.id;
    explain_unknown(piece, line);
  }

  /// Reads on only to say better what is wrong with `piece`: unknown, defined later, or part of a cycle.
  [[noreturn]] void explain_unknown(const Piece& piece, const Definition* line) {
    std::vector<Definition> later;
    if (line) later.push_back(*line);
    read_rest(later);
    std::unordered_map<std::string_view, NodeId> line_defining;
    for (NodeId i = 0; i < later.size(); ++i)
      for (const Piece& result : later[i].results) line_defining.emplace(result.text, i);
    const auto definition = line_defining.find(piece.text);
    if (definition == line_defining.end())
      in_.fail(piece.at, "{} is not defined{}", shown(piece.text), close(piece, later));

    std::vector<std::pair<NodeId, NodeId>> edges;
    for (NodeId i = 0; i < later.size(); ++i)
      for (const Piece& operand : later[i].operands)
        if (const auto it = line_defining.find(operand.text); it != line_defining.end())
          edges.emplace_back(it->second, i);
    const std::vector<NodeId> cycle = order_of(later.size(), edges).cycle;
    if (!cycle.empty()) {
      std::string names;
      for (std::size_t i = 0; i < cycle.size() && i < 16; ++i) names += shown(later[cycle[i]].results[0].text) + " -> ";
      if (cycle.size() > 16) names += fmt::format("{} more -> ", cycle.size() - 16);
      in_.fail(piece.at, "the values form a cycle: {}{}", names, shown(later[cycle[0]].results[0].text));
    }
    in_.fail(piece.at, "{} is used before it is defined, at line {}", shown(piece.text),
             in_.line_of(later[definition->second].results[0].at));
  }

  void read_rest(std::vector<Definition>& later) {
    try {
      for (in_.skip_lines(); in_.peek() == '%' || in_.peek() == '@'; in_.skip_lines())
        later.push_back(read_definition(in_));
    } catch (const GraphError&) {
      // The error that is being explained stands before this one in the text, and is the one to tell.
    }
  }

  std::string close(const Piece& piece, const std::vector<Definition>& later) const {
    std::vector<std::string> names;
    for (const auto& [name, value] : values_) names.emplace_back(name);
    for (const Definition& line : later)
      for (const Piece& result : line.results) names.emplace_back(result.text);
    // A number next to a number is no near miss of spelling.
    if (is_digit(piece.text[1])) return "";
    std::erase_if(names, [](const std::string& name) { return is_digit(name[1]); });
    return suggestion(piece.text, names);
  }

  Scanner in_;
  Graph graph_;
  std::unordered_map<std::string_view, Known> values_;
};

}  // namespace

Graph parse(std::string_view text, std::string_view file) { return Builder(text, file).build(); }

}  // namespace thalweg
