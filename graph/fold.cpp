// SPDX-License-Identifier: Apache-2.0
#include "thalweg/graph/fold.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <vector>

#include "thalweg/graph/fail.h"
#include "thalweg/graph/interpret.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/rewrite.h"

namespace thalweg {
namespace {

constexpr Dim most_elements = 65'536;
constexpr Dim most_growth = 4;
// A product of matrices costs more than its size says.
constexpr Dim most_heavy_elements = 8'192;

bool is_whole_in(double x, double low, double high) { return x >= low && x <= high && x == std::trunc(x); }

/// `x` as an element of the dtype, or nothing where it has none.
std::optional<double> as_element(DType dtype, double x) {
  // Beyond 2^53 a double no longer tells whole numbers apart.
  constexpr double exact = 9007199254740992.0;
  bool fits = true;
  switch (dtype) {
    case DType::f64:
    case DType::f32:
    case DType::bf16: x = rounded_to(dtype, x); break;
    case DType::i32: fits = is_whole_in(x, -2147483648.0, 2147483647.0); break;
    case DType::i64: fits = is_whole_in(x, -exact, exact); break;
    case DType::u8: fits = is_whole_in(x, 0, 255); break;
    case DType::boolean: fits = x == 0 || x == 1; break;
  }
  return fits ? std::optional(x) : std::nullopt;
}

class Folder {
 public:
  std::vector<ValueId> operator()(const Site& site) {
    const Node& node = site.node();
    // A name is a promise that the value can be found.
    if (!node.name.empty()) return {};
    if (can_evaluate(site))
      if (auto folded = evaluated(site); !folded.empty()) return folded;
    if (node.op->simplify && node.types.size() == 1) return simplified(site);
    return {};
  }

 private:
  bool can_evaluate(const Site& site) const {
    const Node& node = site.node();
    if (site.x.empty() || node.op->random || !node.op->eval) return false;
    Dim in = 0, out = 0;
    for (const ValueId x : site.x) {
      if (site.to.node(x.node).op != &constant_) return false;
      in += site.to.type(x).elements();
    }
    for (const TensorType& type : node.types) out += type.elements();
    const Dim limit = node.op->fusion == Fusion::heavy ? most_heavy_elements : most_elements;
    return out <= limit && in <= most_growth * limit && out <= most_growth * in;
  }

  const Array<double>& value_of(const Graph& graph, NodeId constant) {
    const auto it = values_.find(constant);
    if (it != values_.end()) return it->second;
    return values_.emplace(constant, evaluate_node<double>(graph.node(constant), {}, {}).front()).first->second;
  }

  std::vector<ValueId> evaluated(const Site& site) {
    std::vector<const Array<double>*> in;
    std::vector<TensorType> types;
    for (const ValueId x : site.x) {
      in.push_back(&value_of(site.to, x.node));
      types.push_back(site.to.type(x));
    }
    std::vector<std::vector<Attr>> constants;
    try {
      const auto results = evaluate_node<double>(site.node(), in, types);
      for (std::size_t i = 0; i < results.size(); ++i) {
        auto values = elements(site.node().types[i].dtype, results[i]);
        if (!values) return {};
        constants.push_back({Attr("values", std::move(*values))});
        // What a constant cannot hold (an infinity, where it may not) stays computed.
        static_cast<void>(checked_attrs(constant_.attrs, constants.back()));
      }
    } catch (const RunError&) {
      return {};  // a label out of range: the run says so, with its sample
    } catch (const RuleError&) {
      return {};
    }
    std::vector<ValueId> ids;
    for (std::size_t i = 0; i < constants.size(); ++i)
      ids.push_back(
          site.to.add(constant_, {}, std::move(constants[i]), site.node().types[i], {}, site.node().loc).id());
    return ids;
  }

  /// Every element as the dtype holds it; one value for all where they are equal and a constant may say so.
  std::optional<std::vector<double>> elements(DType dtype, const Array<double>& array) const {
    std::vector<double> values;
    for (const double x : array.data) {
      const auto element = as_element(dtype, x);
      if (!element) return std::nullopt;
      values.push_back(*element);
    }
    const auto same = [&](double x) {
      return std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(values.front());
    };
    if (fills_ && std::all_of(values.begin(), values.end(), same)) values.resize(1);
    return values;
  }

  static std::vector<ValueId> simplified(const Site& site) {
    std::vector<Value> x;
    for (const ValueId id : site.x) x.push_back(site.to.value(id));
    const Value simpler = site.node().op->simplify({site.to, x, site.node().attrs, site.node().types});
    return simpler ? std::vector<ValueId>{simpler.id()} : std::vector<ValueId>{};
  }

  static bool one_value_fills(const OpDef& constant) {
    const TensorType two = f32(2);
    try {
      const Attrs attrs = checked_attrs(constant.attrs, {Attr("values", std::vector<double>{0})});
      return constant.infer({{}, attrs, &two}) == std::vector<TensorType>{two};
    } catch (const RuleError&) {
      return false;
    }
  }

  const OpDef& constant_ = op_named("constant");
  const bool fills_ = one_value_fills(constant_);
  std::unordered_map<NodeId, Array<double>> values_;
};

}  // namespace

bool fold(Graph& graph) {
  Folder folder;
  return rewrite(graph, [&](const Site& site) { return folder(site); });
}

}  // namespace thalweg
