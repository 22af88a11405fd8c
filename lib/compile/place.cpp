// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/compile/plan.h"

namespace thalweg {
namespace {

constexpr std::size_t alignment = 64;
std::size_t aligned(std::size_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

/// Free intervals of an address space without end.
class FreeList {
 public:
  std::size_t take(std::size_t bytes) {
    auto best = holes_.end();
    for (auto it = holes_.begin(); it != holes_.end(); ++it)
      if (it->second >= bytes && (best == holes_.end() || it->second < best->second)) best = it;
    if (best == holes_.end()) {
      // Grow; a hole at the very end is extended instead of left behind.
      std::size_t offset = end_;
      if (!holes_.empty() && holes_.rbegin()->first + holes_.rbegin()->second == end_) {
        offset = holes_.rbegin()->first;
        holes_.erase(std::prev(holes_.end()));
      }
      end_ = offset + bytes;
      return offset;
    }
    const auto [offset, size] = *best;
    holes_.erase(best);
    if (size > bytes) holes_.emplace(offset + bytes, size - bytes);
    return offset;
  }
  void give(std::size_t offset, std::size_t bytes) {
    auto it = holes_.emplace(offset, bytes).first;
    if (const auto next = std::next(it); next != holes_.end() && it->first + it->second == next->first) {
      it->second += next->second;
      holes_.erase(next);
    }
    if (it != holes_.begin()) {
      if (const auto before = std::prev(it); before->first + before->second == it->first) {
        before->second += it->second;
        holes_.erase(it);
      }
    }
  }
  std::size_t end() const { return end_; }

 private:
  std::map<std::size_t, std::size_t> holes_;
  std::size_t end_ = 0;
};

std::size_t first_come(std::span<Buffer> buffers) {
  std::vector<std::size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(buffers[a].first, buffers[b].bytes) < std::pair(buffers[b].first, buffers[a].bytes);
  });
  FreeList space;
  std::multimap<std::size_t, std::size_t> dying;  // last use -> buffer
  for (const std::size_t b : order) {
    while (!dying.empty() && dying.begin()->first < buffers[b].first) {
      const Buffer& dead = buffers[dying.begin()->second];
      space.give(dead.offset, aligned(dead.bytes));
      dying.erase(dying.begin());
    }
    buffers[b].offset = space.take(aligned(buffers[b].bytes));
    dying.emplace(buffers[b].last, b);
  }
  return space.end();
}

std::size_t largest_first(std::span<Buffer> buffers) {
  std::vector<std::size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return buffers[a].bytes > buffers[b].bytes; });
  std::vector<std::size_t> placed;  // by offset
  std::size_t end = 0;
  for (const std::size_t b : order) {
    const std::size_t size = aligned(buffers[b].bytes);
    std::size_t cursor = 0, best = 0, best_gap = ~std::size_t{0};
    bool found = false;
    for (const std::size_t p : placed) {
      if (buffers[p].last < buffers[b].first || buffers[b].last < buffers[p].first) continue;
      if (buffers[p].offset >= cursor + size && buffers[p].offset - cursor < best_gap) {
        best = cursor;
        best_gap = buffers[p].offset - cursor;
        found = true;
      }
      cursor = std::max(cursor, buffers[p].offset + aligned(buffers[p].bytes));
    }
    buffers[b].offset = found ? best : cursor;
    end = std::max(end, buffers[b].offset + size);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), b,
                                   [&](std::size_t x, std::size_t y) { return buffers[x].offset < buffers[y].offset; }),
                  b);
  }
  return end;
}

}  // namespace

std::size_t assign_offsets(std::span<Buffer> buffers) {
  const std::size_t simple = first_come(buffers);
  // Quadratic, and worth it only where there is something to gain.
  if (buffers.size() > 4000) return simple;
  std::vector<Buffer> other(buffers.begin(), buffers.end());
  const std::size_t sorted = largest_first(other);
  if (sorted >= simple) return simple;
  std::copy(other.begin(), other.end(), buffers.begin());
  return sorted;
}

std::size_t largest_live(std::span<const Buffer> buffers, std::size_t works) {
  std::vector<std::ptrdiff_t> change(works + 2);
  for (const Buffer& b : buffers) {
    change[b.first] += static_cast<std::ptrdiff_t>(aligned(b.bytes));
    change[b.last + 1] -= static_cast<std::ptrdiff_t>(aligned(b.bytes));
  }
  std::ptrdiff_t live = 0, most = 0;
  for (const std::ptrdiff_t c : change) most = std::max(most, live += c);
  return static_cast<std::size_t>(most);
}

namespace {

/// Builds a Placement work by work.
class Placer {
 public:
  Placer(const Graph& graph, const ValueIndex& index, const Plan& plan, bool in_place)
      : graph_(graph), index_(index), plan_(plan), in_place_(in_place), buffer_of_(index.size(), none),
        last_use_(index.size(), 0), scalar_of_(graph.size(), none) {}

  Placement run() {
    find_last_uses();
    for (std::size_t k = 0; k < plan_.works.size(); ++k) place_work(k);
    for (const Graph::Output& output : graph_.outputs()) result_.outputs.push_back(buffer(output.value, false));
    pack();
    return std::move(result_);
  }

 private:
  static constexpr std::uint32_t none = Placement::none;
  ValueId root(ValueId v) const { return plan_.root[index_(v)]; }
  std::size_t end() const { return plan_.works.size(); }

  void find_last_uses() {
    for (std::size_t k = 0; k < end(); ++k) {
      for (const ValueId v : plan_.works[k].in) last_use_[index_(root(v))] = k;
      for (const ValueId v : plan_.works[k].out)
        last_use_[index_(root(v))] = std::max(last_use_[index_(root(v))], k);
    }
    for (const Graph::Output& output : graph_.outputs()) last_use_[index_(root(output.value))] = end();
  }

  std::uint32_t add(Buffer buffer) {
    result_.buffers.push_back(buffer);
    return static_cast<std::uint32_t>(result_.buffers.size() - 1);
  }

  /// The buffer of a value that exists before the step, or that an earlier work has written.
  std::uint32_t buffer(ValueId value, bool scalar_is_enough) {
    const ValueId v = root(value);
    const Node& node = graph_.node(v.node);
    if (scalar_is_enough && node.op->name == "constant" && node.attrs.reals("values").size() == 1) {
      if (scalar_of_[v.node] == none)
        scalar_of_[v.node] = add({.region = Region::constant, .bytes = size_of(node.types[0].dtype), .node = v.node});
      return scalar_of_[v.node];
    }
    std::uint32_t& b = buffer_of_[index_(v)];
    if (b != none) return b;
    const std::size_t bytes = graph_.type(v).bytes();
    if (node.op->name == "constant") return b = add({.region = Region::constant, .bytes = bytes, .node = v.node});
    if (node.op->name == "input") return b = add({.region = Region::input, .bytes = bytes, .node = v.node});
    if (node.op->name == "variable") return b = add({.region = Region::variable, .bytes = bytes, .node = v.node});
    throw InternalError(fmt::format("{} is read before any kernel writes it", label(graph_, v)));
  }

  /// An operand that dies here and whose buffer output `i` may take.
  std::uint32_t dying_operand(std::size_t k, std::size_t i, const Placement::Places& places) {
    const Work& work = plan_.works[k];
    if (!in_place_ || (i > 0 && work.members.size() == 1)) return none;
    const TensorType& type = graph_.type(work.out[i]);
    for (std::size_t j = 0; j < work.in.size(); ++j) {
      const Buffer& b = result_.buffers[places.in[j]];
      const TensorType& other = graph_.type(work.in[j]);
      if (b.region != Region::arena || b.last != k || other.shape != type.shape ||
          size_of(other.dtype) != size_of(type.dtype) || !work.kernel->in_place(j, i))
        continue;
      if (std::count(places.in.begin(), places.in.end(), places.in[j]) > 1) continue;
      if (std::find(places.out.begin(), places.out.end(), places.in[j]) != places.out.end()) continue;
      return places.in[j];
    }
    return none;
  }

  void place_work(std::size_t k) {
    const Work& work = plan_.works[k];
    Placement::Places places;
    const bool scalar_is_enough = work.kernel && work.kernel->name().starts_with("own:pointwise");
    for (const ValueId v : work.in) places.in.push_back(buffer(v, scalar_is_enough));
    for (std::size_t i = 0; i < work.out.size(); ++i) {
      const ValueId v = work.out[i];
      const auto direct = plan_.direct.find(index_(v));
      std::uint32_t b = none;
      if (work.to_variable) b = buffer(v, false);
      if (direct != plan_.direct.end()) b = buffer(direct->second, false);
      if (b == none) b = dying_operand(k, i, places);
      if (b == none) {
        b = add({.region = Region::arena, .bytes = graph_.type(v).bytes(), .node = v.node, .first = k,
                 .last = last_use_[index_(v)]});
      } else if (result_.buffers[b].region == Region::arena) {
        result_.buffers[b].last = last_use_[index_(v)];
      }
      places.out.push_back(b);
      if (!work.to_variable) buffer_of_[index_(v)] = b;
    }
    if (const std::size_t bytes = work.kernel->scratch_bytes(); bytes > 0)
      places.scratch = add({.region = Region::arena, .bytes = bytes, .node = work.members.front(), .first = k, .last = k});
    result_.works.push_back(std::move(places));
  }

  void pack() {
    std::vector<Buffer> arena;
    for (Buffer& b : result_.buffers) {
      if (b.region == Region::arena) arena.push_back(b);
      if (b.region != Region::constant) continue;
      b.offset = result_.constants;
      result_.constants += aligned(b.bytes);
    }
    result_.largest_live = largest_live(arena, end());
    result_.arena = assign_offsets(arena);
    auto next = arena.begin();
    for (Buffer& b : result_.buffers)
      if (b.region == Region::arena) b.offset = (next++)->offset;
  }

  const Graph& graph_;
  const ValueIndex& index_;
  const Plan& plan_;
  bool in_place_;
  std::vector<std::uint32_t> buffer_of_;
  std::vector<std::size_t> last_use_;
  std::vector<std::uint32_t> scalar_of_;
  Placement result_;
};

}  // namespace

Placement place(const Graph& graph, const ValueIndex& index, const Plan& plan, const CompileOptions& options) {
  return Placer(graph, index, plan, options.in_place).run();
}

}  // namespace thalweg
