// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/min_cut.h"

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 takes the iterator in which the flow's edges are gone through for read before it is set.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/boykov_kolmogorov_max_flow.hpp>
#include <cmath>

#include "thalweg/graph/error.h"

namespace thalweg {
namespace {

using Traits = boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>;
using VertexProperty = boost::property<
    boost::vertex_color_t, boost::default_color_type,
    boost::property<boost::vertex_distance_t, long,
                    boost::property<boost::vertex_predecessor_t, Traits::edge_descriptor>>>;
using EdgeProperty = boost::property<
    boost::edge_capacity_t, double,
    boost::property<boost::edge_residual_capacity_t, double,
                    boost::property<boost::edge_reverse_t, Traits::edge_descriptor>>>;
using Network = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, VertexProperty, EdgeProperty>;

/// Whole numbers, so that flows add up exactly: sums of them stay below 2^53.
constexpr double all_prices = 0x1p40, never = 4 * all_prices;

/// What `source` still reaches. (The search's own colors would tell, were they right where several edges join two
/// vertices.)
std::vector<bool> reached(const Network& network, std::size_t source) {
  const auto left = boost::get(boost::edge_residual_capacity, network);
  std::vector<bool> found(boost::num_vertices(network));
  std::vector<std::size_t> stack = {source};
  while (!stack.empty()) {
    const std::size_t v = stack.back();
    stack.pop_back();
    if (found[v]) continue;
    found[v] = true;
    for (auto [edge, end] = boost::out_edges(v, network); edge != end; ++edge)
      if (left[*edge] > 0) stack.push_back(boost::target(*edge, network));
  }
  found.resize(source);
  return found;
}

}  // namespace

std::vector<bool> FlowNetwork::min_cut() const {
  double sum = 0;
  for (const Edge& edge : edges_)
    if (edge.price < unlimited) sum += edge.price;
  const double scale = sum > 0 ? all_prices / sum : 1;

  Network network(count_ + 2);
  const auto reverse = boost::get(boost::edge_reverse, network);
  const auto capacity = boost::get(boost::edge_capacity, network);
  for (const Edge& edge : edges_) {
    if (edge.from == edge.to) continue;
    const auto there = boost::add_edge(edge.from, edge.to, network).first;
    const auto back = boost::add_edge(edge.to, edge.from, network).first;
    capacity[there] = edge.price < unlimited ? std::round(edge.price * scale) : never;
    capacity[back] = 0;
    reverse[there] = back;
    reverse[back] = there;
  }
  const double flow = boost::boykov_kolmogorov_max_flow(network, count_, count_ + 1);
  if (flow >= never) throw InternalError("min_cut: an edge without limit would have to be cut");
  return reached(network, count_);
}

}  // namespace thalweg
