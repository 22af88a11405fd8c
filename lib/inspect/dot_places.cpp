// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/dot_places.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/base/child_process.h"

namespace thalweg {
namespace {

// dot takes well under a tenth of a second for a group within these.
constexpr std::size_t most_boxes = 200, most_edges = 500;
constexpr double pixels_an_inch = 72;

/// A box of a group: a node, or a group inside.
struct Item {
  bool is_group = false;
  std::size_t number = 0;
  friend auto operator<=>(const Item&, const Item&) = default;
};

struct Group {
  std::string key, title;
  std::size_t parent = 0, depth = 0, nodes = 0;
  std::vector<Item> items = {};
  std::set<std::pair<Item, Item>> edges = {};
};

/// The tree of groups as the page makes it.
class Tree {
 public:
  explicit Tree(const GroupedGraph& grouped) : graph_(*grouped.graph), labels_(graph_), group_of_(graph_.size()) {
    groups_.push_back({.key = "", .title = "", .parent = 0});
    for (NodeId id = 0; id < graph_.size(); ++id) place(id, grouped);
    for (NodeId id = 0; id < graph_.size(); ++id)
      for (const ValueId v : graph_.operands(id)) link(v.node, id);
  }

  /// Which groups dot is asked for.
  std::vector<std::size_t> asked() const {
    std::vector<std::size_t> some;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      const Group& group = groups_[g];
      if (group.items.size() > 2 && group.items.size() <= most_boxes && !group.edges.empty() &&
          group.edges.size() <= most_edges)
        some.push_back(g);
    }
    return some;
  }

  std::string dot(std::size_t g) const {
    const Group& group = groups_[g];
    std::string text =
        "digraph {\n nodesep=.2; ranksep=.3; node [shape=box, fixedsize=true, height=.47, label=\"\"];\n";
    for (const Item& item : group.items)
      text += fmt::format(" {} [width={:.2f}];\n", name(item), width(item) / pixels_an_inch);
    for (const auto& [from, to] : group.edges) text += fmt::format(" {} -> {};\n", name(from), name(to));
    return text + "}\n";
  }

  const std::string& key(std::size_t g) const { return groups_[g].key; }

  /// A box by the name that it has in the text for dot; nothing for any other name.
  std::optional<BoxPlace> box(std::string_view name) const {
    std::size_t number = 0;
    const char* end = name.data() + name.size();
    if (name.size() < 2 || std::from_chars(name.data() + 1, end, number).ptr != end) return {};
    if (name[0] == 'n' && number < graph_.size()) return BoxPlace{.node = static_cast<NodeId>(number)};
    if (name[0] != 'g' || number >= groups_.size()) return {};
    const std::string& key = groups_[number].key;
    return BoxPlace{.child = key.substr(groups_[groups_[number].parent].key.size() + 1)};
  }

 private:
  void place(NodeId id, const GroupedGraph& grouped) {
    const Node& node = graph_.node(id);
    std::size_t at = enter(0, std::string(to_string(node.origin)));
    for (std::string_view rest = node.scope; !rest.empty();) {
      const std::string part(rest.substr(0, rest.find('/')));
      rest.remove_prefix(std::min(rest.size(), part.size() + 1));
      at = enter(at, part);
    }
    if (!grouped.kernel_of.empty() && grouped.kernel_of[id])
      at = enter(at, fmt::format("\x01{}", *grouped.kernel_of[id]));
    group_of_[id] = at;
    groups_[at].items.push_back({false, id});
    for (;; at = groups_[at].parent) {
      ++groups_[at].nodes;
      if (at == 0) return;
    }
  }

  std::size_t enter(std::size_t parent, const std::string& part) {
    const std::string key = groups_[parent].key + "/" + part;
    const auto [it, fresh] = number_.try_emplace(key, groups_.size());
    if (fresh) {
      groups_[parent].items.push_back({true, groups_.size()});
      groups_.push_back({.key = key, .title = part, .parent = parent, .depth = groups_[parent].depth + 1});
    }
    return it->second;
  }

  /// An edge stands in the innermost group that holds both ends, between what holds them there.
  void link(NodeId from, NodeId to) {
    Item a{false, from}, b{false, to};
    std::size_t in_a = group_of_[from], in_b = group_of_[to];
    const auto rise = [&](Item& item, std::size_t& group) {
      item = {true, group};
      group = groups_[group].parent;
    };
    while (in_a != in_b) {
      if (groups_[in_a].depth >= groups_[in_b].depth) rise(a, in_a);
      else rise(b, in_b);
    }
    if (a != b) groups_[in_a].edges.emplace(a, b);
  }

  std::string name(const Item& item) const { return fmt::format("{}{}", item.is_group ? 'g' : 'n', item.number); }

  /// About as wide as the page draws it.
  double width(const Item& item) const {
    double letters = 0;
    if (item.is_group) {
      const Group& group = groups_[item.number];
      letters = group.title[0] == '\x01' ? 30 : static_cast<double>(group.title.size() + 6);
    } else {
      const Node& node = graph_.node(static_cast<NodeId>(item.number));
      std::size_t types = 0;
      for (const TensorType& type : node.types) types += to_string(type).size() + 2;
      const std::string label = labels_({static_cast<NodeId>(item.number), 0});
      letters = std::max(static_cast<double>(label.size() + node.op->name.size() + 1), static_cast<double>(types));
    }
    return std::clamp(6.4 * letters + 16, 50.0, 260.0);
  }

  const Graph& graph_;
  Labels labels_;
  std::vector<Group> groups_;
  std::map<std::string, std::size_t> number_;
  std::vector<std::size_t> group_of_;
};

/// Reads one graph of dot's plain output, up to its `stop`; false where there is none.
bool read_graph(std::istream& lines, const Tree& tree, std::vector<BoxPlace>& boxes) {
  double height = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word, name;
    double x = 0, y = 0;
    words >> word;
    if (word == "graph") words >> x >> x >> height;
    if (word == "stop") return true;
    if (word != "node") continue;
    words >> name >> x >> y;
    const std::optional<BoxPlace> box = tree.box(name);
    if (!words || !box) return false;
    boxes.push_back(*box);
    boxes.back().x = static_cast<int>(std::lround(pixels_an_inch * x));
    boxes.back().y = static_cast<int>(std::lround(pixels_an_inch * (height - y)));
  }
  return false;
}

}  // namespace

std::vector<GroupPlaces> places_by_dot(const std::vector<GroupedGraph>& graphs, std::chrono::milliseconds limit) {
  std::vector<Tree> trees;
  std::string text;
  for (const GroupedGraph& grouped : graphs) {
    trees.emplace_back(grouped);
    for (const std::size_t g : trees.back().asked()) text += trees.back().dot(g);
  }
  std::vector<GroupPlaces> places(graphs.size());
  const std::optional<std::string> answer = answer_of({"dot", "-Tplain"}, text, limit);
  if (!answer) return places;
  std::istringstream lines(*answer);
  for (std::size_t t = 0; t < trees.size(); ++t)
    for (const std::size_t g : trees[t].asked()) {
      std::vector<BoxPlace> boxes;
      if (!read_graph(lines, trees[t], boxes)) return std::vector<GroupPlaces>(graphs.size());
      places[t].emplace(trees[t].key(g), std::move(boxes));
    }
  return places;
}

}  // namespace thalweg
