// SPDX-License-Identifier: Apache-2.0
#include "thalweg/lib/inspect/curvature.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include "thalweg/graph/autodiff.h"
#include "thalweg/graph/fail.h"
#include "thalweg/graph/philox.h"
#include "thalweg/lib/inspect/whole_data.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/reduce.h"
#include "thalweg/ops/source.h"

namespace thalweg {
namespace {

constexpr std::string_view direction_prefix = "hessian/direction/";
constexpr std::string_view product_prefix = "hessian/product/";

using Vector = std::vector<double>;

std::string named(std::string_view prefix, const std::string& weight) { return std::string(prefix) + weight; }

/// The loss's graph with outputs H v, where v are variables that nothing updates.
Graph product_graph(Graph graph, const std::vector<Weight>& weights) {
  const Value loss = graph.find("loss");
  std::vector<Value> variables;
  for (const Weight& weight : weights) variables.push_back(graph.find(weight.name));
  const std::vector<Value> slopes = gradients(loss, variables);
  Value along;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    const Value v = variable(graph, named(direction_prefix, weights[k].name), weights[k].type, zeros(),
        {.trainable = false});
    const Value part = sum(slopes[k] * stop_gradient(v));
    along = along ? along + part : part;
  }
  graph.drop_outputs();
  // A loss that is linear in a variable, or in all of them, has zeros there.
  const std::vector<Value> products = gradients(along, variables, {.allow_unconnected = true});
  for (std::size_t k = 0; k < weights.size(); ++k) graph.output(named(product_prefix, weights[k].name), products[k]);
  return graph;
}

/// In four sums that do not wait for one another.
double dot(const Vector& a, const Vector& b) {
  const double* x = a.data();
  const double* y = b.data();
  double sums[4] = {};
  std::size_t i = 0;
  for (const std::size_t whole = a.size() / 4 * 4; i < whole; i += 4) {
    sums[0] += x[i] * y[i];
    sums[1] += x[i + 1] * y[i + 1];
    sums[2] += x[i + 2] * y[i + 2];
    sums[3] += x[i + 3] * y[i + 3];
  }
  for (; i < a.size(); ++i) sums[0] += x[i] * y[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/// Takes the parts along `basis` out of `v`; twice, because once leaves what rounding puts in.
void orthogonalize(Vector& v, const std::vector<Vector>& basis) {
  for (int pass = 0; pass < 2; ++pass)
    for (const Vector& b : basis) {
      const double part = dot(b, v);
      double* to = v.data();
      for (const double* from = b.data(); from != b.data() + b.size(); ++from) *to++ -= part * *from;
    }
}

/// A random unit vector beside `basis`; empty where that fills the space.
Vector fresh(std::size_t size, const std::vector<Vector>& basis, std::uint64_t seed) {
  if (basis.size() >= size) return {};
  const PhiloxKey key = philox_key(seed, basis.size());
  Vector v(size);
  for (std::size_t i = 0; i < size; ++i) {
    const PhiloxCounter words = philox(philox_counter(i, 0), key);
    v[i] = normal_of(words[0], words[1]);
  }
  orthogonalize(v, basis);
  const double length = std::sqrt(dot(v, v));
  for (double& x : v) x /= length;
  return v;
}

struct Ritz {
  double value;
  double last;  ///< the eigenvector's last component
};

/// The eigenvalues, ascending, of a symmetric tridiagonal matrix, and the last components of their vectors: QL with
/// implicit shifts (Bowdler, Martin, Reinsch and Wilkinson 1968). `below` has one number less than `diagonal`.
std::vector<Ritz> ritz_values(Vector diagonal, Vector below) {
  const std::size_t n = diagonal.size();
  Vector last(n);
  last[n - 1] = 1;
  below.push_back(0);
  for (std::size_t l = 0; l < n; ++l) {
    for (int sweep = 0; sweep < 100; ++sweep) {
      std::size_t m = l;
      while (m + 1 < n && std::fabs(below[m]) > 1e-16 * (std::fabs(diagonal[m]) + std::fabs(diagonal[m + 1]))) ++m;
      if (m == l) break;
      double g = (diagonal[l + 1] - diagonal[l]) / (2 * below[l]), r = std::hypot(g, 1.0);
      g = diagonal[m] - diagonal[l] + below[l] / (g + std::copysign(r, g));
      double s = 1, c = 1, p = 0;
      bool split = false;
      for (std::size_t i = m; i-- > l;) {
        double f = s * below[i];
        const double b = c * below[i];
        r = std::hypot(f, g);
        below[i + 1] = r;
        if (r == 0) {
          diagonal[i + 1] -= p;
          below[m] = 0;
          split = true;
          break;
        }
        s = f / r;
        c = g / r;
        g = diagonal[i + 1] - p;
        r = (diagonal[i] - g) * s + 2 * c * b;
        p = s * r;
        diagonal[i + 1] = g + p;
        g = c * r - b;
        f = last[i + 1];
        last[i + 1] = s * last[i] + c * f;
        last[i] = c * last[i] - s * f;
      }
      if (split) continue;
      diagonal[l] -= p;
      below[l] = g;
      below[m] = 0;
    }
  }
  std::vector<Ritz> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = {diagonal[i], last[i]};
  std::sort(values.begin(), values.end(), [](const Ritz& a, const Ritz& b) { return a.value < b.value; });
  return values;
}

class Lanczos {
 public:
  Lanczos(Hessian& hessian, const EigenOptions& options) : hessian_(hessian), options_(options) {}

  Eigenvalues run() {
    const std::size_t size = hessian_.size();
    Vector v = fresh(size, basis_, options_.seed);
    while (!v.empty() && basis_.size() < static_cast<std::size_t>(options_.most_products)) {
      Vector w = hessian_.times(v);
      diagonal_.push_back(dot(v, w));
      basis_.push_back(std::move(v));
      orthogonalize(w, basis_);
      const double length = std::sqrt(dot(w, w));
      scale_ = std::max({scale_, std::fabs(diagonal_.back()), length});
      // Nothing new: the space so far is mapped into itself, and its eigenvalues are exact.
      const bool closed = !(length > 1e-12 * scale_);
      below_.push_back(closed ? 0 : length);
      if (closed) v = fresh(size, basis_, options_.seed);
      else for (v = std::move(w); double& x : v) x /= length;
      if (basis_.size() % 5 == 0 && !closed && found().converged) break;
    }
    return found();
  }

 private:
  Eigenvalues found() const {
    Vector below = below_;
    const double rest = below.back();
    below.pop_back();
    const std::vector<Ritz> ritz = ritz_values(diagonal_, below);
    Eigenvalues result{.largest = {}, .smallest = {}, .largest_error = {}, .smallest_error = {},
                       .products = static_cast<int>(basis_.size()), .converged = true};
    const bool all = basis_.size() == hessian_.size();
    const auto take = [&](const Ritz& r, Vector& values, Vector& errors) {
      values.push_back(r.value);
      errors.push_back(std::fabs(rest * r.last));
      if (!all && errors.back() > options_.tolerance * scale_) result.converged = false;
    };
    for (std::size_t k = 0; k < std::min(ritz.size(), static_cast<std::size_t>(options_.top)); ++k)
      take(ritz[ritz.size() - 1 - k], result.largest, result.largest_error);
    for (std::size_t k = 0; k < std::min(ritz.size(), static_cast<std::size_t>(options_.bottom)); ++k)
      take(ritz[k], result.smallest, result.smallest_error);
    // Eigenvalues met so far may be fewer than were asked for.
    const auto asked = static_cast<std::size_t>(std::max(options_.top, options_.bottom));
    if (!all && ritz.size() <= asked) result.converged = false;
    return result;
  }

  Hessian& hessian_;
  const EigenOptions& options_;
  std::vector<Vector> basis_;
  Vector diagonal_, below_;
  double scale_ = 0;
};

}  // namespace

struct Hessian::State {
  State(const Graph& training, const Variables& trained, const Dataset& data, const RunOptions& options)
      : State(training, loss_graph(training, options.batch), trained, data, options) {}
  State(const Graph& training, const Graph& loss, const Variables& trained, const Dataset& data,
      const RunOptions& options)
      : weights(weights_of(training, loss)),
        graph(product_graph(loss, weights)),
        variables(own_variables(graph, trained, direction_prefix)),
        whole(graph, variables, data, options) {
    for (const Weight& weight : weights) {
      products.push_back(named(product_prefix, weight.name));
      size += static_cast<std::size_t>(weight.type.elements());
    }
  }

  std::vector<Weight> weights;
  Graph graph;
  Variables variables;
  WholeData whole;
  std::vector<std::string> products;
  std::size_t size = 0;
};

Hessian::Hessian(const Graph& training, const Variables& variables, const Dataset& data, const RunOptions& options)
    : state_(detail::share<State>(training, variables, data, options)) {}
Hessian::~Hessian() = default;
Hessian::Hessian(Hessian&&) noexcept = default;
Hessian& Hessian::operator=(Hessian&&) noexcept = default;

std::size_t Hessian::size() const { return state_->size; }

std::vector<double> Hessian::times(std::span<const double> v) {
  State& state = *state_;
  if (v.size() != state.size) run_error("Hessian: a vector of {} numbers, for variables of {}", v.size(), state.size);
  std::size_t at = 0;
  for (const Weight& weight : state.weights) {
    const auto count = static_cast<std::size_t>(weight.type.elements());
    store_numbers(weight.type.dtype, v.subspan(at, count),
                  state.variables.at(named(direction_prefix, weight.name)).data());
    at += count;
  }
  std::vector<double> product(state.size);
  state.whole.mean(state.products, product);
  return product;
}

Eigenvalues hessian_eigenvalues(Hessian& hessian, const EigenOptions& options) {
  if (options.top < 0 || options.bottom < 0 || options.top + options.bottom < 1)
    run_error("hessian_eigenvalues: top is {} and bottom {}, one must be above 0 and none below", options.top,
        options.bottom);
  if (options.most_products < 1)
    run_error("hessian_eigenvalues: most_products is {}, must be at least 1", options.most_products);
  if (!(options.tolerance >= 0)) run_error("hessian_eigenvalues: tolerance is {}, must be at least 0",
      options.tolerance);
  return Lanczos(hessian, options).run();
}

}  // namespace thalweg
