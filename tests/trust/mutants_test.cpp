// SPDX-License-Identifier: Apache-2.0
// Do the checks see anything? Gradient rules, optimizers, schedules, penalties and clips are broken on purpose, one
// change to one node of the graph that they build, and the checks that guard them must notice: gradients against exact
// derivatives along a direction, updates against a trajectory that holds at 1e-12. A change that changes nothing at
// many more points is no mutant (a norm may be computed by way of any scale): it is counted apart.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <random>

#include "../cases.h"
#include "optimizers.h"
#include "soak.h"
#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/dual_interpret.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/graph/print.h"
#include "thalweg/ops/init.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"
#include "thalweg/optim/clip.h"
#include "thalweg/optim/minimize.h"
#include "thalweg/optim/regularizer.h"

namespace thalweg {
namespace {

using testing::count_of;
using testing::OpCase;
using testing::report;

/// One change to one node.
struct Mutant {
  enum class Kind { negate, drop, swap_op, swap_operands, scale, move_constant };
  NodeId node = 0;
  Kind kind = Kind::negate;
  std::size_t operand = 0;       ///< of drop: the one that stays
  std::string_view other = {};   ///< of swap_op
  std::string text(const Graph& graph) const {
    static constexpr const char* names[] = {"negated", "without a term", "as another op", "with operands swapped",
                                            "times 1.001", "with another number"};
    return std::string(graph.node(node).op->name) + " " + names[static_cast<std::size_t>(kind)] + " in " +
           describe(graph.value({node, 0}));
  }
};

/// Every change that is known for the nodes from `first` on that `concerned` takes.
std::vector<Mutant> mutants_of(const Graph& graph, NodeId first, const std::function<bool(const Node&)>& concerned) {
  static const std::map<std::string_view, std::string_view> others{
      {"add", "sub"}, {"sub", "add"}, {"mul", "div"}, {"div", "mul"}, {"max", "min"}, {"min", "max"},
      {"sqrt", "square"}, {"square", "abs"}, {"less", "greater"}, {"greater", "less"}};
  std::vector<Mutant> all;
  for (NodeId id = first; id < graph.size(); ++id) {
    const Node& node = graph.node(id);
    if (node.types.size() != 1 || !is_float(node.types[0].dtype) || !concerned(node) || node.op->name == "variable" ||
        node.op->name == "input")
      continue;
    if (node.op->name == "constant") {
      all.push_back({id, Mutant::Kind::move_constant});
      continue;
    }
    all.push_back({id, Mutant::Kind::negate});
    all.push_back({id, Mutant::Kind::scale});
    const auto operands = graph.operands(id);
    const auto same = [&](std::size_t i) { return graph.type(operands[i]) == node.types[0]; };
    if (operands.size() == 2 && same(0) && same(1) && operands[0] != operands[1]) {
      all.push_back({id, Mutant::Kind::drop, 0});
      all.push_back({id, Mutant::Kind::drop, 1});
      if (!node.op->commutative) all.push_back({id, Mutant::Kind::swap_operands});
    }
    if (const auto other = others.find(node.op->name); other != others.end() && find_op(other->second) != nullptr)
      all.push_back({id, Mutant::Kind::swap_op, 0, other->second});
  }
  return all;
}

/// The graph with that change; names of outputs, inputs and variables stay.
Graph mutated(const Graph& graph, const Mutant& mutant) {
  Graph to(graph.name());
  std::vector<ValueId> place(graph.size());  // of the first result
  const auto moved = [&](ValueId v) { return ValueId{place[v.node].node, v.result + place[v.node].result}; };
  for (NodeId id = 0; id < graph.size(); ++id) {
    Node node = graph.node(id);
    std::vector<ValueId> operands;
    for (const ValueId v : graph.operands(id)) operands.push_back(moved(v));
    if (id == mutant.node) {
      if (mutant.kind == Mutant::Kind::drop) {
        place[id] = operands[mutant.operand];
        continue;
      }
      if (mutant.kind == Mutant::Kind::swap_op) node.op = &op_named(mutant.other);
      if (mutant.kind == Mutant::Kind::swap_operands) std::swap(operands[0], operands[1]);
      if (mutant.kind == Mutant::Kind::move_constant) {
        std::vector<double> values = node.attrs.reals("values");
        for (double& x : values) x = x == 0 ? 1 : x * 1.01;
        node.attrs = Attrs({Attr("values", values)});
      }
    }
    Value value = to.add_copy(node, operands);
    if (id == mutant.node && mutant.kind == Mutant::Kind::negate) value = -value;
    if (id == mutant.node && mutant.kind == Mutant::Kind::scale) value = value * 1.001;
    place[id] = value.id();
  }
  for (const Graph::Output& output : graph.outputs()) to.output(output.name, to.value(moved(output.value)));
  for (const Graph::Update& update : graph.updates()) to.update(to.value(moved(update.variable)), to.value(moved(update.next)));
  return to;
}

/// The soak suite tries every mutant; the default suite a list, and catches all that is on it.
bool all_are_tried() { return count_of("THALWEG_SOAK_MUTANTS", 0) != 0; }

/// What became of the mutants of one kind of code.
struct Score {
  std::uint64_t caught = 0, all = 0, equivalent = 0;
  std::vector<std::string> survivors;
  /// `differs_elsewhere` is asked only if the checks did not notice.
  void note(bool is_caught, const std::function<bool()>& differs_elsewhere, const std::string& what) {
    if (!is_caught && !differs_elsewhere()) {
      ++equivalent;
      return;
    }
    ++all;
    caught += is_caught ? 1 : 0;
    if (!is_caught) survivors.push_back(what);
  }
  void tell(const std::string& of) const {
    report("mutants of " + of, all);
    report("of them caught", caught);
    report("changes that change nothing", equivalent);
    for (const std::string& survivor : survivors) std::cout << "survived: " << survivor << '\n';
    if (all_are_tried()) EXPECT_GE(static_cast<double>(caught), 0.95 * static_cast<double>(all)) << of;
    else EXPECT_EQ(caught, all) << of;
    EXPECT_LT(equivalent, all) << of;
  }
};

/// Which of many mutants the default suite tries: about `wanted`, spread over all.
bool is_chosen(std::size_t number, std::size_t one_in) { return all_are_tried() || number % one_in == 0; }

// ---- gradients

using Point = std::map<std::string, Array<double>>;

/// A row with a scalar on top, its gradient as outputs, and what the gradient must be along a direction.
struct Differentiated {
  static constexpr std::uint64_t checked = 6, more = 12;  ///< points that are checked, and others
  Graph graph{"row"};
  NodeId first = 0;  ///< of the gradient's nodes
  std::vector<std::string> wrt;
  std::vector<Point> points, directions;
  std::vector<double> expected;

  explicit Differentiated(const OpCase& row) {
    testing::BuiltCase built = testing::built(row);
    graph = built.graph;
    testing::Numbers random(99);
    Value loss;
    Point weights;
    for (std::size_t r = 0; r < built.results.size(); ++r) {
      const TensorType type = built.results[r].type();
      if (!is_float(type.dtype)) continue;
      const std::string name = "c" + std::to_string(r);
      const Value part = sum(built.results[r] * input(graph, name, type));
      weights[name] = random.array(type.shape);
      loss = loss ? loss + part : part;
    }
    if (!loss) return;
    std::vector<Value> arguments;
    for (std::size_t i = 0; i < row.args.size(); ++i) {
      if (!is_float(row.args[i].dtype) || std::ranges::count(row.zero_gradients, i) != 0) continue;
      arguments.push_back(built.args[i]);
      wrt.push_back("a" + std::to_string(i));
    }
    if (arguments.empty()) return;
    for (std::uint64_t seed = 1; seed <= checked + more; ++seed) {
      Point point = weights, direction;
      const auto numbers = testing::draw(row, seed);
      for (std::size_t i = 0; i < numbers.size(); ++i) point["a" + std::to_string(i)] = numbers[i];
      for (std::size_t k = 0; k < wrt.size(); ++k) direction[wrt[k]] = random.array(arguments[k].shape());
      points.push_back(point);
      directions.push_back(direction);
      expected.push_back(derivative(point, direction, loss));
    }
    first = static_cast<NodeId>(graph.size());
    const std::vector<Value> gradient = gradients(loss, arguments);
    for (std::size_t k = 0; k < wrt.size(); ++k) graph.output("gradient/" + wrt[k], gradient[k]);
  }

  double derivative(const Point& point, const Point& direction, const Value& loss) const {
    DualInterpreter run(graph);
    for (const auto& [name, numbers] : point) {
      Array<Dual> dual(numbers.shape);
      const auto along = direction.find(name);
      for (std::size_t i = 0; i < numbers.size(); ++i) dual[i] = {numbers[i], along == direction.end() ? 0.0 : along->second[i]};
      run.set(name, std::move(dual));
    }
    run.evaluate();
    return run.at(loss)[0].d;
  }

  /// Whether the gradient is another than the exact one at one of the points [begin, end).
  bool catches(const Graph& other, std::size_t begin = 0, std::size_t end = checked) const {
    try {
      for (std::size_t p = begin; p < end; ++p) {
        Interpreter run(other);
        for (const auto& [name, numbers] : points[p]) run.set(name, numbers);
        run.evaluate();
        double value = 0, scale = 1;
        for (const std::string& name : wrt) {
          const Array<double>& g = run.output("gradient/" + name);
          const Array<double>& v = directions[p].at(name);
          for (std::size_t e = 0; e < g.size(); ++e) {
            value += g[e] * v[e];
            scale += std::fabs(g[e] * v[e]);
          }
        }
        if (!(std::fabs(value - expected[p]) <= 1e-9 * scale)) return true;
      }
      return false;
    } catch (const Error&) {
      return true;
    }
  }
};

TEST(Mutants, OfGradientRulesAreCaught) {
  Score score;
  std::size_t number = 0;
  for (const OpCase& row : testing::all_cases()) {
    if (!row.differentiable) continue;
    const Differentiated d(row);
    if (d.expected.empty()) continue;
    EXPECT_FALSE(d.catches(d.graph)) << row.name << ": the rule itself is wrong";
    for (const Mutant& mutant : mutants_of(d.graph, d.first, [](const Node&) { return true; }))
      if (is_chosen(number++, 40)) {
        const Graph broken = mutated(d.graph, mutant);
        score.note(d.catches(broken), [&] { return d.catches(broken, d.checked, d.checked + d.more); },
                   row.name + ": " + mutant.text(d.graph));
      }
  }
  EXPECT_GE(score.all, 100u);
  score.tell("gradient rules");
}

// ---- updates

/// The values of all variables over some steps.
std::vector<double> trajectory(const Graph& graph, int steps) {
  Interpreter run(graph);
  std::vector<double> values;
  for (int i = 0; i < steps; ++i) {
    run.step();
    for (const NodeId id : graph.variables()) {
      const Array<double>& value = run.variable(graph.node(id).name);
      for (std::size_t e = 0; e < value.size(); ++e) values.push_back(value[e]);
    }
  }
  return values;
}

bool differs(const std::vector<double>& a, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    if (!(std::fabs(a[i] - b[i]) <= 1e-12 * std::max(1.0, std::fabs(a[i])))) return true;
  }
  return false;
}

/// Two variables on a curved valley, as steep as `steepness`.
Graph valley(double steepness, const Optimizer& optimizer, const MinimizeOptions& options = {}) {
  Graph g("valley");
  const Value w = variable(g, "w", f64(3, 2), random_uniform_init({-1, 1, 3})), b = variable(g, "b", f64(2), filled(0.25));
  const Value y = square(w * 1.5 - 0.25) + square(square(w) + b - 0.5) * 0.75;
  const Value loss = sum(y) * steepness;
  minimize(loss, optimizer, options);
  g.output("loss", loss);
  return g;
}

/// Whether a mutant's way down one of the valleys is another.
bool differs(const std::vector<Graph>& valleys, const Mutant& mutant, int steps) {
  try {
    return std::any_of(valleys.begin(), valleys.end(), [&](const Graph& graph) {
      return differs(trajectory(graph, steps), trajectory(mutated(graph, mutant), steps));
    });
  } catch (const Error&) {
    return true;
  }
}

void try_mutants(const std::function<Graph(double)>& build, const std::string& what,
                 std::initializer_list<Origin> origins, std::size_t one_in, std::size_t& number, Score& score) {
  // Steep and flat: clips are at work, and are not. So steep that squares overflow, or the gradient itself; level, where
  // a norm is 0, and nearly so, where an epsilon counts.
  const std::vector<Graph> checked{build(1),    build(30),     build(0.03),  build(1000), build(0),
                                   build(1e-9), build(1e-200), build(1e200), build(1e308)},
      more{build(0.01), build(4), build(300), build(1e-5), build(1e100)};
  const auto concerned = [&](const Node& node) { return std::ranges::count(origins, node.origin) != 0; };
  for (const Mutant& mutant : mutants_of(checked[0], 0, concerned)) {
    if (!is_chosen(number++, one_in)) continue;
    score.note(differs(checked, mutant, 12), [&] { return differs(more, mutant, 20); },
               what + ": " + mutant.text(checked[0]));
  }
}

TEST(Mutants, OfOptimizersAreCaught) {
  Score score;
  std::size_t number = 0;
  for (const auto& [name, optimizer] : testing::optimizers(exponential_decay(0.05, 0.9, 3)))
    try_mutants([&rule = optimizer](double steepness) { return valley(steepness, rule); }, name, {Origin::optimizer}, 8,
                number, score);
  EXPECT_GE(score.all, 50u);
  score.tell("optimizers");
}

TEST(Mutants, OfSchedulesAreCaught) {
  Score score;
  std::size_t number = 0;
  for (const auto& [name, schedule] : testing::schedules())
    try_mutants([&rate = schedule](double steepness) { return valley(steepness, Sgd{.rate = rate}); }, name,
                {Origin::schedule}, 1, number, score);
  EXPECT_GE(score.all, 50u);
  score.tell("schedules");
}

TEST(Mutants, OfPenaltiesAndClipsAreCaught) {
  Score score;
  std::size_t number = 0;
  const std::map<std::string, MinimizeOptions> options{
      {"l1", {.penalty = l1(0.01)}},
      {"l2", {.penalty = l2(0.01)}},
      {"by value", {.clip = by_value(0.5)}},
      {"by norm", {.clip = by_norm(1.0)}},
      {"by global norm", {.clip = by_global_norm(1.0)}}};
  for (const auto& [name, one] : options)
    try_mutants([&how = one](double steepness) { return valley(steepness, Sgd{.rate = 0.05}, how); }, name,
                {Origin::regularizer, Origin::clip}, 1, number, score);
  EXPECT_GE(score.all, 20u);
  score.tell("penalties and clips");
}

}  // namespace
}  // namespace thalweg
