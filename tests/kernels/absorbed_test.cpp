// SPDX-License-Identifier: Apache-2.0
// Kernels that do pointwise steps along the way: the bits of one kernel after the other.
#include "run.h"
#include "targets.h"
#include "thalweg/ops/norm.h"
#include "thalweg/ops/pool.h"
#include "thalweg/ops/reduce.h"

namespace thalweg::testing {
namespace {

/// Runs a kernel; results whose place is not -1 are written over a copy of that operand.
std::vector<Tensor> results_of(const Kernel& kernel, const std::vector<Tensor>& operands,
                               const std::vector<TensorType>& types, const std::vector<int>& over = {}) {
  std::vector<Tensor> results;
  std::vector<const void*> in;
  std::vector<void*> out;
  for (const Tensor& t : operands) in.push_back(t.data());
  for (std::size_t r = 0; r < types.size(); ++r) {
    const int operand = r < over.size() ? over[r] : -1;
    if (operand < 0) {
      results.emplace_back(types[r]);
    } else {
      EXPECT_TRUE(kernel.in_place(static_cast<std::size_t>(operand), r));
      const Tensor& replaced = operands[static_cast<std::size_t>(operand)];
      results.emplace_back(types[r], replaced.numbers());
    }
    out.push_back(results.back().data());
    if (operand >= 0) in[static_cast<std::size_t>(operand)] = out.back();
  }
  const Tensor scratch(u8(static_cast<Dim>(kernel.scratch_bytes()) + 64));
  std::memset(const_cast<void*>(scratch.data()), 0xff, scratch.bytes());
  kernel.run(in.data(), out.data(), const_cast<void*>(scratch.data()));
  const auto* guard = static_cast<const unsigned char*>(scratch.data()) + kernel.scratch_bytes();
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(guard[i], 0xff) << "scratch overrun";
  return results;
}

void expect_same(const std::vector<Tensor>& got, const std::vector<Tensor>& want) {
  for (std::size_t r = 0; r < want.size(); ++r) EXPECT_TRUE(same_bits(got[r], want[r])) << "result " << r;
}

std::vector<Tensor> drawn_operands(const Case& c) {
  std::vector<Tensor> operands;
  for (const TensorType& type : c.in) operands.emplace_back(type, drawn(type, 0.1, 2, operands.size() + 1));
  return operands;
}
/// Numbers of both signs, with zeros, infinities and NaN among them.
Tensor mixed(const TensorType& type, std::uint64_t seed) {
  Numbers numbers = drawn(type, -1, 1, seed);
  const double special[] = {0, -0.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()};
  for (std::size_t i = 0; i < numbers.size(); ++i)
    if (i % 7 == 3) numbers[i] = special[i / 7 % std::size(special)];
  return {type, numbers};
}
/// f(element of each) in T, which rounds as a kernel of that type does.
template <class F>
Tensor zipped(const Tensor& a, const Tensor& b, F f) {
  Numbers numbers = a.numbers();
  const Numbers other = b.numbers();
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = f(numbers[i], other[i]);
  return {a.type(), numbers};
}
Tensor sum_of(const Tensor& a, const Tensor& b) {
  return zipped(a, b, [](double x, double y) { return x + y; });
}
Tensor gated(const Tensor& value, const Tensor& gate) {
  return zipped(value, gate, [](double x, double g) { return g > 0 ? x : 0; });
}
Tensor rectified(const Tensor& x) {
  return zipped(x, x, [](double v, double) { return v <= 0 ? 0 : v; });
}

const Shape shapes[] = {{1, 1}, {5, 3}, {4, 5, 3, 7}, {8, 9, 9, 33}, {40, 40, 16}, {7, 47}};

class Absorbed : public ::testing::TestWithParam<DType> {};

TEST_P(Absorbed, NormsAddAndRectify) {
  for (const Shape& shape : shapes) {
    Arguments a;
    const TensorType type{GetParam(), shape}, channels{GetParam(), {shape.back()}};
    const Value x = a(type), gamma = a(channels), beta = a(channels);
    const Case training(batch_norm_training(x, gamma, beta, 1e-3).y);
    const Case inference(batch_norm_inference(x, gamma, beta, a(channels), a(channels), 1e-3));
    const Tensor other = mixed(type, 9);
    for (const Case* c : {&training, &inference})
      for (const bool add : {false, true})
        for (const bool relu : {false, true})
          on_every_target([&] {
            std::vector<Tensor> operands = drawn_operands(*c), want = answered(*c, operands, 1);
            if (add) want[0] = sum_of(want[0], other);
            if (relu) want[0] = rectified(want[0]);
            if (add) operands.push_back(other);
            for (const int threads : {1, 2}) {
              const auto kernel = batch_norm_with({.node = c->graph.node(c->node), .in = c->in, .out = c->out,
                                                   .threads = threads}, {.add = add, .relu = relu});
              expect_same(results_of(*kernel, operands, c->out), want);
              expect_same(results_of(*kernel, operands, c->out, {0}), want);
              if (add) expect_same(results_of(*kernel, operands, c->out, {static_cast<int>(c->in.size())}), want);
            }
          });
  }
}

TEST_P(Absorbed, GradientsOfNormsPassAGate) {
  for (const Shape& shape : shapes) {
    Arguments a;
    const TensorType type{GetParam(), shape}, channels{GetParam(), {shape.back()}};
    const Case c(batch_norm_backward(a(type), a(channels), a(channels), a(channels), a(type), 1e-3).dx);
    const Tensor more(type, drawn(type, -3, 3, 8)), gate = mixed(type, 9);
    for (const bool add : {false, true})
      for (const bool stored : {false, true})
        on_every_target([&] {
          std::vector<Tensor> operands = drawn_operands(c), passed = operands;
          passed[4] = gated(add ? sum_of(operands[4], more) : operands[4], gate);
          std::vector<Tensor> want = answered(c, passed, 1);
          std::vector<TensorType> types = c.out;
          if (add) operands.push_back(more);
          operands.push_back(gate);
          if (stored) {
            want.push_back(passed[4]);
            types.push_back(type);
          }
          for (const int threads : {1, 2}) {
            const auto kernel = batch_norm_backward_of({.node = c.graph.node(c.node), .in = c.in, .out = c.out,
                                                        .threads = threads}, {.add = add, .stored = stored});
            expect_same(results_of(*kernel, operands, types), want);
            expect_same(results_of(*kernel, operands, types, {0, -1, -1, 4}), want);
            expect_same(results_of(*kernel, operands, types, {4, -1, -1, 5}), want);
          }
        });
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Absorbed, ::testing::Values(DType::f32, DType::f64));

TEST(AbsorbedPooling, TheGradientOfPoolingPassesTheGateOfWhatWasPooled) {
  for (const Shape& shape : {Shape{1, 2, 2, 1}, Shape{3, 6, 9, 6}, Shape{2, 5, 24, 1}, Shape{2, 4, 6, 20},
                             Shape{40, 14, 14, 16}, Shape{1, 4, 4, 72}, Shape{2, 130, 8, 8}}) {
    Arguments a;
    const Value x = a({DType::f32, shape});
    const Case c(max_pool_backward(x, a(max_pool(x, 2).type()), 2));
    for (const bool sums : {false, true})
      on_every_target([&] {
        const std::vector<Tensor> operands{mixed(c.in[0], 5), Tensor(c.in[1], drawn(c.in[1], -1, 1, 6))};
        std::vector<Tensor> want{gated(answered(c, operands, 1)[0], operands[0])};
        std::vector<TensorType> types = c.out;
        if (sums) types.push_back(f32(shape.back()));
        std::vector<double> totals(static_cast<std::size_t>(shape.back()));
        const Numbers passed = want[0].numbers();
        for (std::size_t i = 0; i < passed.size(); ++i) totals[i % totals.size()] += passed[i];
        std::vector<Tensor> once;
        for (const int threads : {1, 2, 3}) {
          const auto kernel = max_pool_backward_gated(
              {.node = c.graph.node(c.node), .in = c.in, .out = c.out, .threads = threads}, sums);
          std::vector<Tensor> got = results_of(*kernel, operands, types);
          expect_same(got, want);
          for (std::size_t k = 0; sums && k < totals.size(); ++k)
            EXPECT_NEAR(got[1].number(k), totals[k], 1e-6 * (1 + std::fabs(totals[k])));
          if (!once.empty()) expect_same(got, once);
          once = std::move(got);
        }
      });
  }
}

TEST(AbsorbedPooling, OtherWindowsHaveNoGate) {
  Arguments a;
  const Value x = a(f32(2, 8, 8, 4));
  const Case c(max_pool_backward(x, a(max_pool(x, 3, {.strides = 2}).type()), 3, {.strides = 2}));
  EXPECT_FALSE(max_pool_backward_gated({.node = c.graph.node(c.node), .in = c.in, .out = c.out}, true));
}

}  // namespace
}  // namespace thalweg::testing
