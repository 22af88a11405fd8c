// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/walk.h"

#include <algorithm>
#include <boost/graph/breadth_first_search.hpp>
#include <boost/graph/depth_first_search.hpp>
#include <boost/graph/reverse_graph.hpp>
#include <boost/graph/topological_sort.hpp>
#include <boost/graph/two_bit_color_map.hpp>
#include <boost/pending/queue.hpp>

#include "thalweg/graph/storage.h"

namespace thalweg {
namespace {

template <class G>
std::vector<bool> reached(const G& graph, std::span<const NodeId> from) {
  const std::size_t count = boost::num_vertices(graph);
  auto color = boost::make_two_bit_color_map(count, boost::get(boost::vertex_index, graph));
  boost::queue<typename boost::graph_traits<G>::vertex_descriptor> waiting;
  std::vector<std::size_t> starts(from.begin(), from.end());
  std::sort(starts.begin(), starts.end());
  starts.erase(std::unique(starts.begin(), starts.end()), starts.end());
  boost::breadth_first_visit(graph, starts.begin(), starts.end(), waiting, boost::default_bfs_visitor(), color);
  std::vector<bool> seen(count);
  for (std::size_t i = 0; i < count; ++i) seen[i] = boost::get(color, i) != boost::two_bit_white;
  return seen;
}

/// Remembers who led to each vertex, and leaves at the first edge that closes a cycle.
class CycleFinder : public boost::default_dfs_visitor {
 public:
  struct Found {
    std::size_t last, first;
  };
  explicit CycleFinder(std::vector<std::size_t>& parents) : parents_(&parents) {}
  template <class Edge, class G>
  void tree_edge(Edge edge, const G& graph) const {
    (*parents_)[boost::target(edge, graph)] = boost::source(edge, graph);
  }
  template <class Edge, class G>
  void back_edge(Edge edge, const G& graph) const {
    throw Found{boost::source(edge, graph), boost::target(edge, graph)};
  }

 private:
  std::vector<std::size_t>* parents_;
};

template <class G>
std::vector<NodeId> cycle_in(const G& graph) {
  std::vector<std::size_t> parents(boost::num_vertices(graph));
  std::vector<NodeId> cycle;
  try {
    boost::depth_first_search(graph, boost::visitor(CycleFinder(parents)));
  } catch (const CycleFinder::Found& found) {
    for (std::size_t at = found.last; at != found.first; at = parents[at]) cycle.push_back(static_cast<NodeId>(at));
    cycle.push_back(static_cast<NodeId>(found.first));
    std::reverse(cycle.begin(), cycle.end());
  }
  return cycle;
}

template <class G>
Order ordered(const G& graph) {
  Order result;
  std::vector<std::size_t> last_first;
  last_first.reserve(boost::num_vertices(graph));
  try {
    boost::topological_sort(graph, std::back_inserter(last_first));
  } catch (const boost::not_a_dag&) {
    result.cycle = cycle_in(graph);
    return result;
  }
  result.order.assign(last_first.rbegin(), last_first.rend());
  return result;
}

}  // namespace

std::vector<Reader> readers(const Graph& graph, ValueId value) {
  const detail::Adjacency& nodes = detail::Access::state(graph).nodes;
  std::vector<Reader> found;
  for (const auto& edge : boost::make_iterator_range(boost::out_edges(value.node, nodes)))
    if (nodes[edge].result == value.result)
      found.push_back({static_cast<NodeId>(boost::target(edge, nodes)), nodes[edge].operand});
  return found;
}

std::vector<bool> behind(const Graph& graph, std::span<const NodeId> from) {
  return reached(boost::make_reverse_graph(detail::Access::state(graph).nodes), from);
}

std::vector<bool> ahead(const Graph& graph, std::span<const NodeId> from) {
  return reached(detail::Access::state(graph).nodes, from);
}

std::vector<bool> needed(const Graph& graph) {
  std::vector<NodeId> roots;
  for (const Graph::Output& out : graph.outputs()) roots.push_back(out.value.node);
  for (const Graph::Update& update : graph.updates()) {
    roots.push_back(update.variable.node);
    roots.push_back(update.next.node);
  }
  return behind(graph, roots);
}

Order order_of(std::size_t count, std::span<const std::pair<NodeId, NodeId>> edges) {
  boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS> graph(count);
  for (const auto& [before, after] : edges) boost::add_edge(before, after, graph);
  return ordered(graph);
}

Order execution_order(const Graph& graph) { return ordered(detail::Access::state(graph).nodes); }

}  // namespace thalweg
