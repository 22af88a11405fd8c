// SPDX-License-Identifier: Apache-2.0
// Whether a graph's objective is a mean over samples.
#include <algorithm>
#include <string_view>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/train/accumulation.h"
#include "thalweg/lib/train/with_batch.h"

namespace thalweg {
namespace {

/// How a value depends on which samples are in the batch.
enum class Kind : std::uint8_t {
  fixed,  ///< not at all
  rows,   ///< its first axis runs over the samples, and each part depends on its own sample only
  mean,   ///< it is the mean over samples of what each would give alone
  total,  ///< it is the sum of that
  mixed   ///< in another way
};

struct Dependence {
  Kind kind = Kind::fixed;
  NodeId because = 0;  ///< the node that first summed or mixed
};

bool one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Follows samples through a graph that was written for two batch sizes: an axis whose size differs holds them.
class Follower {
 public:
  Follower(const Graph& small, const Graph& large, Dim small_batch, Dim large_batch)
      : small_(small), large_(large), small_batch_(small_batch), large_batch_(large_batch), all_(small.size()) {}

  void run() {
    for (NodeId id = 0; id < small_.size(); ++id) all_[id] = follow(id);
  }
  const Dependence& operator[](NodeId id) const { return all_[id]; }

 private:
  const Node& node(NodeId id) const { return small_.node(id); }
  std::span<const ValueId> operands(NodeId id) const { return small_.operands(id); }
  const Shape& shape(ValueId v) const { return small_.type(v).shape; }
  Kind kind(ValueId v) const { return all_[v.node].kind; }

  Dependence follow(NodeId id) const {
    // Outside training by_mode reads something else; the gradient goes through its first operand.
    const auto all = node(id).op->name == "by_mode" ? operands(id).first(1) : operands(id);
    for (const ValueId v : all)
      if (kind(v) == Kind::mixed) return all_[v.node];
    const Kind own = kind_of(id, all);
    for (const ValueId v : all)
      if (own == Kind::total && kind(v) == Kind::total) return all_[v.node];
    return {own, id};
  }

  /// Whether samples lie along the first axis of every result, and along no other; `any`: along some axis.
  bool led_by_samples(NodeId id) const {
    for (std::size_t r = 0; r < node(id).types.size(); ++r) {
      const Shape &a = node(id).types[r].shape, &b = large_.node(id).types[r].shape;
      if (a.rank() == 0 || a[0] % small_batch_ != 0 || a[0] / small_batch_ * large_batch_ != b[0]) return false;
      for (std::size_t axis = 1; axis < a.rank(); ++axis)
        if (a[axis] != b[axis]) return false;
    }
    return true;
  }
  bool same_types(NodeId id) const { return node(id).types == large_.node(id).types; }

  Kind kind_of(NodeId id, std::span<const ValueId> all) const {
    const auto count = [&](Kind wanted) {
      return std::count_if(all.begin(), all.end(), [&](ValueId v) { return kind(v) == wanted; });
    };
    const auto rows = count(Kind::rows), means = count(Kind::mean), totals = count(Kind::total);
    const std::string_view op = node(id).op->name;
    if (rows + means + totals == 0) {
      if (op == "input" && node(id).types[0].shape.rank() == 0) return Kind::fixed;
      return same_types(id) ? Kind::fixed : led_by_samples(id) ? Kind::rows : Kind::mixed;
    }
    if (rows == 0 && totals == 0) return is_linear(id, all) ? Kind::mean : Kind::mixed;
    if (rows == 0 && means == 0) {
      if (op == "div" && kind(all[0]) == Kind::total && is_count(all[1])) return Kind::mean;
      const bool sums_of_sums = (op != "add" && op != "sub") || kind(all[0]) == kind(all[1]);
      return sums_of_sums && is_linear(id, all) ? Kind::total : Kind::mixed;
    }
    if (means + totals > 0) return Kind::mixed;
    if (op == "mean" && takes_samples(id)) return Kind::mean;
    if (op == "sum" && takes_samples(id)) return Kind::total;
    return led_by_samples(id) && keeps_rows(id, all) ? Kind::rows : Kind::mixed;
  }

  /// Whether a reduction goes over the first axis.
  bool takes_samples(NodeId id) const {
    const auto& axes = node(id).attrs.integers("axes");
    const auto rank = static_cast<std::int64_t>(shape(operands(id)[0]).rank());
    return axes.empty() || std::any_of(axes.begin(), axes.end(), [&](std::int64_t a) { return a == 0 || a == -rank; });
  }

  /// Whether it is how many samples there are: the sum of a one for each.
  bool is_count(ValueId v) const {
    return node(v.node).op->name == "sum" && node(operands(v.node)[0].node).op->name == "constant";
  }

  /// Whether an op takes means to means and sums to sums.
  bool is_linear(NodeId id, std::span<const ValueId> all) const {
    const std::string_view op = node(id).op->name;
    if (one_of(op, {"add", "sub", "neg", "note", "stop_gradient", "by_mode", "broadcast", "reshape", "transpose", "sum",
                    "mean"}))
      return true;
    if (op == "cast") return is_float(node(id).types[0].dtype);
    if (op == "mul") return kind(all[0]) != kind(all[1]);
    return op == "div" && kind(all[1]) == Kind::fixed;
  }

  /// Whether samples lie along the first axis of each operand that has any, as of the result, and of no other operand.
  bool aligned(NodeId id, std::span<const ValueId> all) const {
    return std::all_of(all.begin(), all.end(), [&](ValueId v) {
      return kind(v) == Kind::fixed || (shape(v).rank() == node(id).types[0].shape.rank() &&
                                        shape(v)[0] == node(id).types[0].shape[0]);
    });
  }

  bool only_first_has_samples(std::span<const ValueId> all) const {
    return std::all_of(all.begin() + 1, all.end(), [&](ValueId v) { return kind(v) == Kind::fixed; });
  }

  /// Whether each part of the result, along its first axis, depends on the same part of the operands only.
  bool keeps_rows(NodeId id, std::span<const ValueId> all) const {
    const Node& n = node(id);
    const std::string_view op = n.op->name;
    const Shape& x = shape(all[0]);
    const auto rank = static_cast<std::int64_t>(x.rank());
    if (n.op->fusion == Fusion::pointwise || op == "broadcast") return aligned(id, all);
    if (one_of(op, {"sum", "mean", "reduce_max"})) return !takes_samples(id);
    if (one_of(op, {"argmax", "softmax", "log_softmax"})) {
      const std::int64_t axis = n.attrs.integer("axis");
      return axis != 0 && axis != -rank;
    }
    if (op == "reshape" || op == "one_hot") return true;  // row-major: parts stay whole
    if (op == "transpose") return n.attrs.integers("perm")[0] == 0;
    if (op == "slice") return n.attrs.integers("starts")[0] == 0;  // with_batch refuses a part of the batch
    if (op == "pad") return true;                                  // and the first axis has only samples
    if (op == "concat") return n.attrs.integer("axis") != 0 && aligned_rows(all);
    if (op == "matmul") return keeps_rows_of_product(id, all);
    if (one_of(op, {"conv2d", "batch_norm_inference"}))
      return only_first_has_samples(all) && kind(all[0]) == Kind::rows;
    if (one_of(op, {"max_pool", "avg_pool"})) return true;
    if (op == "layer_norm") return shape(all[1]).rank() < x.rank() && only_first_has_samples(all);
    if (one_of(op, {"cross_entropy", "sparse_cross_entropy"})) return x.rank() >= 2 && kind(all[0]) == Kind::rows;
    if (op == "gather") return kind(all[0]) == Kind::fixed && n.attrs.integer("axis") == 0;
    return false;
  }

  bool aligned_rows(std::span<const ValueId> all) const {
    return std::all_of(all.begin(), all.end(), [&](ValueId v) { return kind(v) == Kind::rows; });
  }

  bool keeps_rows_of_product(NodeId id, std::span<const ValueId> all) const {
    const auto carries = [&](std::size_t i) { return kind(all[i]) == Kind::rows; };
    const auto stacked = [&](std::size_t i) {
      return shape(all[i]).rank() >= 3 && shape(all[i]).rank() == node(id).types[0].shape.rank();
    };
    if (carries(0) && !carries(1)) return stacked(0) || (shape(all[0]).rank() == 2 && !node(id).attrs.flag("ta"));
    if (!carries(0)) return stacked(1);
    return stacked(0) && stacked(1);
  }

  const Graph& small_;
  const Graph& large_;
  Dim small_batch_, large_batch_;
  std::vector<Dependence> all_;
};

}  // namespace

void check_separable(const Graph& graph) {
  const Dim written = batch_of(graph);
  const Dim one = 2 * written + 1, other = 3 * written + 2;
  const Graph small = with_batch(graph, one), large = with_batch(graph, other);
  if (small.size() != large.size())
    throw GraphError("micro_batch: the graph changes its form with the batch, so that parts of a batch cannot be told "
                     "from the whole");
  Follower follower(small, large, one, other);
  follower.run();
  bool found = false;
  for (NodeId id = 0; id < small.size(); ++id) {
    const Node& node = small.node(id);
    if (node.op->name != "note" || node.attrs.text("about") != "objective") continue;
    found = true;
    const auto& [kind, because] = follower[id];
    if (kind == Kind::mean || kind == Kind::fixed) continue;
    const Node& culprit = small.node(because);
    if (culprit.op->name == "sum")
      graph_error(culprit.loc, "micro_batch: the loss must be a mean over the samples; this sum adds them up\n    {}",
                  describe(small.value({because, 0})));
    graph_error(culprit.loc,
                "micro_batch: {} mixes the samples of a batch, so that micro-batches give another result than the "
                "whole batch\n    {}",
                culprit.op->name, describe(small.value({because, 0})));
  }
  if (!found)
    throw GraphError(fmt::format("micro_batch: graph '{}' has no objective: call minimize()", graph.name()));
}

}  // namespace thalweg
