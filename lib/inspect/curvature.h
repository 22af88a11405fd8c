// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "thalweg/graph/graph.h"
#include "thalweg/lib/data/dataset.h"
#include "thalweg/lib/train/fit.h"

namespace thalweg {

/// The second derivatives of a net's loss, as products with vectors: H v = d(sum(dL/dw * stop_gradient(v)))/dw, a graph
/// of its own that costs a few training steps a product. The matrix itself is never made. A vector holds the
/// variables that training moves one after another, in their order in the graph.
class THALWEG_API Hessian {
 public:
  /// Of the loss of inference(training), a mean over all samples, at these variables (which are copied). `data` is not
  /// read for a graph without inputs, and must otherwise outlive this. Throws RunError for a graph without a scalar
  /// output `loss`, for variables that are lacking, and for data that does not fit.
  Hessian(const Graph& training, const Variables& variables, const Dataset& data, const RunOptions& options = {});
  ~Hessian();
  Hessian(Hessian&&) noexcept;
  Hessian& operator=(Hessian&&) noexcept;

  /// How many numbers the variables are.
  std::size_t size() const;
  /// H v; throws RunError for another size.
  std::vector<double> times(std::span<const double> v);

 private:
  struct State;
  detail::Shared<State> state_;
};

struct EigenOptions {
  int top = 5;               ///< how many from the upper end; it or `bottom` may be 0
  int bottom = 0;            ///< how many from the lower end
  int most_products = 200;   ///< H v computed at most
  double tolerance = 1e-9;   ///< done where each is known to so much of the largest |eigenvalue|
  std::uint64_t seed = 1;    ///< of the vector it begins with
};

struct Eigenvalues {
  std::vector<double> largest;        ///< descending
  std::vector<double> smallest;       ///< ascending
  std::vector<double> largest_error;  ///< |H u - λ u| of each: some eigenvalue lies so near, or nearer
  std::vector<double> smallest_error;
  int products = 0;
  bool converged = false;
};
/// The ends of the spectrum by Lanczos' method, orthogonalized in full; where the vectors run into a space that H maps
/// into itself, it begins anew beside it, so that equal eigenvalues are all found. Above 0 at both ends: a minimum;
/// on both sides of 0: a saddle. No more are given than there are variables. Throws RunError for options out of range.
THALWEG_API Eigenvalues hessian_eigenvalues(Hessian& hessian, const EigenOptions& options = {});

}  // namespace thalweg
