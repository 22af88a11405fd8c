// SPDX-License-Identifier: Apache-2.0
// Rows of what is written in several ops: activations, norms, convolutions and losses.
#include <functional>
#include <utility>

#include "cases.h"
#include "thalweg/ops/conv.h"
#include "thalweg/ops/ctc.h"
#include "thalweg/ops/loss.h"
#include "thalweg/ops/norm.h"
#include "thalweg/ops/pointwise.h"
#include "thalweg/ops/source.h"

namespace thalweg::testing {
namespace {

using Build = std::function<Value(std::span<const Value>)>;

Domain real(double lo, double hi, std::vector<double> kinks = {}) {
  return {.kind = Domain::Kind::real, .lo = lo, .hi = hi, .kinks = std::move(kinks)};
}
const Domain usual = real(-2, 2);
const Domain labels = {.kind = Domain::Kind::whole, .lo = 0, .hi = 3};
const Domain distribution = {.kind = Domain::Kind::distribution, .lo = 0.1, .hi = 1};
const Domain between = real(0.1, 0.9);

class Rows {
 public:
  OpCase& add(std::string name, std::vector<TensorType> args, std::vector<Domain> domains, Build build) {
    OpCase row;
    row.name = row.op = std::move(name);
    row.args = std::move(args);
    row.domains = std::move(domains);
    while (row.domains.size() < row.args.size()) row.domains.push_back(row.domains.back());
    row.build = [build = std::move(build)](Graph&, std::span<const Value> x) { return build(x); };
    rows_.push_back(std::move(row));
    return rows_.back();
  }
  void unary(std::string name, std::vector<double> kinks, double reach, Value (*f)(Operand)) {
    add(std::move(name), {f32(3, 7)}, {real(-reach, reach, std::move(kinks))}, [f](auto x) { return f(x[0]); });
  }
  std::vector<OpCase> take() { return std::move(rows_); }

 private:
  std::vector<OpCase> rows_;
};

void activation_rows(Rows& rows) {
  rows.add("prelu", {f32(3, 4), f32(4)}, {real(-2, 2, {0}), usual}, [](auto x) { return prelu(x[0], x[1]); });
  rows.unary("selu", {0}, 2, selu);
  rows.unary("mish", {}, 2, mish);
  rows.unary("relu6", {0, 6}, 9, relu6);
  rows.unary("hard_sigmoid", {-3, 3}, 5, hard_sigmoid);
  rows.unary("hard_swish", {-3, 3}, 5, hard_swish);
  rows.unary("hard_tanh", {-1, 1}, 2, hard_tanh);
  rows.unary("softsign", {0}, 2, softsign);
  rows.unary("log_sigmoid", {}, 2, log_sigmoid);
  rows.add("hard_shrink", {f32(13)}, {real(-2, 2, {-0.5, 0.5})}, [](auto x) { return hard_shrink(x[0]); });
  rows.add("soft_shrink", {f32(13)}, {real(-2, 2, {-0.7, 0.7})}, [](auto x) { return soft_shrink(x[0], 0.7); });
  rows.add("squareplus", {f32(13)}, {real(-2, 2, {0})}, [](auto x) { return squareplus(x[0], 3); });
}

void norm_rows(Rows& rows) {
  const Domain spread = real(0.3, 2);
  rows.add("group_norm", {f32(2, 3, 2, 4), f32(4), f32(4)}, {usual, spread, usual},
           [](auto x) { return group_norm(x[0], x[1], x[2], 2); });
  rows.add("group_norm_flat", {f32(3, 6), f32(6), f32(6)}, {usual, spread, usual},
           [](auto x) { return group_norm(x[0], x[1], x[2], 2, 1e-5); });
  rows.add("instance_norm", {f32(2, 5, 3), f32(3), f32(3)}, {usual, spread, usual},
           [](auto x) { return group_norm(x[0], x[1], x[2], 3); });
  rows.add("rms_norm", {f32(3, 5), f32(5)}, {usual, spread}, [](auto x) { return rms_norm(x[0], x[1]); });
  rows.add("rms_norm_two_axes", {f32(2, 3, 4), f32(3, 4)}, {usual, spread},
      [](auto x) { return rms_norm(x[0], x[1], 1e-5); });
}

void conv_rows(Rows& rows) {
  const auto exact = [&](std::string name, std::vector<TensorType> args, Build build) {
    rows.add(std::move(name), std::move(args), {usual}, std::move(build)).exact_integer = true;
  };
  exact("conv1d", {f32(2, 9, 4), f32(3, 2, 6)}, [](auto x) {
    return conv1d(x[0], x[1], {.strides = 2, .dilation = 2, .pads = {1, 2}, .groups = 2});
  });
  exact("conv1d_same", {f32(1, 7, 2), f32(4, 2, 3)}, [](auto x) { return conv1d(x[0], x[1], {.padding = "same"}); });
  exact("conv2d_transpose", {f32(1, 3, 4, 2), f32(3, 2, 3, 2)},
        [](auto x) { return conv2d_transpose(x[0], x[1], {.strides = {2, 3}}); });
  exact("conv2d_transpose_same", {f32(2, 3, 2, 3), f32(3, 3, 2, 3)},
        [](auto x) { return conv2d_transpose(x[0], x[1], {.strides = 2, .padding = "same"}); });
  exact("conv2d_transpose_torch", {f32(1, 3, 3, 4), f32(3, 3, 1, 4)}, [](auto x) {
    return conv2d_transpose(x[0], x[1], {.strides = 2, .dilation = 2, .pads = {1, 1, 2, 2}, .output_padding = {1},
                                         .groups = 2});
  });
  exact("depthwise", {f32(1, 5, 4, 3), f32(3, 3, 1, 6)},
        [](auto x) { return conv2d(x[0], x[1], {.padding = "same", .groups = 3}); });
}

void classification_rows(Rows& rows) {
  rows.add("weighted_cross_entropy", {f32(5, 4), f32(5, 4)}, {usual, distribution}, [](auto x) {
    return cross_entropy(x[0], x[1], {.label_smoothing = 0.1, .class_weights = {1, 0.5, 2, 0.25}});
  });
  rows.add("sparse_cross_entropy_with_all_options", {f32(5, 4), i32(5)}, {usual, labels}, [](auto x) {
    return mean_sparse_cross_entropy(x[0], x[1],
                                     {.label_smoothing = 0.1, .ignore_label = 1, .class_weights = {1, 0.5, 2, 0.25}});
  });
  rows.add("binary_cross_entropy", {f32(5, 3), f32(5, 3)}, {usual, between}, [](auto x) {
    return binary_cross_entropy(x[0], x[1], {.label_smoothing = 0.1, .positive_weight = 3});
  });
  rows.add("binary_cross_entropy_of_probabilities", {f32(7), f32(7)}, {between},
           [](auto x) { return binary_cross_entropy(x[0], x[1], {.from_logits = false}); });
  rows.add("binary_focal_cross_entropy", {f32(5, 3), f32(5, 3)}, {usual, between},
           [](auto x) { return binary_focal_cross_entropy(x[0], x[1], {.alpha = 0.25}); });
  rows.add("sparse_focal_cross_entropy", {f32(5, 4), i32(5)}, {usual, labels},
           [](auto x) { return sparse_focal_cross_entropy(x[0], x[1], {.gamma = 1.5, .alpha = 0.25}); });
  rows.add("kl_divergence", {f32(5, 4), f32(5, 4)}, {usual, distribution},
           [](auto x) { return kl_divergence(x[0], x[1]); });
  rows.add("kl_divergence_of_probabilities", {f32(5, 4), f32(5, 4)}, {distribution},
           [](auto x) { return kl_divergence(x[0], x[1], {.from_logits = false}); });
  const Domain margin = real(-2, 2, {-1, 1});
  const Domain truth = {.kind = Domain::Kind::whole, .lo = 0, .hi = 1};
  rows.add("hinge", {f32(5, 3), f32(5, 3)}, {margin, truth},
           [](auto x) { return hinge(x[0], stop_gradient(x[1])); }).zero_gradients = {1};
  rows.add("squared_hinge", {f32(5, 3), f32(5, 3)}, {margin, truth},
           [](auto x) { return squared_hinge(x[0], stop_gradient(x[1])); }).zero_gradients = {1};
  rows.add("categorical_hinge", {f32(5, 4), f32(5, 4)}, {usual, distribution},
           [](auto x) { return categorical_hinge(x[0], x[1]); });
}

void regression_rows(Rows& rows) {
  const auto both = [&](std::string name, const Domain& a, const Domain& b, Value (*f)(Operand, Operand)) {
    rows.add(std::move(name), {f32(4, 3), f32(4, 3)}, {a, b}, [f](auto x) { return f(x[0], x[1]); });
  };
  // Prediction and target stay apart by what keeps their difference off its kinks.
  const Domain high = real(1.1, 3), low = real(-1, 0.9);
  both("mse", usual, usual, mse);
  both("mae", high, low, mae);
  both("mape", high, real(0.2, 0.9), mape);
  both("msle", high, real(0.2, 0.9), msle);
  both("log_cosh", high, real(-1, 0), log_cosh);
  both("log_cosh_near", real(0, 0.4), real(0.5, 0.9), log_cosh);
  both("cosine_loss", usual, usual, cosine_loss);
  both("weighted_mean", usual, real(0.1, 2), weighted_mean);
  rows.add("huber", {f32(4, 3), f32(4, 3)}, {real(0.6, 2), real(-1, 0)}, [](auto x) { return huber(x[0], x[1], 0.5); });
  rows.add("huber_inside", {f32(4, 3), f32(4, 3)}, {real(0.6, 1), real(0, 0.5)},
      [](auto x) { return huber(x[0], x[1], 2); });
  rows.add("smooth_l1", {f32(4, 3), f32(4, 3)}, {real(0.6, 2), real(-1, 0)},
      [](auto x) { return smooth_l1(x[0], x[1], 0.5); });
  rows.add("poisson", {f32(4, 3), f32(4, 3)}, {real(0.3, 2), real(0.5, 4)}, [](auto x) { return poisson(x[0], x[1]); });
  rows.add("poisson_of_logs", {f32(4, 3), f32(4, 3)}, {usual, real(0.5, 4)},
           [](auto x) { return poisson(x[0], x[1], {.log_input = true}); });
  OpCase& ctc_row = rows.add("ctc_of_whole_samples", {f32(2, 6, 4), i64(2, 2)},
      {usual, {.kind = Domain::Kind::whole, .lo = 1, .hi = 3}},
                             [](auto x) { return ctc(x[0], x[1]); });
  ctc_row.second_order = false;
}

}  // namespace

const std::vector<OpCase>& composite_cases() {
  static const std::vector<OpCase> all = [] {
    Rows rows;
    activation_rows(rows);
    norm_rows(rows);
    conv_rows(rows);
    classification_rows(rows);
    regression_rows(rows);
    return rows.take();
  }();
  return all;
}

}  // namespace thalweg::testing
