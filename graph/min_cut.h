// SPDX-License-Identifier: Apache-2.0
// Private: the cheapest set of edges that parts what must lie at the source from what must lie at the sink.
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

namespace thalweg {

/// Vertices 0 to count - 1 with edges that cost something to cut, between a source and a sink.
class FlowNetwork {
 public:
  /// The price of an edge that is never cut.
  static constexpr double unlimited = std::numeric_limits<double>::infinity();

  explicit FlowNetwork(std::size_t count) : count_(count) {}
  void edge(std::size_t from, std::size_t to, double price) { edges_.push_back({from, to, price}); }
  void from_source(std::size_t to, double price) { edge(count_, to, price); }
  void to_sink(std::size_t from, double price) { edge(from, count_ + 1, price); }

  /// For each vertex whether a cheapest cut leaves it on the source's side: what the source still reaches when as much
  /// as possible flows (Boykov and Kolmogorov 2004). Throws InternalError where each cut has an edge without limit.
  std::vector<bool> min_cut() const;

 private:
  struct Edge {
    std::size_t from, to;
    double price;
  };
  std::size_t count_;
  std::vector<Edge> edges_;
};

}  // namespace thalweg
