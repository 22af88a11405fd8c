// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "thalweg/graph/fail.h"
#include "thalweg/lib/compile/plan.h"

namespace thalweg {
namespace {

/// Who owns which bytes of one address space while a step runs.
class Owners {
 public:
  void write(std::size_t begin, std::size_t end, std::size_t owner) {
    cut(begin);
    cut(end);
    pieces_.erase(pieces_.lower_bound(begin), pieces_.lower_bound(end));
    pieces_[begin] = {end, owner};
  }
  /// Whether all of [begin, end) belongs to `owner`.
  bool owned(std::size_t begin, std::size_t end, std::size_t owner) const {
    auto it = pieces_.upper_bound(begin);
    if (it == pieces_.begin()) return false;
    for (--it; begin < end; ++it) {
      if (it == pieces_.end() || it->first > begin || it->second.owner != owner || it->second.end <= begin) return false;
      begin = it->second.end;
    }
    return true;
  }

 private:
  struct Piece {
    std::size_t end;
    std::size_t owner;
  };
  void cut(std::size_t at) {
    auto it = pieces_.upper_bound(at);
    if (it == pieces_.begin()) return;
    --it;
    if (it->first < at && at < it->second.end) {
      pieces_[at] = it->second;
      it->second.end = at;
    }
  }
  std::map<std::size_t, Piece> pieces_;
};

/// Replays a step over bytes that carry the name of the value in them.
class Replay {
 public:
  Replay(const Graph& graph, const ValueIndex& index, const Plan& plan, const Placement& placement)
      : graph_(graph), index_(index), plan_(plan), placement_(placement) {}

  void run() {
    for (std::size_t b = 0; b < placement_.buffers.size(); ++b) {
      const Buffer& buffer = placement_.buffers[b];
      if (buffer.region == Region::arena && buffer.offset + buffer.bytes > placement_.arena)
        fail("a buffer ends beyond the arena");
      if (buffer.region != Region::arena) write(b, index_({buffer.node, 0}));
    }
    for (std::size_t k = 0; k < plan_.works.size(); ++k) step(k);
    for (std::size_t i = 0; i < graph_.outputs().size(); ++i)
      need(placement_.outputs[i], graph_.outputs()[i].value, "an output");
  }

 private:
  void step(std::size_t k) {
    const Work& work = plan_.works[k];
    const Placement::Places& places = placement_.works[k];
    const std::string what = fmt::format("kernel {} ({})", k, work.kernel->name());
    for (std::size_t i = 0; i < work.in.size(); ++i) need(places.in[i], work.in[i], what);
    for (std::size_t i = 0; i < places.out.size(); ++i) {
      for (std::size_t j = 0; j < places.in.size(); ++j)
        if (overlap(places.out[i], places.in[j]) && !(same(places.out[i], places.in[j]) && work.kernel->in_place(j, i)))
          fail(what + " writes over an operand that it does not take in place");
      for (std::size_t j = 0; j < i; ++j)
        if (overlap(places.out[i], places.out[j])) fail(what + " writes two results to one place");
    }
    if (places.scratch != Placement::none) {
      for (const std::uint32_t b : places.in)
        if (overlap(places.scratch, b)) fail(what + " has its scratch over an operand");
      write(places.scratch, ~std::size_t{0});
    }
    for (std::size_t i = 0; i < places.out.size(); ++i) write(places.out[i], index_(plan_.root[index_(work.out[i])]));
    for (const std::uint32_t b : places.out)
      if (places.scratch != Placement::none && overlap(places.scratch, b)) fail(what + " has its scratch over a result");
  }

  /// Variables and inputs are address spaces of their own, one for each.
  Owners& space(const Buffer& b) {
    const bool own = b.region == Region::variable || b.region == Region::input;
    return spaces_[{static_cast<int>(b.region), own ? b.node : 0}];
  }
  void write(std::size_t b, std::size_t owner) {
    const Buffer& buffer = placement_.buffers[b];
    space(buffer).write(buffer.offset, buffer.offset + buffer.bytes, owner);
  }
  void need(std::size_t b, ValueId value, const std::string& reader) {
    const Buffer& buffer = placement_.buffers[b];
    const ValueId root = plan_.root[index_(value)];
    if (!space(buffer).owned(buffer.offset, buffer.offset + buffer.bytes, index_(root)))
      fail(fmt::format("{} reads {} where other bytes are", reader, label(graph_, value)));
  }
  bool overlap(std::size_t a, std::size_t b) const {
    const Buffer &x = placement_.buffers[a], &y = placement_.buffers[b];
    if (x.region != y.region) return false;
    if (x.region == Region::variable || x.region == Region::input) return x.node == y.node;
    return x.offset < y.offset + y.bytes && y.offset < x.offset + x.bytes;
  }
  bool same(std::size_t a, std::size_t b) const {
    const Buffer &x = placement_.buffers[a], &y = placement_.buffers[b];
    return overlap(a, b) && x.offset == y.offset && x.bytes == y.bytes;
  }
  [[noreturn]] static void fail(const std::string& what) {
    throw InternalError("the memory plan is wrong: " + what);
  }

  const Graph& graph_;
  const ValueIndex& index_;
  const Plan& plan_;
  const Placement& placement_;
  std::map<std::pair<int, NodeId>, Owners> spaces_;
};

}  // namespace

void check_placement(const Graph& graph, const ValueIndex& index, const Plan& plan,
                     const Placement& placement) {
  Replay(graph, index, plan, placement).run();
}

}  // namespace thalweg
