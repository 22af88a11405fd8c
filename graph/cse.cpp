// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/cse.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <unordered_set>
#include <vector>

#include "thalweg/graph/opdef.h"
#include "thalweg/graph/rewrite.h"

namespace thalweg {
namespace {

class Hasher {
 public:
  void mix(std::uint64_t x) {
    // The finalizer of splitmix64, over a running state.
    state_ += x + 0x9e3779b97f4a7c15U;
    state_ = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9U;
    state_ = (state_ ^ (state_ >> 27)) * 0x94d049bb133111ebU;
    state_ ^= state_ >> 31;
  }
  void operator()(bool x) { mix(x); }
  void operator()(std::int64_t x) { mix(static_cast<std::uint64_t>(x)); }
  void operator()(double x) { mix(std::bit_cast<std::uint64_t>(x)); }
  void operator()(const std::string& x) { mix(std::hash<std::string>{}(x)); }
  template <class T>
  void operator()(const std::vector<T>& list) {
    mix(list.size());
    for (const T x : list) (*this)(x);
  }
  void operator()(const AttrValue& x) {
    switch (x.kind()) {
      case AttrKind::flag: return (*this)(x.flag());
      case AttrKind::integer: return (*this)(x.integer());
      case AttrKind::real: return (*this)(x.real());
      case AttrKind::text: return (*this)(x.text());
      case AttrKind::integers: return (*this)(x.integers());
      case AttrKind::reals: return (*this)(x.reals());
    }
  }
  std::size_t value() const { return state_; }

 private:
  std::uint64_t state_ = 0;
};

/// A node of the graph that is being made, with its operands in canonical order.
struct Entry {
  const Node* node;
  std::vector<ValueId> x;
  NodeId id;
  std::size_t hash;
};

std::size_t hash_of(const Node& node, const std::vector<ValueId>& x) {
  Hasher hash;
  hash.mix(std::hash<std::string_view>{}(node.op->name));
  for (const Attr& attr : node.attrs) hash(attr.value);
  for (const TensorType& type : node.types) {
    hash.mix(static_cast<std::uint64_t>(type.dtype));
    for (const Dim d : type.shape) hash(d);
  }
  for (const ValueId v : x) hash.mix((std::uint64_t{v.node} << 32) | v.result);
  return hash.value();
}

struct HashOf {
  std::size_t operator()(const Entry& e) const { return e.hash; }
};
struct SameValue {
  bool operator()(const Entry& a, const Entry& b) const {
    return a.hash == b.hash && a.node->op == b.node->op && a.x == b.x && a.node->types == b.node->types &&
           a.node->attrs == b.node->attrs;
  }
};

}  // namespace

bool cse(Graph& graph) {
  std::unordered_set<Entry, HashOf, SameValue> known;
  return rewrite(graph, [&](const Site& site) -> std::vector<ValueId> {
    const Node& node = site.node();
    if (!node.name.empty()) return {};
    Entry entry{&node, {site.x.begin(), site.x.end()}, static_cast<NodeId>(site.to.size()), 0};
    if (node.op->commutative) std::sort(entry.x.begin(), entry.x.end());
    entry.hash = hash_of(node, entry.x);
    const auto [it, is_new] = known.insert(std::move(entry));
    if (is_new) return {};
    std::vector<ValueId> results;
    for (std::uint32_t i = 0; i < node.types.size(); ++i) results.push_back({it->id, i});
    return results;
  });
}

}  // namespace thalweg
