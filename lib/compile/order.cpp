// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <queue>
#include <set>

#include "thalweg/graph/fail.h"
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

/// The bytes of results that are alive as works run one after the other.
class Liveness {
 public:
  Liveness(const Graph& graph, const ValueIndex& index, const Plan& plan, const Writers& writer)
      : results_(plan.works.size()), operands_(plan.works.size()), bytes_(index.size()), readers_(index.size()) {
    const auto root = [&](ValueId v) { return index(plan.root[index(v)]); };
    for (std::size_t w = 0; w < plan.works.size(); ++w) {
      for (const ValueId v : plan.works[w].out) {
        bytes_[root(v)] = graph.type(v).bytes();
        results_[w].push_back(root(v));
      }
      std::set<std::size_t> read;
      for (const ValueId v : plan.works[w].in)
        if (writer(v) != Writers::none && read.insert(root(v)).second) ++readers_[root(v)];
      operands_[w].assign(read.begin(), read.end());
    }
    for (const Graph::Output& output : graph.outputs()) ++readers_[root(output.value)];
  }

  /// By how much running `w` now changes what is alive once it is done.
  std::ptrdiff_t change(std::size_t w) const {
    std::size_t more = 0, less = 0;
    for (const std::size_t v : results_[w]) more += readers_[v] > 0 ? bytes_[v] : 0;
    for (const std::size_t v : operands_[w]) less += readers_[v] == 1 ? bytes_[v] : 0;
    return static_cast<std::ptrdiff_t>(more) - static_cast<std::ptrdiff_t>(less);
  }
  void run(std::size_t w) {
    for (const std::size_t v : results_[w]) live_ += bytes_[v];
    most_ = std::max(most_, live_);
    for (const std::size_t v : operands_[w])
      if (--readers_[v] == 0) live_ -= bytes_[v];
    for (const std::size_t v : results_[w])
      if (readers_[v] == 0) live_ -= bytes_[v];
  }
  std::size_t most() const { return most_; }

 private:
  std::vector<std::vector<std::size_t>> results_, operands_;
  std::vector<std::size_t> bytes_, readers_;
  std::size_t live_ = 0, most_ = 0;
};

class Ordering {
 public:
  Ordering(const Graph& graph, const ValueIndex& index, Plan& plan)
      : graph_(graph), index_(index), plan_(plan), writer_(index, plan) {}

  void run() {
    const auto before = dependencies();
    std::vector<std::vector<std::size_t>> followers(before.size());
    for (std::size_t w = 0; w < before.size(); ++w)
      for (const std::size_t b : before[w]) followers[b].push_back(w);
    mark_late(followers, sorted(before, followers));
    std::vector<Work> ordered;
    for (const std::size_t w : smallest(before, followers)) ordered.push_back(std::move(plan_.works[w]));
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

  [[noreturn]] void circle(const std::vector<std::set<std::size_t>>& before,
                           const std::vector<std::size_t>& waits) const {
    std::string text;
    for (std::size_t w = 0; w < waits.size(); ++w)
      if (waits[w] > 0)
        text += fmt::format("\n    {} (stage {}) waits for {}, makes {}", w, plan_.works[w].stage,
                            fmt::join(before[w], ", "), describe(graph_.value(plan_.works[w].out.front())));
    throw InternalError("the kernels of a program wait for each other in a circle" + text);
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
    if (order.size() != before.size()) circle(before, waits);
    return order;
  }

  /// The graph's own order, or the one that each time runs what leaves least alive, whichever has the lower peak.
  std::vector<std::size_t> smallest(const std::vector<std::set<std::size_t>>& before,
                                    const std::vector<std::vector<std::size_t>>& followers) const {
    const std::vector<std::size_t> plain = sorted(before, followers);
    if (plain.size() > most_searched) return plain;
    Liveness alive(graph_, index_, plan_, writer_);
    for (const std::size_t w : plain) alive.run(w);
    Liveness other(graph_, index_, plan_, writer_);
    const std::vector<std::size_t> greedy = least_first(before, followers, other);
    return other.most() < alive.most() ? greedy : plain;
  }

  std::vector<std::size_t> least_first(const std::vector<std::set<std::size_t>>& before,
                                       const std::vector<std::vector<std::size_t>>& followers, Liveness& alive) const {
    std::vector<std::size_t> waits(before.size()), ready, order;
    for (std::size_t w = 0; w < before.size(); ++w)
      if ((waits[w] = before[w].size()) == 0) ready.push_back(w);
    const auto key = [&](std::size_t w) {
      return std::tuple(plan_.works[w].late, alive.change(w), plan_.works[w].members.back(), w);
    };
    while (!ready.empty()) {
      const auto next = std::min_element(ready.begin(), ready.end(),
                                         [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
      const std::size_t w = *next;
      ready.erase(next);
      alive.run(w);
      order.push_back(w);
      for (const std::size_t f : followers[w])
        if (--waits[f] == 0) ready.push_back(f);
    }
    return order;
  }

  // The search is quadratic where much is ready at once.
  static constexpr std::size_t most_searched = 4000;

  const Graph& graph_;
  const ValueIndex& index_;
  Plan& plan_;
  Writers writer_;
};

}  // namespace

void order_works(const Graph& graph, const ValueIndex& index, Plan& plan) {
  drop_unused(graph, index, plan);
  Ordering(graph, index, plan).run();
}

}  // namespace thalweg
