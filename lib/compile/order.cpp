// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <queue>
#include <set>

#include "thalweg/lib/compile/planning.h"

namespace thalweg {

Writers::Writers(const ValueIndex& index, const Plan& plan) : index_(index), plan_(plan), writer_(index.size(), none) {
  for (std::size_t w = 0; w < plan.works.size(); ++w)
    for (const ValueId v : plan.works[w].out) writer_[index(v)] = w;
}

std::size_t Writers::operator()(ValueId v) const { return writer_[index_(plan_.root[index_(v)])]; }

namespace {

/// Drops what no output or update needs.
void drop_unused(const Graph& graph, const ValueIndex& index, Plan& plan) {
  const Writers writer(index, plan);
  std::vector<bool> used(plan.works.size());
  std::vector<std::size_t> queue;
  const auto need = [&](ValueId v) {
    if (const std::size_t w = writer(v); w != Writers::none && !used[w]) {
      used[w] = true;
      queue.push_back(w);
    }
  };
  for (const Graph::Output& output : graph.outputs()) need(output.value);
  for (const Graph::Update& update : graph.updates()) need(update.next);
  while (!queue.empty()) {
    const std::size_t w = queue.back();
    queue.pop_back();
    for (const ValueId v : plan.works[w].in) need(v);
  }
  std::vector<Work> kept;
  for (std::size_t w = 0; w < used.size(); ++w)
    if (used[w]) kept.push_back(std::move(plan.works[w]));
  plan.works = std::move(kept);
}

class Ordering {
 public:
  Ordering(const Graph& graph, const ValueIndex& index, Plan& plan) : graph_(graph), plan_(plan), writer_(index, plan) {}

  void run() {
    const auto before = dependencies();
    std::vector<std::vector<std::size_t>> followers(before.size());
    for (std::size_t w = 0; w < before.size(); ++w)
      for (const std::size_t b : before[w]) followers[b].push_back(w);
    mark_late(followers, sorted(before, followers));
    std::vector<Work> ordered;
    for (const std::size_t w : sorted(before, followers)) ordered.push_back(std::move(plan_.works[w]));
    plan_.works = std::move(ordered);
  }

 private:
  /// What each work waits for.
  std::vector<std::set<std::size_t>> dependencies() const {
    std::vector<std::set<std::size_t>> all(plan_.works.size());
    for (std::size_t w = 0; w < all.size(); ++w)
      for (const ValueId v : plan_.works[w].in)
        if (const std::size_t before = writer_(v); before != Writers::none && before != w) all[w].insert(before);
    return all;
  }

  /// Works that only feed updates and cannot fail come last.
  void mark_late(const std::vector<std::vector<std::size_t>>& followers, const std::vector<std::size_t>& order) {
    std::vector<bool> kept(plan_.works.size());
    for (const Graph::Output& output : graph_.outputs())
      if (const std::size_t w = writer_(output.value); w != Writers::none) kept[w] = true;
    std::vector<bool> updates(plan_.works.size());
    for (const Graph::Update& update : graph_.updates()) updates[writer_(update.next)] = true;
    for (auto it = order.rbegin(); it != order.rend(); ++it) {
      Work& work = plan_.works[*it];
      const auto& after = followers[*it];
      const bool only_late =
          std::all_of(after.begin(), after.end(), [&](std::size_t f) { return plan_.works[f].late; });
      work.late = work.pointwise && !kept[*it] && only_late && (updates[*it] || !after.empty());
    }
  }

  std::vector<std::size_t> sorted(const std::vector<std::set<std::size_t>>& before,
                                  const std::vector<std::vector<std::size_t>>& followers) const {
    const auto key = [&](std::size_t w) {
      return std::tuple(plan_.works[w].late, plan_.works[w].members.back(), w);
    };
    using Key = decltype(key(0));
    std::priority_queue<Key, std::vector<Key>, std::greater<>> ready;
    std::vector<std::size_t> waits(before.size()), order;
    for (std::size_t w = 0; w < before.size(); ++w)
      if ((waits[w] = before[w].size()) == 0) ready.push(key(w));
    while (!ready.empty()) {
      const std::size_t w = std::get<2>(ready.top());
      ready.pop();
      order.push_back(w);
      for (const std::size_t f : followers[w])
        if (--waits[f] == 0) ready.push(key(f));
    }
    if (order.size() != before.size()) throw InternalError("the kernels of a program wait for each other in a circle");
    return order;
  }

  const Graph& graph_;
  Plan& plan_;
  Writers writer_;
};

}  // namespace

void order_works(const Graph& graph, const ValueIndex& index, Plan& plan) {
  drop_unused(graph, index, plan);
  Ordering(graph, index, plan).run();
}

}  // namespace thalweg
