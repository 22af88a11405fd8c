// SPDX-License-Identifier: Apache-2.0
// Rules that the library does not have, written by a user in its ops: L-BFGS and SOAP. Both keep more than a number for
// each element, and follow the references of those who invented or ship them.
#include <cmath>
#include <numeric>

#include "thalweg/ops/index.h"
#include "thalweg/ops/matmul.h"
#include "thalweg/ops/movement.h"
#include "trajectory.h"

namespace thalweg {
namespace {

using testing::expect_numbers;
using testing::numbers;
using testing::vectors;

// ---- L-BFGS (Liu and Nocedal 1989), as torch.optim.LBFGS without a line search: an iteration a step

struct Lbfgs {
  double rate = 1;
  Dim history = 4;

  /// Moves and changes of the gradient, newest first, and 1 / their product, 0 where there is none yet.
  struct Pairs {
    Value moves, changes, weights;
  };

  Value next(Value w, Value g, Slots& slots) const {
    const Value old_g = slots.slot("gradient"), old_move = slots.slot("move");
    const Value scale = slots.slot("scale", f64(), 1);
    const Value change = g - old_g, product = sum(change * old_move);
    const Value useful = greater(product, 1e-10);
    const Pairs pairs = remembered(slots, w.shape()[0], old_move, change, product, useful);
    const Value ridge = select(useful, product / sum(square(change)), scale);
    const Value direction = two_loops(-g, pairs, ridge);
    const Value first = equal(slots.step(), 0);
    const Value length = select(first, min(1.0 / sum(abs(g)), 1.0), 1.0) * rate;
    slots.update(old_g, g);
    slots.update(old_move, length * direction);
    slots.update(scale, ridge);
    return w + length * direction;
  }

  /// Row k of a matrix as a vector.
  static Value row(const Value& m, Dim k) { return reshape(slice(m, {k, 0}, {k + 1, m.shape()[1]}), {m.shape()[1]}); }

  Pairs remembered(Slots& slots, Dim n, const Value& move, const Value& change, const Value& product,
                   const Value& useful) const {
    const auto pushed = [&](const char* name, Dim columns, const Value& newest) {
      const Value kept = slots.slot(name, f64(history, columns));
      const Value older = slice(kept, {0, 0}, {history - 1, columns});
      const Value now = select(useful, concat({reshape(newest, {1, columns}), older}, 0), kept);
      slots.update(kept, now);
      return now;
    };
    return {pushed("moves", n, move), pushed("changes", n, change), pushed("weights", 1, 1.0 / product)};
  }

  Value two_loops(Value q, const Pairs& pairs, const Value& ridge) const {
    std::vector<Value> shares;
    for (Dim k = 0; k < history; ++k) {
      shares.push_back(sum(row(pairs.moves, k) * q) * row(pairs.weights, k));
      q = q - shares.back() * row(pairs.changes, k);
    }
    q = q * ridge;
    for (Dim k = history; k-- > 0;) {
      const Value share = sum(row(pairs.changes, k) * q) * row(pairs.weights, k);
      q = q + (shares[static_cast<std::size_t>(k)] - share) * row(pairs.moves, k);
    }
    return q;
  }
};

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

TEST(Lbfgs, FollowsTorch) {
  const auto& want = vectors("lbfgs_torch_no_linesearch");
  Graph g("bowl");
  const Value w = variable(g, "w", f64(3), values(numbers(want.at("x0"))));
  const Value a = constant(g, numbers(want.at("A")), f64(3, 3)), b = constant(g, numbers(want.at("b")), f64(3));
  const Value loss = 0.5 * sum(w * reshape(matmul(a, reshape(w, {3, 1})), {3})) - sum(b * w);
  const Minimized m = minimize(loss, Lbfgs{.rate = want.at("lr").get<double>()});
  g.output("loss", loss);
  g.output("gradient", m.gradients[0]);
  Interpreter run(g);
  std::vector<double> at = numbers(want.at("x0")), move, slope;
  double height = 0;
  for (const auto& iterate : want.at("iterates")) {
    run.step();
    const std::vector<double> new_slope = run.output("gradient").data;
    if (!move.empty()) {
      // The strong Wolfe conditions hold for each move: a line search takes the first length that it tries.
      const double falls = dot(slope, move);
      EXPECT_LE(run.output("loss")[0], height + 1e-4 * falls);
      EXPECT_LE(std::fabs(dot(new_slope, move)), -0.9 * falls);
    }
    expect_numbers(run.variable("w").data, numbers(iterate), 1e-12);
    move = run.variable("w").data;
    for (std::size_t k = 0; k < 3; ++k) move[k] -= at[k];
    at = run.variable("w").data;
    slope = new_slope;
    height = run.output("loss")[0];
  }
  const auto& searched = vectors("oracle_runs").at("lbfgs_strong_wolfe_5_iters");
  expect_numbers(at, numbers(searched.at("x")), 1e-12);
}

// ---- SOAP (Vyas et al. 2024): Adam in the eigenbasis of Shampoo's preconditioner

Value unit(Graph g, Dim n, Dim row, Dim column) {
  std::vector<double> all(static_cast<std::size_t>(n * n));
  all[static_cast<std::size_t>(row * n + column)] = 1;
  return constant(g, all, f64(n, n));
}
Value identity(Graph g, Dim n) {
  Value all = unit(g, n, 0, 0);
  for (Dim k = 1; k < n; ++k) all = all + unit(g, n, k, k);
  return all;
}
Value entry(const Value& m, Dim row, Dim column) {
  return reshape(slice(m, {row, column}, {row + 1, column + 1}), {});
}
Value diagonal(const Value& m) { return sum(m * identity(m.graph(), m.shape()[0]), {.axes = {1}}); }

/// The matrix that moves column i to where the i-th number stands among all, the largest first.
Value order_of(const Value& x) {
  const Dim n = x.shape()[0];
  Graph g = x.graph();
  const Value mine = reshape(x, {n, 1}), other = reshape(x, {1, n});
  std::vector<double> earlier;
  for (Dim i = 0; i < n; ++i)
    for (Dim j = 0; j < n; ++j) earlier.push_back(j < i);
  const Value first = logical_or(greater(other, mine),
                                 logical_and(equal(other, mine), constant(g, earlier, boolean(n, n))));
  return one_hot(cast(sum(cast(first, DType::f64), {.axes = {1}}), DType::i64), n, DType::f64);
}

/// Eigenvectors of a small symmetric matrix as columns, the largest eigenvalue first: cyclic Jacobi rotations.
Value eigenvectors(Value m) {
  const Dim n = m.shape()[0];
  Graph g = m.graph();
  const Value one = identity(g, n);
  Value q = one;
  for (int sweep = 0; sweep < 8; ++sweep)
    for (Dim i = 0; i < n; ++i)
      for (Dim j = i + 1; j < n; ++j) {
        const Value off = entry(m, i, j), theta = (entry(m, j, j) - entry(m, i, i)) / (2.0 * off);
        const Value side = select(less(theta, 0.0), -1.0, constant(g, 1, f64()));
        const Value t = select(equal(off, 0.0), 0.0, side / (abs(theta) + sqrt(square(theta) + 1.0)));
        const Value c = rsqrt(square(t) + 1.0), s = t * c;
        const Value turn = one + (c - 1.0) * (unit(g, n, i, i) + unit(g, n, j, j)) +
                           s * (unit(g, n, i, j) - unit(g, n, j, i));
        m = matmul(matmul(turn, m, {.ta = true}), turn);
        q = matmul(q, turn);
      }
  return matmul(q, order_of(diagonal(m)));
}

/// The q of m = q r: Gram and Schmidt's, each column made orthogonal twice.
Value orthonormal(const Value& m) {
  const Dim n = m.shape()[0];
  std::vector<Value> columns;
  for (Dim k = 0; k < n; ++k) {
    Value v = slice(m, {0, k}, {n, k + 1});
    for (int pass = 0; pass < 2; ++pass)
      for (const Value& other : columns) v = v - sum(other * v) * other;
    columns.push_back(v * rsqrt(sum(square(v))));
  }
  return concat(std::vector<Operand>(columns.begin(), columns.end()), 1);
}

struct Soap {
  Schedule rate = 0.003;
  double beta1 = 0.95, beta2 = 0.95, epsilon = 1e-8, weight_decay = 0.01;
  double every = 2;  ///< steps from one basis to the next

  /// One side of the matrix: the preconditioner, the basis at hand, the next one, and how to sort by it.
  struct Side {
    Value basis, next, order;
  };

  Value next(Value w, Value g, Slots& slots) const {
    const Value first = equal(slots.step(), 0), t = cast(slots.step(), DType::f64);
    const Value due = logical_and(logical_not(first), equal(t - every * floor(t / every), 0.0));
    const Side left = side(slots, "left", matmul(g, g, {.tb = true}), first, due);
    const Side right = side(slots, "right", matmul(g, g, {.ta = true}), first, due);
    const Value m = slots.slot("m"), v = slots.slot("v"), seen = turned(left.basis, g, right.basis);
    const Value next_m = beta1 * m + (1 - beta1) * seen, next_v = beta2 * v + (1 - beta2) * square(seen);
    const Value eta = slots.rate(rate);
    const Value step = eta * sqrt(1.0 - pow(beta2, t)) / (1.0 - pow(beta1, t));
    const Value moved = w - step * back(left.basis, next_m / (sqrt(next_v) + epsilon), right.basis);
    slots.update(m, select(first, m, turned(left.next, back(left.basis, next_m, right.basis), right.next)));
    slots.update(v, select(first, v, select(due, turned(left.order, next_v, right.order), next_v)));
    return select(first, w, moved - eta * weight_decay * moved);
  }

  static Value turned(const Value& left, const Value& x, const Value& right) {
    return matmul(matmul(left, x, {.ta = true}), right);
  }
  static Value back(const Value& left, const Value& x, const Value& right) {
    return matmul(matmul(left, x), right, {.tb = true});
  }

  /// The first step only looks: it makes the basis of what it saw, and moves nothing.
  Side side(Slots& slots, const std::string& name, const Value& product, const Value& first, const Value& due) const {
    const Value kept = slots.slot(name, product.type()), basis = slots.slot(name + "_basis", product.type());
    const Value now = kept + (1 - beta2) * (product - kept);
    const Value order = order_of(diagonal(turned(basis, now, basis)));
    const Value refreshed = orthonormal(matmul(now, matmul(basis, order)));
    const Value next = select(first, eigenvectors(now), select(due, refreshed, basis));
    slots.update(kept, now);
    slots.update(basis, next);
    return {basis, next, order};
  }
};

/// Their code finds bases in f32 whatever the weights are: those are off by some 2^-22, and a step, of 3 * rate at most,
/// by as much of itself. Ours is all double.
constexpr double of_f32_bases = 1e-8;

TEST(Soap, FollowsItsAuthors) {
  const auto& want = vectors("oracle_runs").at("soap");
  const auto& meta = vectors("meta");
  Graph g("matrix");
  const TensorType type = f64(2, 3);
  const Value w = variable(g, "w", type, zeros());
  minimize(sum(w * input(g, "g", type)), Soap{.rate = want.at("config").at("lr").get<double>()});
  nlohmann::json gradients = meta.at("matrix_grads");
  for (const auto& gradient : meta.at("matrix_grads")) gradients.push_back(gradient);
  ASSERT_EQ(want.at("trajectory").size(), 10u);
  const auto look = [&](const Interpreter& run, std::size_t i) {
    SCOPED_TRACE("step " + std::to_string(i));
    expect_numbers(run.variable("w").data, numbers(want.at("trajectory").at(i)), of_f32_bases);
  };
  testing::run_updates(g, type.shape, meta.at("matrix_param_w0"), gradients, look);
}

}  // namespace
}  // namespace thalweg
