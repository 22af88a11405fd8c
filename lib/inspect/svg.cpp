// SPDX-License-Identifier: Apache-2.0
// A graph as a picture, by a layered layout (Sugiyama, Tagawa and Toda 1981): rows by the longest path, the order in a
// row by the mean place of neighbours, long edges through a place in every row between.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
#include "thalweg/lib/inspect/formats.h"
#include "thalweg/lib/inspect/kernel_of.h"

namespace thalweg {
namespace {

constexpr double row_height = 72, box_height = 34, gap = 18, bend_width = 6, letter = 6.2, legend_height = 26;
constexpr int sweeps = 6;
// Beyond this many rows an edge is drawn straight: places for all of them would be quadratic in a chain with skips.
constexpr std::size_t longest_bend = 64;

/// A box, or a bend of an edge on its way through a row.
struct Place {
  double width = 0, x = 0;
  std::size_t row = 0;
  std::vector<std::size_t> up = {}, down = {};
};

class Picture {
 public:
  Picture(const Staged& staged, bool portable) : graph_(staged.graph), labels_(graph_), kernel_(graph_.size()) {
    if (!staged.plan) return;
    const KernelOf kernel_of(*staged.plan);
    for (NodeId id = 0; id < graph_.size(); ++id)
      if (const auto k = kernel_of(id))
        kernel_[id] = fmt::format("kernel {}: {}", *k, implementation_text(staged.plan->plan.kernels[*k], portable));
  }

  std::string run() {
    make_places();
    order_rows();
    place_rows();
    return drawn();
  }

 private:
  std::string title(NodeId id) const { return fmt::format("{} {}", labels_({id, 0}), graph_.node(id).op->name); }
  std::string types(NodeId id) const {
    std::string text;
    for (const TensorType& type : graph_.node(id).types) text += (text.empty() ? "" : ", ") + to_string(type);
    return text;
  }

  void make_places() {
    const auto count = static_cast<std::size_t>(graph_.size());
    places_.resize(count);
    // Inputs, variables and constants stand just above their first reader.
    std::vector<std::size_t> highest(count, ~std::size_t{0});
    for (NodeId id = 0; id < graph_.size(); ++id) {
      places_[id].width =
          letter * static_cast<double>(std::max(title(id).size(), types(id).size())) + 14;
      for (const ValueId v : graph_.operands(id)) places_[id].row = std::max(places_[id].row, places_[v.node].row + 1);
      for (const ValueId v : graph_.operands(id)) highest[v.node] = std::min(highest[v.node], places_[id].row);
    }
    for (NodeId id = 0; id < graph_.size(); ++id)
      if (graph_.operands(id).empty() && highest[id] != ~std::size_t{0}) places_[id].row = highest[id] - 1;
    for (NodeId id = 0; id < graph_.size(); ++id)
      for (const ValueId v : graph_.operands(id)) join(v.node, id);
    for (const Place& p : places_) rows_.resize(std::max(rows_.size(), p.row + 1));
    for (std::size_t p = 0; p < places_.size(); ++p) rows_[places_[p].row].push_back(p);
  }

  void join(std::size_t from, std::size_t to) {
    std::vector<std::size_t> path = {from};
    if (places_[to].row - places_[from].row <= longest_bend) {
      for (std::size_t row = places_[from].row + 1; row < places_[to].row; ++row) {
        places_.push_back({.width = bend_width, .row = row});
        path.push_back(places_.size() - 1);
      }
    }
    path.push_back(to);
    for (std::size_t i = 0; i + 1 < path.size(); ++i) {
      places_[path[i]].down.push_back(path[i + 1]);
      places_[path[i + 1]].up.push_back(path[i]);
    }
    paths_.push_back(std::move(path));
  }

  void order_rows() {
    std::vector<double> rank(places_.size());
    const auto renumber = [&](const std::vector<std::size_t>& row) {
      for (std::size_t i = 0; i < row.size(); ++i) rank[row[i]] = static_cast<double>(i);
    };
    for (const auto& row : rows_) renumber(row);
    const auto sort_row = [&](std::vector<std::size_t>& row, bool from_above) {
      std::vector<std::pair<double, std::size_t>> keyed;
      for (const std::size_t p : row) {
        const auto& near = from_above ? places_[p].up : places_[p].down;
        double sum = 0;
        for (const std::size_t n : near) sum += rank[n];
        keyed.emplace_back(near.empty() ? rank[p] : sum / static_cast<double>(near.size()), p);
      }
      std::stable_sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
      for (std::size_t i = 0; i < row.size(); ++i) row[i] = keyed[i].second;
      renumber(row);
    };
    for (int sweep = 0; sweep < sweeps; ++sweep) {
      for (std::size_t r = 1; r < rows_.size(); ++r) sort_row(rows_[r], true);
      for (std::size_t r = rows_.size(); r-- > 1;) sort_row(rows_[r - 1], false);
    }
  }

  /// Packs each row, then lets places move towards their neighbours as far as order and gaps allow.
  void place_rows() {
    for (const auto& row : rows_) {
      double x = gap;
      for (const std::size_t p : row) {
        places_[p].x = x + places_[p].width / 2;
        x += places_[p].width + gap;
      }
    }
    for (int sweep = 0; sweep < 2 * sweeps; ++sweep) {
      const bool down = sweep % 2 == 0;
      for (std::size_t i = 0; i < rows_.size(); ++i) pull(rows_[down ? i : rows_.size() - 1 - i], down);
    }
    double left = 1e300;
    for (const Place& p : places_) left = std::min(left, p.x - p.width / 2);
    for (Place& p : places_) {
      p.x += gap - left;
      width_ = std::max(width_, p.x + p.width / 2 + gap);
    }
  }

  void pull(const std::vector<std::size_t>& row, bool from_above) {
    std::vector<double> wanted(row.size());
    for (std::size_t i = 0; i < row.size(); ++i) {
      const Place& p = places_[row[i]];
      const auto& near = from_above ? (p.up.empty() ? p.down : p.up) : (p.down.empty() ? p.up : p.down);
      double sum = 0;
      for (const std::size_t n : near) sum += places_[n].x;
      wanted[i] = near.empty() ? p.x : sum / static_cast<double>(near.size());
    }
    // Once from each side; the mean keeps the order and the gaps.
    std::vector<double> from_left = wanted, from_right = wanted;
    const auto distance = [&](std::size_t i) {
      return (places_[row[i]].width + places_[row[i + 1]].width) / 2 + gap;
    };
    for (std::size_t i = 0; i + 1 < row.size(); ++i)
      from_left[i + 1] = std::max(from_left[i + 1], from_left[i] + distance(i));
    for (std::size_t i = row.size(); i-- > 1;)
      from_right[i - 1] = std::min(from_right[i - 1], from_right[i] - distance(i - 1));
    for (std::size_t i = 0; i < row.size(); ++i) places_[row[i]].x = (from_left[i] + from_right[i]) / 2;
  }

  double y_of(std::size_t place) const {
    return gap + row_height * static_cast<double>(places_[place].row) + box_height / 2;
  }

  std::string drawn() const {
    const double height = row_height * static_cast<double>(rows_.size()) + gap;
    std::string svg = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
        "height=\"{1:.0f}\" "
        "font-family=\"sans-serif\" font-size=\"10\">\n<title>{2}</title>\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n<g fill=\"none\" stroke=\"#777777\">\n",
        width_, height + legend_height, xml_text(graph_.name()));
    for (const auto& path : paths_) {
      svg += fmt::format("<path d=\"M{:.1f} {:.1f}", places_[path[0]].x, y_of(path[0]) + box_height / 2);
      double x = places_[path[0]].x, y = y_of(path[0]) + box_height / 2;
      for (std::size_t i = 1; i < path.size(); ++i) {
        const double to_x = places_[path[i]].x;
        const double to_y = y_of(path[i]) - (i + 1 == path.size() ? box_height / 2 : 0);
        svg += fmt::format("C{0:.1f} {1:.1f} {2:.1f} {1:.1f} {2:.1f} {3:.1f}", x, (y + to_y) / 2, to_x, to_y);
        x = to_x;
        y = to_y;
      }
      svg += "\"/>\n";
    }
    svg += "</g>\n";
    for (NodeId id = 0; id < graph_.size(); ++id) svg += box(id);
    return svg + legend(height) + "</svg>\n";
  }

  /// Which colour is which origin, below the graph.
  std::string legend(double y) const {
    std::string svg;
    double x = gap;
    for (const Origin origin : {Origin::forward, Origin::backward, Origin::regularizer, Origin::clip, Origin::schedule,
                                Origin::optimizer}) {
      bool there = false;
      for (NodeId id = 0; id < graph_.size(); ++id) there = there || graph_.node(id).origin == origin;
      if (!there) continue;
      svg += fmt::format("<rect x=\"{0:.0f}\" y=\"{1:.0f}\" width=\"12\" height=\"12\" fill=\"{2}\"/>"
                         "<text x=\"{3:.0f}\" y=\"{4:.0f}\">{5}</text>\n",
                         x, y, colour_of(origin), x + 17, y + 10, to_string(origin));
      x += 30 + letter * static_cast<double>(to_string(origin).size());
    }
    return svg;
  }

  std::string box(NodeId id) const {
    const Node& node = graph_.node(id);
    const Place& p = places_[id];
    std::string hint = title(id) + " : " + types(id) + "\n" + std::string(to_string(node.origin));
    if (!node.scope.empty()) hint += " in " + node.scope;
    if (node.loc.known()) hint += " at " + to_string(node.loc);
    if (!kernel_[id].empty()) hint += "\n" + kernel_[id];
    return fmt::format(
        "<g><title>{0}</title><rect x=\"{1:.1f}\" y=\"{2:.1f}\" width=\"{3:.1f}\" height=\"{4:.0f}\" rx=\"5\" "
        "fill=\"{5}\" stroke=\"#444444\"/><text x=\"{6:.1f}\" y=\"{7:.1f}\" text-anchor=\"middle\">{8}</text>"
        "<text x=\"{6:.1f}\" y=\"{9:.1f}\" text-anchor=\"middle\" fill=\"#444444\">{10}</text></g>\n",
        xml_text(hint), p.x - p.width / 2, y_of(id) - box_height / 2, p.width, box_height, colour_of(node.origin), p.x,
        y_of(id) - 3, xml_text(title(id)), y_of(id) + 11, xml_text(types(id)));
  }

  const Graph& graph_;
  Labels labels_;
  std::vector<std::string> kernel_;
  std::vector<Place> places_;
  std::vector<std::vector<std::size_t>> rows_, paths_;
  double width_ = 0;
};

}  // namespace

std::string svg_of(const Staged& staged, bool portable) { return Picture(staged, portable).run(); }

}  // namespace thalweg
