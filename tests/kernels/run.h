// SPDX-License-Identifier: Apache-2.0
// One op, by its kernel and by its meaning in double.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "thalweg/graph/interpret.h"
#include "thalweg/graph/opdef.h"
#include "thalweg/lib/base/tensor.h"
#include "thalweg/lib/kernels/own.h"
#include "thalweg/ops/source.h"

namespace thalweg::testing {

/// Inputs a0, a1, … of a graph.
struct Arguments {
  Graph graph;
  int made = 0;
  Value operator()(const TensorType& type) { return input(graph, "a" + std::to_string(made++), type); }
};

using Numbers = std::vector<double>;

/// A node whose operands are inputs of a graph, with the types around it.
struct Case {
  Graph graph;
  NodeId node;
  std::vector<TensorType> in, out;
  explicit Case(const Value& first) : graph(first.graph()), node(first.id().node) {
    for (const ValueId id : graph.operands(node)) in.push_back(graph.type(id));
    out = graph.node(node).types;
  }
  std::unique_ptr<Kernel> kernel(int threads, bool generate = true) const {
    return own_kernel({.node = graph.node(node), .in = in, .out = out, .threads = threads, .generate = generate});
  }
};

/// What the kernel answers; results start as garbage, and nothing outside them may change.
inline std::vector<Tensor> answered(const Case& c, const std::vector<Tensor>& operands, int threads,
                                    bool generate = true) {
  const auto kernel = c.kernel(threads, generate);
  if (!kernel) throw RunError("no kernel for " + std::string(c.graph.node(c.node).op->name));
  std::vector<Tensor> results;
  std::vector<const void*> in;
  std::vector<void*> out;
  for (const Tensor& t : operands) in.push_back(t.data());
  for (const TensorType& type : c.out) {
    results.emplace_back(type);
    std::memset(results.back().data(), 0xa5, type.bytes());
    out.push_back(results.back().data());
  }
  const Tensor scratch(u8(static_cast<Dim>(kernel->scratch_bytes()) + 64));
  std::memset(const_cast<void*>(scratch.data()), 0xff, scratch.bytes());
  kernel->run(in.data(), out.data(), const_cast<void*>(scratch.data()));
  const auto* guard = static_cast<const unsigned char*>(scratch.data()) + kernel->scratch_bytes();
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(guard[i], 0xff) << "scratch overrun";
  return results;
}

inline std::vector<Array<double>> meant(const Case& c, const std::vector<Tensor>& operands, bool magnitudes = false) {
  std::vector<Array<double>> arrays;
  for (const Tensor& t : operands) {
    arrays.emplace_back(t.shape(), t.numbers());
    if (magnitudes && is_float(t.type().dtype))
      for (double& x : arrays.back().data) x = std::fabs(x);
  }
  std::vector<const Array<double>*> in;
  for (const auto& a : arrays) in.push_back(&a);
  return evaluate_node<double>(c.graph.node(c.node), in, c.in);
}

inline double epsilon_of(DType dtype) {
  if (dtype == DType::f32) return 0x1p-24;
  if (dtype == DType::bf16) return 0x1p-8;
  return dtype == DType::f64 ? 0x1p-53 : 0;
}
inline double smallest_of(DType dtype) {
  return dtype == DType::f64 ? 0x1p-1074 : dtype == DType::bf16 ? 0x1p-133 : 0x1p-149;
}

/// How far a result may be from the meaning: `rounding` half units of the dtype at the result, and `terms` of them at
/// the sum of the magnitudes of what is added up, `absolute` of them at 1. For f64 the meaning, itself in double, is no
/// more exact than the kernel: then only agreement to some 64 times that is asked.
struct Bound {
  double rounding = 1;
  double terms = 0;
  double absolute = 0;
};

inline void expect_close(const Case& c, const std::vector<Tensor>& operands, Bound bound,
                         const std::vector<Tensor>& results) {
  const auto want = meant(c, operands);
  const auto size = bound.terms > 0 ? meant(c, operands, true) : want;
  std::size_t wrong = 0;
  for (std::size_t r = 0; r < results.size(); ++r) {
    const DType dtype = c.out[r].dtype;
    const double eps = epsilon_of(dtype);
    for (std::size_t i = 0; i < want[r].size() && wrong < 5; ++i) {
      const double got = results[r].number(i), w = want[r][i];
      if (got == w || (std::isnan(got) && std::isnan(w))) continue;
      const bool inexact = bound.rounding > 0;
      double allowed =
          eps * (bound.rounding * std::fabs(w) + bound.terms * std::fabs(size[r][i]) + bound.absolute) + smallest_of(dtype);
      if (dtype == DType::f64 && inexact) allowed = 64 * (allowed + eps);
      if (!is_float(dtype)) allowed = 0;
      // Too large for the dtype.
      if (dtype != DType::f64 && std::isinf(got) && std::fabs(w) > 0x1.fffffep127 * (1 - 4 * eps) && (got > 0) == (w > 0))
        continue;
      if (std::fabs(got - w) <= allowed) continue;
      ++wrong;
      ADD_FAILURE() << c.graph.node(c.node).op->name << " -> " << to_string(c.out[r]) << " result " << r << " element " << i
                    << ": got " << got << ", want " << w << ", off by " << std::fabs(got - w) << ", allowed "
                    << allowed;
    }
  }
}

/// Whether two tensors have the same bits; any NaN is as good as another.
inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (std::memcmp(a.data(), b.data(), a.bytes()) == 0) return true;
  if (!is_float(a.type().dtype)) return false;
  const std::vector<double> x = a.numbers(), y = b.numbers();
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!(std::isnan(x[i]) && std::isnan(y[i])) && std::bit_cast<std::uint64_t>(x[i]) != std::bit_cast<std::uint64_t>(y[i]))
      return false;
  return true;
}

/// The kernel against the meaning; the same bits whatever the number of threads, and without generated code.
inline void check(const Value& value, const std::vector<Numbers>& data, Bound bound = {}) {
  const Case c(value);
  std::vector<Tensor> operands;
  for (std::size_t i = 0; i < c.in.size(); ++i) operands.emplace_back(c.in[i], data[i]);
  SCOPED_TRACE(::testing::Message() << c.graph.node(c.node).op->name << " of "
                                    << (c.in.empty() ? "nothing" : to_string(c.in[0])));
  const std::vector<Tensor> once = answered(c, operands, 1);
  expect_close(c, operands, bound, once);
  for (const int threads : {2, 4}) {
    const std::vector<Tensor> again = answered(c, operands, threads);
    for (std::size_t r = 0; r < once.size(); ++r)
      EXPECT_EQ(std::memcmp(once[r].data(), again[r].data(), once[r].bytes()), 0)
          << "other bits with " << threads << " threads, result " << r;
  }
  const std::vector<Tensor> interpreted = answered(c, operands, 1, false);
  for (std::size_t r = 0; r < once.size(); ++r)
    EXPECT_TRUE(same_bits(once[r], interpreted[r])) << "other bits without generated code, result " << r;
}

/// Numbers that an element type holds, uniform in [low, high].
inline Numbers drawn(const TensorType& type, double low, double high, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Numbers numbers(static_cast<std::size_t>(type.elements()));
  for (double& x : numbers) {
    x = low + (high - low) * (static_cast<double>(random() >> 11) * 0x1p-53);
    if (!is_float(type.dtype)) x = std::floor(x);
  }
  return Tensor(type, numbers).numbers();
}
inline std::vector<Numbers> drawn(const Value& value, double low, double high, std::uint64_t seed = 1) {
  const Case c(value);
  std::vector<Numbers> all;
  for (const TensorType& type : c.in)
    all.push_back(type.dtype == DType::boolean ? drawn(type, 0, 2, ++seed) : drawn(type, low, high, ++seed));
  return all;
}

}  // namespace thalweg::testing
