// SPDX-License-Identifier: Apache-2.0
// Pointwise kernels: every op and dtype, every way to broadcast, groups, results in place.
#include "run.h"

#include <atomic>

#include "thalweg/ops/movement.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"

namespace thalweg::testing {
namespace {

TensorType typed(DType dtype, const Shape& shape) { return {dtype, shape}; }

/// Shapes that meet in every way: none, scalars, rows, columns, both sides, both in the middle; small and long.
const std::vector<std::pair<Shape, Shape>> meetings = {
    {{}, {}},           {{1}, {1}},          {{7}, {}},          {{}, {1031}},         {{3, 5}, {5}},
    {{3, 5}, {3, 1}},   {{3, 1}, {1, 5}},    {{2, 3, 4}, {3, 1}}, {{4, 1, 3}, {1, 5, 1}}, {{2, 1, 3, 1}, {5, 1, 7}},
    {{3000, 10}, {10}}, {{17, 4001}, {4001}}, {{90, 1500}, {90, 1}}, {{300, 300}, {300, 300}}, {{1, 70000}, {2, 1}}};

const DType numeric[] = {DType::f32, DType::bf16, DType::f64, DType::i32, DType::i64, DType::u8};

/// The long meetings are for f32 alone, to save time.
bool skips(const Shape& x, const Shape& y, DType dtype) {
  return dtype != DType::f32 && broadcast_shapes(x, y).elements() > 10000;
}

TEST(Pointwise, BinaryOpsOverAllMeetings) {
  Arguments a;
  for (const auto& [x, y] : meetings)
    for (const DType dtype : numeric) {
      if (skips(x, y, dtype)) continue;
      const auto both = [&, &p = x, &q = y] { return std::pair(a(typed(dtype, p)), a(typed(dtype, q))); };
      for (Value (*op)(Operand, Operand) : {add, sub, mul, div, max, min}) {
        const auto [p, q] = both();
        const Value value = op(p, q);
        check(value, drawn(value, dtype == DType::u8 ? 0 : -9, 9), {.rounding = 1});
      }
      if (!is_float(dtype)) continue;
      for (Value (*op)(Operand, Operand) : {pow, mul_no_nan}) {
        const auto [p, q] = both();
        const Value value = op(p, q);
        check(value, drawn(value, 0.1, 3), {.rounding = 2});
      }
    }
}

TEST(Pointwise, UnaryOps) {
  Arguments a;
  using Op = Value (*)(Operand);
  const Op any[] = {neg, abs, sign, square};
  const Op real[] = {exp, expm1, erf, floor, relu, sigmoid, tanh, softplus, silu}, positive[] = {sqrt, rsqrt, log, log1p};
  for (const Shape& shape : {Shape{}, Shape{13}, Shape{3, 1000}, Shape{70001}})
    for (const DType dtype : numeric) {
      const double low = dtype == DType::u8 ? 0 : -5;
      for (const Op op : any)
        if (op != neg || dtype != DType::u8) {
          const Value value = op(a(typed(dtype, shape)));
          check(value, drawn(value, low, 5), {.rounding = 1});
        }
      if (!is_float(dtype)) continue;
      for (const Op op : real) {
        const Value value = op(a(typed(dtype, shape)));
        check(value, drawn(value, -5, 5), {.rounding = 3});
      }
      for (const Op op : positive) {
        const Value value = op(a(typed(dtype, shape)));
        check(value, drawn(value, 0.01, 5), {.rounding = 3});
      }
      const Value x = a(typed(dtype, shape));
      for (const Value& value : {leaky_relu(x, 0.125), elu(x, 0.7), clip(x, {.low = -1, .high = 2.5}), gelu(x), gelu(x, {.approximate = "tanh"})})
        check(value, drawn(value, -4, 5), {.rounding = 4, .terms = 4});
    }
}

TEST(Pointwise, NaNAndInfinityComeThroughAsTheMeaningSays) {
  Arguments a;
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const Numbers x{nan, 1, nan, inf, -inf, 0, -0.0, inf, -1}, y{1, nan, nan, -inf, inf, 0, 2, inf, 0};
  for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
    const TensorType t{dtype, Shape{9}};
    for (Value (*op)(Operand, Operand) : {add, sub, mul, div, max, min, mul_no_nan, pow}) check(op(a(t), a(t)), {x, y});
    using Op = Value (*)(Operand);
    const Op functions[] = {relu, abs,   neg, sign,    square, sqrt,     rsqrt, exp,      expm1,
                            log,  log1p, erf, sigmoid, tanh,   softplus, floor, is_finite};
    for (const Op op : functions) check(op(a(t)), {x}, {.rounding = 3});
    for (const Value& value : {clip(a(t), {.low = -1, .high = 1}), leaky_relu(a(t), 0.1), elu(a(t), 1)}) check(value, {x}, {.rounding = 3});
  }
}

TEST(Pointwise, ComparisonsLogicAndSelection) {
  Arguments a;
  for (const DType dtype : numeric)
    for (const auto& [x, y] : meetings) {
      if (skips(x, y, dtype)) continue;
      for (const Comparison mode : {Comparison::eq, Comparison::ne, Comparison::lt, Comparison::le, Comparison::gt,
                                    Comparison::ge}) {
        const Value value = compare(a(typed(dtype, x)), a(typed(dtype, y)), mode);
        std::vector<Numbers> data = drawn(value, 0, 4);
        for (Numbers& numbers : data)
          for (double& number : numbers) number = std::floor(number);
        check(value, data);
      }
      const Value chosen = select(a(typed(DType::boolean, x)), a(typed(dtype, y)), a(typed(dtype, {})));
      check(chosen, drawn(chosen, 0, 9), {.rounding = 0});
    }
  const TensorType b = boolean(700);
  for (const Value& value : {logical_and(a(b), a(b)), logical_or(a(b), a(b)), logical_not(a(b)), equal(a(b), a(b))})
    check(value, drawn(value, 0, 2));
}

TEST(Pointwise, CastsBetweenAllDtypes) {
  Arguments a;
  const DType all[] = {DType::f32, DType::bf16, DType::f64, DType::i32, DType::i64, DType::u8, DType::boolean};
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  for (const DType from : all)
    for (const DType to : all) {
      const Value value = cast(a(typed(from, {2000})), to);
      check(value, {drawn(typed(from, {2000}), from == DType::u8 || from == DType::boolean ? 0 : -300,
                          from == DType::boolean ? 2 : from == DType::u8 ? 256 : 300, 3)});
      // The largest i64 is no double, so the meaning holds an infinity at the largest double below it.
      const double most = to == DType::i64 ? 0x1p50 : inf;
      if (is_float(from)) check(cast(a(typed(from, {8})), to), {{nan, most, -inf, 0.99, -0.99, 0x1p31, -0x1p31, 0x1p40}});
      if (from == DType::i64) check(cast(a(i64(4)), to), {{0x1p40, -0x1p40, 0x1p31, -0x1p31 - 1}});
    }
}

/// A group over nodes of a graph: inputs and steps by their values.
struct Grouped {
  PointwiseGroup group;
  std::vector<Node> nodes;
  Grouped(const Graph& graph, const std::vector<Value>& inputs, const std::vector<Value>& steps,
          const std::vector<Value>& outputs, const Shape& space) {
    group.space = space;
    for (const Value& v : inputs) group.inputs.push_back(v.type());
    for (const Value& v : steps) nodes.push_back(v.node());
    const auto where = [&](ValueId id) {
      for (std::size_t i = 0; i < steps.size(); ++i)
        if (steps[i].id() == id) return static_cast<int>(i);
      for (std::size_t i = 0; i < inputs.size(); ++i)
        if (inputs[i].id() == id) return -1 - static_cast<int>(i);
      throw InternalError("not in the group");
    };
    for (std::size_t i = 0; i < steps.size(); ++i) {
      PointwiseGroup::Step step{.node = &nodes[i], .operands = {}, .dtype = steps[i].dtype()};
      for (const ValueId id : graph.operands(steps[i].id().node)) step.operands.push_back(where(id));
      group.steps.push_back(step);
    }
    for (const Value& v : outputs) group.outputs.push_back(where(v.id()));
  }
};

TEST(Pointwise, AGroupComputesWhatItsStepsDo) {
  for (const Shape& space : {Shape{1}, Shape{5, 7}, Shape{300, 400}}) {
    Arguments a;
    const Value w = a(typed(DType::f32, space)), g = a(typed(DType::f32, space)), m = a(typed(DType::f32, space));
    const Value row = a(typed(DType::f32, Shape{space.back()})), rate = a(f64());
    const Value small = cast(rate, DType::f32);
    const Value next = m * 0.9f + g;
    const Value scaled = next * small;
    const Value moved = w - scaled;
    const Value up = greater(moved, row);
    const Value out = select(up, tanh(moved), moved * row);
    // The constants that numbers became are inputs too.
    const Graph& graph = a.graph;
    std::vector<Value> inputs{w, g, m, row, rate}, steps;
    for (NodeId id = 0; id < graph.size(); ++id) {
      const Value v = graph.value({id, 0});
      if (graph.node(id).op->name == "constant") inputs.push_back(v);
      else if (graph.node(id).op->name != "input") steps.push_back(v);
    }
    const Grouped grouped(graph, inputs, steps, {next, moved, out}, space);
    Interpreter meaning(graph);
    std::vector<Tensor> tensors;
    std::vector<const void*> in;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const Node& node = inputs[i].node();
      if (node.op->name == "input") {
        tensors.emplace_back(inputs[i].type(), drawn(inputs[i].type(), -1, 1, i + 1));
        meaning.set(node.name, Array<double>(inputs[i].shape(), tensors.back().numbers()));
      } else {
        tensors.emplace_back(inputs[i].type(), std::vector<double>(static_cast<std::size_t>(inputs[i].type().elements()),
                                                                   node.attrs.reals("values")[0]));
      }
    }
    meaning.evaluate();
    for (const Tensor& t : tensors) in.push_back(t.data());
    std::vector<std::vector<double>> first;
    for (const int threads : {1, 2, 4}) {
      for (const bool in_place : {false, true}) {
        const auto kernel = pointwise_kernel(grouped.group, threads);
        std::vector<Tensor> copies;
        std::vector<const void*> sources;
        for (const Tensor& t : tensors) sources.push_back(copies.emplace_back(t.clone()).data());
        std::vector<Tensor> results{Tensor(next.type()), Tensor(moved.type()), Tensor(out.type())};
        std::vector<void*> to{results[0].data(), results[1].data(), results[2].data()};
        if (in_place) {
          // The results take the places of m, w and g.
          to = {copies[2].data(), copies[0].data(), copies[1].data()};
          for (const std::size_t i : {0u, 1u, 2u}) EXPECT_TRUE(kernel->in_place(i, 0));
        }
        Tensor scratch(u8(static_cast<Dim>(kernel->scratch_bytes()) + 1));
        kernel->run(sources.data(), to.data(), scratch.data());
        if (in_place) results = {copies[2], copies[0], copies[1]};
        std::size_t k = 0;
        for (const Value& v : {next, moved, out}) {
          const std::vector<double> got = results[k].numbers();
          for (std::size_t i = 0; i < got.size(); ++i)
            ASSERT_NEAR(got[i], meaning.at(v)[i], 4e-7) << "result " << k << " element " << i << (in_place ? " in place" : "");
          if (first.size() <= k) first.push_back(got);
          ASSERT_EQ(got, first[k]) << "other bits with " << threads << " threads";
          ++k;
        }
      }
    }
  }
}

TEST(Pointwise, AListOfTensorsIsComputedAsEachAlone) {
  // Sizes on both sides of a vector and of a thread's share.
  const std::vector<Shape> spaces{Shape{3}, Shape{4, 16}, Shape{7}, Shape{70001}, Shape{16}, Shape{30, 3000}};
  for (const bool generate : {true, false}) {
    std::vector<std::unique_ptr<Grouped>> grouped;
    std::vector<PointwiseGroup> groups;
    std::vector<Tensor> operands, alone;
    for (const Shape& space : spaces) {
      Arguments a;
      const TensorType type = typed(DType::f32, space);
      const Value w = a(type), g = a(type), m = a(type), rate = a(f32());
      const Value decayed = m * 0.9f, next = decayed + g, step = next * rate, moved = w - step;
      std::vector<Value> inputs{w, g, m, rate};
      for (NodeId id = 0; id < a.graph.size(); ++id)
        if (a.graph.node(id).op->name == "constant") inputs.push_back(a.graph.value({id, 0}));
      grouped.push_back(std::make_unique<Grouped>(a.graph, inputs, std::vector<Value>{decayed, next, step, moved},
                                                  std::vector<Value>{next, moved}, space));
      groups.push_back(grouped.back()->group);
      std::vector<const void*> in;
      for (const Value& v : inputs)
        operands.emplace_back(v.type(), v.node().op->name == "constant" ? Numbers{0.9f} : drawn(v.type(), -1, 1, 7));
      for (std::size_t i = operands.size() - inputs.size(); i < operands.size(); ++i) in.push_back(operands[i].data());
      alone.emplace_back(type);
      alone.emplace_back(type);
      void* out[] = {alone[alone.size() - 2].data(), alone.back().data()};
      const auto kernel = pointwise_kernel(groups.back(), 1, generate);
      Tensor scratch(u8(static_cast<Dim>(kernel->scratch_bytes()) + 1));
      kernel->run(in.data(), out, scratch.data());
    }
    for (const int threads : {1, 2, 4}) {
      const auto kernel = pointwise_kernel(groups, threads, generate);
      std::vector<Tensor> copies;
      std::vector<const void*> in;
      std::vector<void*> out;
      for (const Tensor& t : operands) in.push_back(copies.emplace_back(t.clone()).data());
      // The results take the places of m and w of their own group, and of no other one's.
      for (std::size_t k = 0; k < spaces.size(); ++k) {
        EXPECT_TRUE(kernel->in_place(k * 5 + 2, k * 2) && kernel->in_place(k * 5, k * 2 + 1));
        EXPECT_FALSE(kernel->in_place(k * 5 + 2, (k * 2 + 2) % (2 * spaces.size())));
        out.push_back(copies[k * 5 + 2].data());
        out.push_back(copies[k * 5].data());
      }
      Tensor scratch(u8(static_cast<Dim>(kernel->scratch_bytes()) + 1));
      kernel->run(in.data(), out.data(), scratch.data());
      for (std::size_t k = 0; k < spaces.size(); ++k) {
        EXPECT_TRUE(same_bits(copies[k * 5 + 2], alone[k * 2])) << to_string(spaces[k]) << " on " << threads;
        EXPECT_TRUE(same_bits(copies[k * 5], alone[k * 2 + 1])) << to_string(spaces[k]) << " on " << threads;
      }
    }
  }
}

TEST(Pointwise, LongGroupsThatDoNotFitTheRegistersAreRight) {
  // Forty sums of functions, all alive until the end: far more than sixteen registers hold.
  Arguments a;
  const Value x = a(f32(1003));
  std::vector<Value> inputs{x}, steps, terms;
  for (int i = 0; i < 20; ++i) {
    terms.push_back(i % 3 == 0 ? tanh(x) : i % 3 == 1 ? sigmoid(terms.back()) : terms.back() * x);
    terms.push_back(terms.back() + terms.front());
  }
  Value total = terms.back();
  for (std::size_t i = terms.size() - 1; i-- > 0;) total = total - terms[i];
  for (NodeId id = 0; id < a.graph.size(); ++id)
    if (a.graph.node(id).op->name != "input") steps.push_back(a.graph.value({id, 0}));
  const Grouped grouped(a.graph, inputs, steps, {total, terms[3]}, x.shape());
  const Tensor data(x.type(), drawn(x.type(), -2, 2, 3));
  std::vector<Tensor> results;
  for (const bool generate : {true, false}) {
    const auto kernel = pointwise_kernel(grouped.group, 1, generate);
    const void* in = data.data();
    results.emplace_back(x.type());
    results.emplace_back(x.type());
    void* out[] = {results[results.size() - 2].data(), results.back().data()};
    Tensor scratch(u8(static_cast<Dim>(kernel->scratch_bytes()) + 1));
    kernel->run(&in, out, scratch.data());
  }
  EXPECT_TRUE(same_bits(results[0], results[2]));
  EXPECT_TRUE(same_bits(results[1], results[3]));
}

/// What a group answers over its inputs, in tensors of its outputs.
std::vector<Tensor> answers(const Kernel& kernel, const std::vector<Tensor>& inputs,
                            const std::vector<TensorType>& outputs) {
  std::vector<const void*> in;
  std::vector<void*> out;
  std::vector<Tensor> results;
  for (const Tensor& t : inputs) in.push_back(t.data());
  for (const TensorType& type : outputs) out.push_back(results.emplace_back(type).data());
  Tensor scratch(u8(static_cast<Dim>(kernel.scratch_bytes()) + 1));
  kernel.run(in.data(), out.data(), scratch.data());
  return results;
}

TEST(Pointwise, RootsOfF32AreThoseOfTheProcessor) {
  Arguments a;
  const Dim many = 1 << 16;
  const Value root = sqrt(a(f32(many)));
  const auto kernel = Case(root).kernel(1);
  const auto expect_roots = [&](auto bits_of) {
    Tensor x(f32(many));
    for (Dim i = 0; i < many; ++i) x.as<float>()[static_cast<std::size_t>(i)] = bits_of(static_cast<std::uint32_t>(i));
    const Tensor y = answers(*kernel, {x}, {x.type()})[0];
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < x.as<float>().size(); ++i) {
      const float want = std::sqrt(x.as<float>()[i]), got = y.as<float>()[i];
      wrong += std::bit_cast<std::uint32_t>(want) != std::bit_cast<std::uint32_t>(got) && !(std::isnan(want) && std::isnan(got));
    }
    EXPECT_EQ(wrong, 0u);
  };
  // Every number from 1 to 4: others are these times a power of 4.
  for (std::uint32_t first = 0x3f800000; first < 0x40800000; first += static_cast<std::uint32_t>(many))
    expect_roots([&](std::uint32_t i) { return std::bit_cast<float>(first + i); });
  // Of every exponent, in whole vectors and beside each other; zeros, infinities and NaNs.
  expect_roots([&](std::uint32_t i) { return std::bit_cast<float>(i / 256 << 24 | (i % 256) * 0x10101); });
  expect_roots([&](std::uint32_t i) { return std::bit_cast<float>(i * 0x9e3779b1); });
}

TEST(Pointwise, SubnormalNumbersHaveTheSameBitsInEveryLoop) {
  for (const Dim n : {1, 5, 16, 23, 32, 67, 1003}) {
    Arguments a;
    const Value g = a(f32(n)), m = a(f32(n)), v = a(f32(n));
    const Value next = m + (g - m) * 0.1f, square_next = v + (square(g) - v) * 0.001f;
    const Value faded = m * 0.9f, moved = next / (sqrt(square_next) + v);
    std::vector<Value> inputs{g, m, v}, steps;
    for (NodeId id = 0; id < a.graph.size(); ++id) {
      const std::string_view op = a.graph.node(id).op->name;
      if (op == "constant") inputs.push_back(a.graph.value({id, 0}));
      else if (op != "input") steps.push_back(a.graph.value({id, 0}));
    }
    const Grouped grouped(a.graph, inputs, steps, {next, square_next, faded, moved}, g.shape());
    std::vector<Tensor> tensors;
    for (const Value& x : inputs) {
      if (x.node().op->name == "constant") tensors.emplace_back(x.type(), x.node().attrs.reals("values"));
      else tensors.emplace_back(x.type(), drawn(x.type(), 0, 1, tensors.size() + 1));
    }
    for (std::size_t t = 0; t < 3; ++t)
      for (std::size_t i = t; i < static_cast<std::size_t>(n); i += 3 + 2 * t)
        tensors[t].as<float>()[i] *= i % 2 == 0 ? 0x1p-130f : i % 5 == 0 ? -0x1p-149f : 0;
    const std::vector<TensorType> types(4, g.type());
    const auto written = answers(*pointwise_kernel(grouped.group, 1, true), tensors, types);
    const auto looped = answers(*pointwise_kernel(grouped.group, 1, false), tensors, types);
    for (std::size_t r = 0; r < types.size(); ++r) EXPECT_TRUE(same_bits(written[r], looped[r])) << r << " of " << n;
  }
}

TEST(Pointwise, AWatchedResultTellsOfEachNumberThatIsNotFinite) {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const bool generate : {true, false})
    for (const DType dtype : {DType::f32, DType::f64}) {
      const std::size_t n = 77;
      Arguments a;
      const Value negative = neg(a(typed(dtype, Shape{static_cast<Dim>(n)})));
      const auto kernel = Case(negative).kernel(1, generate);
      std::atomic<bool> seen = false;
      ASSERT_TRUE(kernel->watch(0, seen));
      // The sum of these is not finite in f32; each of them is.
      Numbers numbers(n, 3e38);
      answers(*kernel, {Tensor(negative.type(), numbers)}, {negative.type()});
      EXPECT_FALSE(seen);
      for (std::size_t i = 0; i < n; ++i)
        for (const float wrong : {infinity, -infinity, nan}) {
          numbers[i] = wrong;
          answers(*kernel, {Tensor(negative.type(), numbers)}, {negative.type()});
          EXPECT_TRUE(seen.exchange(false)) << wrong << " at " << i;
          numbers[i] = 3e38;
        }
    }
}

}  // namespace
}  // namespace thalweg::testing
